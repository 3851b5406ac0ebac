"""How the borg program is called: its environment, its limits, and what its end means."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from snapd import secret
from snapd.config import BorgStore
from snapd.engines import starting
from snapd.engines.base import Tools
from snapd.engines.borg_messages import Listener, Message, error_of
from snapd.errors import (
    KeyFaultError,
    KilledError,
    PartialError,
)
from snapd.logger import log
from snapd.model import Progress
from snapd.proc import Command, Finished, Launcher, Limits, raise_if_cut

INSTALL = "install it from your system's packages (Debian: apt install borgbackup)"
GARBLED = "is the borg in PATH a whole one, and the machine's memory sound? Run `borg list` by hand and look"
_PASSED_ON = ("PATH", "HOME", "TMPDIR", "SSH_AUTH_SOCK")
_LOCK_WAIT_S = 5
_AMENDS_S = 60.0
_SALT = b"snapd-backup borg host id"
_LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1", "[::1]")
_REMOTE = re.compile(
    r"ssh://(?:[^@/]*@)?(?P<ssh>\[[^]]*\]|[^:/]+)|(?:[^@:/]+@)?(?P<scp>\[[^]]*\]|[^:/\[]+):(?!:)"
)


@dataclass(frozen=True, slots=True)
class Call:
    """One borg command: its arguments after the common options, and how it runs.

    `creates`: with our capability and a stall limit instead of a wall limit. `amends`: short, and done even
    though the run is being interrupted.
    """

    args: tuple[str, ...]
    env: Mapping[str, str] | None = None
    cwd: Path | None = None
    gentle: signal.Signals = signal.SIGTERM
    creates: bool = False
    amends: bool = False
    progress: Callable[[Progress], None] | None = None
    judge: Callable[[Message], None] | None = None
    on_stdout: Callable[[str], None] | None = None


class Program:
    """The borg program, for one store. Reads the passphrase once, and again after it was refused."""

    def __init__(self, store: BorgStore, tools: Tools) -> None:
        self._store = store
        self._tools = tools
        self._passphrase: str | None = None
        self.folder = local_folder(store.repository)

    def location(self, archive: str = "") -> str:
        """Return the repository, or an archive in it, as an argument of borg."""
        address = self._store.repository if self.folder is None else str(self.folder)
        return literal(f"{address}::{archive}" if archive else address)

    def run(self, call: Call) -> tuple[Finished, Listener]:
        """Run to exit status 0, or 1 for warnings, which the caller judges. Raises for anything else."""
        starting.make_cache(self._tools.cache)
        passphrase = self._secret()
        listener = Listener(mask=passphrase, progress=call.progress, judge=call.judge)
        # Standard output is JSON: masking a passphrase such as "name" in it would break it. Nothing of it is
        # shown but archive names and paths, and all of standard error passes the listener, which masks.
        command = Command(
            argv=("borg", "--log-json", f"--lock-wait={_LOCK_WAIT_S}", *self._remote_path(), *call.args),
            env={**self._environment(passphrase), **(call.env or {})},
            cwd=call.cwd,
            limits=self._limits(call),
            gentle=call.gentle,
            privileged=call.creates,
            holds_lock=True,
            on_line=listener.hear,
            on_stdout=call.on_stdout,
        )
        launcher = self._tools.launcher
        if call.amends:
            launcher = Launcher(lock_fd=launcher.lock_fd)
        finished = starting.run(launcher, command, install=INSTALL)
        for line in listener.words:
            log.debug("engine-output", line=line)
        _raise_if_killed(finished)
        raise_if_cut(finished, "borg", self._tools.launcher.interrupt)
        if finished.returncode > 1:
            self._raise(listener)
        return finished, listener

    def ask(self, call: Call) -> dict[str, object]:
        """Run a command that answers with one JSON object on standard output, and return that."""
        return answer(self.run(call)[0])

    def _raise(self, listener: Listener) -> None:
        error = error_of(listener)
        if isinstance(error, KeyFaultError):
            self._passphrase = None
        folder = "the store's cache folder"
        error.hint = error.hint.replace(folder, f"{folder} {self._tools.cache}")
        raise error

    def _secret(self) -> str:
        if self._passphrase is None:
            self._passphrase = secret.resolve(
                self._store.passphrase, self._tools.launcher, environ=os.environ
            )
        return self._passphrase

    def _limits(self, call: Call) -> Limits:
        limits = self._tools.limits
        if call.amends:
            return Limits(wall=min(_AMENDS_S, limits.wall_s), grace=limits.grace_s)
        return limits.of(creates=call.creates)

    def _remote_path(self) -> tuple[str, ...]:
        return (f"--remote-path={self._store.remote_path}",) if self._store.remote_path else ()

    def _environment(self, passphrase: str) -> dict[str, str]:
        """Everything borg may see. Its own ssh children do not get the passphrase (borg removes it)."""
        cache = self._tools.cache
        return {
            **{name: os.environ[name] for name in _PASSED_ON if name in os.environ},
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
            "BORG_BASE_DIR": str(cache),
            "BORG_CACHE_DIR": str(cache / "cache"),
            "BORG_CONFIG_DIR": str(cache / "config"),
            "BORG_SECURITY_DIR": str(cache / "security"),
            "BORG_HOST_ID": host_id(cache),
            "BORG_PASSPHRASE": passphrase,
            "BORG_DISPLAY_PASSPHRASE": "no",
            "BORG_EXIT_CODES": "legacy",
            "BORG_RELOCATED_REPO_ACCESS_IS_OK": "no",
            # an operator who names an unencrypted repository wants to use it; the encrypted light stays off
            "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
            "BORG_RSH": self._store.ssh_command or "ssh -o BatchMode=yes",
        }


def answer(finished: Finished) -> dict[str, object]:
    """Return the JSON object that borg wrote. Raises `PartialError` for anything less."""
    try:
        told = None if finished.truncated else json.loads(finished.stdout)
    except (ValueError, RecursionError):  # nested too deep
        told = None
    if not isinstance(told, dict):
        raise PartialError("borg's answer is incomplete", hint=GARBLED)
    return told


def _raise_if_killed(finished: Finished) -> None:
    """Raise for a signal that was not ours; a wrapper in front of borg tells one as 128 and its number."""
    status = finished.returncode
    number = -status if status < 0 else status - 128
    if finished.ended or not 1 <= number <= 64:
        return
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    short = "SIGKILL is often the kernel short of memory: journalctl -k tells"
    hint = short if number == signal.SIGKILL else "journalctl has what borg said before"
    raise KilledError(f"borg was killed by {name}", hint=hint)


def literal(text: str) -> str:
    """Escape what borg would replace: `{now}` and the like."""
    return text.replace("{", "{{").replace("}", "}}")


def host_id(cache: Path, *, machine_id: Path = Path("/etc/machine-id")) -> str:
    """Return an id of this machine that no boot and no network changes: borg knows its dead locks by it.

    From the machine id, hashed as machine-id(5) asks; without one, from a file in the cache folder.
    """
    try:
        text = machine_id.read_text().strip()
    except OSError:
        text = ""
    if len(text) != 32:
        text = _own_id(cache / "host-id")
    return hashlib.blake2b(text.encode(), key=_SALT, digest_size=16).hexdigest()


def _own_id(file: Path) -> str:
    try:
        return file.read_text()
    except FileNotFoundError:
        text = secrets.token_hex(16)
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.write_text(text)
        return text


def local_folder(repository: str) -> Path | None:
    """Return the folder of a local repository, None for one that is reached through ssh."""
    text = repository.removeprefix("file://")
    if text == repository and _REMOTE.match(repository):
        return None
    return Path(text).absolute()


def is_off_site(repository: str) -> bool:
    """Tell whether a repository's address is another machine."""
    match = None if local_folder(repository) else _REMOTE.match(repository)
    return match is not None and (match["ssh"] or match["scp"]).lower() not in _LOCAL_HOSTS
