"""How every engine's program is started, and what it means when that fails."""

from __future__ import annotations

import errno
from pathlib import Path

from snapd.errors import EngineUsageError, LocalDiskFullError, NoMemoryError
from snapd.proc import Command, Finished, Launcher


def run(launcher: Launcher, command: Command, *, install: str) -> Finished:
    """Run a command to its end. `install` is the hint for a machine without the program.

    Raises `NoMemoryError`, or `EngineUsageError` for whatever else keeps it from starting.
    """
    program = command.argv[0]
    try:
        return launcher.run(command)
    except OSError as error:
        if error.errno in (errno.ENOMEM, errno.EAGAIN):
            raise NoMemoryError(f"{program} cannot be started: {error.strerror}") from error
        hint = install if error.filename == program else ""
        raise EngineUsageError(f"{program} cannot be started: {error}", hint=hint) from error


def make_cache(folder: Path) -> None:
    """Make an engine's cache folder. Raises `LocalDiskFullError`, or `EngineUsageError`."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        said = f"the cache folder {folder} cannot be made: {error.strerror}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise LocalDiskFullError(said, hint="make room on the disk of the cache folder") from error
        raise EngineUsageError(said) from error
