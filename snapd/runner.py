"""Carries the agenda out: history row, job, outcome, one log line. Looks at stores in between.

The only place that reads the wall clock, and with the lanes the only one that catches broadly: a run may
fail in any way, the next one goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from typing import TypeVar

from snapd import agenda, engines, jobs, reports
from snapd.config import Folders
from snapd.errors import BusyError, DefectError, InterruptedRunError, SnapdError
from snapd.followers import Event, Followers
from snapd.history import History, Run, SecondRowError
from snapd.jobs.base import Work
from snapd.lanes import Lanes
from snapd.lock import SingleLock
from snapd.model import Cause, Kind, Result
from snapd.proc import Launcher
from snapd.state_folder import Accepted
from snapd.turns import LOCK_POLL_S, Turns
from snapd.way import Way
from snapd.workshop import BuildEngine, Current, Workshop, new_run_id

READ_WAIT_S = 600.0
LOOKS_INTERRUPTED_AT_MOST = 3

T = TypeVar("T")


def wall_clock() -> datetime:
    """The wall clock, aware, UTC. Everything below is handed instants."""
    return datetime.now(UTC)


class Runner:
    """Runs what is due, one run at a time, and a restore test beside it.

    `accepted` gives the config in force at the moment a run starts; the run keeps it to its end.
    `steady` counts the seconds that runs take, and those that a look waits for the lock. `in_use` names
    archives that somebody restores from by hand.
    `changed` is called whenever a run starts, ends, or steps aside, and by `look_again`.
    `only_asked` leaves every row alone that `ask` did not name: a command without a daemon does just its own.
    """

    def __init__(
        self,
        accepted: Callable[[], Accepted],
        history: History,
        folders: Folders,
        *,
        clock: Callable[[], datetime] = wall_clock,
        steady: Callable[[], float] = time.monotonic,
        build_engine: BuildEngine = engines.build,
        in_use: Callable[[], frozenset[str]] = frozenset,
        only_asked: bool = False,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.followers = Followers()
        self.clock = clock
        self._steady = steady
        self._accepted = accepted
        self._history = history
        self._folders = folders
        self._in_use = in_use
        self._on_change = changed
        self._turns = Turns(
            history, folders, self.followers, clock=clock, in_use=in_use, only_asked=only_asked
        )
        self._lanes = Lanes(
            self._turns, self.carry_out, steady=steady, limits=lambda: accepted().config.daemon
        )
        self._workshop = Workshop(
            history,
            folders,
            self.followers,
            clock=clock,
            steady=steady,
            build_engine=build_engine,
            in_use=self._archives_in_use,
        )

    @property
    def lock(self) -> SingleLock:
        return self._turns.lock

    @property
    def reading(self) -> SingleLock:
        """What a restore test holds that reads beside others."""
        return self._turns.reading

    # -- life -----------------------------------------------------------------------------------------

    def start(self) -> None:
        self._lanes.start()

    def stop(self, limit_s: float) -> bool:
        """Start nothing more, end what runs gently; True when all of it ended within the limit."""
        return self._lanes.stop(limit_s)

    def notify(self) -> None:
        """Rows changed: look again, and let those make way who keep a backup waiting."""
        with self._turns.changed:
            self._lanes.look_after()
            self._turns.changed.notify_all()

    def look_again(self) -> None:
        """What decides about rows and lights changed without a run, such as a pause."""
        self.notify()
        self._on_change()

    def current(self) -> tuple[Current, ...]:
        """Runs in progress, the one that holds the lock last."""
        return self._lanes.current()

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
        run = self._turns.ask(job, now)
        self.notify()
        return run

    def enforce_limits(self) -> None:
        """End runs that passed the run limit; a creation is limited by stall alone."""
        self._lanes.enforce_limits()

    def at_work(self) -> bool:
        """Whether both lanes do their work."""
        return self._lanes.at_work()

    # -- one run --------------------------------------------------------------------------------------

    def carry_out(self, due: Run) -> None:
        """Carry a row out, with the lock held; does nothing for one that somebody else ended meanwhile."""
        accepted = self._accepted()
        run = agenda.started(due, self.clock())
        current = Current(run, Launcher(lock_fd=self.lock.fd), self._steady())
        with self._lanes.under_way(current):
            if self._turns.stopping.is_set() or not self._history.replace_waiting(run):
                return
            reports.started(run)
            self._on_change()
            self.followers.tell(run.run_id, {"event": "started", "attempt": run.attempts})
            settled = self._attempt(current, accepted)
        self._write(settled)
        self._tell_end(settled, self._steady() - current.since)
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
        work = self._workshop.work(current, accepted, self._way(current))
        return jobs.job_of(run.kind)(work)

    def _way(self, current: Current) -> Way:
        return Way(current, self._turns, self.carry_out, steady=self._steady, changed=self._on_change)

    def _archives_in_use(self) -> frozenset[str]:
        """Name what nothing may delete now: what is restored by hand, and what a restore test reads."""
        return self._in_use() | {each.reading for each in self._lanes.current() if each.reading}

    def _write(self, settled: agenda.Settled) -> None:
        for run in settled.updated:
            self._history.update(run)
        with suppress(SecondRowError):  # the next slot, or an operator, was faster: that row follows
            self._history.add(settled.added)
        for run in settled.updated:
            if run.error_code == "crash-loop":
                reports.crash_loop(run)

    def _tell_end(self, settled: agenda.Settled, seconds: float) -> None:
        run = settled.updated[0]
        reports.ended(run, seconds)
        if run.outcome is None:
            at = run.not_before.isoformat() if run.not_before else None
            told: Event = {"event": "retry", "at": at, "message": run.message, "hint": run.hint}
        else:
            told = {"event": "ended", "successor": settled.added[0].run_id if settled.added else None}
        self.followers.tell(run.run_id, told)

    # -- looks ----------------------------------------------------------------------------------------

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

    def tend(self, asked: Run, what: str, work: Callable[[Work], T]) -> T:
        """Do what is long and no run with a store, to its end, with the lock held; what is due goes first.

        `asked` names the job whose store it is, and who follows; `what` is shown to those who wait.
        Raises BusyError as `look` does.
        """
        return self._beside(asked, what, work, yields=False, wall_s=None)

    def _look(self, job: str, look: Callable[[Work], T], *, yields: bool) -> T:
        asked = agenda.new_run(job, self.clock(), Cause.MANUAL, new_run_id())
        return self._beside(asked, job, look, yields=yields, wall_s=READ_WAIT_S)

    def _beside(
        self, asked: Run, what: str, look: Callable[[Work], T], *, yields: bool, wall_s: float | None
    ) -> T:
        lock = self._lock_beside(asked.run_id, what)
        current = Current(asked, Launcher(lock_fd=lock.fd), self._steady(), aside=True)
        way = self._way(current)
        try:
            with self._lanes.under_way(current), way.interruptible() if yields else nullcontext():
                self._turns.raise_if_stopping()
                return look(self._workshop.work(current, self._accepted(), way, wall_s=wall_s))
        finally:
            lock.release()

    def alone(self, what: str, work: Callable[[], None]) -> None:
        """Do something short with the lock held, so that no engine is at work, not even an orphaned one; but
        our own restore test may be, in the second lane.

        Raises BusyError as `look` does, and InterruptedRunError when stopping.
        """
        lock = self._lock_beside("", what, beside_strangers=False)
        try:
            work()
        finally:
            lock.release()

    def _lock_beside(self, run_id: str, job: str, *, beside_strangers: bool = True) -> SingleLock:
        """Take the lock for what is no run: whatever is due and can begin goes first."""
        lock = SingleLock(self._folders.state)
        until = self._steady() + READ_WAIT_S
        while (
            self._turns.next([Kind.BACKUP] if self._lanes.attending else tuple(Kind))
            or not (beside_strangers or self._turns.no_stranger_reads())
            or not lock.try_acquire(self._turns.holder(run_id, job))
        ):
            self._turns.raise_if_stopping()
            if self._steady() > until:
                raise BusyError("the store is busy", hint="see `snapd-backup status` for who holds the lock")
            self._turns.stopping.wait(LOCK_POLL_S)
        return lock
