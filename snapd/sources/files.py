"""Files and folders, archived where they lie."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from snapd.errors import SourceError
from snapd.model import Problem
from snapd.sources.base import Prepared

_CONTENT = (stat.S_IFREG, stat.S_IFDIR)


class FilesSource:
    """The paths of a set. `alone`: the set saves nothing else, so that no path left is a failure."""

    def __init__(self, paths: Sequence[Path], *, alone: bool) -> None:
        self._paths = tuple(dict.fromkeys(paths))
        self._alone = alone

    def doctor(self) -> tuple[Problem, ...]:
        return tuple(
            Problem(f"{path} {fault}", hint="correct the path, or take it out of the set's paths")
            for path in self._paths
            if (fault := _fault(path))
        )

    @contextlib.contextmanager
    def open(self) -> Iterator[Prepared]:
        faults = {path: fault for path in self._paths if (fault := _fault(path))}
        lacking = tuple(f"{path} {fault}" for path, fault in faults.items())
        left = tuple(path for path in self._paths if path not in faults)
        if not left and self._alone:
            raise SourceError(
                f"none of the set's paths can be saved: {'; '.join(lacking)}",
                hint="correct the paths, or mount what is missing; nothing was archived",
            )
        yield Prepared(paths=left, lacking=lacking + _bare_links(left))


def _fault(path: Path) -> str:
    """Say what keeps an archive from holding this path; empty when nothing does.

    A file or folder is opened, which is what the engine's child will do: it has our capability, and no
    question to the kernel answers for capabilities, access lists and network file systems alike. Only the
    path itself is looked at; what is unreadable below it, the engine reports.
    """
    try:
        status = path.lstat()
        if stat.S_IFMT(status.st_mode) in _CONTENT:
            os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW))
    except FileNotFoundError:
        return "does not exist"
    except PermissionError:
        return "cannot be read by the service user"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return ""


def _bare_links(paths: Sequence[Path]) -> tuple[str, ...]:
    """Name symbolic links without their targets: an archive holds the link, not what it leads to."""
    return tuple(
        f"{path} is a symbolic link and saved as such; name its target {target} too"
        for path in paths
        if path.is_symlink()
        for target in [Path(os.path.realpath(path))]
        if not any(_within(target, other) for other in paths)
    )


def _within(path: Path, folder: Path) -> bool:
    return path.is_relative_to(folder) and not folder.is_symlink()
