"""Who follows a run, and who reads an archive."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

FOLLOW_S = 1.0

Event = dict[str, Any]
Answer = Generator[Event | None]


class Followers:
    """Events of a run, to whoever follows it. A follower that does not read loses progress, never memory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queues: dict[str, list[queue.Queue[Event]]] = {}

    @contextmanager
    def follow(self, run_id: str) -> Iterator[queue.Queue[Event]]:
        """Yield a queue of the run's events: `{"event": …}` as docs/json.md says."""
        events: queue.Queue[Event] = queue.Queue(maxsize=100)
        with self._lock:
            self._queues.setdefault(run_id, []).append(events)
        try:
            yield events
        finally:
            with self._lock:
                self._queues[run_id].remove(events)
                if not self._queues[run_id]:
                    del self._queues[run_id]

    def tell(self, run_id: str, event: Event) -> None:
        with self._lock:
            for events in self._queues.get(run_id, ()):
                try:
                    events.put_nowait(event)
                except queue.Full:
                    continue


class InUse:
    """Archives that somebody reads now; expiry keeps them. Counted, since two may read one archive.

    Safe to use from several threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._names: list[str] = []

    def names(self) -> frozenset[str]:
        with self._lock:
            return frozenset(self._names)

    def hold(self, name: str) -> Answer:
        """Keep an archive for as long as the client stays connected."""
        with self._lock:
            self._names.append(name)
        try:
            yield {"event": "pinned", "archive": name}
            while True:
                time.sleep(FOLLOW_S)
                yield None
        finally:
            with self._lock:
                self._names.remove(name)
