"""Rows for the tests of the history."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

from snapd.history import Run
from snapd.model import Cause, Kind, Outcome, split_job_id

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
_numbers = count()


def due(job: str = "backup:mail", slot: datetime = NOW, cause: Cause = Cause.SCHEDULE) -> Run:
    kind, backup_set = split_job_id(job)
    return Run(f"run-{next(_numbers)}", job, kind, backup_set, slot, cause)


def started(run: Run) -> Run:
    return replace(run, started=run.slot, attempts=run.attempts + 1)


def ended(run: Run, outcome: Outcome = Outcome.OK, at: datetime | None = None) -> Run:
    return replace(started(run), ended=at or run.slot + MINUTE, outcome=outcome)


def missed(job: str = "backup:mail", slot: datetime = NOW, at: datetime | None = None) -> Run:
    return replace(
        due(job, slot),
        outcome=Outcome.MISSED,
        slots=3,
        last_slot=slot + 2 * MINUTE,
        ended=at or slot + MINUTE,
    )


ALL_KINDS = tuple(Kind)
