"""What the history tells: frozen values, one per kind of fact."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from snapd.model import Archive, Cause, Kind, Outcome


class SecondRowError(ValueError):
    """A job has an unfinished row already."""


@dataclass(frozen=True, slots=True)
class Run:
    """One row: a run that is due, running or ended, or slots that no run was made for.

    Unfinished rows have no outcome. `slot` is the instant the run is for (a manual run: when it was asked
    for); a `missed` or `skipped` row covers `slots` slots from `slot` to `last_slot`. `not_before` delays a
    retry. `attempts` counts starts; `failures` counts failed attempts in a row, taken over from the row
    before when a slot takes over; `unclean` counts starts that ended without a stop marker. `details` holds
    JSON values.
    """

    run_id: str
    job: str
    kind: Kind
    backup_set: str
    slot: datetime
    cause: Cause
    last_slot: datetime | None = None
    slots: int = 1
    not_before: datetime | None = None
    attempts: int = 0
    failures: int = 0
    unclean: int = 0
    started: datetime | None = None
    ended: datetime | None = None
    outcome: Outcome | None = None
    archive: str = ""
    bytes_total: int | None = None
    bytes_new: int | None = None
    error_code: str = ""
    message: str = ""
    hint: str = ""
    details: dict[str, object] = field(default_factory=dict)

    @property
    def running(self) -> bool:
        return self.started is not None and self.outcome is None


@dataclass(frozen=True, slots=True)
class Watched:
    """A job as the history last knew it: schedule, zone, and the instant its slots are accounted for."""

    job: str
    expression: str
    timezone: str
    through: datetime


@dataclass(frozen=True, slots=True)
class Proof:
    """A restore test that passed; `seconds` it took; `data_age`, if told: seconds of its newest row."""

    backup_set: str
    archive: str
    passed: datetime
    seconds: float
    data_age: float | None = None


@dataclass(frozen=True, slots=True)
class Pin:
    """An archive that an operator wants kept since `pinned`, whatever the policy says. `uid` is the user who
    asked, as the kernel says; `reason` are his words, or empty.
    """

    store: str
    archive: str
    backup_set: str
    pinned: datetime
    uid: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Restore:
    """A restore by hand that ended at `at`. `archive` went below the folder `target`, all of it or `paths`
    only, in `seconds`. `uid` is the user who asked, as the kernel says; `error` is empty when it went well.
    """

    backup_set: str
    archive: str
    target: str
    at: datetime
    seconds: float
    paths: tuple[str, ...] = ()
    uid: int | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class KnownArchive:
    """An archive of a set as last listed, with what we know of it."""

    archive: Archive
    store: str
    backup_set: str
    seen: datetime
    encrypted: bool | None = None
