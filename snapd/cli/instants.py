"""Instants as they are typed: ISO 8601, on the clocks of a time zone where no offset is given."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib import import_module
from zoneinfo import ZoneInfo

FIRST_YEAR, LAST_YEAR = 1000, 9000  # room at both ends of Python's calendar for every zone and span


def read_instant(text: str, zone: ZoneInfo) -> datetime:
    """Return an instant in UTC. One that the clocks show twice is the first of the two.

    Raises ValueError with one sentence.
    """
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        shown = repr(text[:40])
        raise ValueError(
            f"{shown} is no instant: ISO 8601 is meant, such as 2026-11-23T04:00+01:00"
        ) from None
    if not FIRST_YEAR <= read.year < LAST_YEAR:
        raise ValueError(f"{text!r} lies outside the years {FIRST_YEAR} to {LAST_YEAR}")
    return (read if read.tzinfo else read.replace(tzinfo=zone)).astimezone(UTC)


def read_or_now(text: str | None, zone: ZoneInfo) -> datetime:
    """Return the instant of a text, or now where there is none.

    The clock is in the runner, which is slow to import: only those who ask it wait for that.
    """
    if text is not None:
        return read_instant(text, zone)
    now: datetime = import_module("snapd.runner").wall_clock()
    return now
