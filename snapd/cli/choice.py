"""Which archive a restore takes. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from snapd.errors import UsageError
from snapd.model import Archive

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for: an archive by name, the newest one made at or before an instant, or the newest."""

    name: str | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """The archive to restore, and what its operator should know about it."""

    archive: Archive
    note: str = ""


def instant_of(text: str) -> datetime:
    """Read an instant: ISO 8601, on this machine's clocks where it has no offset. Raises UsageError."""
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"{text!r} is no instant", hint="write 2026-11-23, 2026-11-23T04:00 or 2026-11-23T04:00+01:00"
        ) from error


def choose(archives: Sequence[Archive], wanted: Wanted, backup_set: str) -> Choice:
    """Choose among the archives of a set, in any order. One by name may be anything; else a complete one is
    taken, a suspect one only where no other is left. Raises UsageError that shows what there is.
    """
    newest_first = sorted(archives, key=lambda item: (item.created, item.name), reverse=True)
    if wanted.name is not None:
        return _by_name(newest_first, wanted.name, backup_set)
    fitting = [item for item in newest_first if wanted.at is None or item.created <= wanted.at]
    whole = [item for item in fitting if item.complete]
    if not whole:
        raise _none(newest_first, wanted, backup_set)
    good = [item for item in whole if not item.suspect]
    if not good:
        return Choice(whole[0], "every archive that fits is suspect, a dump inside shrank: look at it")
    left_out = [item.name for item in fitting[: fitting.index(good[0])]]
    note = f"left out as incomplete or suspect: {', '.join(left_out)}" if left_out else ""
    return Choice(good[0], note)


def _by_name(newest_first: Sequence[Archive], name: str, backup_set: str) -> Choice:
    found = next((item for item in newest_first if item.name == name), None)
    if found is None:
        hint = _what_there_is(newest_first, backup_set)
        raise UsageError(f"{backup_set} has no archive {name!r}", hint=hint)
    return Choice(found, "" if found.complete else "this archive is incomplete")


def _none(newest_first: Sequence[Archive], wanted: Wanted, backup_set: str) -> UsageError:
    when = f" made by {wanted.at:%Y-%m-%d %H:%M}" if wanted.at else ""
    return UsageError(
        f"{backup_set} has no complete archive{when}", hint=_what_there_is(newest_first, backup_set)
    )


def _what_there_is(newest_first: Sequence[Archive], backup_set: str) -> str:
    if not newest_first:
        return "the store holds no archive whose name is like this set's"
    names = ", ".join(item.name for item in newest_first[:_SHOWN])
    return f"the newest are {names}; `snapd-backup archives {backup_set}` lists all"
