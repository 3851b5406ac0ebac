"""Config <-> APScheduler jobs; the trigger; which slots have passed.

APScheduler is the alarm clock, the history is the truth. The job store only says when to wake up; which slots
have passed is counted from the history, so that no single lost wake-up loses a backup.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.job import Job
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from sqlalchemy import create_engine, event
from sqlalchemy.exc import DatabaseError, OperationalError

from snapd import agenda
from snapd.cron import Passed, Schedule
from snapd.history import History, Run, SecondRowError, Watched
from snapd.model import Cause, Outcome, split_job_id
from snapd.runner import new_run_id

log = structlog.get_logger()

STORE = "jobs.sqlite"
LATE = timedelta(seconds=2)
"""How late the alarm clock may be before the slots are taken without it."""


def _nobody() -> None:
    """Before a clock is made there is nobody to wake."""


_wake: Callable[[], None] = _nobody


def fire(job: str) -> None:  # noqa: ARG001 - the stored jobs of every release pass their id
    """Wake catching up. What is due is read from the history, never from the job that fired."""
    _wake()


class Trigger(BaseTrigger):  # type: ignore[misc]
    """Our schedules as an APScheduler trigger. Pickled as two strings.

    The import path `snapd.schedule.Trigger` and the state's keys are frozen: APScheduler deletes stored jobs
    whose class it cannot find.
    """

    __slots__ = ("_schedule", "expression", "timezone")

    def __init__(self, expression: str, timezone: str) -> None:
        self.expression = expression
        self.timezone = timezone
        self._schedule = Schedule.parse(expression, timezone)

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime | None:
        """Return the next slot at or after `now`, and after the previous one.

        Slots that have passed are jumped over: catching up counts them, so a year off costs one step.
        """
        earliest = now - timedelta(microseconds=1)
        if previous_fire_time is not None:
            earliest = max(earliest, previous_fire_time)
        return self._schedule.after(earliest.astimezone(UTC))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Trigger) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[str, str]:
        return (self.expression, self.timezone)

    def __getstate__(self) -> dict[str, str]:
        return {"expression": self.expression, "timezone": self.timezone}

    def __setstate__(self, state: dict[str, str]) -> None:
        self.__init__(state["expression"], state["timezone"])  # type: ignore[misc]

    def __str__(self) -> str:
        return f"{self.expression} ({self.timezone})"


@dataclass(frozen=True, slots=True)
class Stored:
    """A job as it stands in the job store."""

    trigger: Trigger
    next_run: datetime | None


@dataclass(frozen=True, slots=True)
class Diff:
    """What to do to the job store; ids in each. `moved` keep their trigger, their next run is recomputed."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    moved: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.moved or self.removed)


def diff(wanted: Mapping[str, Trigger], stored: Mapping[str, Stored], now: datetime) -> Diff:
    """Compare the jobs of the config with those of the store; unchanged ones are in none of the lists.

    A job whose stored next run is later than its next slot after now (the clock was once ahead), or which has
    none, is moved.
    """

    def misplaced(job: str) -> bool:
        due = wanted[job].get_next_fire_time(None, now)
        next_run = stored[job].next_run
        return due is not None and (next_run is None or next_run > due)

    both = [job for job in wanted if job in stored]
    same = [job for job in both if wanted[job] == stored[job].trigger]
    return Diff(
        added=tuple(job for job in wanted if job not in stored),
        changed=tuple(job for job in both if wanted[job] != stored[job].trigger),
        moved=tuple(job for job in same if misplaced(job)),
        removed=tuple(job for job in stored if job not in wanted),
    )


