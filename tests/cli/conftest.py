"""The real program as a process of its own, and a control socket for it to talk to."""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.canned import FakeDaemon

DEADLINE_S = 60.0


@dataclass(frozen=True)
class Ran:
    """How a command ended, and what it said."""

    status: int
    out: str
    err: str


class Program:
    """`snapd-backup` in folders of its own. `environ` may be changed before a run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runtime = folder / "run"
        self.runtime.mkdir()
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "STATE_DIRECTORY": str(folder / "state"),
            "CACHE_DIRECTORY": str(folder / "cache"),
            "RUNTIME_DIRECTORY": str(self.runtime),
            "SNAPD_BACKUP_CONFIG": str(folder / "config.toml"),
            "TZ": "UTC",
            "LANG": "C.UTF-8",
            "PYTHONWARNINGS": "error",
        }

    def argv(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "snapd", *arguments]

    def __call__(self, *arguments: str) -> Ran:
        """Run to the end with all outputs in pipes."""
        finished = subprocess.run(
            self.argv(*arguments),
            env=self.environ,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=DEADLINE_S,
            check=False,
        )
        return Ran(finished.returncode, finished.stdout.decode(), finished.stderr.decode())

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start with outputs in pipes, and leave it to the caller."""
        return subprocess.Popen(
            self.argv(*arguments),
            env=self.environ,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def on_terminal(self, *arguments: str, columns: int = 80, typed: str = "") -> tuple[int, str]:
        """Run on a terminal where somebody types ahead; return the exit status and all that it showed."""
        leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
        process = subprocess.Popen(
            self.argv(*arguments),
            env={**self.environ, "TERM": "xterm-256color"},
            cwd=self.folder,
            stdin=follower,
            stdout=follower,
            stderr=follower,
            start_new_session=True,
        )
        os.close(follower)
        try:
            os.write(leader, typed.encode())
            said = _all_from(leader).replace("\r\n", "\n")
            return process.wait(DEADLINE_S), said
        finally:
            process.kill()
            process.wait()
            os.close(leader)


def _all_from(leader: int) -> str:
    """Read what a terminal gets until nobody has it open any more."""
    said = b""
    while select.select([leader], [], [], DEADLINE_S)[0]:
        try:
            said += os.read(leader, 65536)
        except OSError as error:
            if error.errno == errno.EIO:  # nobody has it open any more
                return said.decode()
            raise
    raise AssertionError(f"the program did not end, and said: {said!r}")


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


@pytest.fixture
def daemon(program: Program) -> Iterator[FakeDaemon]:
    """A control socket that answers as it is told to."""
    fake = FakeDaemon(program.runtime)
    fake.start()
    yield fake
    fake.stop()


def until(condition: Callable[[], bool]) -> None:
    """Wait for something to become true; fails when it does not within a generous time."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
