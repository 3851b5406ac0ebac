"""The only SQLite of ours: what happened, what is due, what is proven.

One file `history.sqlite` in the state folder, WAL, numbered migrations. Instants are stored as ISO 8601 text in
UTC, spans in seconds, sizes in bytes. Safe to use from several threads of one process; only the daemon (or a
command in its place, under the single lock) writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from snapd.model import Archive, Cause, Kind, Outcome, Result


@dataclass(frozen=True, slots=True)
class Run:
    """One row: a run that is due, running or ended, or slots that no run was made for.

    Unfinished rows have no outcome. `slot` is the instant the run is for (a manual run: when it was asked for);
    a `missed` or `skipped` row covers `slots` slots from `slot` to `last_slot`. `not_before` delays a retry.
    `attempts` counts starts; `failures` counts failed attempts in a row, taken over from the row before when
    a slot takes over; `unclean` counts starts that ended without a stop marker. `details` holds JSON values.
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
    """A job as the history last knew it: its schedule, its zone, and the instant its slots are accounted for."""

    job: str
    expression: str
    timezone: str
    through: datetime


@dataclass(frozen=True, slots=True)
class Proof:
    """A restore test that passed. `seconds` it took; `data_age` in seconds of the newest row or file, if told."""

    backup_set: str
    archive: str
    passed: datetime
    seconds: float
    data_age: float | None = None


@dataclass(frozen=True, slots=True)
class KnownArchive:
    """An archive of a set as last listed, with what we know of it."""

    archive: Archive
    store: str
    backup_set: str
    seen: datetime
    encrypted: bool | None = None


