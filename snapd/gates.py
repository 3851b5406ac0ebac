"""How many threads may do a thing at once, and what those get that come too many."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Generic, TypeVar

from snapd.errors import BusyError

T = TypeVar("T")


class Few:
    """Lets a few in at a time; whoever comes on top of them is told so at once."""

    def __init__(self, most: int, what: str) -> None:
        self._places = threading.Semaphore(most)
        self._refusal = f"{most} {what} are waiting or at work already, and more would be too many"

    @contextmanager
    def place(self) -> Iterator[None]:
        """Take a place for the block. Raises BusyError when all are taken."""
        if not self._places.acquire(blocking=False):
            raise BusyError(
                self._refusal,
                hint="see `snapd-backup status` for what runs, and ask again when it has ended",
            )
        try:
            yield
        finally:
            self._places.release()


class Shared(Generic[T]):
    """Does a thing for one caller at a time; all who come meanwhile share the next time.

    So each caller gets what was done after it asked, an error too, and however many there are, one is at it
    and one comes next. `waiting` counts those whose time has not begun.
    """

    def __init__(self, do: Callable[[], T]) -> None:
        self._do = do
        self._turn = threading.Lock()
        self._look = threading.Lock()
        self._coming: Future[T] | None = None
        self.waiting = 0

    def __call__(self) -> T:
        with self._look:
            first = self._coming is None
            coming = self._coming = self._coming or Future()
            self.waiting += 1
        if first:
            with self._turn:
                self._begin(coming)
        return coming.result()

    def _begin(self, coming: Future[T]) -> None:
        with self._look:
            self._coming, self.waiting = None, 0  # it begins: who asks from now on waits for another
        try:
            coming.set_result(self._do())
        except BaseException as error:  # noqa: BLE001 - the others must not wait for ever
            coming.set_exception(error)
