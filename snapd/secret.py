"""Where a secret really comes from: a systemd credential, a file, a command's first line.

No secret, nor any piece of one, is ever in an argument list, a log line or the text of an error.
"""

from __future__ import annotations

import contextlib
import grp
import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

from snapd.config import Secret
from snapd.errors import KeyFaultError
from snapd.model import Problem
from snapd.proc import Command, Launcher, Limits, raise_if_cut

CREDENTIALS = Path(
    "/run/credentials/snapd-backup.service"
)  # where systemd puts the daemon's, for root to read
SERVICE_GROUP = "snapd-backup"
_LARGEST = 16 * 2**10  # bytes
_COMMAND_LIMITS = Limits(wall=30.0, grace=2.0)
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "CREDENTIALS_DIRECTORY")


def resolve(secret: Secret, launcher: Launcher, *, environ: Mapping[str, str]) -> str:
    """Return the text of a secret, never empty. `environ` is the caller's own environment.

    One newline at the end of a credential or a file is not part of it; of a command's output the first line
    counts.
    Raises `KeyFaultError`, retryable for a secret that is not there (yet), and `InterruptedRunError` when the
    launcher was asked to stop.
    """
    if secret.command is not None:
        return _from_command(secret.command, launcher, environ)
    return _from_file(_path(secret, environ), strict=secret.credential is None)


def problem(secret: Secret, environ: Mapping[str, str]) -> Problem | None:
    """Say what keeps a secret from being read, without running its command; None when nothing does.

    `store` and `backup_set` of the problem are left to the caller.
    """
    try:
        if secret.command is not None:
            _check_command(secret.command, environ)
        else:
            _from_file(_path(secret, environ), strict=secret.credential is None)
    except KeyFaultError as error:
        return Problem(error.message, error.hint, passing=error.retryable)
    return None


def file_problem(path: Path, what: str) -> Problem | None:
    """Say what keeps a private file from being used: it is not there, unreadable, or open to others.

    Nothing of it is read. `store` and `backup_set` of the problem are left to the caller.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return Problem(
            f"the {what} {path} does not exist", "mount its disk, or compare the config", passing=True
        )
    except OSError as error:
        return Problem(f"the {what} {path} cannot be read: {error.strerror}", _give(path))
    try:
        status = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if not stat.S_ISREG(status.st_mode):
        return Problem(f"the {what} {path} is not a regular file", "compare the config")
    if _too_open(status):
        mode = stat.S_IMODE(status.st_mode)
        return Problem(f"the {what} {path} can be read by others (mode {mode:04o})", f"chmod 0600 {path}")
    return None


def _give(path: Path) -> str:
    return f"let the service read it: chown root:{SERVICE_GROUP} {path} && chmod 0640 {path}"


def _path(secret: Secret, environ: Mapping[str, str]) -> Path:
    if secret.file is not None:
        return secret.file
    if secret.credential is None:
        raise KeyFaultError("the secret names no place", hint="give it one of: credential, file, command")
    given = environ.get("CREDENTIALS_DIRECTORY")
    path = (Path(given) if given else CREDENTIALS) / secret.credential
    try:
        path.stat()
    except OSError as error:
        raise _missing_credential(secret.credential, error, passed=bool(given)) from error
    return path


def _missing_credential(name: str, error: OSError, *, passed: bool) -> KeyFaultError:
    if isinstance(error, PermissionError):
        return KeyFaultError(
            f"the credential {name} may only be read by the daemon and by root", hint="try again as root"
        )
    line = f"LoadCredential={name}:/etc/snapd-backup/{name}"
    if passed:
        hint = f"add {line} to the unit (systemctl edit snapd-backup) and restart it"
    else:
        hint = f"credentials exist while the daemon runs: start it, with {line} in its unit"
    return _absent(f"the credential {name} was not given to the daemon", hint)


def _absent(message: str, hint: str = "") -> KeyFaultError:
    """Say that a secret is not there: its disk may be mounted later, so it is tried again."""
    error = KeyFaultError(message, hint=hint)
    error.retryable = True
    return error


def _from_file(path: Path, *, strict: bool) -> str:
    """Read a secret file; `strict` also looks at who else may read it (of a credential, systemd does)."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise _absent(f"the secret file {path} does not exist") from error
    except OSError as error:
        said = f"the secret file {path} cannot be read: {error.strerror}"
        raise KeyFaultError(said, hint=_give(path)) from error
    try:
        _check_status(path, os.fstat(descriptor), strict=strict)
        content = os.read(descriptor, _LARGEST + 1)
    except OSError as error:
        raise KeyFaultError(f"the secret file {path} cannot be read: {error.strerror}") from error
    finally:
        os.close(descriptor)
    return _text(content.removesuffix(b"\n"), f"the secret file {path}")


def _check_status(path: Path, status: os.stat_result, *, strict: bool) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise KeyFaultError(f"the secret file {path} is not a regular file")
    if strict and _too_open(status):
        raise KeyFaultError(
            f"the secret file {path} can be read by others (mode {stat.S_IMODE(status.st_mode):04o})",
            hint=f"chmod 0600 {path}",
        )


def _too_open(status: os.stat_result) -> bool:
    """Tell whether others have access. Root's file with our group, read-only for it, is as good as ours."""
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077 == 0:
        return False
    return mode & 0o037 != 0 or status.st_uid != 0 or status.st_gid not in _our_groups()


def _our_groups() -> set[int]:
    groups = {os.getegid(), *os.getgroups()}
    if os.geteuid() == 0:  # root looks on the service's behalf
        with contextlib.suppress(KeyError):
            groups.add(grp.getgrnam(SERVICE_GROUP).gr_gid)
    return groups


def _text(content: bytes, what: str) -> str:
    if len(content) > _LARGEST:
        raise KeyFaultError(f"{what} is too large to be a secret", hint=f"at most {_LARGEST} bytes")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = "\0"  # the error itself would carry the secret
    if "\0" in text:
        raise KeyFaultError(f"{what} holds something that is not UTF-8 text")
    if not text.strip():
        raise KeyFaultError(f"{what} is empty")
    return text


def _check_command(argv: tuple[str, ...], environ: Mapping[str, str]) -> None:
    if not argv or shutil.which(argv[0], path=environ.get("PATH", os.defpath)) is None:
        program = argv[0] if argv else ""
        raise KeyFaultError(
            f"the secret's command {program!r} is not installed or not executable", hint="give its full path"
        )


def _from_command(argv: tuple[str, ...], launcher: Launcher, environ: Mapping[str, str]) -> str:
    _check_command(argv, environ)
    what = f"the secret's command {argv[0]!r}"
    env = {name: environ[name] for name in _PASSED_ON if name in environ}
    try:
        finished = launcher.run(Command(argv, env, limits=_COMMAND_LIMITS))
    except OSError as error:
        raise KeyFaultError(f"{what} cannot be started: {error.strerror}") from error
    if finished.ended != "interrupted" and finished.ended:
        raise KeyFaultError(f"{what} did not end within 30 s", hint="it must not ask for anything")
    raise_if_cut(finished, argv[0], launcher.interrupt)
    if finished.returncode != 0:
        raise KeyFaultError(
            f"{what} failed with exit status {finished.returncode}",
            hint="run it by hand as the service's user",
        )
    return _text(finished.stdout.partition("\n")[0].encode(), f"the output of {what}")
