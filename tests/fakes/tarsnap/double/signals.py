"""Signals: flags that a run looks at between two blocks. Everything else keeps its default, and kills."""

from __future__ import annotations

import signal
from types import FrameType

from .output import encode, write
from .points import Points


class Signals:
    def __init__(self, points: Points) -> None:
        self._points = points
        self.quit = False
        self.checkpoint = False
        self.progress = False

    def install(self, *, creating: bool) -> None:
        """Handle SIGUSR1; and SIGQUIT and SIGUSR2 when an archive is being created."""
        signal.signal(signal.SIGUSR1, self._on_progress)
        if creating:
            signal.signal(signal.SIGQUIT, self._on_quit)
            signal.signal(signal.SIGUSR2, self._on_checkpoint)

    def _on_progress(self, _number: int, _frame: FrameType | None) -> None:
        self.progress = True

    def _on_quit(self, _number: int, _frame: FrameType | None) -> None:
        self.quit = True
        self._points.handled = True  # a pause ends, as a wait for the network would

    def _on_checkpoint(self, _number: int, _frame: FrameType | None) -> None:
        self.checkpoint = True
        self._points.handled = True


class Progress:
    """What SIGUSR1 and --progress-bytes print. `every` in bytes, or None."""

    def __init__(self, signals: Signals, doing: str, *, every: int | None) -> None:
        self._signals = signals
        self._doing = doing
        self._every = every
        self._told = 0
        self.entries = 0
        self.inline = False  # a line of -v is not ended yet

    def show(self, path: str, done: int, size: int, total: int) -> None:
        if self._every is not None and total > self._told + self._every:
            self._told = total
            self._signals.progress = True
        if not self._signals.progress:
            return
        self._signals.progress = False
        file = f" ({done} / {size} bytes)" if size else ""
        start = "\n" if self.inline else ""
        told = f"{start}Processed {self.entries} entries, {total} bytes\n{self._doing} {path}{file}\n"
        write(2, encode(told))

    def end(self, total: int) -> None:
        if self._every is not None or self._signals.progress:
            write(2, encode(f"Processed {self.entries} entries, {total} bytes\n"))
