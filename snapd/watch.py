"""Watches one child: drains its outputs, keeps its limits, and ends it."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from snapd.activity import Activity
from snapd.interrupt import Interrupt
from snapd.streams import Kept, Lines, Tail

if TYPE_CHECKING:
    import subprocess  # noqa: TID251 - what is watched was started in proc.py

Ended = Literal["", "stall", "limit", "interrupted"]

STDOUT_BOUND = 64 * 2**20  # bytes kept of standard output
STDERR_BOUND = 64 * 2**10  # characters kept of the end of standard error
LINE_BOUND = 32 * 2**10  # characters of one line of standard error: a path of PATH_MAX bytes, JSON-escaped
OUTPUT_LINE_BOUND = 2**20  # characters of one line of standard output
_CHUNK = 64 * 2**10
_LEFT_IN_PIPE = 2 * 2**20  # more than the largest pipe holds (pipe(7): pipe-max-size is 1 MiB)


@dataclass(frozen=True, slots=True)
class Limits:
    """Time limits in seconds; None is no limit.

    `stall`: no output, processor time or I/O of the whole process group for that long. `wall`: since the
    start. `grace`: how long a child may take after its gentle signal before its group is killed;
    the signal is sent again at half of it.
    """

    wall: float | None = 86400.0
    stall: float | None = None
    grace: float = 30.0


@dataclass(frozen=True, slots=True)
class Command:
    """One process to start. `argv[0]` is looked up in the PATH of `env`.

    `gentle` is sent first at a limit or an interruption. `privileged` children inherit our ambient
    capability, all others lose it. One that `holds_lock` inherits the single lock, and keeps it for as long
    as it or any child of its own lives: for engines alone, beside which no other run may be at work.
    `secrets` are replaced by `***` in everything kept or passed on. `on_line` gets each line of standard
    error (without its end, decoded with replacement, bounded) as it comes; a carriage return ends a line too,
    and empty lines are left out.
    `on_stdout` gets each line of standard output instead of its being kept in `Finished.stdout`.
    Callbacks run in the thread that called `run`. One that raises ends the child, gently first, and `run`
    then raises its error.
    """

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: Path | None = None
    input: bytes | None = None
    limits: Limits = field(default_factory=Limits)
    gentle: signal.Signals = signal.SIGTERM
    privileged: bool = False
    holds_lock: bool = False
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


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill the group of a child that was not reaped yet: until then its number cannot belong to another."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


class Watch:
    """Drains one child, keeps its limits, and ends it."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        command: Command,
        interrupt: Interrupt,
        selector: selectors.BaseSelector,
    ) -> None:
        self._process = process
        self._command = command
        self._interrupt = interrupt
        self._selector = selector
        self._started = time.monotonic()
        self._child = -1  # its pidfd
        self._ended: Ended = ""
        self._over = False
        self._urge_at: float | None = None
        self._kill_at: float | None = None
        self.killed_at: float | None = None
        self._error: Exception | None = None
        self._activity = Activity(process.pid, command.limits.stall, self._started)
        self._stderr = Tail(STDERR_BOUND)
        self._stdout = Kept(STDOUT_BOUND, command.secrets)
        self._lines = Lines(self._line, command.secrets, bound=LINE_BOUND, ends=rb"[\r\n]+")
        self._output = Lines(self._output_line, command.secrets, bound=OUTPUT_LINE_BOUND, ends=rb"\n")

    def until_end(self, waker: int) -> Finished:
        self._child = os.pidfd_open(self._process.pid)
        try:
            self._register(waker)
            while not self._over:
                for key, _ in self._selector.select(self._patience()):
                    key.data()
                self._judge(time.monotonic())
            return self._finish()
        finally:
            os.close(self._child)

    def _register(self, waker: int) -> None:
        def woken() -> None:
            os.eventfd_read(waker)

        def exited() -> None:
            self._over = True

        self._selector.register(waker, selectors.EVENT_READ, woken)
        self._selector.register(self._child, selectors.EVENT_READ, exited)
        for descriptor, feed in self._outputs():
            self._add_reader(descriptor, feed)
        if self._process.stdin is not None:
            self._add_writer(self._process.stdin.fileno())

    def _outputs(self) -> tuple[tuple[int, Callable[[bytes], None]], ...]:
        out, err = self._process.stdout, self._process.stderr
        assert out is not None
        assert err is not None
        return (out.fileno(), self._feed_stdout), (err.fileno(), self._lines.feed)

    def _add_reader(self, descriptor: int, feed: Callable[[bytes], None]) -> None:
        os.set_blocking(descriptor, False)

        def readable() -> None:
            if self._read(descriptor, feed) == 0:
                self._selector.unregister(descriptor)

        self._selector.register(descriptor, selectors.EVENT_READ, readable)

    def _read(self, descriptor: int, feed: Callable[[bytes], None]) -> int | None:
        """Read what is there: how many bytes, 0 at the end, None when nothing is there now."""
        try:
            chunk = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return None
        self._activity.seen(time.monotonic())
        feed(chunk)
        return len(chunk)

    def _add_writer(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        left = memoryview(self._command.input or b"")

        def writable() -> None:
            nonlocal left
            try:
                left = left[os.write(descriptor, left[:_CHUNK]) :]
            except BlockingIOError:
                return
            except BrokenPipeError:  # it does not want the rest
                left = left[:0]
            if not left:
                self._selector.unregister(descriptor)
                assert self._process.stdin is not None
                self._process.stdin.close()

        self._selector.register(descriptor, selectors.EVENT_WRITE, writable)

    def _feed_stdout(self, chunk: bytes) -> None:
        (self._stdout if self._command.on_stdout is None else self._output).feed(chunk)

    def _line(self, line: str) -> None:
        if line:
            self._stderr.add(line)
            self._pass_on(self._command.on_line, line)

    def _output_line(self, line: str) -> None:
        self._pass_on(self._command.on_stdout, line)

    def _pass_on(self, callback: Callable[[str], None] | None, line: str) -> None:
        if callback is None or self._error is not None:
            return
        try:
            callback(line)
        except Exception as error:  # noqa: BLE001 - raised again as soon as the child has ended
            self._error = error
            self._end_gently()

    # -- limits ---------------------------------------------------------------------------------------

    def _patience(self) -> float | None:
        """Seconds until something must be judged; None when only the child can bring news."""
        if self._kill_at is not None:
            return max(0.0, (self._urge_at or self._kill_at) - time.monotonic())
        if self._ended or self._error is not None:
            return None
        limits = self._command.limits
        instants = [] if limits.wall is None else [self._started + limits.wall]
        if self._activity.next_look is not None:
            instants.append(self._activity.next_look)
        return max(0.0, min(instants) - time.monotonic()) if instants else None

    def _judge(self, now: float) -> None:
        if self._over:
            return
        if self._kill_at is not None:
            if self._urge_at is not None and now >= self._urge_at:
                self._urge_at = None
                self._signal_gently()
            if now >= self._kill_at:
                self._kill_at, self.killed_at = None, now
                kill_group(self._process)
        elif not self._ended and self._error is None:
            self._ended = self._reason_to_end(now)
            if self._ended:
                self._end_gently()

    def _reason_to_end(self, now: float) -> Ended:
        if self._interrupt.requested:
            return "interrupted"
        wall = self._command.limits.wall
        if wall is not None and now - self._started >= wall:
            return "limit"
        return "stall" if self._activity.stalled(now) else ""

    def _end_gently(self) -> None:
        """Signal the child itself, which knows how to end its own children."""
        if self._kill_at is None and not self._over:
            now, grace = time.monotonic(), self._command.limits.grace
            # Again at half time: after the first SIGINT Borg still reads a file of any size to its end.
            self._urge_at, self._kill_at = now + grace / 2, now + grace
            self._signal_gently()

    def _signal_gently(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            signal.pidfd_send_signal(self._child, self._command.gentle)

    # -- the end --------------------------------------------------------------------------------------

    def _finish(self) -> Finished:
        seconds = time.monotonic() - self._started
        kill_group(self._process)
        self._drain()
        returncode = self._process.wait()
        if self._error is not None:
            raise self._error
        stdout, truncated = self._stdout.text()
        return Finished(returncode, stdout, self._stderr.text(), truncated, self._ended, seconds)

    def _drain(self) -> None:
        """Take what the pipes still hold; nobody outside the group who keeps them open is waited for."""
        for descriptor, feed in self._outputs():
            left = _LEFT_IN_PIPE
            while left > 0 and (taken := self._read(descriptor, feed)):
                left -= taken
        self._lines.finish()
        self._output.finish()
