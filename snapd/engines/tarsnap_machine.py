"""What of this machine would stop every run of a Tarsnap store: the program, the key file, the cachedir."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from pathlib import Path

from snapd import secret
from snapd.config import TarsnapStore
from snapd.engines.tarsnap_keys import permissions
from snapd.engines.tarsnap_program import (
    OLDEST,
    PASSPHRASES,
    environment,
    missing_cachedir,
    version_of,
)
from snapd.errors import EngineUsageError
from snapd.model import Problem
from snapd.proc import Command, Launcher, Limits

SERVICE = "snapd-backup"


def problems(name: str, store: TarsnapStore, launcher: Launcher) -> Iterator[Problem]:
    """Yield what is wrong; the store is not asked. `store` of a problem is left to the caller."""
    yield from _of_program(store, launcher)
    unreadable = secret.file_problem(store.keyfile, "key file")
    if unreadable is not None:
        yield unreadable
    elif not _client_reads(store.keyfile, launcher):
        yield Problem(
            f"tarsnap may not read the key file {store.keyfile} when it runs as the service",
            f"make a copy that it may read, and name that in the config: "
            f"install -o root -g {SERVICE} -m 0640 {store.keyfile} /etc/snapd-backup/",
        )
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


def _client_reads(keyfile: Path, launcher: Launcher) -> bool:
    """Tell whether the client may read the key where it has no privilege, as when it lists or restores.

    Our own capability opens every file, but access(2) leaves it out of account; root looks as the service.
    """
    if os.geteuid() != 0:
        return os.access(keyfile, os.R_OK)
    service = _as_service()
    if not service:
        return True
    command = Command(
        (*service, "test", "-r", str(keyfile)), environment(), limits=Limits(wall=10.0, grace=1.0)
    )
    try:
        return Launcher(interrupt=launcher.interrupt).run(command).returncode == 0
    except OSError:
        return True  # it cannot be told


def _as_service() -> tuple[str, ...]:
    """Return the words that run a command as the service's user, where there is one."""
    try:
        user = pwd.getpwnam(SERVICE)
    except KeyError:
        return ()
    return ("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--init-groups", "--")


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
