"""Private folders of runs: the staging of a backup, the scratch of a restore test.

Nothing in them outlives its run. `staging/SET` has a stable path, so that deduplication sees the same file
from run to run; `scratch/RUN_ID` belongs to one restore test. What a killed run leaves is removed by the next
one and at the daemon's start.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

from snapd.config import Folders

_occupied: set[Path] = set()  # by runs of this process; the single lock keeps those of others away
_occupying = threading.Lock()


def staging_of(folders: Folders, backup_set: str) -> Path:
    """Return the folder that a set's dumps and state copy are written to."""
    return folders.state / "staging" / backup_set


def scratch_of(folders: Folders, run_id: str) -> Path:
    """Return the folder that a restore test extracts into."""
    return folders.state / "scratch" / run_id


@contextlib.contextmanager
def private_folder(path: Path) -> Iterator[Path]:
    """Within the block an empty folder of mode 0700 is there; leftovers are removed before, everything after.

    Raises OSError when the folder cannot be made. What cannot be removed is left to the next start.
    """
    with _occupying:
        aside = _set_aside(path)
        _occupied.add(path)
    try:
        if aside is not None:
            with contextlib.suppress(OSError):  # it is out of the way
                remove(aside)
        path.mkdir(mode=0o700, parents=True)
        yield path
    finally:
        with contextlib.suppress(OSError):
            remove(path)
        with _occupying:
            _occupied.discard(path)


def clean_leftovers(folders: Folders, alive: frozenset[str] = frozenset()) -> tuple[Path, ...]:
    """Remove what dead runs left in staging and scratch, and nothing else. Returns what was removed.

    `alive` are ids of runs in progress. Safe beside runs of this process, which may start meanwhile.
    """
    removed = []
    for parent in (folders.state / "staging", folders.state / "scratch"):
        for path in _entries(parent):
            if path.name in alive:
                continue
            with _occupying:
                aside = None if path in _occupied else _set_aside(path)
            if aside is not None:
                with contextlib.suppress(OSError):
                    remove(aside)
                removed.append(path)
    return tuple(removed)


def remove(path: Path) -> None:
    """Remove a file, link or folder with all it holds, folders without write permission included."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    _open_up(path)
    shutil.rmtree(path)


def _set_aside(path: Path) -> Path | None:
    """Rename in one step, so that the name is free at once; None when nothing is there."""
    aside = path.with_name(f".removing-{secrets.token_hex(6)}")
    try:
        path.rename(aside)
    except FileNotFoundError:
        return None
    return aside


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []


def _open_up(folder: Path) -> None:
    """Give ourselves the permission to empty a tree of folders; follows no link."""
    waiting = [folder]
    while waiting:
        current = waiting.pop()
        current.chmod(0o700)
        with os.scandir(current) as entries:
            waiting += [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
