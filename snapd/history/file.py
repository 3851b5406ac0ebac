"""Opening `history.sqlite`: what may be wrong with it, and a place in memory for when it takes nothing."""

from __future__ import annotations

import getpass
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from snapd.errors import HistoryError, HistoryTooNewError
from snapd.history.migrations import MIGRATIONS, migrate, version_of

FILE_NAME = "history.sqlite"
_BUSY_S = 5.0
_COMPANIONS = ("-wal", "-shm")
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_REFUSAL = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_NOMEM,
}
_HARMLESS = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_RECENT_ROWS = 1000


class DamagedError(Exception):
    """The file is no history any more; its text is the reason."""


class RefusedError(Exception):
    """The disk, or another process, does not let us write. `reopen`: drop the connection too."""

    def __init__(self, reason: str, *, reopen: bool = True) -> None:
        super().__init__(reason)
        self.reopen = reopen


@contextmanager
def judged(connection: sqlite3.Connection | None = None) -> Iterator[None]:
    """Turn SQLite's errors into `DamagedError` and `RefusedError`; a wrong statement stays what it is.

    What SQLite says of a damaged schema quotes it, and may be no UTF-8 then.
    """
    try:
        yield
    except sqlite3.Error as error:
        if (verdict := _judge(error, connection)) is not None:
            raise verdict from error
        raise
    except UnicodeDecodeError as error:
        raise DamagedError("its schema cannot be read") from error
    except OSError as error:
        raise RefusedError(str(error)) from error


def _judge(error: sqlite3.Error, connection: sqlite3.Connection | None) -> Exception | None:
    code = getattr(error, "sqlite_errorcode", None)
    primary = None if code is None else code & 0xFF
    if primary in _DAMAGE or (primary is None and "decode to UTF-8" in str(error)):
        return DamagedError(str(error))
    if primary in _REFUSAL:
        return RefusedError(str(error), reopen=primary not in _HARMLESS)
    if connection is not None and _is_newer(connection):
        return RefusedError("a newer snapd-backup has changed the file; this one must be restarted")
    return None


def _is_newer(connection: sqlite3.Connection) -> bool:
    with suppress(sqlite3.Error, UnicodeDecodeError):
        return version_of(connection) > len(MIGRATIONS)
    return False


def check_access(folder: Path) -> None:
    """Raise `HistoryError` where no waiting helps: the state folder or the file is not ours to write."""
    if not _is_reachable(folder):
        raise HistoryError(
            f"the state folder {folder} is missing",
            hint=f"create it for the user that runs the backups: install -d -m 0700 -o USER {folder}",
        )
    if not _accessible(folder, os.R_OK | os.W_OK | os.X_OK):
        raise HistoryError(
            f"the state folder {folder} cannot be written by {_who()}",
            hint=f"give it to the user that runs the backups: chown -R USER {folder}; "
            "if its file system is read-only, mount it writable",
        )
    path = folder / FILE_NAME
    if path.is_file() and not _accessible(path, os.R_OK | os.W_OK):
        raise HistoryError(
            f"the history {path} cannot be written by {_who()}",
            hint=f"give it to the owner of the folder: chown --reference={folder} {path}*",
        )


def _is_reachable(folder: Path) -> bool:
    with suppress(OSError):
        return folder.is_dir()
    return False


def _accessible(path: Path, mode: int) -> bool:
    return os.access(path, mode, effective_ids=True)


def _who() -> str:
    with suppress(OSError, KeyError):
        return f"the user {getpass.getuser()}"
    return f"the user id {os.geteuid()}"


def open_file(path: Path) -> sqlite3.Connection:
    """Open or create the history and bring it up to date.

    Raises `HistoryTooNewError` (the file is untouched then), `DamagedError` or `RefusedError`. A thorough
    look at all pages takes longer than a command may (90 ms for 100,000 runs), so it is taken only when the
    last process that had the file open did not close it: then its write-ahead log is still there.
    """
    with judged():
        if not path.exists():
            _create(path)
        unclean = _has_log(path)
        if not is_empty(path):
            _check_start(path)
        connection = _connect(path)
    try:
        with judged():
            _prepare(connection)
            _check_schema(connection)
        if unclean:
            examine(connection)
    except BaseException as error:
        connection.close()
        if isinstance(error, sqlite3.Error):  # a migration met something that it cannot have made
            raise DamagedError(str(error)) from error
        raise
    return connection


def _create(path: Path) -> None:
    """Make an empty history under another name and move it into place, whole: whoever opens it at the same
    time, or after a creation that failed, must not take it for a truncated one. The first to come wins.
    """
    with TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as folder:
        draft = Path(folder) / path.name
        with closing(_connect(draft)) as connection:
            _prepare(connection)
        with suppress(FileExistsError):
            path.hardlink_to(draft)


def _connect(path: Path, *, query: str = "") -> sqlite3.Connection:
    """Connect without reading anything yet; transactions are explicit, threads are the caller's care."""
    with judged():
        connection = sqlite3.connect(
            path.absolute().as_uri() + query,
            uri=True,
            timeout=_BUSY_S,
            isolation_level=None,
            check_same_thread=False,
        )
    connection.row_factory = sqlite3.Row
    return connection


def _check_start(path: Path) -> None:
    """Look at an existing file without changing it: is it a database, whole, and no newer than we are?"""
    if not path.is_file():
        raise DamagedError("it is not a regular file")
    with closing(_connect(path, query="?mode=ro")) as connection, judged():
        version = version_of(connection)
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    _check_version(path, version)
    if version == 0 and tables:
        raise DamagedError("it is a database of another program")


