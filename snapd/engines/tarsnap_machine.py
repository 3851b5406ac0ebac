"""What of this machine would stop every run of a Tarsnap store: the program, the key file, the cachedir."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from snapd import secret
from snapd.config import TarsnapStore
from snapd.engines.tarsnap_keys import permissions
from snapd.engines.tarsnap_program import OLDEST, PASSPHRASES, missing_cachedir, version_of
from snapd.errors import EngineUsageError
from snapd.model import Problem
from snapd.proc import Launcher

SERVICE = "snapd-backup"


def problems(name: str, store: TarsnapStore, launcher: Launcher) -> Iterator[Problem]:
    """Yield what is wrong; the store is not asked. `store` of a problem is left to the caller."""
    yield from _of_program(store, launcher)
    unreadable = secret.file_problem(store.keyfile, "key file")
    if unreadable is not None:
        yield unreadable
    else:
        yield from _of_permissions(store, launcher)
    if store.passphrase is not None and (wrong := secret.problem(store.passphrase, os.environ)) is not None:
        yield wrong
    yield from _of_cachedir(name, store.cachedir)


def _of_program(store: TarsnapStore, launcher: Launcher) -> Iterator[Problem]:
    try:
        version = version_of(launcher)
    except EngineUsageError as error:
        yield Problem(error.message, error.hint)
        return
    shown = ".".join(map(str, version)) or "of an unknown version"
    if version < OLDEST:
        yield Problem(f"tarsnap {shown} is too old", "install 1.0.39 or later")
    elif store.passphrase is not None and version < PASSPHRASES:
        yield Problem(f"tarsnap {shown} takes no passphrase without a terminal", "install 1.0.40 or later")


def _of_permissions(store: TarsnapStore, launcher: Launcher) -> Iterator[Problem]:
    may = permissions(store.keyfile, launcher)
    for action, why in (
        ("reading", "no archive counts that cannot be seen in the store afterwards"),
        ("writing", "no archive can be made"),
    ):
        if may and action not in may:
            hint = f"give the store a key that may: tarsnap-keymgmt --outkeyfile NEW -r -w -d {store.keyfile}"
            yield Problem(f"the key {store.keyfile} does not allow {action}: {why}", hint)


def _of_cachedir(name: str, folder: Path) -> Iterator[Problem]:
    try:
        entries = list(folder.iterdir())
    except FileNotFoundError:
        yield Problem(f"there is no cachedir {folder}", missing_cachedir(name, folder), passing=True)
        return
    except NotADirectoryError:
        yield Problem(f"the cachedir {folder} is not a folder", "compare the store's cachedir in the config")
        return
    except OSError as error:
        yield Problem(f"the cachedir {folder} cannot be read: {error.strerror}", _give(folder))
        return
    files = [entry for entry in entries if entry.is_file() and not entry.is_symlink()]
    if not os.access(folder, os.W_OK | os.X_OK) or not all(
        os.access(file, os.R_OK | os.W_OK) for file in files
    ):
        yield Problem(f"the cachedir {folder} is not the service's own", _give(folder))


def _give(folder: Path) -> str:
    return f"chown -R {SERVICE}: {folder}"
