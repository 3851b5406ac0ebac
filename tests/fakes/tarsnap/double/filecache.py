"""The file `cache` of the cachedir: spares reading files that look unchanged. Performance only."""

from __future__ import annotations

import json
import os
import zlib
from typing import Any

from .output import FatalError, reason, warn
from .session import Session


def _trailer(blocks: list[Any]) -> int:
    return zlib.crc32(json.dumps(blocks).encode())


class FileCache:
    """What is known of files by their real path: inode, size, mtime in whole seconds, blocks.

    The ctime is not looked at: a file changed in place with size and mtime kept is stored with its old
    content. Files that changed in the second of the run or later are not remembered.
    """

    def __init__(self, path: str, snapshot: int) -> None:
        self.path = path
        self.snapshot = snapshot
        self.known: dict[str, list[Any]] = {}
        self.fresh: dict[str, list[Any]] = {}

    def read(self) -> bool:
        """Read it; a missing one is empty. False when it is damaged: the run goes on without."""
        try:
            with open(self.path, "rb") as file:
                self.known = json.load(file)
        except FileNotFoundError:
            return True
        except OSError as error:
            warn(f"Error reading cache: {self.path}: {reason(error)}")
        except ValueError:
            warn(f"Cache file is corrupt: {self.path}")
        else:
            return True
        warn("Error reading cache; continuing without it")
        return False

    def blocks(self, path: str, status: os.stat_result) -> list[Any] | None:
        """Give the blocks of a file that looks unchanged. Raises `FatalError` when its trailer is damaged."""
        found = self.known.get(path)
        if found is None or found[:3] != [status.st_ino, status.st_size, int(status.st_mtime)]:
            return None
        if found[4] != _trailer(found[3]):
            warn("Warning: cached trailer is corrupt")
            raise FatalError("Error writing cached archive entry")
        self.fresh[path] = found
        blocks: list[Any] = found[3]
        return blocks

    def remember(self, path: str, status: os.stat_result, blocks: list[Any]) -> None:
        if int(status.st_mtime) < self.snapshot:
            row = [status.st_ino, status.st_size, int(status.st_mtime), blocks, _trailer(blocks)]
            self.fresh[path] = row

    def write(self) -> bool:
        try:
            with open(f"{self.path}.new", "w") as file:
                json.dump(self.fresh, file)
            os.rename(f"{self.path}.new", self.path)
        except OSError as error:
            warn(f"open({self.path}.new): {reason(error)}")
            return False
        return True


def of(session: Session, snapshot: int) -> FileCache | None:
    """Read the cache of a creation; None when there is none to use."""
    if session.cachedir_or_none is None or session.options.text("memory") == "verylowmem":
        return None
    cache = FileCache(f"{session.cachedir.path}/cache", snapshot)
    return cache if cache.read() else None
