"""The only place that starts a process.

Argument list, no shell, explicit environment, closed standard input, time limits, its own process group that
is killed as a whole, both outputs always drained and bounded, secrets masked in everything that is kept.

A child is bound to us by nothing but its pipes and the lock: PR_SET_PDEATHSIG is not used, because an engine
that outlives a killed daemon must be able to end its transaction. Children inherit our signal mask.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Literal

from snapd.activity import Activity
from snapd.errors import InterruptedRunError, KilledError, TimeLimitError
from snapd.programs import argv_of
from snapd.streams import Kept, Lines, Tail
from snapd.units import format_duration

Ended = Literal["", "stall", "limit", "interrupted"]

STDOUT_BOUND = 64 * 2**20  # bytes kept of standard output
STDERR_BOUND = 64 * 2**10  # characters kept of the end of standard error
LINE_BOUND = 32 * 2**10  # characters of one line of standard error: a path of PATH_MAX bytes, JSON-escaped
OUTPUT_LINE_BOUND = 2**20  # characters of one line of standard output
_CHUNK = 64 * 2**10
_DYING_S = 60.0  # how long a killed process may take to vanish; longer means that it hangs in the kernel
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
    capability, all others lose it. `secrets` are replaced by `***` in everything kept or passed on. `on_line`
    gets each line of standard error (without its end, decoded with replacement, bounded) as it comes; a
    carriage return ends a line too, and empty lines are left out.
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
        self._guard = threading.RLock()  # reentrant: a signal handler may request while we hold it
        self._requested = False
        self._wakers: set[int] = set()
        self.reason = ""

    def request(self, reason: str) -> None:
        with self._guard:
            if self._requested:
                return
            self.reason = reason
            self._requested = True
            for waker in self._wakers:
                os.eventfd_write(waker, 1)

    def withdraw(self, reason: str) -> None:
        """Forget the request if this was its reason. A child that was already signalled still ends."""
        with self._guard:
            if self._requested and self.reason == reason:
                self.reason = ""
                self._requested = False

    @property
    def requested(self) -> bool:
        return self._requested

    @contextlib.contextmanager
    def waker(self) -> Iterator[int]:
        """Within the block, yield a descriptor that becomes readable when an interruption is requested."""
        descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        try:
            with self._guard:
                self._wakers.add(descriptor)
                if self._requested:
                    os.eventfd_write(descriptor, 1)
            yield descriptor
        finally:
            with self._guard:
                self._wakers.discard(descriptor)
            os.close(descriptor)


class Launcher:
    """Starts the processes of one run. `lock_fd` is inherited by each, so that the single lock lives as long
    as the last of them; `interrupt` ends the current one gently and keeps further ones from starting.
    """

    def __init__(self, *, lock_fd: int | None = None, interrupt: Interrupt | None = None) -> None:
        self.lock_fd = lock_fd
        self.interrupt = interrupt if interrupt is not None else Interrupt()
        self._watch: _Watch | None = None

    def overdue(self, now: float) -> bool:
        """Whether the current child was killed a minute ago and is still there (monotonic seconds)."""
        watch = self._watch
        return watch is not None and watch.killed_at is not None and now - watch.killed_at > _DYING_S

    def run(self, command: Command) -> Finished:
        """Run to the end and return how it ended; does not judge the exit status.

        When the child itself has ended, whatever is left of its process group is killed.

        Raises `EngineUsageError`-free facts only: `FileNotFoundError` or `PermissionError` when the program
        cannot be started, `InterruptedRunError` when an interruption was requested before the start.
        """
        if self.interrupt.requested:
            raise InterruptedRunError("interrupted before the start", cause=self.interrupt.reason)
        process = subprocess.Popen(
            argv_of(command.argv, path=command.env.get("PATH", os.defpath), privileged=command.privileged),
            env=dict(command.env),
            cwd=command.cwd,
            stdin=subprocess.DEVNULL if command.input is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
            pass_fds=() if self.lock_fd is None else (self.lock_fd,),
        )
        try:
            with self.interrupt.waker() as waker, selectors.DefaultSelector() as selector:
                self._watch = _Watch(process, command, self.interrupt, selector)
                return self._watch.until_end(waker)
        finally:
            self._watch = None
            _kill_group(process)
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()


def raise_if_cut(finished: Finished, program: str, interrupt: Interrupt) -> None:
    """Raise for a child that did not end by itself; one that got its work done all the same (0) passes.

    Raises `InterruptedRunError` with the reason of `interrupt` as its cause, `TimeLimitError`, or
    `KilledError` for a signal that was not ours.
    """
    if finished.returncode == 0:
        return
    span = format_duration(timedelta(seconds=finished.seconds))
    if finished.ended == "interrupted":
        raise InterruptedRunError(f"{program} was interrupted after {span}", cause=interrupt.reason)
    if finished.ended:
        what = "made no progress" if finished.ended == "stall" else "passed its time limit"
        raise TimeLimitError(
            f"{program} {what} and was ended after {span}",
            hint="look at the network and the store; stall_after and run_limit of [daemon] set the limits",
        )
    if finished.returncode < 0:
        number = -finished.returncode
        name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
        raise KilledError(
            f"{program} was killed by {name}",
            hint="SIGKILL is often the kernel short of memory: journalctl -k tells",
        )


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill the group of a child that was not reaped yet: until then its number cannot belong to another."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


class _Watch:
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
                _kill_group(self._process)
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
        _kill_group(self._process)
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
