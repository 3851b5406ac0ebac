"""What the runner hands to a job, and the little that all jobs share."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from snapd.config import BackupSet, Config, Folders
from snapd.engines.base import Engine
from snapd.errors import InterruptedRunError
from snapd.history import History
from snapd.model import Progress, Result
from snapd.proc import Launcher

T = TypeVar("T")


class Yielding(Protocol):
    """How a job makes way for a backup that is due, of this or another process. Given by the runner."""

    def step_aside(self) -> None:
        """Between two batches: if a backup is due, give the lock up until it has ended, then return with
        the lock held again. Raises `InterruptedRunError` when the daemon is stopping.
        """

    def interruptible(self) -> AbstractContextManager[None]:
        """Within the block a backup that becomes due interrupts the current child gently; the engine call
        then raises `InterruptedRunError` with cause `backup-due`.
        """

    def sliceable(self) -> AbstractContextManager[None]:
        """Around a creation that can be resumed: when it has taken longer than `max_hold` while a backup of
        another set is due, it is interrupted gently and raises `InterruptedRunError` with cause `sliced`.
        """

    def reading(self, archive: str) -> AbstractContextManager[None]:
        """From here on the job reads this archive alone, and by what the engine does beside a creation.

        Within the block the archive is kept from expiry, and a backup that becomes due neither interrupts
        the job nor makes it step aside: the lock goes over to it, and is not held again. Raises `BusyError`
        when a reader of another process is at work.
        """

    def wait_for_readers(self) -> None:
        """Before what must not happen beside a reader: return with the lock held and nobody reading. Until
        then the lock is free, and backups run. Raises `InterruptedRunError` when the daemon is stopping.
        """


@dataclass(frozen=True, slots=True)
class Work:
    """One run's whole world. The single lock is held when the job starts, and when it ends unless it was
    handed over (`Yielding.reading`).

    `now` reads the wall clock (aware, UTC), `steady` the one that nobody sets, in seconds.
    `config_text` is the accepted file, for the copy in the archive.
    `due_slot` is the latest backup slot of the set that is older than the grace of its fresh light, or None.
    `in_use` gives the names of archives that somebody reads now.
    """

    run_id: str
    backup_set: BackupSet
    config: Config
    config_text: str
    folders: Folders
    engine: Engine
    launcher: Launcher
    history: History
    yielding: Yielding
    now: Callable[[], datetime]
    progress: Callable[[Progress], None]
    steady: Callable[[], float] = time.monotonic
    attempt: int = 1
    due_slot: datetime | None = None
    in_use: Callable[[], frozenset[str]] = frozenset


Job = Callable[[Work], Result]

INTERRUPTED_AT_MOST = 3
"""How often a call makes way for a backup before it runs to its end, so that it comes to one."""


def making_way(work: Work, call: Callable[[], T], *, first: Callable[[], None] = lambda: None) -> T:
    """Make one long call of the engine; a backup that becomes due interrupts it gently, runs, and the call is
    made again, the fourth time to its end. `first` comes before each.
    """
    for _ in range(INTERRUPTED_AT_MOST):
        first()
        try:
            with work.yielding.interruptible():
                return call()
        except InterruptedRunError as error:
            if error.cause != "backup-due":
                raise
        work.yielding.step_aside()
    first()
    return call()


CLOCK_JUMPED = "clock-jumped"
"""The note of the history that the daemon replaces whenever the clock jumped."""


def clock_seen_key(work: Work) -> str:
    """Return the key of the note that says which jump of the clock a set has behind it."""
    return f"clock-seen:{work.backup_set.name}"


def note_clock_seen(work: Work) -> None:
    """Remember that what happens to the set from now on comes after the clock's last jump."""
    work.history.note(clock_seen_key(work), work.history.noted(CLOCK_JUMPED) or "")
