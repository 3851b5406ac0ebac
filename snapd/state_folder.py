"""The state folder: one daemon's alone, with the last accepted config in it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from snapd import config as configs
from snapd.config import Config, Folders
from snapd.errors import ConfigError, RefusedError, SnapdError
from snapd.local_zone import system_timezone
from snapd.lock import Holder, SingleLock
from snapd.logger import log

ACCEPTED = "accepted.toml"


@dataclass(frozen=True, slots=True)
class Accepted:
    """A config in force, with the text it was read from."""

    config: Config
    text: str


@dataclass
class Loaded:
    """A config to run on. `refused` holds the problems of the file when this is the last accepted one."""

    accepted: Accepted
    refused: tuple[str, ...] = ()


def load(file: Path, folders: Folders) -> Loaded:
    """Read the config, or fall back to the last accepted one; keeps a good one as that.

    Raises ConfigError when the file is wrong and nothing was ever accepted.
    """
    kept = folders.state / ACCEPTED
    try:
        accepted = read(file)
    except ConfigError as error:
        try:
            fallback = read(kept)
        except ConfigError:
            raise error from None
        return Loaded(fallback, (error.message, *error.problems))
    keep(accepted, folders)
    return Loaded(accepted)


def read(file: Path) -> Accepted:
    """Read and check a config file. Raises ConfigError."""
    return Accepted(*configs.load(file, system_timezone()))


def keep(accepted: Accepted, folders: Folders) -> None:
    """Write the accepted config to the state folder; a full disk must not stop a start or a reload."""
    path = folders.state / ACCEPTED
    draft = path.with_name(path.name + ".new")
    try:
        draft.write_text(accepted.text, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        log.warning("accepted-not-kept", path=str(path), reason=str(error))


def changes(before: Config, after: Config) -> dict[str, list[str]]:
    """Name the sets that a reload adds, removes and changes."""
    old, new = before.backup, after.backup
    return {
        "added": [name for name in new if name not in old],
        "removed": [name for name in old if name not in new],
        "changed": [name for name in new if name in old and new[name] != old[name]],
    }


def claim(folders: Folders, now: datetime) -> SingleLock:
    """Take the lock that makes us the only daemon on this state folder."""
    lock = SingleLock(folders.state, name="daemon")
    me = Holder(pid=os.getpid(), run_id="", job="daemon", since=now)
    if not lock.try_acquire(me):
        other = lock.holder()
        raise RefusedError(
            f"a daemon runs on {folders.state} already" + (f" (process {other.pid})" if other else ""),
            hint="stop it first: systemctl stop snapd-backup",
        )
    return lock


def make_folders(folders: Folders) -> None:
    for folder in (folders.state, folders.cache, folders.runtime):
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700 if folder != folders.runtime else 0o750)
        except OSError as error:
            raise SnapdError(
                f"cannot make the folder {folder}: {error.strerror}",
                hint="systemd makes it for the service; elsewhere set STATE_DIRECTORY, CACHE_DIRECTORY "
                "and RUNTIME_DIRECTORY",
            ) from error
