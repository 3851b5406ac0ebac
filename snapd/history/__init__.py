"""The only SQLite of ours: what happened, what is due, what is proven.

One file `history.sqlite` in the state folder, WAL, numbered migrations. Instants are stored as ISO 8601 text
in UTC, spans in seconds, sizes in bytes. Safe to use from several threads of one process; only the daemon (or
a command in its place, under the single lock) writes.
"""

from __future__ import annotations

import json
import time
from datetime import datetime, timedelta
from pathlib import Path

from snapd.history.approvals import ApprovalFacts
from snapd.history.archives import ArchiveFacts
from snapd.history.disk import Disk
from snapd.history.facts import KnownArchive, Pin, Proof, Restore, Run, SecondRowError, Watched
from snapd.history.pins import PinFacts
from snapd.history.restores import RestoreFacts
from snapd.history.rows import Statement, to_text
from snapd.history.runs import RunFacts

__all__ = ["History", "KnownArchive", "Pin", "Proof", "Restore", "Run", "SecondRowError", "Watched"]

_KEPT = timedelta(days=400)
_IS_OLD = """
    outcome IS NOT NULL AND coalesce(ended, last_slot, slot) < ?
    AND run_id NOT IN (SELECT value FROM json_each(?))
"""
_COUNT_OLD = f"SELECT count(*) AS old FROM runs WHERE {_IS_OLD}"  # noqa: S608  our own words
_SUM_OLD = f"""
    INSERT INTO daily (day, job, outcome, runs, seconds, bytes_new)
    SELECT substr(coalesce(ended, last_slot, slot), 1, 10), job, outcome, sum(slots),
        coalesce(sum((julianday(ended) - julianday(started)) * 86400), 0), coalesce(sum(bytes_new), 0)
    FROM runs WHERE {_IS_OLD} GROUP BY 1, 2, 3
    ON CONFLICT (day, job, outcome) DO UPDATE SET
        runs = runs + excluded.runs, seconds = seconds + excluded.seconds,
        bytes_new = bytes_new + excluded.bytes_new
"""  # noqa: S608
_DELETE_OLD = f"DELETE FROM runs WHERE {_IS_OLD}"  # noqa: S608
_DELETE_OLD_RESTORES = "DELETE FROM restores WHERE at < ?"
_DELETE_OLD_DUMPS = """
    DELETE FROM dumps WHERE recorded < ? AND EXISTS (
        SELECT 1 FROM archives
        WHERE archives.backup_set = dumps.backup_set AND archives.name = dumps.archive AND gone IS NOT NULL
    ) AND EXISTS (
        SELECT 1 FROM dumps AS later
        WHERE later.backup_set = dumps.backup_set AND later.dump = dumps.dump AND later.recorded >= ?
    )
"""


class History(RunFacts, ArchiveFacts, PinFacts, RestoreFacts, ApprovalFacts):
    """Rows of `history.sqlite`, and in memory what a full disk did not take yet.

    Opening never fails for damage: the file is moved aside as `history.sqlite.damaged-YYYYMMDD-HHMMSS`, an
    empty one is started and `rebuilt` tells so. Raises `HistoryTooNewError` for a file of a newer program,
    and `HistoryError` when the state folder is missing or not ours to write. A write that the disk refuses
    stays in memory, is retried at every later write and by `flush`, and shows in `unwritten`; all reads
    include it, and those of unfinished rows and of each job's last ended row survive damage.
    """

    def __init__(self, folder: Path, *, now: datetime) -> None:
        RunFacts.__init__(self)
        self.folder = folder
        self._opened = now
        self._opened_at = time.monotonic()
        self._disk = Disk(folder, clock=self._now, reconcile=lambda: self._survivors(self._now()))
        self._load()

    @property
    def rebuilt(self) -> bool:
        """Started empty in place of a damaged file, in this process."""
        return self._disk.rebuilt

    def close(self) -> None:
        """Write what waits if the disk takes it now, and let the file go; may be called twice."""
        self._disk.close()

    @property
    def unwritten(self) -> int:
        """Writes that wait in memory because the disk refused them."""
        return self._disk.unwritten

    def flush(self) -> None:
        """Try the waiting writes again; never raises for a full disk."""
        self._disk.flush()

    def compact(self, now: datetime) -> int:
        """Turn rows that ended more than 400 days ago into daily sums; returns how many went.

        The last rows of each job stay, however old. Restores of that age go, and dump sizes that nobody
        needs. Looks the whole file over for damage first, and does nothing while writes wait. Done twice it
        gives the same.
        """
        with self._disk.lock:
            self._disk.examine()
            if self.unwritten:
                return 0
            cutoff, kept = to_text(now - _KEPT), json.dumps(self._last_ids())
            (old,) = self._disk.read(lambda row: int(row["old"]), _COUNT_OLD, cutoff, kept)
            removal: list[Statement] = [
                (_DELETE_OLD_DUMPS, (cutoff, cutoff)),
                (_DELETE_OLD_RESTORES, (cutoff,)),
            ]
            if old:
                removal += [(_SUM_OLD, (cutoff, kept)), (_DELETE_OLD, (cutoff, kept))]
            self._disk.write(*removal)
        return old

    def export(self, store: str, backup_set: str) -> dict[str, object]:
        """What an archive of a set carries of the state: the pins of its store, its proofs, suspects and
        expiry policy; JSON values, no secrets.
        """
        return {
            "backup_set": backup_set,
            "pins": [
                {
                    "archive": pin.archive,
                    "backup_set": pin.backup_set,
                    "pinned": to_text(pin.pinned),
                    "reason": pin.reason,
                }
                for pin in self.pins(store, backup_set)
            ],
            "proofs": [
                {
                    "archive": proof.archive,
                    "passed": to_text(proof.passed),
                    "seconds": proof.seconds,
                    "data_age": proof.data_age,
                }
                for proof in self.proofs(backup_set)
            ],
            "suspects": [a.archive.name for a in self.known_archives(backup_set) if a.archive.suspect],
            "expiry_policy": self.completed_policy(backup_set),
        }

    def _last_ids(self) -> list[str]:
        return sorted({run.run_id for last in (self._last_row, self._last_made) for run in last.values()})

    def _now(self) -> datetime:
        """The instant of opening, moved on by the monotonic clock: damage has no caller to tell the time."""
        return self._opened + timedelta(seconds=time.monotonic() - self._opened_at)
