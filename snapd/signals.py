"""Signals that are heard at once, whatever the main thread does.

Python runs the handler of a signal in the main thread, between two instructions of it. A signal that comes
just before that thread begins to wait in C is handled when the wait is over, which may take a minute. Its
number goes through a pipe at once (signal.set_wakeup_fd), and a thread that does nothing else reads it there.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager


@contextmanager
def heard(by_signal: Mapping[signal.Signals, Callable[[], None]]) -> Iterator[None]:
    """Within the block call what belongs to a signal, in another thread; afterwards these signals do nothing.

    For the main thread only.
    """
    ear, mouth = os.pipe()
    os.set_blocking(mouth, False)
    for number in by_signal:
        signal.signal(number, lambda *_: None)
    before = signal.set_wakeup_fd(mouth, warn_on_full_buffer=False)
    listener = threading.Thread(target=_listen, args=(ear, by_signal), name="signals", daemon=True)
    listener.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(mouth)
        listener.join()
        os.close(ear)


def _listen(ear: int, by_signal: Mapping[signal.Signals, Callable[[], None]]) -> None:
    while came := os.read(ear, 1):
        number = signal.Signals(came[0])
        if number in by_signal:
            by_signal[number]()
