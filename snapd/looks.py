"""Looks at places that may never answer.

A dead network mount blocks whoever asks it anything, and no signal but SIGKILL helps. So looks are made in
threads, and one that does not come back is left behind. In this process, because a look must have exactly the
rights that an engine's creation inherits from it, and because a thread costs 0.1 ms, a child 30.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

T = TypeVar("T")

_PATIENCE_S = 0.1  # after so long without any answer another thread goes on with the rest

_guard = threading.Lock()
_silent: set[str] = set()  # places whose look never came back: a second thread would only hang beside it


def answers(looks: Mapping[str, Callable[[], T]], limit_s: float) -> dict[str, T]:
    """Look at places, in any order, and return what those answered that did so within `limit_s` in all.

    A key names a place, the same in every call: while a look at it hangs, it counts as silent at once.
    Raises what a look raised.
    """
    return _Round(looks).until(time.monotonic() + limit_s)


def answer(place: str, look: Callable[[], T], limit_s: float) -> T:
    """Look at one place. Raises TimeoutError when it does not answer, and whatever the look raises."""
    found = answers({place: look}, limit_s)
    if place not in found:
        raise TimeoutError(f"{place} does not answer")
    return found[place]


class _Round(Generic[T]):
    def __init__(self, looks: Mapping[str, Callable[[], T]]) -> None:
        self._looks = looks
        self._changed = threading.Condition(_guard)
        with _guard:
            self._waiting = deque(place for place in looks if place not in _silent)
        self._begun: set[str] = set()
        self._answers: dict[str, T] = {}
        self._errors: list[Exception] = []

    def until(self, deadline: float) -> dict[str, T]:
        with self._changed:
            while (self._waiting or self._begun) and time.monotonic() < deadline:
                if self._waiting:
                    threading.Thread(target=self._work, name="look", daemon=True).start()
                self._await_answer(deadline)
            _silent.update(self._begun)
            self._waiting.clear()
            if self._errors:
                raise self._errors[0]
            return dict(self._answers)

    def _await_answer(self, deadline: float) -> None:
        """Wait until all is answered, or until nothing was for a while."""
        seen = -1
        while (self._waiting or self._begun) and seen != len(self._answers):
            seen = len(self._answers)
            self._changed.wait(max(0.0, min(_PATIENCE_S, deadline - time.monotonic())))

    def _work(self) -> None:
        while True:
            with self._changed:
                if not self._waiting:
                    return
                place = self._waiting.popleft()
                self._begun.add(place)
            self._look(place)

    def _look(self, place: str) -> None:
        found: list[T] = []
        raised: list[Exception] = []
        try:
            found.append(self._looks[place]())
        except Exception as error:  # noqa: BLE001 - raised again in the thread that asked
            raised.append(error)
        with self._changed:
            self._answers.update((place, answered) for answered in found)
            self._errors += raised
            _silent.discard(place)
            self._begun.discard(place)
            if not self._waiting and not self._begun:
                self._changed.notify()
