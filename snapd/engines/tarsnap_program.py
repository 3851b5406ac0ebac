"""How the tarsnap program is called: its environment, its version, its limits, and what its end means."""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from snapd import secret
from snapd.config import TarsnapOptions, TarsnapStore
from snapd.engines import starting
from snapd.engines.base import Tools
from snapd.engines.tarsnap_listener import Listener
from snapd.engines.tarsnap_messages import error_of, is_unpaid
from snapd.engines.tarsnap_outcome import Version
from snapd.errors import (
    EngineUsageError,
    KeyFaultError,
    OutOfSyncError,
)
from snapd.logger import log
from snapd.model import Progress
from snapd.proc import Command, Finished, Launcher, Limits, raise_if_cut

INSTALL = "install it from https://www.tarsnap.com/download.html (Debian: their package tarsnap)"
OLDEST: Version = (1, 0, 39)
PASSPHRASES: Version = (1, 0, 40)
PROGRESS: Version = (1, 0, 40)
NULL_OUTPUT: Version = (1, 0, 41)

_PASSED_ON = ("PATH", "TMPDIR")
_PASSPHRASE = "SNAPD_TARSNAP_PASSPHRASE"  # noqa: S105 - the name of a variable
_LOOK_LIMITS = Limits(wall=30.0, grace=2.0)
_told: dict[tuple[object, ...], str] = {}  # what small looks at files said, by the file's identity


@dataclass(frozen=True, slots=True)
class Call:
    """One tarsnap command: its mode and options, and how it runs.

    `creates`: with our capability, SIGQUIT as the gentle signal and a stall limit instead of a wall limit.
    `extra` names the options of the config that are added. `record`: the cachedir is used. `judge` sees each
    line of standard error as it comes, and may raise, which ends the call.
    """

    mode: tuple[str, ...]
    extra: str
    paths: tuple[str, ...] = ()
    cwd: Path | None = None
    creates: bool = False
    record: bool = False
    judge: Callable[[str], None] | None = None
    progress: Callable[[Progress], None] | None = None
    on_stdout: Callable[[str], None] | None = None


class Program:
    """The tarsnap program, for one store. Reads the passphrase once, and again after it was refused."""

    def __init__(self, name: str, store: TarsnapStore, tools: Tools) -> None:
        self._name = name
        self._store = store
        self._tools = tools
        self._passphrase: str | None = None

    def version(self) -> Version:
        """Return the client's version. Raises `EngineUsageError` when there is none, or too old a one."""
        found = version_of(self._tools.launcher)
        if found < OLDEST:
            shown = ".".join(map(str, found)) or "of an unknown version"
            raise EngineUsageError(f"tarsnap {shown} is too old", hint="install 1.0.39 or later")
        return found

    def run(self, call: Call) -> tuple[Finished, Listener]:
        """Run to the end, and raise only for what is no answer: not started, or not paid.

        The caller judges the exit status. A missing cachedir is an error before anything starts, because the
        client would make a new one, which is out of step with the store.
        """
        if call.record:
            self._ask_for_cachedir()
        starting.make_cache(self._tools.cache)  # it stands for HOME, and the client finds nothing there
        passphrase = self._secret()
        listener = Listener(call.progress, call.judge)
        # What tarsnap says is judged as it is, and masked where it is shown: to mask a passphrase such as
        # "mail" here would make other names of those in a list.
        command = Command(
            argv=("tarsnap", *self._common(call, passphrase), *call.mode, *self._extra(call), *_paths(call)),
            env=self._environment(passphrase),
            cwd=call.cwd,
            limits=self._tools.limits.of(creates=call.creates),
            gentle=signal.SIGQUIT if call.creates else signal.SIGTERM,
            privileged=call.creates,
            holds_lock=True,
            on_line=listener.hear,
            on_stdout=call.on_stdout,
        )
        finished = starting.run(self._tools.launcher, command, install=INSTALL)
        for line in listener.said[-_SHOWN:]:
            log.debug("engine-output", line=self.masked(line))
        if not call.creates and is_unpaid("\n".join(listener.said)):
            raise self.error(listener.said)
        return finished, listener

    def do(self, call: Call) -> tuple[Finished, Listener]:
        """Run a command that is done only with exit status 0; raises what its words mean for any other."""
        finished, listener = self.run(call)
        raise_if_cut(finished, "tarsnap", self._tools.launcher.interrupt)
        if finished.returncode != 0:
            raise self.error(listener.said)
        return finished, listener

    def error(self, said: Sequence[str]) -> Exception:
        """Return the error for a call that failed, from what it said."""
        error = error_of(said, self._name)
        error.message = self.masked(error.message)
        error.args = (error.message,)
        if isinstance(error, KeyFaultError):
            self._passphrase = None
        return error

    def masked(self, text: str) -> str:
        """Return a text to be shown, without the passphrase: tarsnap does not print it, and never shall."""
        return text.replace(self._passphrase, "***") if self._passphrase else text

    def _ask_for_cachedir(self) -> None:
        """Raise `OutOfSyncError` when there is no cachedir."""
        folder = self._store.cachedir
        if folder.is_dir():
            return
        raise OutOfSyncError(f"there is no cachedir {folder}", hint=missing_cachedir(self._name, folder))

    def _secret(self) -> str:
        if self._store.passphrase is None:
            return ""
        if self._passphrase is None:
            self._passphrase = secret.resolve(
                self._store.passphrase, self._tools.launcher, environ=os.environ
            )
        return self._passphrase

    def _common(self, call: Call, passphrase: str) -> tuple[str, ...]:
        """Return the options of every mode. A reader is told of no cachedir: any mode would make it."""
        rates = self._store.rate_limit
        return (
            *("--no-default-config", "--keyfile", str(self._store.keyfile)),
            *(("--cachedir", str(self._store.cachedir)) if call.record else ()),
            *(("--passphrase", f"env:{_PASSPHRASE}") if passphrase else ()),
            *(("--maxbw-rate-up", str(rates.up)) if rates and rates.up else ()),
            *(("--maxbw-rate-down", str(rates.down)) if rates and rates.down else ()),
        )

    def _extra(self, call: Call) -> tuple[str, ...]:
        options = self._store.extra or TarsnapOptions()
        found: tuple[str, ...] = getattr(options, call.extra)
        return found

    def _environment(self, passphrase: str) -> dict[str, str]:
        return {
            **environment(),
            "HOME": str(self._tools.cache),
            **({_PASSPHRASE: passphrase} if passphrase else {}),
        }


