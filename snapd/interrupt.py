"""Asking a running child to end."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator

_STRONGEST = ("stop", "limit")


def stay_interruptible() -> None:
    """Let our children heed SIGINT and SIGQUIT where we ignore them, like whatever a script starts with `&`.

    Across execve(2) an ignored signal stays ignored and a handled one is reset: a handler that does nothing
    leaves us as deaf as we were, and engines get their gentle signal. For the main thread only.
    """
    for number in (signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


class Interrupt:
    """Asks a running child to end, from any thread. A request stays until it is withdrawn.

    Several reasons may stand beside each other; the strongest is told: `stop`, then `limit`, then the first.
    """

    def __init__(self) -> None:
        self._guard = threading.RLock()  # reentrant: a signal handler may request while we hold it
        self._reasons: dict[str, None] = {}  # in the order of the requests
        self._wakers: set[int] = set()

    def request(self, reason: str) -> None:
        with self._guard:
            self._reasons[reason] = None
            for waker in self._wakers:
                os.eventfd_write(waker, 1)

    def withdraw(self, reason: str) -> None:
        """Forget this reason, and no other. A child that was already signalled still ends."""
        with self._guard:
            self._reasons.pop(reason, None)

    @property
    def requested(self) -> bool:
        return bool(self._reasons)

    @property
    def reason(self) -> str:
        """The strongest reason that stands; empty when nothing was requested."""
        with self._guard:
            strong = (reason for reason in _STRONGEST if reason in self._reasons)
            return next(strong, None) or next(iter(self._reasons), "")

    @contextlib.contextmanager
    def waker(self) -> Iterator[int]:
        """Within the block, yield a descriptor that becomes readable when an interruption is requested."""
        descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        try:
            with self._guard:
                self._wakers.add(descriptor)
                if self._reasons:
                    os.eventfd_write(descriptor, 1)
            yield descriptor
        finally:
            with self._guard:
                self._wakers.discard(descriptor)
            os.close(descriptor)
