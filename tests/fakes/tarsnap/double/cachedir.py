"""The client's side: the cachedir with its lock, chunk directory, markers and sequence number."""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Callable
from typing import Any

from .output import FailedError, reason, warn
from .server import ZERO, Server

_HEADER = struct.Struct("<QQQ")  # entries, bytes and compressed bytes of what is in no chunk
_CHUNK = struct.Struct("<32sIIII")  # hash, length, compressed length, archives, copies


class Directory:
    """The chunk directory: what is stored, and how often. Kept in a file of 24 + 48 n bytes."""

    def __init__(self) -> None:
        self.extra = [0, 0, 0]
        self.chunks: dict[str, list[int]] = {}  # hash -> length, compressed length, archives, copies

    def add(self, chunks: list[list[Any]], extra: int) -> None:
        for chunk, length, packed, copies in chunks:
            known = self.chunks.setdefault(chunk, [length, packed, 0, 0])
            known[2] += 1
            known[3] += copies
        self._count_extra(1, extra)

    def remove(self, chunks: list[list[Any]], extra: int) -> list[str]:
        """Take an archive out. Gives the chunks that nobody needs any more.

        Raises `FailedError` when the archive has a chunk that the directory does not know.
        """
        unused = []
        for chunk, _length, _packed, copies in chunks:
            known = self.chunks.get(chunk)
            if known is None:
                warn("Chunk is missing or directory is corrupt")
                raise FailedError
            known[2] -= 1
            known[3] -= copies
            if known[2] <= 0:
                unused.append(chunk)
                del self.chunks[chunk]
        self._count_extra(-1, extra)
        return unused

    def _count_extra(self, sign: int, extra: int) -> None:
        self.extra = [self.extra[0] + sign, self.extra[1] + sign * extra, self.extra[2] + sign * extra]

    def copy(self) -> Directory:
        other = Directory()
        other.extra = list(self.extra)
        other.chunks = {chunk: list(known) for chunk, known in self.chunks.items()}
        return other

    def totals(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Give length and compressed length of all archives, and of what is stored once."""
        _, extra, packed_extra = self.extra
        everything = [extra, packed_extra]
        unique = [extra, packed_extra]
        for length, packed, _archives, copies in self.chunks.values():
            everything[0] += length * copies
            everything[1] += packed * copies
            unique[0] += length
            unique[1] += packed
        return (everything[0], everything[1]), (unique[0], unique[1])

    def dump(self) -> bytes:
        rows = (_CHUNK.pack(bytes.fromhex(chunk), *known) for chunk, known in self.chunks.items())
        return _HEADER.pack(*self.extra) + b"".join(rows)


class Cachedir:
    """One cachedir, by its real path."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._lock: int | None = None

    def lock(self) -> None:
        """Take the POSIX record lock without waiting. Raises `FailedError` when somebody has it."""
        try:
            self._lock = os.open(f"{self.path}/lockf", os.O_CREAT | os.O_RDWR, 0o666)
        except OSError as error:
            warn(f"open({self.path}/lockf): {reason(error)}")
            raise FailedError from None
        try:
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            warn("Transaction already in progress")
            self.unlock()
            raise FailedError from None

    def unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def sequence(self) -> str:
        return self._link("cseq", 64) or ZERO

    def finish(self, server: Server) -> bool:
        """Complete what a former run left: first its checkpoint, then its commit. True when it committed."""
        self._finish_checkpoint(server)
        number = self._link("commit_m", 64)
        if number is None:
            return False
        server.connect()
        return self.commit(server, number)

    def checkpoint(self, server: Server, number: str, record: dict[str, Any], directory: Directory) -> None:
        """Make a checkpoint of a creation that any later run can commit. Raises `FailedError`."""
        server.prepare(number, record)
        self._write("directory.tmp", directory.dump())
        self._set_link("ckpt_m", number + os.urandom(32).hex())
        self._finish_checkpoint(server)

    def _finish_checkpoint(self, server: Server) -> None:
        link = self._link("ckpt_m", 128)
        if link is None:
            return
        server.connect()
        if os.path.exists(f"{self.path}/directory.tmp"):
            os.rename(f"{self.path}/directory.tmp", f"{self.path}/directory.ckpt")
        server.checkpoint(link[:64])
        self._set_link("commit_m", link[:64])
        os.unlink(f"{self.path}/ckpt_m")

    def ready(self, server: Server, number: str, record: dict[str, Any], directory: Directory) -> None:
        """Make a deletion, or the end of an fsck, ready to be committed. Raises `FailedError`."""
        server.prepare(number, record)
        server.checkpoint(number)
        self._write("directory.ckpt", directory.dump())
        self._set_link("commit_m", number)

    def forget(self) -> None:
        """Drop what an unfinished run left: fsck builds everything anew."""
        for name in ("ckpt_m", "commit_m", "directory.tmp", "directory.ckpt"):
            if os.path.lexists(f"{self.path}/{name}"):
                os.unlink(f"{self.path}/{name}")

    def commit(self, server: Server, number: str, between: Callable[[], None] = lambda: None) -> bool:
        """Commit what is ready. True when the server says that it is committed.

        `between` is called when the server has done it and nothing here says so yet.
        """
        if os.path.exists(f"{self.path}/directory.ckpt"):
            os.rename(f"{self.path}/directory.ckpt", f"{self.path}/directory")
        committed = server.commit(number)
        between()
        self._set_link("cseq", number)
        os.unlink(f"{self.path}/commit_m")
        return committed

    def read_directory(self, *, must_exist: bool) -> Directory:
        """Read `directory`; a missing one is empty unless it must be there. Raises `FailedError`."""
        path = f"{self.path}/directory"
        directory = Directory()
        try:
            with open(path, "rb") as file:
                content = file.read()
        except FileNotFoundError:
            if must_exist:
                warn(f"Error reading cache directory from {self.path}")
                raise FailedError from None
            return directory
        if len(content) < _HEADER.size:
            warn(f"on-disk directory is too small ({len(content)} bytes): {path}")
            raise FailedError
        rows = content[_HEADER.size :]
        if len(rows) % _CHUNK.size:
            warn(f"on-disk directory is corrupt: {path}")
            raise FailedError
        directory.extra = list(_HEADER.unpack(content[: _HEADER.size]))
        for chunk, *known in _CHUNK.iter_unpack(rows):
            if not known[2]:
                warn(f"on-disk directory is corrupt: {path}")
                raise FailedError
            directory.chunks[chunk.hex()] = known
        return directory

    def initialize(self) -> None:
        self._write("directory", Directory().dump())

    def _write(self, name: str, content: bytes) -> None:
        try:
            with open(f"{self.path}/{name}", "wb") as file:
                file.write(content)
        except OSError as error:
            warn(f"open({self.path}/{name}): {reason(error)}")
            raise FailedError from None

    def _link(self, name: str, length: int) -> str | None:
        """Read a symbolic link whose target is a hexadecimal number. Raises `FailedError`."""
        path = f"{self.path}/{name}"
        try:
            target = os.readlink(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            warn(f"readlink({path}): {reason(error)}")
            raise FailedError from None
        if len(target) != length:
            warn(f"Link is incorrect length: {path}")
            raise FailedError
        if not set(target) <= set("0123456789abcdef"):
            warn(f"Cannot parse link as hexadecimal: {path} -> {target}")
            raise FailedError
        return target

    def _set_link(self, name: str, target: str) -> None:
        """Make a link, or put it in place of another one; the marker beside it says what was going on."""
        path = f"{self.path}/{name}"
        try:
            if os.path.lexists(path):
                os.unlink(path)
            os.symlink(target, path)
        except OSError as error:
            warn(f"symlink({path}): {reason(error)}")
            raise FailedError from None
