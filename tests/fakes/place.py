"""The daemon as a process of its own, on a real Borg store below one folder."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from snapd.control import ask
from snapd.lock import SingleLock
from tests.fakes.borg import require_borg

DEADLINE_S = 60.0
CONFIG = """
[store.local]
engine = "borg"
repository = "{root}/borg"
passphrase = {{ file = "{root}/passphrase" }}
[backup.mail]
store = "local"
schedule = "{schedule}"
paths = ["{root}/saved"]
"""
BORG = shutil.which("borg")
WRAPPER = """#!/bin/sh
# The real Borg, but a creation waits for as long as the file "hold" is there.
echo "$$ $*" >> {root}/calls
case "$*" in *create*) touch {root}/creating; while [ -e {root}/hold ]; do sleep 0.02; done;; esac
exec {borg} "$@"
"""

T = TypeVar("T")


def until(probe: Callable[[], T | None]) -> T:
    deadline = time.monotonic() + DEADLINE_S
    while not (found := probe()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


class Place:
    """A machine's worth of folders, and the daemons that were started on them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("state", "cache", "run", "saved", "bin"):
            (root / name).mkdir(mode=0o700)
        (root / "saved" / "letter").write_text("dear reader")
        (root / "passphrase").touch(0o600)
        (root / "passphrase").write_text("a secret\n")
        (root / "bin" / "borg").write_text(WRAPPER.format(root=root, borg=BORG))
        (root / "bin" / "borg").chmod(0o755)
        self.config = root / "config.toml"
        self.write("@yearly")
        self.daemons: list[subprocess.Popen[str]] = []
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(str(root / "notify"))
        self._ready = threading.Event()
        self.status_lines: list[str] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def write(self, schedule: str, more: str = "") -> None:
        self.config.write_text(CONFIG.format(root=self.root, schedule=schedule) + more)

    @property
    def environ(self) -> dict[str, str]:
        return {
            "PATH": f"{self.root}/bin:{os.environ['PATH']}",
            "HOME": str(self.root),
            "STATE_DIRECTORY": str(self.root / "state"),
            "CACHE_DIRECTORY": str(self.root / "cache"),
            "RUNTIME_DIRECTORY": str(self.root / "run"),
            "SNAPD_BACKUP_CONFIG": str(self.config),
            "NOTIFY_SOCKET": str(self.root / "notify"),
        }

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "snapd", *words],
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )

    def start(self, *argv: str) -> subprocess.Popen[str]:
        """Start a daemon, with these arguments of Python if any, and wait until it says that it is ready."""
        log = (self.root / f"log{len(self.daemons)}").open("w")
        daemon = subprocess.Popen(
            [sys.executable, *(argv or ("-m", "snapd", "run"))], env=self.environ, stderr=log, text=True
        )
        log.close()
        self.daemons.append(daemon)
        until(lambda: self._ready.is_set() or daemon.poll() is not None)
        assert daemon.poll() is None
        self._ready.clear()
        return daemon

    def _listen(self) -> None:
        """Hear what systemd would hear, to the last word: a goodbye of our own."""
        while (message := self._notify.recv(4096)) != b"goodbye":
            if b"READY=1" in message:
                self._ready.set()
            if message.startswith(b"STATUS="):
                self.status_lines.append(message.decode().removeprefix("STATUS="))
        self._notify.close()

    def ask(self, **request: Any) -> dict[str, Any]:
        return list(ask(self.root / "run", request))[-1]

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.ask(op="status")["status"]
        return found

    def rows(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask(op="history")["runs"]
        return found

    def outcomes(self) -> list[tuple[str, str]]:
        return [(row["outcome"], row["cause"]) for row in self.rows()]

    def hold(self) -> Path:
        """Let the next creation wait until the file that is returned is removed."""
        (self.root / "creating").unlink(missing_ok=True)
        (self.root / "hold").touch()
        return self.root / "hold"

    def creating(self) -> bool:
        return (self.root / "creating").exists()

    def lock_is_free(self) -> bool:
        return SingleLock(self.root / "state").holder() is None

    def end(self) -> None:
        (self.root / "hold").unlink(missing_ok=True)
        for daemon in self.daemons:
            daemon.terminate()
            try:
                daemon.wait(DEADLINE_S)
            finally:
                daemon.send_signal(signal.SIGABRT)  # if it hung, faulthandler tells where
                daemon.wait()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as mouth:
            mouth.sendto(b"goodbye", str(self.root / "notify"))


def places(root: Path) -> Iterator[Place]:
    """Yield a place with an empty repository, and end its daemons; for fixtures. Skips where Borg is not
    installed; in CI that is a failure.
    """
    require_borg()
    made = Place(root)
    initialised = made.command("init")
    assert initialised.returncode == 0, initialised.stderr
    yield made
    made.end()


def works(pid: int) -> bool:
    """Tell whether a process is there and not merely waiting to be reaped."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False