class History:
    """Rows of `history.sqlite`, and in memory what a full disk did not take yet.

    Opening never fails for damage: the file is moved aside as `history.sqlite.damaged-YYYYMMDD-HHMMSS`, an empty
    one is started and `rebuilt` tells so. Raises `HistoryTooNewError` for a file of a newer program.
    A write that the disk refuses stays in memory, is retried at every later write and by `flush`, and shows in
    `unwritten`; reads of unfinished rows and of each job's last ended row always include it.
    """

    def __init__(self, folder: Path, *, now: datetime) -> None:
        self.folder = folder
        self.rebuilt = False  # started empty in place of a damaged file, in this process

    def close(self) -> None: ...

    # -- the clock's memory ---------------------------------------------------------------------------

    def watched(self) -> dict[str, Watched]:
        """Every known job by id."""
        raise NotImplementedError

    def watch(self, jobs: Iterable[Watched]) -> None:
        """Insert or replace jobs (one transaction)."""
        raise NotImplementedError

    def unwatch(self, jobs: Iterable[str]) -> None:
        """Forget jobs; their rows stay."""
        raise NotImplementedError

    # -- rows -----------------------------------------------------------------------------------------

    def add(self, runs: Sequence[Run]) -> None:
        """Insert rows (one transaction). A due row for a job that has an unfinished one raises ValueError;
        one whose job and slot are there already (missed and skipped rows apart) is left out silently.
        """
        raise NotImplementedError

    def update(self, run: Run) -> None:
        """Replace the row with the same `run_id`."""
        raise NotImplementedError

    def unfinished(self) -> tuple[Run, ...]:
        """Due and running rows, from memory, in the order of the agenda: kind's rank, then slot."""
        raise NotImplementedError

    def last(self, job: str) -> Run | None:
        """The job's last ended row that was a run (not missed, not skipped)."""
        raise NotImplementedError

    def last_row(self, job: str) -> Run | None:
        """The job's last ended row of whatever outcome (to extend a `skipped` row by one slot)."""
        raise NotImplementedError

    def run(self, run_id: str) -> Run | None:
        raise NotImplementedError

    def rows(self, *, backup_set: str = "", kind: Kind | None = None, limit: int = 50) -> tuple[Run, ...]:
        """Ended rows, newest end first."""
        raise NotImplementedError

    # -- archives, dumps, proofs ----------------------------------------------------------------------

    def names_used(self, store: str) -> frozenset[str]:
        """Every archive name ever tried or seen in a store, deleted ones included."""
        raise NotImplementedError

    def record_name(self, store: str, backup_set: str, name: str, now: datetime) -> None:
        """Remember that a creation under this name is about to start."""
        raise NotImplementedError

    def record_archive(self, known: KnownArchive) -> None:
        """Insert or replace one archive that was seen in its store."""
        raise NotImplementedError

    def record_listing(
        self, store: str, backup_set: str, archives: Sequence[Archive], now: datetime
    ) -> tuple[Archive, ...]:
        """Make a complete listing of one set the truth: unseen ones are gone. Keeps our own marks, and
        returns the listing with `suspect` set where we know it to be.
        """
        raise NotImplementedError

    def record_deleted(self, store: str, names: Sequence[str], now: datetime) -> None:
        raise NotImplementedError

    def known_archives(self, backup_set: str) -> tuple[KnownArchive, ...]:
        """Archives of a set that were there when last looked, newest first."""
        raise NotImplementedError

    def record_dumps(self, backup_set: str, archive: str, sizes: dict[str, int], now: datetime) -> None:
        """Remember dump sizes (bytes by dump name) of an archive."""
        raise NotImplementedError

    def last_good_dump(self, backup_set: str, dump: str) -> int | None:
        """Bytes of this dump in the newest archive of the set that is not suspect; None when there is none."""
        raise NotImplementedError

    def set_suspect(self, store: str, archive: str, suspect: bool) -> None:
        raise NotImplementedError

    def record_proof(self, proof: Proof) -> None:
        """Remember a passed restore test; its archive is no longer suspect."""
        raise NotImplementedError

    def proofs(self, backup_set: str) -> tuple[Proof, ...]:
        """Newest first."""
        raise NotImplementedError

    # -- expiry and the operator ----------------------------------------------------------------------

    def completed_policy(self, backup_set: str) -> str | None:
        """Fingerprint of the policy of the last completed expiry; None when none was ever completed."""
        raise NotImplementedError

    def record_expiry(self, backup_set: str, policy: str, now: datetime) -> None:
        raise NotImplementedError

    def approve(self, backup_set: str, names: Sequence[str], policy: str, now: datetime) -> None:
        """Remember the names an operator approved for deletion under a policy; replaces an older approval."""
        raise NotImplementedError

    def approved(self, backup_set: str, policy: str, now: datetime) -> frozenset[str]:
        """Names approved under this policy within the last 7 days."""
        raise NotImplementedError

    def withdraw_approval(self, backup_set: str) -> None:
        raise NotImplementedError

    def pause(self, backup_set: str, until: datetime | None) -> None:
        """Pause a set's jobs until an instant; None resumes."""
        raise NotImplementedError

    def paused_until(self, backup_set: str, now: datetime) -> datetime | None:
        raise NotImplementedError

    def note(self, key: str, value: str | None) -> None:
        """Keep one fact about the daemon itself (None forgets it): `clean-stop`, `rebuilt`."""
        raise NotImplementedError

    def noted(self, key: str) -> str | None:
        raise NotImplementedError

    # -- upkeep ---------------------------------------------------------------------------------------

    @property
    def unwritten(self) -> int:
        """Writes that wait in memory because the disk refused them."""
        raise NotImplementedError

    def flush(self) -> None:
        """Try the waiting writes again; never raises for a full disk."""

    def compact(self, now: datetime) -> int:
        """Turn rows that ended more than 400 days ago into daily sums; returns how many went."""
        raise NotImplementedError

    def export(self, backup_set: str) -> dict[str, object]:
        """What an archive carries of the state: proofs, suspects, expiry policy; JSON values, no secrets."""
        raise NotImplementedError
