"""The single lock: one run at a time touches a store, across threads and processes.

A kernel file lock (flock(2)) on our own file in the state folder. A child that inherits the descriptor keeps
the lock for as long as it lives, so a lock is never stale and never needs breaking.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds the lock: process id, run id, job, and since when (aware, UTC)."""

    pid: int
    run_id: str
    job: str
    since: datetime


class SingleLock:
    """The lock file `lock` in the state folder, and `lock.holder` beside it (JSON, for people only)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def try_acquire(self, holder: Holder) -> bool:
        """Take the lock now, or return False. Not reentrant: a second call while held raises RuntimeError."""
        raise NotImplementedError

    @property
    def fd(self) -> int:
        """The locked descriptor, for children to inherit. Raises RuntimeError when the lock is not held."""
        raise NotImplementedError

    def release(self) -> None:
        """Close our descriptor. A child that inherited it keeps the lock until it ends."""
        raise NotImplementedError

    def holder(self) -> Holder | None:
        """Who is written down as the holder, if anybody holds the lock now; None when it is free.

        When it is held and the note is missing or unreadable, pid 0 and empty texts are returned.
        """
        raise NotImplementedError
