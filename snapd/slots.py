"""Which slots have passed, and what rows of the history they become.

The job store only says when to wake up; the history is the truth, so that no lost wake-up loses a backup.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from snapd import agenda
from snapd.cron import Passed, Schedule
from snapd.history import History, Run, SecondRowError, Watched
from snapd.logger import log
from snapd.model import Cause, Outcome, split_job_id
from snapd.workshop import new_run_id


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
