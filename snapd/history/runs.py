"""Runs and the clock's memory: rows that are due, running or ended, and how far each job is accounted for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime

from snapd.history.disk import Disk
from snapd.history.facts import Run, SecondRowError, Watched
from snapd.history.rows import (
    Statement,
    as_stored,
    put_run,
    put_watched,
    run_of,
    to_instant,
    to_text,
    watched_of,
)
from snapd.model import Kind, Outcome, job_id

_NOT_MADE = (Outcome.MISSED, Outcome.SKIPPED)  # slots that no run was made for

_ROW = "SELECT * FROM runs WHERE run_id = ?"
_UNFINISHED = "SELECT * FROM runs WHERE outcome IS NULL"
_JOBS_WITH_ENDED_RUNS = """
    WITH RECURSIVE known (job) AS (
        SELECT min(job) FROM runs WHERE outcome IS NOT NULL
        UNION ALL
        SELECT (SELECT min(job) FROM runs WHERE outcome IS NOT NULL AND job > known.job)
        FROM known WHERE job IS NOT NULL
    )
    SELECT job FROM known WHERE job IS NOT NULL
"""
_LAST_ROW = """
    SELECT * FROM ended_runs WHERE job = ? ORDER BY end_instant DESC, slot DESC, run_id DESC LIMIT 1
"""
_LAST_MADE = """
    SELECT * FROM ended_runs WHERE job = ? AND outcome NOT IN ('missed', 'skipped')
    ORDER BY end_instant DESC, slot DESC, run_id DESC LIMIT 1
"""
_LAST_OK = """
    SELECT end_instant FROM ended_runs WHERE job = ? AND outcome = 'ok' ORDER BY end_instant DESC LIMIT 1
"""
_FIRST_MADE = """
    SELECT end_instant FROM ended_runs WHERE job = ? AND outcome NOT IN ('missed', 'skipped')
    ORDER BY end_instant LIMIT 1
"""
_ROWS = "SELECT * FROM ended_runs ORDER BY end_instant DESC, slot DESC, run_id DESC LIMIT ?"
_ROWS_OF_KIND = """
    SELECT * FROM ended_runs WHERE kind = ? ORDER BY end_instant DESC, slot DESC, run_id DESC LIMIT ?
"""
_ROWS_OF_JOB = """
    SELECT * FROM ended_runs WHERE job = ? ORDER BY end_instant DESC, slot DESC, run_id DESC LIMIT ?
"""
_END_STRANGERS = """
    UPDATE runs SET outcome = iif(started IS NULL, 'missed', 'interrupted'), ended = ?,
        message = 'how it ended is not known: the history could not be read or written then'
    WHERE outcome IS NULL AND run_id NOT IN (SELECT value FROM json_each(?))
