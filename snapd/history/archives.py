"""What we know of archives: names that were used, marks of our own, dump sizes, proofs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from snapd.history.disk import Disk
from snapd.history.facts import KnownArchive, Proof
from snapd.history.rows import Statement, archive_of, plain, proof_of, to_text
from snapd.model import Archive

_TRY_NAME = """
    INSERT INTO archives (store, name, backup_set, tried, tried_by) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (store, name) DO UPDATE SET
        backup_set = excluded.backup_set, tried = excluded.tried, tried_by = excluded.tried_by
"""
_SEE_ARCHIVE = """
    INSERT INTO archives (store, name, backup_set, created, complete, suspect, encrypted, seen)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (store, name) DO UPDATE SET
        backup_set = excluded.backup_set, created = excluded.created, complete = excluded.complete,
        suspect = max(suspect, excluded.suspect), encrypted = coalesce(excluded.encrypted, encrypted),
        seen = excluded.seen, gone = NULL
"""
_NEVER_SEEN = """
    SELECT name, tried_by FROM archives
    WHERE store = ? AND backup_set = ? AND tried_by > '' AND created IS NULL
"""
_THERE = "backup_set = ? AND gone IS NULL AND created IS NOT NULL"
_SEE_ALL = f"UPDATE archives SET seen = ? WHERE store = ? AND {_THERE}"  # noqa: S608  our own words
_GONE = "UPDATE archives SET gone = ? WHERE store = ? AND name = ? AND gone IS NULL"
_SUSPECT = """
    INSERT INTO archives (store, name, backup_set, suspect) VALUES (?, ?, '', ?)
    ON CONFLICT (store, name) DO UPDATE SET suspect = excluded.suspect
"""
_PUT_PROOF = """
    INSERT OR REPLACE INTO proofs (backup_set, passed, archive, seconds, data_age) VALUES (?, ?, ?, ?, ?)
"""
_LAST_GOOD_DUMP = """
    SELECT bytes FROM dumps
    WHERE backup_set = ? AND dump = ? AND NOT EXISTS (
        SELECT 1 FROM archives
        WHERE archives.backup_set = dumps.backup_set AND archives.name = dumps.archive AND archives.suspect
    )
    ORDER BY recorded DESC LIMIT 1
