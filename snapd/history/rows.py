"""Facts as SQLite keeps them, and back: text, integers, instants.

An instant is text of fixed width in UTC, `2026-01-31T12:00:00.000000Z`, so that the order of texts is the
order of time. Text that is no Unicode (a file name in an old encoding) is escaped, never refused.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime

from snapd.history.facts import KnownArchive, Proof, Restore, Run, Watched
from snapd.model import Archive, Cause, Kind, Outcome

Value = str | int | float | None
Statement = tuple[str, tuple[Value, ...]]

_PUT_RUN = """
    INSERT OR REPLACE INTO runs (
        run_id, job, kind, backup_set, slot, cause, last_slot, slots, not_before, attempts, failures, unclean,
        started, ended, outcome, archive, bytes_total, bytes_new, error_code, message, hint, details
    ) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_PUT_RESTORE = """
    INSERT OR REPLACE INTO restores (at, backup_set, archive, target, paths, seconds, uid, error)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
_PUT_WATCHED = "INSERT OR REPLACE INTO watched (job, expression, timezone, through) VALUES (?, ?, ?, ?)"


def to_text(instant: datetime) -> str:
    """Return an aware instant as text; raises ValueError for a naive one, which would mean nothing later."""
    if instant.tzinfo is None:
        raise ValueError(f"{instant} has no time zone")
    return instant.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def to_instant(text: str) -> datetime:
    """Return stored text as an aware instant in UTC; raises ValueError for anything else."""
    return datetime.fromisoformat(text).astimezone(UTC)


def put_run(run: Run) -> Statement:
    """Insert or replace one row. Values of `details` that JSON does not know become their text."""
    return _PUT_RUN, (
        run.run_id,
        run.job,
        run.kind.value,
        run.backup_set,
        to_text(run.slot),
        run.cause.value,
        _text_or_none(run.last_slot),
        run.slots,
        _text_or_none(run.not_before),
        run.attempts,
        run.failures,
        run.unclean,
        _text_or_none(run.started),
        _text_or_none(run.ended),
        run.outcome.value if run.outcome else None,
        plain(run.archive),
        run.bytes_total,
        run.bytes_new,
        run.error_code,
        plain(run.message),
        plain(run.hint),
        json.dumps(run.details, default=str),
    )


def as_stored(run: Run) -> Run:
    """Return a row as reading it back will give it: memory and file must never tell two stories."""
    return replace(
        run,
        archive=plain(run.archive),
        message=plain(run.message),
        hint=plain(run.hint),
        details=json.loads(json.dumps(run.details, default=str)),
    )


def run_of(row: sqlite3.Row) -> Run:
    """Read one row of `runs` or `ended_runs`; raises ValueError or TypeError for a damaged one."""
    return Run(
        run_id=row["run_id"],
        job=row["job"],
        kind=Kind(row["kind"]),
        backup_set=row["backup_set"],
        slot=to_instant(row["slot"]),
        cause=Cause(row["cause"]),
        last_slot=_instant_or_none(row["last_slot"]),
        slots=row["slots"],
        not_before=_instant_or_none(row["not_before"]),
        attempts=row["attempts"],
        failures=row["failures"],
        unclean=row["unclean"],
        started=_instant_or_none(row["started"]),
        ended=_instant_or_none(row["ended"]),
        outcome=Outcome(row["outcome"]) if row["outcome"] is not None else None,
        archive=row["archive"],
        bytes_total=row["bytes_total"],
        bytes_new=row["bytes_new"],
        error_code=row["error_code"],
        message=row["message"],
        hint=row["hint"],
        details=json.loads(row["details"]),
    )


def put_watched(watched: Watched) -> Statement:
    """Insert or replace one job."""
    return _PUT_WATCHED, (watched.job, watched.expression, watched.timezone, to_text(watched.through))


def watched_of(row: sqlite3.Row) -> Watched:
    return Watched(row["job"], row["expression"], row["timezone"], to_instant(row["through"]))


def archive_of(row: sqlite3.Row) -> KnownArchive:
    """Read one row of `archives` that was seen at least once."""
    return KnownArchive(
        Archive(row["name"], to_instant(row["created"]), bool(row["complete"]), bool(row["suspect"])),
        store=row["store"],
        backup_set=row["backup_set"],
        seen=to_instant(row["seen"]),
        encrypted=None if row["encrypted"] is None else bool(row["encrypted"]),
    )


def proof_of(row: sqlite3.Row) -> Proof:
    return Proof(
        row["backup_set"], row["archive"], to_instant(row["passed"]), row["seconds"], row["data_age"]
    )


def put_restore(restore: Restore) -> Statement:
    """Insert or replace one restore."""
    return _PUT_RESTORE, (
        to_text(restore.at),
        restore.backup_set,
        plain(restore.archive),
        plain(restore.target),
        json.dumps([plain(path) for path in restore.paths]),
        restore.seconds,
        restore.uid,
        plain(restore.error),
    )


def restore_of(row: sqlite3.Row) -> Restore:
    """Read one row of `restores`; raises ValueError or TypeError for a damaged one."""
    return Restore(
        backup_set=row["backup_set"],
        archive=row["archive"],
        target=row["target"],
        at=to_instant(row["at"]),
        seconds=row["seconds"],
        paths=tuple(json.loads(row["paths"])),
        uid=row["uid"],
        error=row["error"],
    )


def plain(text: str) -> str:
    """Return text that UTF-8 can hold: lone surrogates, as in undecodable file names, become `\\udcff`."""
    return text.encode("utf-8", "backslashreplace").decode()


def _text_or_none(instant: datetime | None) -> str | None:
    return None if instant is None else to_text(instant)


def _instant_or_none(text: str | None) -> datetime | None:
    return None if text is None else to_instant(text)