"""


class RunFacts:
    """Rows of `runs` and `watched`. Unfinished rows, the last ended rows of each job and the watched jobs are
    kept in memory as well, as the file holds them; damage and a full disk leave them right.
    """

    def __init__(self) -> None:
        self._disk: Disk
        self._unfinished: dict[str, Run] = {}
        self._last_row: dict[str, Run] = {}
        self._last_made: dict[str, Run] = {}
        self._watched: dict[str, Watched] = {}

    def _load(self) -> None:
        for run in self._disk.read(run_of, _UNFINISHED):
            self._unfinished[run.run_id] = run
        for watched in self._disk.read(watched_of, "SELECT * FROM watched"):
            self._watched[watched.job] = watched
        for job in self._disk.read(lambda row: str(row["job"]), _JOBS_WITH_ENDED_RUNS):
            self._look_up_last(job)

    # -- the clock's memory ---------------------------------------------------------------------------

    def watched(self) -> dict[str, Watched]:
        """Every known job by id."""
        with self._disk.lock:
            return dict(self._watched)

    def watch(self, jobs: Iterable[Watched]) -> None:
        """Insert or replace jobs (one transaction)."""
        watched = tuple(jobs)
        statements = [put_watched(job) for job in watched]
        with self._disk.lock:
            self._watched.update({job.job: job for job in watched})
            self._disk.write(*statements)

    def unwatch(self, jobs: Iterable[str]) -> None:
        """Forget jobs; their rows stay."""
        gone = tuple(jobs)
        with self._disk.lock:
            for job in gone:
                self._watched.pop(job, None)
            self._disk.write(*[("DELETE FROM watched WHERE job = ?", (job,)) for job in gone])

    # -- rows -----------------------------------------------------------------------------------------

    def add(self, runs: Sequence[Run], *, accounted: Watched | None = None) -> None:
        """Insert rows, in one transaction with how far their job is accounted for: so no crash makes two runs
        of a slot, or none. Raises SecondRowError for a due row beside an unfinished one of its job, and
        ValueError for a known `run_id`, before anything is changed.
        """
        with self._disk.lock:
            new = self._acceptable([as_stored(run) for run in runs])
            statements = [put_run(run) for run in new]
            if accounted is not None:
                self._watched[accounted.job] = accounted
                statements.append(put_watched(accounted))
            for run in new:
                self._remember(run)
            self._disk.write(*statements, detail=True)

    def replace_waiting(self, run: Run) -> bool:
        """Replace a row that waits, to begin, hurry or end it; False when it began, or ended, meanwhile."""
        with self._disk.lock:
            now = self._unfinished.get(run.run_id)
            if now is None or now.running:
                return False
            self.update(run)
            return True

    def update(self, run: Run) -> None:
        """Replace the row with the same `run_id`; one that damage has taken from the file is there again.

        Raises SecondRowError for an unfinished row beside another unfinished one of the same job.
        """
        with self._disk.lock:
            self._refuse_second(run, self._unfinished.values())
            stored = as_stored(run)
            statement = put_run(stored)
            was_last = self._forget_last(stored)
            self._remember(stored)
            self._disk.write(statement, detail=True)
            if was_last:
                self._look_up_last(run.job)

    def unfinished(self) -> tuple[Run, ...]:
        """Due and running rows, from memory, in the order of the agenda: kind's rank, then slot."""
        with self._disk.lock:
            return tuple(
                sorted(self._unfinished.values(), key=lambda run: (run.kind.rank, run.slot, run.run_id))
            )

    def last(self, job: str) -> Run | None:
        """The job's last ended row that was a run (not missed, not skipped)."""
        with self._disk.lock:
            if job not in self._last_made:
                self._look_up_last(job)
            return self._last_made.get(job)

    def last_ok(self, job: str) -> datetime | None:
        """When the job's last run that went well to its end did end; None when none is known."""
        return self._end_of(_LAST_OK, job)

    def first_end(self, job: str) -> datetime | None:
        """When the oldest run of the job that is known ended."""
        return self._end_of(_FIRST_MADE, job)

    def _end_of(self, sql: str, job: str) -> datetime | None:
        found = self._disk.read(lambda row: to_instant(row["end_instant"]), sql, job)
        return found[0] if found else None

    def last_row(self, job: str) -> Run | None:
        """The job's last ended row of whatever outcome (to extend a `skipped` row by one slot)."""
        with self._disk.lock:
            if job not in self._last_row:
                self._look_up_last(job)
            return self._last_row.get(job)

    def run(self, run_id: str) -> Run | None:
        """One row, whatever its state."""
        with self._disk.lock:
            if run_id in self._unfinished:
                return self._unfinished[run_id]
            found = self._disk.read(run_of, _ROW, run_id)
            return found[0] if found else None

    def rows(self, *, backup_set: str = "", kind: Kind | None = None, limit: int = 50) -> tuple[Run, ...]:
        """Ended rows, newest end first."""
        if not backup_set:
            if kind is None:
                return tuple(self._disk.read(run_of, _ROWS, limit))
            return tuple(self._disk.read(run_of, _ROWS_OF_KIND, kind.value, limit))
        found: list[Run] = []
        for each in tuple(Kind) if kind is None else (kind,):
            found += self._disk.read(run_of, _ROWS_OF_JOB, job_id(each, backup_set), limit)
        return tuple(sorted(found, key=_end_order, reverse=True)[:limit])

    # -- memory ---------------------------------------------------------------------------------------

    def _acceptable(self, runs: Sequence[Run]) -> list[Run]:
        """Return the rows to insert; raises ValueError before anything is changed."""
        new: list[Run] = []
        for run in runs:
            if any(run.run_id == other.run_id for other in new) or self.run(run.run_id) is not None:
                raise ValueError(f"there is a row {run.run_id} already")
            self._refuse_second(run, [*self._unfinished.values(), *new])
            new.append(run)
        return new

    def _refuse_second(self, run: Run, others: Iterable[Run]) -> None:
        if run.outcome is not None:
            return
        for other in others:
            if other.outcome is None and other.job == run.job and other.run_id != run.run_id:
                raise SecondRowError(f"{run.job} has an unfinished row already: {other.run_id}")

    def _remember(self, run: Run) -> None:
        if run.outcome is None:
            self._unfinished[run.run_id] = run
            return
        self._unfinished.pop(run.run_id, None)
        _keep_later(self._last_row, run)
        if run.outcome not in _NOT_MADE:
            _keep_later(self._last_made, run)

    def _forget_last(self, run: Run) -> bool:
        """Forget a last row that is about to be replaced: it may be the last one no longer."""
        was_last = False
        for last in (self._last_row, self._last_made):
            if run.job in last and last[run.job].run_id == run.run_id:
                del last[run.job]
                was_last = True
        return was_last

    def _look_up_last(self, job: str) -> None:
        for run in self._disk.read(run_of, _LAST_ROW, job):
            _keep_later(self._last_row, run)
            made = [run] if run.outcome not in _NOT_MADE else self._disk.read(run_of, _LAST_MADE, job)
            for last in made:
                _keep_later(self._last_made, last)

    def _survivors(self, now: datetime) -> list[Statement]:
        """Statements that bring what is remembered into a file that may know less, or something stale."""
        known = [*self._last_row.values(), *self._last_made.values(), *self._unfinished.values()]
        return [
            (_END_STRANGERS, (to_text(now), json.dumps(list(self._unfinished)))),
            *(put_watched(watched) for watched in self._watched.values()),
            *(put_run(run) for run in known),
        ]


def _end_order(run: Run) -> tuple[datetime, datetime, str]:
    return (run.ended or run.last_slot or run.slot, run.slot, run.run_id)


def _keep_later(last: dict[str, Run], run: Run) -> None:
    """Keep the row that ended later."""
    if run.job not in last or _end_order(run) >= _end_order(last[run.job]):
        last[run.job] = run
