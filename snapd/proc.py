"""The only place that starts a process.

Argument list, no shell, explicit environment, closed standard input, time limits, its own process group that
is killed as a whole, both outputs always drained and bounded, secrets masked in everything that is kept.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Ended = Literal["", "stall", "limit", "interrupted"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Time limits in seconds; None is no limit.

    `stall`: no output, processor time or I/O of the whole process group for that long. `wall`: since the
    start. `grace`: how long a child may take after its gentle signal before its group is killed.
    """

    wall: float | None = 86400.0
    stall: float | None = None
    grace: float = 30.0


@dataclass(frozen=True, slots=True)
class Command:
    """One process to start. `argv[0]` is looked up in the PATH of `env`.

    `gentle` is sent first at a limit or an interruption. `privileged` children inherit our ambient capability,
    all others lose it. `secrets` are replaced by `***` in everything kept or passed on. `on_line` gets each
    line of standard error (without its end, decoded with replacement, bounded) as it comes.
    `on_stdout` gets each line of standard output instead of its being kept in `Finished.stdout`.
    """

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: Path | None = None
    input: bytes | None = None
    limits: Limits = field(default_factory=Limits)
    gentle: signal.Signals = signal.SIGTERM
    privileged: bool = False
    secrets: tuple[str, ...] = ()
    on_line: Callable[[str], None] | None = None
    on_stdout: Callable[[str], None] | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """How a child ended. `returncode` is negative for a signal. `ended` says whether we ended it, and why.

    `stdout` is whole up to its bound; past it `truncated` is true and the caller must not trust it.
    `stderr` is the bounded tail.
    """

    returncode: int
    stdout: str
    stderr: str
    truncated: bool
    ended: Ended
    seconds: float


class Interrupt:
    """Asks a running child to end, from any thread. Once requested it stays so, with its first reason."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.reason = ""

    def request(self, reason: str) -> None:
        if not self._event.is_set():
            self.reason = reason
            self._event.set()

    @property
    def requested(self) -> bool:
        return self._event.is_set()


class Launcher:
    """Starts the processes of one run. `lock_fd` is inherited by each, so that the single lock lives as long
    as the last of them; `interrupt` ends the current one gently and keeps further ones from starting.
    """

    def __init__(self, *, lock_fd: int | None = None, interrupt: Interrupt | None = None) -> None:
        self.lock_fd = lock_fd
        self.interrupt = interrupt if interrupt is not None else Interrupt()

    def run(self, command: Command) -> Finished:
        """Run to the end and return how it ended; does not judge the exit status.

        Raises `EngineUsageError`-free facts only: `FileNotFoundError` or `PermissionError` when the program
        cannot be started, `InterruptedRunError` when an interruption was requested before the start.
        """
        raise NotImplementedError
