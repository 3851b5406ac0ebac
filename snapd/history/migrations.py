"""The schema, as numbered steps. A step that was released is never edited: a new one is appended.

`PRAGMA user_version` is the number of steps done. A new word of Kind, Outcome or Cause needs a step too (it
may be empty), so that an older program refuses the file in place of taking the unknown word for damage.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import suppress

Migration = tuple[str, ...]  # the statements of one step

_FIRST: Migration = (
    """
    CREATE TABLE watched (
        job TEXT NOT NULL PRIMARY KEY, expression TEXT NOT NULL, timezone TEXT NOT NULL, through TEXT NOT NULL
    )
    """,
    """
    CREATE TABLE runs (
        run_id TEXT NOT NULL PRIMARY KEY,
        job TEXT NOT NULL, kind TEXT NOT NULL, backup_set TEXT NOT NULL,
        slot TEXT NOT NULL, cause TEXT NOT NULL, last_slot TEXT, slots INTEGER NOT NULL, not_before TEXT,
        attempts INTEGER NOT NULL, failures INTEGER NOT NULL, unclean INTEGER NOT NULL,
        started TEXT, ended TEXT, outcome TEXT,
        archive TEXT NOT NULL, bytes_total INTEGER, bytes_new INTEGER,
        error_code TEXT NOT NULL, message TEXT NOT NULL, hint TEXT NOT NULL, details TEXT NOT NULL
    )
    """,
    "CREATE INDEX runs_unfinished ON runs (slot) WHERE outcome IS NULL",
    "CREATE INDEX ended_by_job ON runs (job, coalesce(ended, last_slot, slot)) WHERE outcome IS NOT NULL",
    "CREATE INDEX ended_by_kind ON runs (kind, coalesce(ended, last_slot, slot)) WHERE outcome IS NOT NULL",
    "CREATE INDEX ended_by_time ON runs (coalesce(ended, last_slot, slot)) WHERE outcome IS NOT NULL",
    """
    CREATE VIEW ended_runs AS
        SELECT *, coalesce(ended, last_slot, slot) AS end_instant FROM runs WHERE outcome IS NOT NULL
    """,
    """
    CREATE TABLE daily (
        day TEXT NOT NULL, job TEXT NOT NULL, outcome TEXT NOT NULL,
        runs INTEGER NOT NULL, seconds REAL NOT NULL, bytes_new INTEGER NOT NULL,
        PRIMARY KEY (day, job, outcome)
    )
    """,
    """
    CREATE TABLE archives (
        store TEXT NOT NULL, name TEXT NOT NULL, backup_set TEXT NOT NULL,
        created TEXT, complete INTEGER NOT NULL DEFAULT 1, suspect INTEGER NOT NULL DEFAULT 0,
        encrypted INTEGER, tried TEXT, seen TEXT, gone TEXT,
        PRIMARY KEY (store, name)
    )
    """,
    "CREATE INDEX archives_by_set ON archives (backup_set, name)",
    """
    CREATE TABLE dumps (
        backup_set TEXT NOT NULL, archive TEXT NOT NULL, dump TEXT NOT NULL,
        bytes INTEGER NOT NULL, recorded TEXT NOT NULL,
        PRIMARY KEY (backup_set, archive, dump)
    )
    """,
    "CREATE INDEX dumps_by_age ON dumps (backup_set, dump, recorded)",
    """
    CREATE TABLE proofs (
        backup_set TEXT NOT NULL, passed TEXT NOT NULL, archive TEXT NOT NULL,
        seconds REAL NOT NULL, data_age REAL,
        PRIMARY KEY (backup_set, passed, archive)
    )
    """,
    """
    CREATE TABLE restores (
        at TEXT NOT NULL, backup_set TEXT NOT NULL, archive TEXT NOT NULL, target TEXT NOT NULL,
        paths TEXT NOT NULL, seconds REAL NOT NULL, uid INTEGER, error TEXT NOT NULL,
        PRIMARY KEY (at, backup_set, archive, target)
    )
    """,
    "CREATE INDEX restores_by_set ON restores (backup_set, at)",
    """
    CREATE TABLE expiries (
        backup_set TEXT NOT NULL PRIMARY KEY, policy TEXT NOT NULL, completed TEXT NOT NULL
    )
    """,
    """
    CREATE TABLE approvals (
        backup_set TEXT NOT NULL, name TEXT NOT NULL, policy TEXT NOT NULL, approved TEXT NOT NULL,
        PRIMARY KEY (backup_set, name)
    )
    """,
    "CREATE TABLE pauses (backup_set TEXT NOT NULL PRIMARY KEY, until TEXT NOT NULL)",
    "CREATE TABLE notes (key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL)",
)

_PINS: Migration = (
    """
    CREATE TABLE pins (
        store TEXT NOT NULL, archive TEXT NOT NULL, backup_set TEXT NOT NULL,
        pinned TEXT NOT NULL, uid INTEGER, reason TEXT NOT NULL,
        PRIMARY KEY (store, archive)
    )
    """,
)

_TRIED_BY: Migration = ("ALTER TABLE archives ADD COLUMN tried_by TEXT",)  # the run that tried a name last

MIGRATIONS: tuple[Migration, ...] = (_FIRST, _PINS, _TRIED_BY)


def version_of(connection: sqlite3.Connection) -> int:
    """Return how many steps a database has behind it; 0 for a new one."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def migrate(connection: sqlite3.Connection, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Bring a database up to date, each step in one transaction; does nothing to one that is there already.

    Two processes may do this at once: the number is read again inside the transaction.
    """
    for number in range(version_of(connection) + 1, len(migrations) + 1):
        connection.execute("BEGIN IMMEDIATE")
        try:
            if version_of(connection) < number:
                for statement in migrations[number - 1]:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {number}")
            connection.execute("COMMIT")
        except BaseException:
            roll_back(connection)
            raise


def roll_back(connection: sqlite3.Connection) -> None:
    """End a transaction that failed; SQLite may have rolled it back already."""
    with suppress(sqlite3.Error):
        if connection.in_transaction:
            connection.execute("ROLLBACK")
