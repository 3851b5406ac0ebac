"""Carries out the agenda: next due run, lane, single lock, history row, job, outcome, one log line.

The only place that takes the single lock and reads the wall clock, and the only one that catches broadly: a
run may fail in any way, the next one goes on.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from snapd import agenda, engines, jobs, reports
from snapd.config import Folders
from snapd.errors import BusyError, DefectError, InterruptedRunError, SnapdError
from snapd.followers import Event, Followers
from snapd.history import History, Run, SecondRowError
from snapd.jobs.base import Work
from snapd.lock import Holder, SingleLock
from snapd.model import Cause, Kind, Result
from snapd.proc import Launcher
from snapd.state_folder import Accepted
from snapd.workshop import BuildEngine, Current, Turn, Workshop, new_run_id

LOCK_POLL_S = 0.2
HEARTBEAT_S = 10.0
READ_WAIT_S = 600.0
LOOKS_INTERRUPTED_AT_MOST = 3

T = TypeVar("T")
DEFECT_S = 1.0


def wall_clock() -> datetime:
    """The wall clock, aware, UTC. Everything below is handed instants."""
    return datetime.now(UTC)


class Runner:
    """Runs what is due, one run at a time, in its own thread.

    `accepted` gives the config in force at the moment a run starts; the run keeps it to its end.
    `changed` is called whenever a run starts or ends.
    `only_asked` leaves every row alone that `ask` did not name: a command without a daemon does just its own.
    """

    def __init__(
        self,
        accepted: Callable[[], Accepted],
        history: History,
        folders: Folders,
        *,
        clock: Callable[[], datetime] = wall_clock,
        build_engine: BuildEngine = engines.build,
        in_use: Callable[[], frozenset[str]] = frozenset,
        only_asked: bool = False,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.followers = Followers()
        self.lock = SingleLock(folders.state)
        self.clock = clock
        self._accepted = accepted
        self._history = history
        self._folders = folders
        self._workshop = Workshop(
            history, folders, self.followers, clock=clock, build_engine=build_engine, in_use=in_use
        )
        self._asked: set[str] | None = set() if only_asked else None
        self._on_change = changed
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._current: list[Current] = []
        self._turned = time.monotonic()
        self._lane: threading.Thread | None = None

    # -- life -----------------------------------------------------------------------------------------

    def start(self) -> None:
        self._lane = threading.Thread(target=self._turn, name="lane", daemon=True)
        self._lane.start()

    def stop(self, limit_s: float) -> bool:
        """Start nothing more, end the current run gently; True when it ended within the limit."""
        with self._changed:
            self._stopping.set()
            for current in self._current:
                current.launcher.interrupt.request("stop")
            self._changed.notify_all()
        if self._lane is not None:
            self._lane.join(limit_s)
        return self._lane is None or not self._lane.is_alive()

    def notify(self) -> None:
        """Rows changed: look again, and interrupt what yields to a backup that is due."""
        with self._changed:
            if self._backup_due():
                for current in self._current:
                    if current.yields:
                        current.launcher.interrupt.request("backup-due")
            self._changed.notify_all()

    def current(self) -> tuple[Current, ...]:
        """Runs in progress, the one that holds the lock last."""
        with self._changed:
            return tuple(self._current)

    def recover(self, now: datetime) -> int:
        """Settle rows that a daemon which is gone left running. Returns how many.

        Without the marker of an orderly stop they count towards the crash loop.
        """
        clean_stop = self._history.noted("stopping") is not None
        left = [run for run in self._history.unfinished() if run.running]
        for run in left:
            self._write(agenda.recover(run, now, new_run_id, clean_stop=clean_stop))
        self._history.note("stopping", None)
        return len(left)

    def ask(self, job: str, now: datetime) -> Run:
        """Make a run of a job due now, or return the one that is due or running already."""
        with self._changed:
            if self._asked is not None:
                self._asked.add(job)
            run = self._joined(job)
            if run is None:
                run = agenda.new_run(job, now, Cause.MANUAL, new_run_id())
                try:
                    self._history.add([run])
                except SecondRowError:  # a slot came between our look and our row
                    run = self._joined(job) or run
        self.notify()
        return run

    def _joined(self, job: str) -> Run | None:
        """Return the unfinished row of a job; one that waits for its retry need not wait any longer."""
        for run in self._history.unfinished():
            if run.job == job:
                hurried = replace(run, not_before=None)
                self._history.replace_waiting(hurried)
                return hurried
        return None

    def enforce_limits(self) -> None:
        """End a run that passed the run limit; a creation is limited by stall alone."""
        limit = self._accepted().config.daemon.run_limit.total_seconds()
        for current in self._at_it():
            if current.ran_longer_than(limit):
                current.launcher.interrupt.request("limit")

    def at_work(self) -> bool:
        """Whether the lane does its work: it turns, or its run is inside its limit plus grace.

        A creation has no limit of its own, but a child of it that was killed must go.
        """
        if self._lane is None or not self._lane.is_alive():
            return False
        running = self._at_it()
        if not running:
            return time.monotonic() - self._turned < 6 * HEARTBEAT_S
        daemon = self._accepted().config.daemon
        patience = daemon.run_limit.total_seconds() + daemon.stop_limit.total_seconds()
        return not any(current.hangs() or current.ran_longer_than(patience) for current in running)

    def _at_it(self) -> list[Current]:
        """Runs in progress, without those that stepped aside for another."""
        return [current for current in self.current() if not current.aside]

    def _turn(self) -> None:
        while not self._stopping.is_set():
            self._turned = time.monotonic()
            try:
                self._take_one()
            except Exception:  # noqa: BLE001 - whatever it was (a lock file on a read-only disk), backups go on
                reports.lane_defect()
                self._stopping.wait(DEFECT_S)

    def _take_one(self) -> None:
        run = self._acquire_for_next(tuple(Kind))
        if run is None:
            self._rest()
            return
        try:
            self.carry_out(run)
        finally:
            self._turned = time.monotonic()
            if self.lock.held:  # a run that stepped aside as the daemon stopped came back without it
                self.lock.release()

    def _rest(self) -> None:
        with self._changed:
            now = self.clock()
            if self._stopping.is_set() or self._next(tuple(Kind)) is not None:
                return
            wake = agenda.next_wake(self._history.unfinished(), now)
            wait = HEARTBEAT_S if wake is None else min(HEARTBEAT_S, (wake - now).total_seconds())
            self._changed.wait(max(wait, 0.0))

    def _acquire_for_next(self, kinds: Iterable[Kind]) -> Run | None:
        """Take the lock for the row that goes next; None when nothing is due, or when stopping."""
        told = ""
        while not self._stopping.is_set():
            run = self._next(kinds)
            if run is None or self._take_lock(run):
                return run
            if told != run.run_id:
                told = run.run_id
                self._tell_waiting(run)
            self._turned = time.monotonic()
            with self._changed:
                self._changed.wait(LOCK_POLL_S)
        return None

    def _next(self, kinds: Iterable[Kind]) -> Run | None:
        now = self.clock()
        rows = [run for run in self._history.unfinished() if self._may_run(run, now)]
        return agenda.next_due(rows, now, kinds=kinds)

    def _may_run(self, run: Run, now: datetime) -> bool:
        """A paused set runs only what an operator asks for; what was due before the pause waits."""
        if self._asked is not None and run.job not in self._asked:
            return False
        return run.cause is Cause.MANUAL or self._history.paused_until(run.backup_set, now) is None

    def _take_lock(self, run: Run) -> bool:
        return self.lock.try_acquire(self._holder(run.run_id, run.job))

    def _holder(self, run_id: str, job: str) -> Holder:
        return Holder(pid=os.getpid(), run_id=run_id, job=job, since=self.clock())

    def _tell_waiting(self, run: Run) -> None:
        holder = self.lock.holder()
        who = f"{holder.job} (run {holder.run_id}, process {holder.pid})" if holder else "another process"
        reports.waiting(run, who)
        self.followers.tell(run.run_id, {"event": "waiting", "holder": who})

    def carry_out(self, due: Run) -> None:
        """Carry a row out, with the lock held; does nothing for one that somebody else ended meanwhile."""
        accepted = self._accepted()
        run = agenda.started(due, self.clock())
        if not self._history.replace_waiting(run):
            return
        current = Current(run, Launcher(lock_fd=self.lock.fd), time.monotonic())
        with self._changed:
            self._current.append(current)
        reports.started(run)
        self._on_change()
        self.followers.tell(run.run_id, {"event": "started", "attempt": run.attempts})
        try:
            settled = self._attempt(current, accepted)
        finally:
            with self._changed:
                self._current.remove(current)
        self._write(settled)
        ended = settled.updated[0]
        self._tell_end(ended, settled, time.monotonic() - current.since)
        self._on_change()

    def _attempt(self, current: Current, accepted: Accepted) -> agenda.Settled:
        run = current.run
        try:
            result = self._do(current, accepted)
        except SnapdError as error:
            return agenda.after_error(run, error, self.clock(), new_run_id)
        except Exception as error:  # noqa: BLE001 - one run must never take the daemon down
            reports.defect(run)
            return agenda.after_error(run, DefectError(error), self.clock(), new_run_id)
        return agenda.Settled(updated=(agenda.succeeded(run, result, self.clock()),))

    def _do(self, current: Current, accepted: Accepted) -> Result:
        run = current.run
        if run.backup_set not in accepted.config.backup:
            raise SnapdError(f"the backup set {run.backup_set!r} is no longer in the config")
        return jobs.job_of(run.kind)(self._work(current, accepted))

    def _work(self, current: Current, accepted: Accepted, *, wall_s: float | None = None) -> Work:
        turn = Turn(partial(self.make_room, current), partial(self.yielding, current))
        return self._workshop.work(current, accepted, turn, wall_s=wall_s)

    def look(self, job: str, look: Callable[[Work], T]) -> T:
        """Take a short look at a job's store, with the lock held; runs go first.

        A backup that becomes due meanwhile interrupts the engine, and the look begins again; after three
        times it is taken to its end. Raises BusyError when the lock does not come free within `READ_WAIT_S`.
        """
        for _ in range(LOOKS_INTERRUPTED_AT_MOST):
            try:
                return self._look(job, look, yields=True)
            except InterruptedRunError as error:
                if error.cause != "backup-due":
                    raise
        return self._look(job, look, yields=False)

    def _look(self, job: str, look: Callable[[Work], T], *, yields: bool) -> T:
        asked = agenda.new_run(job, self.clock(), Cause.MANUAL, new_run_id())
        lock = self._lock_beside(asked.run_id, asked.job)
        current = Current(asked, Launcher(lock_fd=lock.fd), time.monotonic(), aside=True)
        with self._changed:
            self._current.append(current)
        try:
            with self.yielding(current) if yields else nullcontext():
                return look(self._work(current, self._accepted(), wall_s=READ_WAIT_S))
        finally:
            with self._changed:
                self._current.remove(current)
            lock.release()

    def alone(self, what: str, work: Callable[[], None]) -> None:
        """Do something short with the lock held, so that no engine is at work, not even an orphaned one.

        Raises BusyError as `look` does.
        """
        lock = self._lock_beside("", what)
        try:
            work()
        finally:
            lock.release()

    def _lock_beside(self, run_id: str, job: str) -> SingleLock:
        """Take the lock for what is no run: whatever is due goes first."""
        lock = SingleLock(self._folders.state)
        until = time.monotonic() + READ_WAIT_S
        while self._next(tuple(Kind)) or not lock.try_acquire(self._holder(run_id, job)):
            if time.monotonic() > until:
                raise BusyError("the store is busy", hint="see `snapd-backup status` for who holds the lock")
            self._stopping.wait(LOCK_POLL_S)
        return lock

    def _backup_due(self) -> bool:
        return self._next([Kind.BACKUP]) is not None

    def make_room(self, current: Current) -> None:
        """Let every due backup run, then go on with the lock held again."""
        if self._stopping.is_set():
            raise InterruptedRunError("the daemon is stopping", cause="stop")
        if not self._backup_due():
            return
        left = time.monotonic()
        current.aside = True
        self.lock.release()
        try:
            self._run_backups()
            self._retake_lock(current)
        finally:
            current.aside = False
            current.since += time.monotonic() - left  # time aside does not count against its limit

    def _run_backups(self) -> None:
        while (backup := self._acquire_for_next([Kind.BACKUP])) is not None:
            try:
                self.carry_out(backup)
            finally:
                self.lock.release()

    def _retake_lock(self, current: Current) -> None:
        while not self._stopping.is_set():
            if self._take_lock(current.run):
                current.launcher.lock_fd = self.lock.fd
                return
            with self._changed:
                self._changed.wait(LOCK_POLL_S)
        raise InterruptedRunError("the daemon is stopping", cause="stop")

    @contextmanager
    def yielding(self, current: Current) -> Iterator[None]:
        """Let a due backup interrupt the current child within the block."""
        with self._changed:
            current.yields = True
            if self._backup_due():
                current.launcher.interrupt.request("backup-due")
        try:
            yield
        finally:
            with self._changed:
                current.yields = False
                current.launcher.interrupt.withdraw("backup-due")

    def _write(self, settled: agenda.Settled) -> None:
        for run in settled.updated:
            self._history.update(run)
        with suppress(SecondRowError):  # the next slot, or an operator, was faster: that row follows
            self._history.add(settled.added)
        for run in settled.updated:
            if run.error_code == "crash-loop":
                reports.crash_loop(run)

    def _tell_end(self, run: Run, settled: agenda.Settled, seconds: float) -> None:
        reports.ended(run, seconds)
        if run.outcome is None:
            at = run.not_before.isoformat() if run.not_before else None
            told: Event = {"event": "retry", "at": at, "message": run.message}
        else:
            told = {"event": "ended", "successor": settled.added[0].run_id if settled.added else None}
        self.followers.tell(run.run_id, told)
