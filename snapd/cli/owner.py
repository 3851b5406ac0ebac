"""Who may work in the daemon's place: the owner of its state folder, and root by becoming that user.

A file that root left in a cache or a repository would break the daemon's next run, so root gives everything
up but the one privilege that the service has too: to read every file.
"""

from __future__ import annotations

import os
import pwd
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from snapd.cli import credentials
from snapd.config import Folders
from snapd.errors import NoDaemonError, SnapdError, UsageError

SERVICE_USER = "snapd-backup"
CAPABILITY = "-all,+dac_read_search"


@dataclass(frozen=True, slots=True)
class Owner:
    """The user that the state belongs to. `name` is empty for a number that no user has."""

    uid: int
    gid: int
    name: str
    home: str


def become_owner(
    folders: Folders,
    environ: Mapping[str, str],
    missing: NoDaemonError | None = None,
    *,
    service: str = SERVICE_USER,
) -> None:
    """Return when this process may write the state; as root, start this command anew as its owner.

    Raises `missing` with a better hint, or UsageError, for anybody else, and UsageError where the folders of
    the service hold files that root made: it could not write them. `service` is the service user's name.
    """
    owner = rightful_owner(folders.state, environ, service)
    if owner is None or owner.uid == os.geteuid():
        return
    if os.geteuid() != 0:
        raise _not_allowed(folders.state, owner, missing)
    for folder, mode in ((folders.state, 0o700), (folders.cache, 0o700), (folders.runtime, 0o750)):
        _make(folder, mode, owner)
    _hand_over(folders, owner)
    given = credentials.provide(folders.runtime, environ)
    _exec(command(owner, sys.orig_argv[1:]), environment(owner, folders, environ, given))


def rightful_owner(state: Path, environ: Mapping[str, str], service: str = SERVICE_USER) -> Owner | None:
    """Return whose the state should be: the service user's, where root merely made the folder.

    Whoever names a folder of his own in STATE_DIRECTORY is taken at his word, root too.
    """
    owner = owner_of(state, service)
    if owner is None or owner.uid != 0 or environ.get("STATE_DIRECTORY"):
        return owner
    return _service_user(service) or owner


def owner_of(state: Path, service: str = SERVICE_USER) -> Owner | None:
    """Return whose the state is: the folder's owner, or without a folder the service user if there is one."""
    try:
        status = state.stat()
    except FileNotFoundError:
        return _service_user(service)
    except PermissionError:
        return _service_user(service) or _owner(0, 0)
    return _owner(status.st_uid, status.st_gid)


def command(owner: Owner, arguments: list[str]) -> list[str]:
    """Return the command that starts this program anew as `owner`, with one capability. See setpriv(1)."""
    return [
        "setpriv",
        f"--reuid={owner.uid}",
        f"--regid={owner.gid}",
        "--init-groups" if owner.name else "--clear-groups",
        f"--bounding-set={CAPABILITY}",
        f"--inh-caps={CAPABILITY}",
        f"--ambient-caps={CAPABILITY}",
        "--no-new-privs",
        "--",
        sys.executable,
        *arguments,
    ]


def environment(
    owner: Owner, folders: Folders, environ: Mapping[str, str], given: Path | None
) -> dict[str, str]:
    """Return root's environment made the owner's. `given` is a folder of credentials."""
    kept = {key: value for key, value in environ.items() if not key.startswith(("XDG_", "SUDO_"))}
    kept.update(HOME=owner.home or str(folders.state), USER=owner.name, LOGNAME=owner.name)
    if given is not None:
        kept["CREDENTIALS_DIRECTORY"] = str(given)
    return kept


def _exec(argv: list[str], environ: Mapping[str, str]) -> None:
    sys.stdout.flush()
    try:
        os.execvpe(argv[0], argv, dict(environ))  # noqa: S606 - it takes this process's place
    except OSError as error:
        raise SnapdError(
            f"cannot become the owner of the state folder: {argv[0]}: {error.strerror}",
            hint="install util-linux, which has setpriv, or start the daemon: systemctl start snapd-backup",
        ) from error


def _make(folder: Path, mode: int, owner: Owner) -> None:
    """Make a folder of the service as systemd would."""
    if folder.exists():
        return
    folder.mkdir(mode=mode, parents=True)
    os.chown(folder, owner.uid, owner.gid)


def _hand_over(folders: Folders, owner: Owner) -> None:
    """Give an owner the folders that root made, where they are empty; else raise UsageError.

    What lies in them may be more than ours, or in use by a daemon that works as root: a person must look.
    """
    of_root = [folder for folder in (folders.state, folders.cache) if folder.stat().st_uid == 0]
    full = [folder for folder in of_root if any(folder.iterdir())]
    if full:
        name = owner.name or str(owner.uid)
        hint = f"give it to {name}: chown -R {name}: {shlex.join(map(str, full))}"
        if folders.state in full:
            hint += f"\nor let root work there: STATE_DIRECTORY={folders.state} snapd-backup …"
        raise UsageError(f"{full[0]} belongs to root, and the daemon works as {name}", hint=hint)
    for folder in of_root:
        os.chown(folder, owner.uid, owner.gid)


def _owner(uid: int, gid: int) -> Owner:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return Owner(uid, gid, "", "")
    return Owner(uid, gid, entry.pw_name, entry.pw_dir)


def _service_user(service: str) -> Owner | None:
    try:
        entry = pwd.getpwnam(service)
    except KeyError:
        return None
    return Owner(entry.pw_uid, entry.pw_gid, entry.pw_name, entry.pw_dir)


def _not_allowed(state: Path, owner: Owner, missing: NoDaemonError | None) -> SnapdError:
    who = owner.name or f"user {owner.uid}"
    others = "" if who == "root" else f" or {who}"
    if missing is None:
        return UsageError(f"only root{others} may do this: {state} is not yours", hint="use sudo")
    return NoDaemonError(
        missing.message, hint=f"{missing.hint}; without it only root{others} may do this, so use sudo"
    )
