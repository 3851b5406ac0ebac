"""Config <-> APScheduler jobs; the trigger; which slots have passed.

APScheduler is the alarm clock, the history is the truth. The job store only says when to wake up; which slots
have passed is counted from the history, so that no single lost wake-up loses a backup.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from apscheduler.executors.debug import DebugExecutor
from apscheduler.job import Job
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from sqlalchemy import create_engine, event
from sqlalchemy.exc import DatabaseError, OperationalError

from snapd.cron import Schedule
from snapd.logger import log

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
                _clear(self._path.with_name(self._path.name + suffix))
            self._scheduler = self._started()

    def _started(self) -> BackgroundScheduler:
        engine = create_engine(f"sqlite:///{self._path}", connect_args={"timeout": 0.2})
        event.listen(engine, "connect", _disposable)
        scheduler = BackgroundScheduler(
            timezone=UTC,
            jobstores={"default": SQLAlchemyJobStore(engine=engine)},
            # Calls `fire` where it stands: no second thread, and nothing that refuses an alarm during a stop.
            executors={"default": DebugExecutor()},
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


def _clear(path: Path) -> None:
    """Remove a file of ours; a folder in its place is nobody's of ours, and is only put aside."""
    if path.is_dir() and not path.is_symlink():
        path.rename(path.with_name(f"{path.name}.aside-{secrets.token_hex(4)}"))
    else:
        path.unlink(missing_ok=True)


def _disposable(connection: object, _record: object) -> None:
    """The store can be rebuilt from the config at any time, so it need not survive a power cut."""
    connection.execute("PRAGMA synchronous=OFF")  # type: ignore[attr-defined]