class AlarmClock:
    """The APScheduler that wakes us. Disposable: a store that is missing or damaged is made anew."""

    def __init__(self, folder: Path, wake: Callable[[], None]) -> None:
        global _wake  # noqa: PLW0603 - a pickled job can only name a module-level function
        _wake = wake
        self._path = folder / STORE
        self._wanted: dict[str, Trigger] = {}
        self._scheduler: BackgroundScheduler | None = None

    @property
    def running(self) -> bool:
        """Whether its thread lives; a failing store update ends the thread while APScheduler says it runs."""
        thread = self._scheduler and self._scheduler._thread
        return bool(thread and thread.is_alive())

    def set(self, wanted: Mapping[str, Trigger], now: datetime) -> Diff:
        """Make the store hold exactly these jobs, touching no unchanged one; starts the clock if need be.

        Raises OperationalError while somebody else holds the store locked.
        """
        self._wanted = dict(wanted)
        if not self.running:
            self._start()
        assert self._scheduler is not None
        jobs: list[Job] = self._scheduler.get_jobs()
        stored = {
            job.id: Stored(trigger=job.trigger, next_run=job.next_run_time)
            for job in jobs
            if isinstance(job.trigger, Trigger)
        }
        change = diff(wanted, stored, now)
        for job in change.removed:
            self._scheduler.remove_job(job)
        for job in (*change.added, *change.changed, *change.moved):
            self._scheduler.add_job(fire, wanted[job], args=[job], id=job, replace_existing=True)
        return change

    def restart(self, now: datetime) -> None:
        """Throw the scheduler away and start another one on the same store.

        Raises OperationalError while the store is locked; call again later.
        """
        self.stop()
        self.set(self._wanted, now)

    def wakeup(self) -> None:
        """Make it look at the wall clock now (it sleeps by the monotonic one)."""
        if self._scheduler is not None and self.running:
            self._scheduler.wakeup()

    def stop(self) -> None:
        scheduler, self._scheduler = self._scheduler, None
        if scheduler is not None and scheduler.running:
            scheduler.shutdown(wait=False)

    def _start(self) -> None:
        try:
            self._scheduler = self._started()
        except DatabaseError as error:
            if isinstance(error, OperationalError) and "locked" in str(error):
                raise
            log.warning("job-store-rebuilt", path=str(self._path), reason=str(error.orig))
            for suffix in ("", "-wal", "-shm", "-journal"):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
            self._scheduler = self._started()

    def _started(self) -> BackgroundScheduler:
        engine = create_engine(f"sqlite:///{self._path}", connect_args={"timeout": 0.2})
        event.listen(engine, "connect", _disposable)
        scheduler = BackgroundScheduler(
            timezone=UTC,
            jobstores={"default": SQLAlchemyJobStore(engine=engine)},
            executors={"default": ThreadPoolExecutor(1)},
            job_defaults={"coalesce": True, "misfire_grace_time": None, "max_instances": 3},
        )
        try:
            scheduler.start()
            scheduler.get_jobs()
        except BaseException:
            if scheduler.running:
                scheduler.shutdown(wait=False)
            engine.dispose()
            raise
        return scheduler


def _disposable(connection: object, _record: object) -> None:
    """The store can be rebuilt from the config at any time, so it need not survive a power cut."""
    connection.execute("PRAGMA synchronous=OFF")  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """What one pass did. `earliest` is the first slot it found, None when none had passed."""

    due: int = 0
    earliest: datetime | None = None