"""


class ArchiveFacts:
    """Rows of `archives`, `dumps`, `proofs`. Names stay for ever; a deleted archive has a `gone` instant."""

    def __init__(self) -> None:
        self._disk: Disk

    def names_used(self, store: str) -> frozenset[str]:
        """Every archive name ever tried or seen in a store, deleted ones included."""
        names = self._disk.read(
            lambda row: str(row["name"]), "SELECT name FROM archives WHERE store = ?", store
        )
        return frozenset(names)

    def made_here(self, backup_set: str) -> frozenset[str]:
        """Every name under which we ever tried to create an archive of a set, as the history stores it."""
        sql = "SELECT name FROM archives WHERE backup_set = ? AND tried IS NOT NULL"
        return frozenset(self._disk.read(lambda row: str(row["name"]), sql, backup_set))

    def record_name(self, store: str, backup_set: str, name: str, now: datetime, *, run_id: str = "") -> None:
        """Remember that a creation under this name is about to start, and in which run."""
        self._disk.write((_TRY_NAME, (store, plain(name), backup_set, to_text(now), run_id)))

    def never_seen(self, store: str, backup_set: str) -> dict[str, str]:
        """Names that were tried and never seen in their store, each with the run that tried it: whether there
        is such an archive is not known, and it may still come.
        """
        found = self._disk.read(
            lambda row: (str(row["name"]), str(row["tried_by"])), _NEVER_SEEN, store, backup_set
        )
        return dict(found)

    def record_archive(self, known: KnownArchive) -> None:
        """Insert or replace one archive that was seen in its store. It never takes the mark `suspect` away,
        nor what is known of its encryption: engines know nothing of our marks.
        """
        self._disk.write(_see(known))

    def record_listing(
        self, store: str, backup_set: str, archives: Sequence[Archive], now: datetime
    ) -> tuple[Archive, ...]:
        """Make a complete listing of one set the truth: unseen ones are gone. Keeps our own marks, and
        returns the listing with `suspect` set where we know it to be.
        """
        with self._disk.lock:
            known = self._there(store, backup_set)
            marked = self._marked(store)
            listing = tuple(replace(a, suspect=a.suspect or plain(a.name) in marked) for a in archives)
            names = {plain(archive.name) for archive in listing}
            self._disk.write(
                *[(_GONE, (to_text(now), store, name)) for name in known.keys() - names],
                (_SEE_ALL, (to_text(now), store, backup_set)),
                *[
                    _see(KnownArchive(archive, store, backup_set, now))
                    for archive in listing
                    if known.get(plain(archive.name)) != replace(archive, name=plain(archive.name))
                ],
            )
        return listing

    def record_deleted(self, store: str, names: Sequence[str], now: datetime) -> None:
        """Remember that archives are gone; their names stay used."""
        self._disk.write(*[(_GONE, (to_text(now), store, plain(name))) for name in names])

    def known_archives(self, backup_set: str) -> tuple[KnownArchive, ...]:
        """Archives of a set that were there when last looked, newest first."""
        sql = f"SELECT * FROM archives WHERE {_THERE} ORDER BY created DESC, name DESC"  # noqa: S608
        return tuple(self._disk.read(archive_of, sql, backup_set))

    def record_dumps(self, backup_set: str, archive: str, sizes: dict[str, int], now: datetime) -> None:
        """Remember dump sizes (bytes by dump name) of an archive."""
        put = (
            "INSERT OR REPLACE INTO dumps (backup_set, archive, dump, bytes, recorded) VALUES (?, ?, ?, ?, ?)"
        )
        self._disk.write(
            *[(put, (backup_set, plain(archive), dump, size, to_text(now))) for dump, size in sizes.items()]
        )

    def last_good_dump(self, backup_set: str, dump: str) -> int | None:
        """Bytes of this dump in the newest archive of the set that is not suspect; None without one."""
        sizes = self._disk.read(lambda row: int(row["bytes"]), _LAST_GOOD_DUMP, backup_set, dump)
        return sizes[0] if sizes else None

    def set_suspect(self, store: str, archive: str, suspect: bool) -> None:
        """Mark an archive, or take the mark away; it need not have been seen yet."""
        self._disk.write((_SUSPECT, (store, plain(archive), int(suspect))))

    def record_proof(self, proof: Proof) -> None:
        """Remember a passed restore test; its archive is no longer suspect."""
        name = plain(proof.archive)
        self._disk.write(
            (
                _PUT_PROOF,
                (proof.backup_set, to_text(proof.passed), name, proof.seconds, proof.data_age),
            ),
            ("UPDATE archives SET suspect = 0 WHERE backup_set = ? AND name = ?", (proof.backup_set, name)),
        )

    def proofs(self, backup_set: str) -> tuple[Proof, ...]:
        """Newest first."""
        sql = "SELECT * FROM proofs WHERE backup_set = ? ORDER BY passed DESC, archive DESC"
        return tuple(self._disk.read(proof_of, sql, backup_set))

    def _there(self, store: str, backup_set: str) -> dict[str, Archive]:
        return {
            known.archive.name: known.archive
            for known in self.known_archives(backup_set)
            if known.store == store
        }

    def _marked(self, store: str) -> set[str]:
        sql = "SELECT name FROM archives WHERE store = ? AND suspect"
        return set(self._disk.read(lambda row: str(row["name"]), sql, store))


def _see(known: KnownArchive) -> Statement:
    archive = known.archive
    encrypted = None if known.encrypted is None else int(known.encrypted)
    return _SEE_ARCHIVE, (
        known.store,
        plain(archive.name),
        known.backup_set,
        to_text(archive.created),
        int(archive.complete),
        int(archive.suspect),
        encrypted,
        to_text(known.seen),
    )
