"""How a restore keeps others from its archive: through the daemon, or without one by the single lock."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

from snapd.cli import words
from snapd.control import ask
from snapd.lock import Holder, SingleLock

POLL_S = 0.2


@contextmanager
def pinned(runtime: Path, backup_set: str, archive: str) -> Iterator[None]:
    """Let the daemon's expiry keep an archive within the block: for as long as the connection is open."""
    with closing(ask(runtime, {"op": "hold", "set": backup_set, "archive": archive})) as events:
        next(events)
        yield


@contextmanager
def locked(state: Path, backup_set: str, now: datetime, say: Callable[[str], None]) -> Iterator[int | None]:
    """Hold the single lock within the block and yield its descriptor, for the engine to inherit.

    Yields None where there is no state folder, so that no daemon ever ran here, and where the caller may not
    open it: an emergency must not wait for permissions.
    """
    lock = SingleLock(state)
    me = Holder(pid=os.getpid(), run_id="", job=f"restore:{backup_set}", since=now)
    try:
        _acquire(lock, me, say)
    except FileNotFoundError:
        yield None
        return
    except PermissionError:
        say(f"the lock in {state} is out of reach: make sure that no backup or expiry runs now")
        yield None
        return
    try:
        yield lock.fd
    finally:
        lock.release()


def _acquire(lock: SingleLock, me: Holder, say: Callable[[str], None]) -> None:
    told = False
    while not lock.try_acquire(me):
        holder = lock.holder()
        if holder is not None and not told:
            told = True
            facts = {
                "pid": holder.pid,
                "run_id": holder.run_id,
                "job": holder.job,
                "since": holder.since.isoformat(),
            }
            say(f"waiting for the lock, held by {words.holder(facts)}")
        time.sleep(POLL_S)