class Slots:
    """Turns the slots that passed into rows of the history. Call it from one thread only."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._schedules: dict[str, Schedule] = {}
        self._through: dict[str, datetime] = {}
        self._next: dict[str, datetime] = {}

    def set_jobs(self, wanted: Mapping[str, Schedule], now: datetime) -> None:
        """Take the jobs of a config, after catching up with those the history knows.

        A job that is new, or whose schedule changed, is accounted for from now on. Waiting rows of removed
        jobs end `skipped`.
        """
        known = self._history.watched()
        self._adopt(known, wanted, now)
        self.catch_up(now, awake=False)
        fresh = [job for job in wanted if job not in known or not _same(known[job], wanted[job])]
        self._history.watch(Watched(job, wanted[job].expression, wanted[job].timezone, now) for job in fresh)
        gone = [job for job in known if job not in wanted]
        self._history.unwatch(gone)
        for job in gone:
            self._forget(job)
        for job in fresh:
            self._place(job, wanted[job], now)

    def end_removed(self, jobs: Iterable[str], now: datetime) -> None:
        """End the waiting rows of every job that is not in `jobs` (a running one ends by itself)."""
        keep = frozenset(jobs)
        for run in self._history.unfinished():
            if run.job not in keep:
                self._history.replace_waiting(agenda.skipped(run, now, "the job was removed from the config"))

    def make_due(self, jobs: Iterable[str], now: datetime) -> None:
        """Make a catch-up run due for each job that has none waiting: what was accounted for is lost."""
        waiting = {run.job for run in self._history.unfinished()}
        self._history.add(
            [agenda.new_run(job, now, Cause.CATCH_UP, new_run_id()) for job in jobs if job not in waiting]
        )

    def catch_up(self, now: datetime, *, awake: bool = True) -> CaughtUp:
        """Write the rows of every slot in (last accounted for, now]; cheap when nothing has passed.

        `awake` is false at a start: the slots passed while no daemon ran.
        """
        due = 0
        earliest: datetime | None = None
        for job in [job for job, slot in self._next.items() if slot <= now]:
            passed = self._schedules[job].slots(self._through[job], now)
            if passed is not None:
                due += self._settle(job, passed, now, awake=awake)
                earliest = min(earliest or passed.first, passed.first)
        return CaughtUp(due, earliest)

    def rewind(self, now: datetime) -> tuple[str, ...]:
        """After the clock went back: account for nothing later than now, and let no retry wait for a time
        that only the wrong clock knew. Slots that come again are run again. Returns the jobs concerned.
        """
        ahead = [job for job, through in self._through.items() if through > now]
        for job in ahead:
            self._account(job, now)
        for run in self._history.unfinished():
            if run.not_before is not None and run.not_before > now + agenda.RETRY_AFTER[-1]:
                self._history.replace_waiting(replace(run, not_before=None))
        return tuple(ahead)

    def next_slot(self) -> datetime | None:
        """The earliest coming slot of all jobs."""
        return min(self._next.values(), default=None)

    def coming(self) -> list[tuple[datetime, str]]:
        """Next slot of each job, soonest first."""
        return sorted((slot, job) for job, slot in list(self._next.items()))

    def _adopt(self, known: Mapping[str, Watched], wanted: Mapping[str, Schedule], now: datetime) -> None:
        for job, watched in known.items():
            schedule = wanted.get(job)
            if schedule is None or not _same(watched, schedule):
                try:
                    schedule = Schedule.parse(watched.expression, watched.timezone)
                except ValueError:  # written by another release: accounted for from now on
                    continue
            self._place(job, schedule, min(watched.through, now))

    def _place(self, job: str, schedule: Schedule, through: datetime) -> None:
        self._schedules[job] = schedule
        self._through[job] = through
        self._set_next(job)

    def _set_next(self, job: str) -> None:
        slot = self._schedules[job].after(self._through[job])
        if slot is None:
            self._next.pop(job, None)
        else:
            self._next[job] = slot

    def _forget(self, job: str) -> None:
        self._schedules.pop(job, None)
        self._through.pop(job, None)
        self._next.pop(job, None)

    def _account(self, job: str, through: datetime) -> None:
        self._history.watch([self._watched(job, through)])
        self._place(job, self._schedules[job], through)

    def _watched(self, job: str, through: datetime) -> Watched:
        schedule = self._schedules[job]
        return Watched(job, schedule.expression, schedule.timezone, through)

    def _settle(self, job: str, passed: Passed, now: datetime, *, awake: bool) -> int:
        """Write what the slots became; returns how many runs are due by it."""
        while True:
            settled = self._decide(job, passed, now, awake=awake)
            try:
                if all(self._replace(run) for run in settled.updated):
                    self._history.add(settled.added, accounted=self._watched(job, passed.last))
                    break
            except SecondRowError:  # an operator asked for the job between our look and our row
                continue
        self._place(job, self._schedules[job], passed.last)
        for run in (*settled.updated, *settled.added):
            _tell(run, passed)
        return sum(run.outcome is None for run in settled.added)

    def _replace(self, run: Run) -> bool:
        """Replace a row; False for one that waited when we looked and runs, or has ended, now."""
        if run.outcome is Outcome.SKIPPED:  # a longer stretch of slots: nobody else writes it
            self._history.update(run)
            return True
        return self._history.replace_waiting(run)

    def _decide(self, job: str, passed: Passed, now: datetime, *, awake: bool) -> agenda.Settled:
        _kind, backup_set = split_job_id(job)
        return agenda.settle_slots(
            job,
            passed,
            now,
            new_run_id,
            unfinished=next((run for run in self._history.unfinished() if run.job == job), None),
            previous=self._history.last_row(job),
            paused=self._history.paused_until(backup_set, passed.last) is not None,
            awake=awake,
        )


def _same(watched: Watched, schedule: Schedule) -> bool:
    return (watched.expression, watched.timezone) == (schedule.expression, schedule.timezone)


def _tell(run: Run, passed: Passed) -> None:
    facts = {"run_id": run.run_id, "backup_set": run.backup_set, "kind": run.kind, "reason": run.message}
    span = {
        "first_slot": passed.first.isoformat(),
        "last_slot": passed.last.isoformat(),
        "slots": passed.count,
    }
    match run.outcome:
        case Outcome.MISSED:
            log.warning("slots-missed", **facts, **span)
        case Outcome.SKIPPED:
            log.info("slots-skipped", **facts, **span)
        case Outcome.FAILED:
            log.error("run-taken-over", **facts, error_code=run.error_code, hint=run.hint)
        case _:
            pass
