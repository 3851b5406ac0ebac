"""Files and folders, archived where they lie."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from snapd.errors import SourceError
from snapd.looks import answers
from snapd.model import Problem
from snapd.mounts import private_folders, read_mounts
from snapd.sources.base import Prepared

LOOK_S = 30.0
DOCTOR_LOOK_S = 5.0

_CONTENT = (stat.S_IFREG, stat.S_IFDIR)
_SILENT = "does not answer (a hung mount?)"


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a look at a path found: a fault or an empty text, and whether it may pass by itself."""

    fault: str = ""
    is_link: bool = False
    passing: bool = False


class FilesSource:
    """The paths of a set. `alone`: the set saves nothing else, so that no path left is a failure."""

    def __init__(self, paths: Sequence[Path], *, alone: bool, look_s: float = LOOK_S) -> None:
        self._paths = tuple(dict.fromkeys(paths))
        self._alone = alone
        self._look_s = look_s

    def doctor(self) -> tuple[Problem, ...]:
        return tuple(
            Problem(f"{path} {seen.fault}", hint="correct the path, or take it out of the set's paths")
            for path, seen in _looked(self._paths, min(self._look_s, DOCTOR_LOOK_S)).items()
            if seen.fault
        )

    @contextlib.contextmanager
    def open(self) -> Iterator[Prepared]:
        looked = _looked(self._paths, self._look_s)
        lacking = tuple(f"{path} {seen.fault}" for path, seen in looked.items() if seen.fault)
        left = tuple(path for path, seen in looked.items() if not seen.fault)
        if not left and self._alone:
            raise _nothing_left(lacking, passing=any(seen.passing for seen in looked.values()))
        links = [path for path in left if looked[path].is_link]
        yield Prepared(paths=left, lacking=lacking + _bare_links(links, left, self._look_s))


def _nothing_left(lacking: Sequence[str], *, passing: bool) -> SourceError:
    error = SourceError(
        f"none of the set's paths can be saved: {'; '.join(lacking)}",
        hint="correct the paths, or mount what is missing; nothing was archived",
    )
    error.retryable = passing
    return error


def _looked(paths: Sequence[Path], limit_s: float) -> dict[Path, _Seen]:
    """Look at all paths within a time limit; one that does not answer keeps no other from being seen."""
    private = private_folders(read_mounts())
    hidden = {path for path in paths if any(path.is_relative_to(folder) for folder in private)}
    looks = {f"path {path}": partial(_look, path) for path in paths if path not in hidden}
    found = answers(looks, limit_s)
    seen = {path: found.get(f"path {path}", _Seen(_SILENT, passing=True)) for path in paths}
    unseen = _Seen(
        "is in a folder of temporary files that the service has for itself (PrivateTmp= of its unit)"
    )
    return {path: unseen if path in hidden else seen[path] for path in paths}


def _look(path: Path) -> _Seen:
    """Say what keeps an archive from holding this path.

    A file or folder is opened, which is what the engine's child will do: it has our capability, and no
    question to the kernel answers for capabilities, access lists and network file systems alike. Only the
    path itself is looked at; what is unreadable below it, the engine reports.
    """
    try:
        status = path.lstat()
        if stat.S_IFMT(status.st_mode) in _CONTENT:
            os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW))
    except FileNotFoundError:
        return _Seen("does not exist")
    except PermissionError:
        return _Seen("cannot be read by the service user")
    except OSError as error:
        return _Seen(f"cannot be read: {error.strerror}")
    return _Seen(is_link=stat.S_ISLNK(status.st_mode))


def _bare_links(links: Sequence[Path], paths: Sequence[Path], limit_s: float) -> tuple[str, ...]:
    """Name symbolic links without their targets: an archive holds the link, not what it leads to."""
    looks = {f"target of {link}": partial(os.path.realpath, link) for link in links}
    targets = answers(looks, limit_s) if links else {}
    told = {link: _told_of(link, targets, [path for path in paths if path not in links]) for link in links}
    return tuple(sentence for sentence in told.values() if sentence)


def _told_of(link: Path, targets: Mapping[str, str], folders: Sequence[Path]) -> str:
    target = targets.get(f"target of {link}")
    if target is None:
        return f"{link} is a symbolic link and saved as such; its target {_SILENT}"
    if any(Path(target).is_relative_to(folder) for folder in folders):
        return ""
    return f"{link} is a symbolic link and saved as such; name its target {target} too"
