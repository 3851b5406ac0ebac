"""Facts in words: instants, ages, sizes, outcomes. Works on the JSON forms that the daemon answers with."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from snapd.cli.output import escaped
from snapd.cli.table import Cell
from snapd.units import format_duration, format_size

Facts = Mapping[str, Any]

OUTCOME_COLOURS = {
    "ok": "green",
    "warning": "yellow",
    "failed": "red",
    "missed": "red",
    "skipped": "yellow",
    "interrupted": "yellow",
}
EXIT_OF_OUTCOME = {"ok": 0, "warning": 3}
FAILED = 1
KINDS = {"backup": "backup", "restore-test": "restore test", "expire": "expiry"}


def instant(text: str) -> datetime:
    """Read an instant of the daemon: ISO 8601, aware."""
    read = datetime.fromisoformat(text)
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def local(text: str | None) -> str:
    """Return an instant on this machine's clock, to the minute."""
    return instant(text).astimezone().strftime("%Y-%m-%d %H:%M") if text else ""


def stretch(first: str, last: str) -> str:
    """Return two instants on this machine's clock, to the second where they are within one minute."""
    if local(first) != local(last):
        return f"{local(first)} to {local(last)}"
    return " to ".join(f"{local(text)}:{instant(text):%S}" for text in (first, last))


def span(delta: timedelta) -> str:
    """Return a span in one unit, or in two where the largest counts less than ten: `45m`, `2h 3m`, `12d`."""
    parts = format_duration(max(delta, timedelta(0))).split()
    return parts[0] if len(parts) == 1 or int(parts[0][:-1]) >= 10 else " ".join(parts)


def seconds(count: float) -> str:
    """Return seconds as a span; one digit after the point below ten."""
    return f"{count:.1f}s" if count < 10 else format_duration(timedelta(seconds=count))


def age(text: str, now: datetime) -> str:
    """Return how long ago an instant was: `3m`."""
    return span(now - instant(text))


def ago(text: str, now: datetime) -> str:
    then = instant(text)
    return f"{span(now - then)} ago" if then <= now else f"in {span(then - now)}"


def ahead(text: str, now: datetime) -> str:
    """Return how far away a coming instant is."""
    then = instant(text)
    return f"in {span(then - now)}" if then > now else "now"


def size(count: int | None) -> str:
    return "" if count is None else format_size(count)


def outcome(run: Facts) -> Cell:
    """Return the outcome of a run, or what it does now."""
    word = run["outcome"] or ("running" if run["started"] else "due")
    return Cell(word, OUTCOME_COLOURS.get(word, "cyan"))


def kind(name: str) -> str:
    return KINDS.get(name, escaped(name))


def job(name: str) -> str:
    """Return a job id in words: `backup of mail`."""
    what, _, backup_set = name.partition(":")
    return f"{kind(what)} of {escaped(backup_set)}" if backup_set else escaped(name)


def progress(facts: Facts) -> str:
    """Return how far a run is; empty when it has told nothing yet.

    Of what counts nothing, as a repair, the step that it is at is shown.
    """
    parts = []
    if facts["files"]:
        parts.append(f"{facts['files']:,} files")
    if facts["bytes"]:
        of = f" of {format_size(facts['bytes_total'])}" if facts["bytes_total"] else ""
        parts.append(format_size(facts["bytes"]) + of)
    return ", ".join(parts) or escaped(facts["path"] or "")


def holder(facts: Facts, now: datetime | None = None) -> str:
    """Say who holds the single lock."""
    if not facts["pid"]:
        return "another process"
    run = f"run {escaped(facts['run_id'])}, " if facts["run_id"] else ""
    since = f" since {local(facts['since'])}" if now is None else f" for {age(facts['since'], now)}"
    return f"{job(facts['job'])} ({run}process {facts['pid']}){since}"


def next_of(job: Facts | None, now: datetime) -> Cell:
    """Say when a job runs next, or what it does now."""
    if job is None:
        return Cell("no job")
    run = job["unfinished"]
    if run is not None:
        if run["started"]:
            return Cell("running", "cyan")
        if run["not_before"] and instant(run["not_before"]) > now:
            return Cell(f"retry {ahead(run['not_before'], now)}", "yellow")
        return Cell("due now", "cyan")
    return Cell(ahead(job["next"], now) if job["next"] else "when asked")
