"""How far a computation is, on one line of a terminal that goes when it is over."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Self

PATIENCE_S = 1.0
REFRESH_S = 0.1


class Ticker:
    """Writes `simulating:  34%` over and over, from a second on and ten times a second at most."""

    def __init__(
        self, what: str, write: Callable[[str], object], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._what = what
        self._write = write
        self._clock = clock
        self._due = clock() + PATIENCE_S
        self._length = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._length:
            self._write(f"\r{' ' * self._length}\r")

    def tell(self, share: float) -> None:
        """Take note of the share that is done, from 0 to 1."""
        now = self._clock()
        if now < self._due:
            return
        self._due = now + REFRESH_S
        line = f"{self._what}: {share:4.0%}"
        self._length = len(line)
        self._write(f"\r{line}")
