"""Whose turn it is: the row of the history that goes next, and the single lock for it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime

from snapd import agenda, reports
from snapd.config import Folders
from snapd.errors import InterruptedRunError
from snapd.followers import Followers
from snapd.history import History, Run, SecondRowError
from snapd.lock import Holder, SingleLock, Wanted
from snapd.model import Cause, Kind
from snapd.workshop import new_run_id

LOCK_POLL_S = 0.2
HEARTBEAT_S = 10.0


class Turns:
    """The agenda and the locks. Safe to use from several threads.

    `only_asked` leaves every row alone that `ask` did not name. `changed` is notified whenever there may be
    something else to do; `stopping` is set for good. `turned` is when somebody last looked (monotonic).
    """

    def __init__(
        self,
        history: History,
        folders: Folders,
        followers: Followers,
        *,
        clock: Callable[[], datetime],
        in_use: Callable[[], frozenset[str]],
        only_asked: bool,
    ) -> None:
        self.lock = SingleLock(folders.state)
        self.reading = SingleLock(folders.state, "reading")
        self.changed = threading.Condition()
        self.stopping = threading.Event()
        self.turned = time.monotonic()
        self._history = history
        self._followers = followers
        self._clock = clock
        self._in_use = in_use
        self._wanted = Wanted(folders.state)
        self._asked: set[str] | None = set() if only_asked else None

    # -- rows -----------------------------------------------------------------------------------------

    def ask(self, job: str, now: datetime) -> Run:
        """Make a run of a job due now, or return the one that is due or running already."""
        with self.changed:
            if self._asked is not None:
                self._asked.add(job)
            run = self._joined(job)
            if run is None:
                run = agenda.new_run(job, now, Cause.MANUAL, new_run_id())
                try:
                    self._history.add([run])
                except SecondRowError:  # a slot came between our look and our row
                    run = self._joined(job) or run
        return run

    def _joined(self, job: str) -> Run | None:
        """Return the unfinished row of a job; one that waits for its retry need not wait any longer."""
        for run in self._history.unfinished():
            if run.job == job:
                hurried = replace(run, not_before=None)
                self._history.replace_waiting(hurried)
                return hurried
        return None

    def next(self, kinds: Iterable[Kind] = tuple(Kind)) -> Run | None:
        """Return the row that may start now and goes first; None when there is none.

        A restore test waits while another one reads. What is no backup, or was cut to let others in, waits
        while another process wants the lock for a backup.
        """
        now = self._clock()
        due = agenda.due_now(self._history.unfinished(), now, kinds=kinds)
        run = next((run for run in due if self._may_run(run, now)), None)
        if run is None or (run.kind is Kind.BACKUP and run.cause is not Cause.SLICED):
            return run
        return None if self._wanted.elsewhere() else run

    def _may_run(self, run: Run, now: datetime) -> bool:
        """A paused set runs only what an operator asks for; what was due before the pause waits."""
        if self._asked is not None and run.job not in self._asked:
            return False
        if run.kind is Kind.RESTORE_TEST and self.reading.holder() is not None:
            return False
        return run.cause is Cause.MANUAL or self._history.paused_until(run.backup_set, now) is None

    def backup_due(self) -> bool:
        """Whether a backup of ours is due, or one of another process."""
        return self.next([Kind.BACKUP]) is not None or self._wanted.elsewhere()

    def wanted_elsewhere(self) -> bool:
        """Whether another process waits for the lock with a backup that is due."""
        return self._wanted.elsewhere()

    def reader(self) -> str:
        """Say who reads an archive now, beside whom no space may be reclaimed; empty when nobody does."""
        holder = self.reading.holder()
        if holder is not None:
            return _told(holder)
        return "a restore" if self._in_use() else ""

    def no_stranger_reads(self) -> bool:
        """Whether nobody but our own restore test reads: not an engine that a killed daemon left behind."""
        return self.reading.held or self.reading.holder() is None

    def rest(self) -> None:
        """Sleep until something is due, or for a while."""
        with self.changed:
            now = self._clock()
            if self.stopping.is_set() or self.next() is not None:
                return
            wake = agenda.next_wake(self._history.unfinished(), now)
            wait = HEARTBEAT_S if wake is None else min(HEARTBEAT_S, (wake - now).total_seconds())
            self.changed.wait(max(wait, 0.0))

    # -- the lock -------------------------------------------------------------------------------------

    def acquire_for_next(self, kinds: Iterable[Kind] = tuple(Kind)) -> Run | None:
        """Take the lock for the row that goes next; None when nothing is due, or when stopping.

        Other processes see that a backup waits.
        """
        kinds = tuple(kinds)
        told = ""
        with ExitStack() as mark:
            while not self.stopping.is_set():
                run = self.next(kinds)
                if run is None or self.lock.try_acquire(self.holder(run.run_id, run.job)):
                    return run
                if told != run.run_id:
                    told = run.run_id
                    self.tell_waiting(run)
                    mark.close()
                    if run.kind is Kind.BACKUP:
                        mark.enter_context(self._wanted.marked())
                self.pause()
        return None

    def retake(self, run: Run) -> None:
        """Take the lock again for a run that gave it up. Raises InterruptedRunError when stopping."""
        while not self.stopping.is_set():
            if self.lock.try_acquire(self.holder(run.run_id, run.job)):
                return
            self.pause()
        self.raise_if_stopping()

    def raise_if_stopping(self) -> None:
        if self.stopping.is_set():
            raise InterruptedRunError("the daemon is stopping", cause="stop")

    def pause(self, seconds: float = LOCK_POLL_S) -> None:
        """Wait for a change, or for so long."""
        self.turned = time.monotonic()
        with self.changed:
            if not self.stopping.is_set():
                self.changed.wait(seconds)

    def holder(self, run_id: str, job: str) -> Holder:
        return Holder(pid=os.getpid(), run_id=run_id, job=job, since=self._clock())

    def tell_waiting(self, run: Run, who: str = "") -> None:
        """Say that a run waits, and for whom."""
        if not who:
            holder = self.lock.holder()
            who = _told(holder) if holder else "another process"
        reports.waiting(run, who)
        self._followers.tell(run.run_id, {"event": "waiting", "holder": who})


def _told(holder: Holder) -> str:
    return f"{holder.job} (run {holder.run_id}, process {holder.pid})"
