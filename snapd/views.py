"""Facts as programs see them: the JSON forms of docs/json.md. Instants are ISO 8601 in UTC."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from snapd.config import BackupSet
from snapd.errors import UsageError
from snapd.history import KnownArchive, Pin, Restore, Run
from snapd.lights import Lights
from snapd.model import Problem, Progress

LONGEST_TEXT = 4096
MOST_PATHS = 1000
_LONGEST_S = 10 * 365 * 86400.0

MOST_NAMED = 5


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


def pin_json(pin: Pin) -> dict[str, Any]:
    return {
        "store": pin.store,
        "backup_set": pin.backup_set,
        "archive": pin.archive,
        "pinned": pin.pinned.isoformat(),
        "uid": pin.uid,
        "reason": pin.reason or None,
    }


def lost_pins(backup_set: BackupSet, pins: Iterable[Pin], known: Iterable[KnownArchive]) -> list[str]:
    """Name what is pinned of a set and was not there any more when its store was last listed."""
    there = {item.archive.name for item in known}
    mine = (pin.archive for pin in pins if backup_set.owns(pin.archive))
    return [name for name in mine if name not in there]


def restore_json(restore: Restore) -> dict[str, Any]:
    """A restore by hand as programs see it."""
    return {
        "at": restore.at.isoformat(),
        "backup_set": restore.backup_set,
        "archive": restore.archive,
        "to": restore.target,
        "paths": list(restore.paths),
        "duration_s": restore.seconds,
        "uid": restore.uid,
        "outcome": "failed" if restore.error else "ok",
        "error": restore.error or None,
    }


def restore_told(told: Mapping[str, Any], *, at: datetime, uid: int) -> Restore:
    """Read a restore as whoever made it tells it. Raises UsageError for what is not believable."""
    paths, error = told["paths"], told["error"]
    if not isinstance(paths, list) or len(paths) > MOST_PATHS:
        raise UsageError(f"the paths must be a list of at most {MOST_PATHS}")
    return Restore(
        backup_set=_text(told, "set"),
        archive=_text(told, "archive"),
        target=_text(told, "to"),
        at=at,
        seconds=_seconds(told["seconds"]),
        paths=tuple(_text({"paths": path}, "paths") for path in paths),
        uid=uid,
        error="" if error is None else _text(told, "error"),
    )


def _text(told: Mapping[str, Any], key: str) -> str:
    text = told[key]
    if not isinstance(text, str) or not 0 < len(text) <= LONGEST_TEXT:
        raise UsageError(f"malformed request: {key!r} must be a text of 1 to {LONGEST_TEXT} characters")
    return text


def _seconds(count: object) -> float:
    if isinstance(count, bool) or not isinstance(count, int | float):
        raise UsageError("malformed request: the seconds must be a number")
    if not 0 <= count <= _LONGEST_S:  # nor is a NaN
        raise UsageError("malformed request: the seconds must be from 0 to ten years")
    return float(count)


def lights_json(lights: Lights) -> dict[str, Any]:
    return {label: {"on": light.on, "why": light.why} for label, light in lights}


def standing_json(completed: datetime | None, late: timedelta | None, why: str) -> dict[str, Any]:
    """How an expiry stands; `why` says what is in its way, when it is late."""
    return {
        "completed": _iso(completed),
        "late_s": None if late is None else late.total_seconds(),
        "why": why if late is not None else None,
    }


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


def some_of(names: Sequence[str], all_of_them: int) -> str:
    """Name a few, count the rest: `mail, web`, `all sets`."""
    if len(names) == all_of_them > 1:
        return "all sets"
    more = len(names) - MOST_NAMED
    return ", ".join([*names[:MOST_NAMED], *([f"and {more} more"] if more > 0 else [])])
