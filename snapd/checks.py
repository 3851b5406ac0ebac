"""Judge the checks of a restore test: what was expected against what was seen. Pure.

Age is measured against the creation of the archive, not against now: an old archive may be perfectly good.
Limits come as plain parameters, one function per kind of check.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from snapd.model import Finding
from snapd.units import format_duration, format_size

# A file may change while it is archived, a creation may take long, and a database may keep local time.
AHEAD_AT_MOST = timedelta(days=1)
_ZERO = timedelta(0)
_LONGEST_SHOWN = 200
_UNIX_TIME = re.compile(r"-?[0-9]{9,}(?:\.[0-9]+)?")
_MILLISECONDS_FROM = 1e11  # as seconds that is the year 5138, as milliseconds 1973

Scalar = str | int | float | None


@dataclass(frozen=True, slots=True)
class Tree:
    """The files below a restored path, or the one file that it is. `newest` is None when there are none."""

    files: int
    bytes: int
    newest: datetime | None


@dataclass(frozen=True, slots=True)
class Judged:
    """The finding, and how old the newest data was when the archive was created, if the check could tell."""

    finding: Finding
    data_age: timedelta | None = None


def judge_path(
    path: str,
    seen: Tree | None,
    *,
    min_files: int | None,
    min_bytes: int | None,
    newest_within: timedelta | None,
    created: datetime,
) -> Judged:
    """Judge a restored path; `seen` is None when it is not there. No files fail, unless `min_files` is 0."""
    fewest = 1 if min_files is None else min_files
    expected = [f"at least {_files(fewest)}"]
    if min_bytes is not None:
        expected.append(f"at least {format_size(min_bytes)}")
    if newest_within is not None:
        expected.append(f"the newest within {format_duration(newest_within)}")

    def judged(text: str, passed: bool | None, age: timedelta | None = None) -> Judged:
        return Judged(Finding(f"path {path}", ", ".join(expected), text, passed), _told(age))

    if seen is None:
        return judged("not in the archive", False)
    age = created - seen.newest if seen.newest else None
    text = ", ".join(
        [
            _files(seen.files),
            format_size(seen.bytes),
            *([f"the newest {_age(age)}"] if age is not None else []),
        ]
    )
    if seen.files < fewest or seen.bytes < (min_bytes or 0):
        return judged(text, False, age)
    return judged(text, True if newest_within is None else _recent(age, newest_within), age)


def judge_query(
    query: str,
    value: Scalar,
    *,
    newer_than: timedelta | None = None,
    at_least: int | float | None = None,
    equals: str | int | float | None = None,
    created: datetime,
) -> Judged:
    """Judge the one value of a query; NULL and no row (both None) fail. Without a limit any value passes."""
    if newer_than is not None:
        return _judge_newer(query, value, newer_than, created)
    if at_least is not None:
        number = _number(value)
        return _query(query, f"at least {at_least}", value, number is not None and number >= at_least)
    if equals is not None:
        return _query(query, f"equal to {_shown(equals)}", value, _equal(value, equals))
    return _query(query, "a value", value, value is not None)


def judge_command(
    argv: Sequence[str], exit_status: int | None, tail: str, *, time_limit: timedelta | None = None
) -> Judged:
    """Judge a command by its exit status; negative is the signal it died by, None that its time was up.

    `tail` is the end of what it said; its last line is shown.
    """
    expected = "exit status 0" + (f" within {format_duration(time_limit)}" if time_limit else "")
    if exit_status is None:
        seen = "not ended in time"
    elif exit_status < 0:
        seen = f"killed by signal {-exit_status}"
    else:
        seen = f"exit status {exit_status}"
    said = next((line.strip() for line in reversed(tail.splitlines()) if line.strip()), "")
    text = f"{seen}: {_cut(said)}" if said and exit_status != 0 else seen
    return Judged(Finding(f"command {_cut(shlex.join(argv))}", expected, text, exit_status == 0))


def read_instant(value: Scalar) -> datetime | None:
    """Return the instant that a database means, aware in UTC; None when it is none.

    Understood are ISO 8601 texts and `YYYY-MM-DD HH:MM:SS` (UTC where they name no offset), a date (its
    midnight), and Unix time in seconds or milliseconds, as a number or as a text of at least nine digits.
    """
    if isinstance(value, str):
        text = value.strip()
        return _from_unix(text) if _UNIX_TIME.fullmatch(text) else _from_iso(text)
    if value is None or isinstance(value, bool):
        return None
    return _from_unix(value)


def _from_iso(text: str) -> datetime | None:
    try:
        instant = datetime.fromisoformat(text)
        return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def _from_unix(number: str | float) -> datetime | None:
    try:
        seconds = float(number)
        if abs(seconds) >= _MILLISECONDS_FROM:
            seconds /= 1000
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    except (OverflowError, ValueError):  # too far away, or not a number
        return None


def _judge_newer(query: str, value: Scalar, newer_than: timedelta, created: datetime) -> Judged:
    expected = f"newer than {format_duration(newer_than)} before the archive"
    instant = read_instant(value)
    if instant is None:
        return _query(query, expected, value, False, note="" if value is None else ", which is no time")
    age = created - instant
    return _query(query, expected, value, _recent(age, newer_than), age=age, note=f", {_age(age)}")


def _query(
    query: str,
    expected: str,
    value: Scalar,
    passed: bool | None,
    *,
    age: timedelta | None = None,
    note: str = "",
) -> Judged:
    seen = "no value (no row, or NULL)" if value is None else f"{_shown(value)}{note}"
    return Judged(Finding(f"query {_cut(query)}", expected, seen, passed), _told(age))


def _recent(age: timedelta | None, limit: timedelta) -> bool | None:
    """Passed, failed, or None: data from the future say nothing about how fresh the rest is."""
    if age is None:
        return False
    return None if age < -AHEAD_AT_MOST else age <= limit


def _told(age: timedelta | None) -> timedelta | None:
    """The age to record: none for data from the future, zero for what changed while it was archived."""
    return None if age is None or age < -AHEAD_AT_MOST else max(age, _ZERO)


def _age(age: timedelta) -> str:
    if age < -AHEAD_AT_MOST:
        return f"{format_duration(-age)} after the archive, so how fresh the data is cannot be told"
    return f"{format_duration(age)} before the archive" if age > _ZERO else "as new as the archive"


def _number(value: Scalar) -> float | None:
    """A number, or a text that is one; None for anything else, NaN included."""
    if value is None or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return None if math.isnan(number) else number


def _equal(value: Scalar, expected: str | int | float) -> bool:
    if isinstance(value, str) or isinstance(expected, str):
        return value is not None and str(value) == str(expected)
    return value == expected


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def _shown(value: str | int | float) -> str:
    return repr(_cut(value)) if isinstance(value, str) else str(value)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
