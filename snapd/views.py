"""Facts as programs see them: the JSON forms of docs/json.md. Instants are ISO 8601 in UTC."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from snapd.history import KnownArchive, Run
from snapd.lights import Lights
from snapd.model import Problem, Progress


def _iso(instant: datetime | None) -> str | None:
    return instant.isoformat() if instant else None


def run_json(run: Run) -> dict[str, Any]:
    """A row of the history as programs see it."""
    duration = (run.ended - run.started).total_seconds() if run.ended and run.started else None
    return {
        "run_id": run.run_id,
        "job": run.job,
        "kind": run.kind.value,
        "backup_set": run.backup_set,
        "slot": run.slot.isoformat(),
        "last_slot": _iso(run.last_slot),
        "slots": run.slots,
        "cause": run.cause.value,
        "attempts": run.attempts,
        "failures": run.failures,
        "not_before": _iso(run.not_before),
        "started": _iso(run.started),
        "ended": _iso(run.ended),
        "duration_s": duration,
        "outcome": run.outcome.value if run.outcome else None,
        "archive": run.archive or None,
        "bytes_total": run.bytes_total,
        "bytes_new": run.bytes_new,
        "error_code": run.error_code or None,
        "message": run.message or None,
        "hint": run.hint or None,
        "details": run.details,
    }


def known_json(known: KnownArchive) -> dict[str, Any]:
    return {
        "name": known.archive.name,
        "created": known.archive.created.isoformat(),
        "complete": known.archive.complete,
        "suspect": known.archive.suspect,
        "listed": known.seen.isoformat(),
    }


def lights_json(lights: Lights) -> dict[str, Any]:
    return {label: {"on": light.on, "why": light.why} for label, light in lights}


def problem_json(problem: Problem) -> dict[str, Any]:
    return {
        "message": problem.message,
        "hint": problem.hint,
        "store": problem.store or None,
        "backup_set": problem.backup_set or None,
    }


def progress_json(progress: Progress) -> dict[str, Any]:
    return {
        "files": progress.files,
        "bytes": progress.bytes_read,
        "bytes_total": progress.bytes_total,
        "path": progress.path,
    }
