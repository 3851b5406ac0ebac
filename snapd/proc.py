"""The only place that starts a process.

Argument list, no shell, explicit environment, closed standard input, time limits, its own process group that
is killed as a whole, both outputs always drained and bounded, secrets masked in everything that is kept.

A child is bound to us by nothing but its pipes and the lock: PR_SET_PDEATHSIG is not used, because an engine
that outlives a killed daemon must be able to end its transaction. Children inherit our signal mask.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
from datetime import timedelta

from snapd.errors import InterruptedRunError, KilledError, TimeLimitError
from snapd.interrupt import Interrupt
from snapd.programs import argv_of
from snapd.units import format_duration
from snapd.watch import (
    LINE_BOUND,
    STDERR_BOUND,
    STDOUT_BOUND,
    Command,
    Ended,
    Finished,
    Limits,
    Watch,
    kill_group,
)

__all__ = [
    "LINE_BOUND",
    "STDERR_BOUND",
    "STDOUT_BOUND",
    "Command",
    "Ended",
    "Finished",
    "Interrupt",
    "Launcher",
    "Limits",
    "raise_if_cut",
]

_DYING_S = 60.0  # how long a killed process may take to vanish; longer means that it hangs in the kernel


class Launcher:
    """Starts the processes of one run. `lock_fd` is inherited by those that hold the lock, so that it lives
    as long as the last of them; `interrupt` ends the current one gently and keeps others from starting.
    """

    def __init__(self, *, lock_fd: int | None = None, interrupt: Interrupt | None = None) -> None:
        self.lock_fd = lock_fd
        self.interrupt = interrupt if interrupt is not None else Interrupt()
        self._watch: Watch | None = None

    def overdue(self, now: float) -> bool:
        """Whether the current child was killed a minute ago and is still there (monotonic seconds)."""
        watch = self._watch
        return watch is not None and watch.killed_at is not None and now - watch.killed_at > _DYING_S

    def run(self, command: Command) -> Finished:
        """Run to the end and return how it ended; does not judge the exit status.

        When the child itself has ended, whatever is left of its process group is killed.

        Raises `FileNotFoundError`, `PermissionError` or another OSError when the program cannot be started,
        and `InterruptedRunError` when an interruption was requested before the start.
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
            pass_fds=(self.lock_fd,) if command.holds_lock and self.lock_fd is not None else (),
        )
        try:
            with self.interrupt.waker() as waker, selectors.DefaultSelector() as selector:
                self._watch = Watch(process, command, self.interrupt, selector)
                return self._watch.until_end(waker)
        finally:
            self._watch = None
            kill_group(process)
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