_SHOWN = 100


def _paths(call: Call) -> tuple[str, ...]:
    return ("--", *call.paths) if call.paths else ()


def environment() -> dict[str, str]:
    """Return what every program of Tarsnap may see of ours."""
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {"PATH": os.defpath, **passed_on, "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def missing_cachedir(store: str, folder: Path) -> str:
    """Say what helps when there is no cachedir."""
    return (
        f"mount its disk if it has one; for a key that never stored anything: snapd-backup init {store}; "
        f"else make the folder (install -d -o snapd-backup -g snapd-backup -m 0700 {folder}), "
        f"then: snapd-backup repair {store}"
    )


def version_of(launcher: Launcher) -> Version:
    """Return the installed client's version, empty for one that does not tell. Asks each program file once.

    Raises `EngineUsageError` when it is not installed or does not start.
    """
    found = shutil.which("tarsnap")
    if found is None:
        raise EngineUsageError("tarsnap is not installed", hint=INSTALL)
    said = look(("tarsnap", "--version"), Path(found), launcher)
    match = re.search(r"^tarsnap (\d+(?:\.\d+)+)", said)
    return tuple(map(int, match[1].split("."))) if match else ()


def look(argv: tuple[str, ...], file: Path, launcher: Launcher) -> str:
    """Return what a small offline command says of a file, both outputs together; asked once for each state
    of the file. Raises `EngineUsageError` when it cannot be started or fails.
    """
    try:
        status = file.stat()
        known = (argv, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        if known in _told:
            return _told[known]
        command = Command(argv, environment(), limits=_LOOK_LIMITS)
        finished = Launcher(interrupt=launcher.interrupt).run(command)
    except OSError as error:
        raise EngineUsageError(f"{argv[0]} cannot be started: {error.strerror}", hint=INSTALL) from error
    raise_if_cut(finished, argv[0], launcher.interrupt)
    said = finished.stdout + finished.stderr
    if finished.returncode != 0:
        words = said.strip().splitlines() or [f"exit status {finished.returncode}"]
        raise EngineUsageError(f"{argv[0]} failed: {words[-1]}")
    _told[known] = said
    return said