def _check_version(path: Path, version: int) -> None:
    if version > len(MIGRATIONS):
        raise HistoryTooNewError(
            f"the history {path} was written by a newer snapd-backup"
            f" (its version is {version}, this one knows {len(MIGRATIONS)})",
            hint="install the newer snapd-backup again, or move the file away to start with an empty history",
        )


def is_empty(path: Path) -> bool:
    """Tell whether there is a file of no bytes: truncated, since none is made that way."""
    return _size(path) == 0


def _has_log(path: Path) -> bool:
    return bool(_size(_companion(path, "-wal")))


def _size(path: Path) -> int | None:
    with suppress(OSError):
        return path.stat().st_size
    return None


def _prepare(connection: sqlite3.Connection) -> None:
    if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = OFF")
    migrate(connection)


def _check_schema(connection: sqlite3.Connection) -> None:
    """Compare with what our migrations make: a table that is gone, or has a column of another name, is damage
    and not a mistake of ours.
    """
    found = _schema(connection)
    with closing(empty_memory()) as memory:
        wrong = [name for name, sql in _schema(memory).items() if found.get(name) != sql]
    if wrong:
        raise DamagedError(f"{min(wrong)} is missing or not as it was made")


def _schema(connection: sqlite3.Connection) -> dict[str, str]:
    """Return the statement that made each table, index and view; white space in it says nothing."""
    rows = connection.execute("SELECT name, sql FROM sqlite_master")
    return {row["name"]: " ".join(str(row["sql"]).split()) for row in rows}


def examine(connection: sqlite3.Connection) -> None:
    """Look at all pages; raises `DamagedError` with the first finding."""
    with judged():
        finding = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if finding != "ok":
        raise DamagedError(str(finding).splitlines()[-1])


def set_aside(path: Path, instant: datetime) -> Path:
    """Rename a damaged file and its companions, those that are there; returns the new path.

    The companions keep their ending, so that SQLite's own tools can still read what is left. Raises
    `RefusedError`.
    """
    try:
        target = _free_name(path, instant)
        with suppress(FileNotFoundError):
            path.rename(target)
        for ending in _COMPANIONS:
            with suppress(FileNotFoundError):
                _companion(path, ending).rename(_companion(target, ending))
    except OSError as error:
        raise RefusedError(f"cannot move the damaged file aside: {error.strerror}") from error
    return target


def _free_name(path: Path, instant: datetime) -> Path:
    first = path.with_name(f"{path.name}.damaged-{instant:%Y%m%d-%H%M%S}")
    target, number = first, 1
    while target.exists():
        number += 1
        target = first.with_name(f"{first.name}.{number}")
    return target


def _companion(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


# -- a place in memory -----------------------------------------------------------------------------


def empty_memory() -> sqlite3.Connection:
    """Return an empty history that lives in memory."""
    memory = _memory()
    migrate(memory)
    return memory


def memory_of(source: sqlite3.Connection) -> sqlite3.Connection:
    """Copy a history into memory: every fact, but of the ended rows only the last of each job and the newest
    1,000.

    `source` may be of an older version: the copy is brought up to date, which a full disk does not let the
    file be.
    """
    if _is_newer(source):
        raise RefusedError("the file is of a newer snapd-backup")
    memory = _memory()
    try:
        with judged():
            _copy(source, memory)
            migrate(memory)
            _check_schema(memory)
    except BaseException:
        memory.close()
        raise
    return memory


def memory_of_file(path: Path) -> sqlite3.Connection:
    """Copy a file that cannot be opened as usual, for want of room for SQLite's shared memory beside it.

    An exclusive connection needs no such file. Raises `DamagedError` or `RefusedError`, also where the file
    is in use.
    """
    with closing(_connect(path, query="?mode=rw")) as source:
        with judged():
            source.execute("PRAGMA locking_mode = EXCLUSIVE")
            _check_version(path, version_of(source))
        return memory_of(source)


def _memory() -> sqlite3.Connection:
    memory = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    memory.row_factory = sqlite3.Row
    return memory


def _copy(source: sqlite3.Connection, memory: sqlite3.Connection) -> None:
    schema = "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite%'"
    for row in source.execute(schema).fetchall():
        memory.execute(row["sql"])
        if row["type"] == "table" and row["name"] != "daily":
            _copy_table(source, memory, row["name"])
    memory.execute(f"PRAGMA user_version = {version_of(source)}")


def _copy_table(source: sqlite3.Connection, memory: sqlite3.Connection, table: str) -> None:
    rows = source.execute(_NEEDED_RUNS if table == "runs" else f"SELECT * FROM {table}")  # noqa: S608  our own names
    places = ", ".join("?" * len(rows.description))
    memory.executemany(f"INSERT INTO {table} VALUES ({places})", rows)  # noqa: S608


_NEEDED_RUNS = f"""
    SELECT * FROM runs WHERE outcome IS NULL OR run_id IN (
        SELECT run_id FROM (SELECT run_id FROM ended_runs ORDER BY end_instant DESC LIMIT {_RECENT_ROWS})
        UNION SELECT run_id FROM (SELECT run_id, max(end_instant) FROM ended_runs GROUP BY job)
        UNION SELECT run_id FROM (
            SELECT run_id, max(end_instant) FROM ended_runs
            WHERE outcome NOT IN ('missed', 'skipped') GROUP BY job
        )
    )
"""  # noqa: S608
