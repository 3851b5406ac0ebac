"""The program behind sources/sqlite.py: copies, checks and queries SQLite databases in a process of its own.

    python -I sqlite_child.py dump SOURCE COPY
    python -I sqlite_child.py check DATABASE
    python -I sqlite_child.py query DATABASE       (the SQL on standard input)

Its last line of output is one JSON object: the facts, or `error` (a word) and `message` (what SQLite said).
It is started by its path and imports only the standard library, so that it needs no installation and starts
at once, and so that a damaged database harms no other process.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import sqlite3  # noqa: TID251 - the other half of sources/sqlite.py
import stat
import sys
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

PAGES_PER_STEP = 256
RETRY_S = 0.001
LONGEST_PAUSE_S = 0.05
RESTARTS = 3
LOCKED_FOR_S = 60.0
LONGEST_TEXT = 100_000

_MOST_STAND_INS = 100
_COUNT_TABLES = (
    "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite^_%' ESCAPE '^'"
)
_WAL_VERSION = 2  # the read version in the header (sqlite.org/fileformat, 1.3)
_HEADER = 20
_MAGIC = b"SQLite format 3\0"


class Refusal(Exception):  # noqa: N818 - an answer to the parent, not a defect
    """Why there is no result: a word for the parent, and the facts."""

    def __init__(self, word: str, message: str) -> None:
        super().__init__(message)
        self.word = word


class _RestartedError(Exception):
    """Writers keep making the copy start over."""


def main(arguments: list[str]) -> int:
    os.umask(0o077)
    try:
        print(json.dumps(_answer(*arguments)), flush=True)  # noqa: T201 - the answer to the parent
    except (Refusal, sqlite3.Error, sqlite3.Warning, OSError) as error:
        told = {"error": _word(error), "message": str(error)}
        print(json.dumps(told), flush=True)  # noqa: T201
        return 1
    return 0


def _answer(verb: str, *paths: str) -> dict[str, object]:
    match verb, paths:
        case "dump", (source, copy):
            return dump(Path(source), Path(copy))
        case "check", (database,):
            return check(Path(database))
        case "query", (database,):
            return {"value": query(Path(database), sys.stdin.read())}
        case _:
            raise Refusal("usage", f"unknown request {verb}")


# -- dump -----------------------------------------------------------------------------------------------


def dump(source: Path, copy: Path, *, locked_for_s: float = LOCKED_FOR_S) -> dict[str, object]:
    """Write a consistent copy of a live database: one file, whole, on the disk, under its name only then.

    Gives up when writers keep the database locked for so long without a gap.
    """
    unfinished = copy.with_name(copy.name + ".part")
    unfinished.unlink(missing_ok=True)
    os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        _copy(source, unfinished, locked_for_s)
        facts = _facts(unfinished)
        _settle(unfinished)
        unfinished.rename(copy)
        _settle(copy.parent)
    finally:
        for rest in ("", "-journal", "-wal", "-shm"):
            Path(f"{unfinished}{rest}").unlink(missing_ok=True)
    return facts | {"bytes": copy.stat().st_size}


def _copy(source: Path, unfinished: Path, locked_for_s: float) -> None:
    in_wal = _examine(source)
    with contextlib.closing(_open(source)) as live, contextlib.closing(_create(unfinished)) as target:
        if in_wal:
            with _snapshot(live, locked_for_s):
                _lend_side_files(source)
                _backup(live, target, _Watch(locked_for_s))
        else:
            _copy_between_writes(live, target, locked_for_s)
        mode = target.execute("PRAGMA journal_mode=DELETE").fetchone()[0]
        if mode != "delete":
            raise Refusal("copy", f"the copy stays in journal mode {mode}")
        _inspect(target, "PRAGMA quick_check(5)")


def _copy_between_writes(live: sqlite3.Connection, target: sqlite3.Connection, locked_for_s: float) -> None:
    """Copy a database with a rollback journal, whose readers and writers lock each other out.

    Writers have their turn between the steps, but each of their writes makes the copy start over: after
    some starts they wait for it.
    """
    try:
        _backup(live, target, _Watch(locked_for_s, restarts=RESTARTS))
    except _RestartedError:
        with _snapshot(live, locked_for_s):
            _backup(live, target, _Watch(locked_for_s), pages=-1)


def _examine(source: Path) -> bool:
    """Tell whether a database is in WAL mode; refuse what is no database, and what we would do harm to."""
    status = source.stat()
    if not stat.S_ISREG(status.st_mode):
        raise Refusal("no-file", "not a regular file")
    with source.open("rb") as file:
        header = file.read(_HEADER)
    if not header:
        raise Refusal("empty", "the file is empty")
    if not header.startswith(_MAGIC):
        raise Refusal("no-database", "file is not a database")
    in_wal = header[19] == _WAL_VERSION
    if in_wal:
        _refuse_to_lock_out(source, status)
    return in_wal


def _refuse_to_lock_out(source: Path, status: os.stat_result) -> None:
    """Refuse to make files beside another user's WAL database that this user could not write afterwards.

    Even a read-only connection makes `-wal` and `-shm` when nobody else has the database open, with the
    database's permissions but our owner, and leaves them there (tried with SQLite 3.40). The next writer
    would find its own database read-only.
    """
    missing = [suffix for suffix in ("-wal", "-shm") if not Path(f"{source}{suffix}").exists()]
    if not missing or os.geteuid() in (0, status.st_uid):  # root's files are given to the owner by SQLite
        return
    shared = status.st_mode & 0o020 and status.st_gid in {os.getegid(), *os.getgroups()}
    if not shared:
        raise Refusal("lock-out", f"its {' and '.join(missing)} would belong to us")


def _lend_side_files(source: Path) -> None:
    """Give side files that we made to the group of the database, whose members write it."""
    status = source.stat()
    if os.geteuid() in (0, status.st_uid):
        return
    for suffix in ("-wal", "-shm"):
        side = Path(f"{source}{suffix}")
        with contextlib.suppress(FileNotFoundError, PermissionError):
            if side.stat().st_uid == os.geteuid():
                os.chown(side, -1, status.st_gid, follow_symlinks=False)


def _open(database: Path) -> sqlite3.Connection:
    """Open for reading only. Never `immutable`: it would silently leave out what is still in the WAL.

    Waiting for locks is ours: SQLite itself would ask too rarely to ever meet a gap between busy writers.
    """
    path = urllib.parse.quote(os.fsencode(database))
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None, timeout=0)
    connection.text_factory = lambda text: text.decode("utf-8", "replace")
    return connection


def _create(copy: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(copy, isolation_level=None)
    connection.execute("PRAGMA synchronous=OFF")  # synced as a whole at the end
    return connection


@contextlib.contextmanager
def _snapshot(live: sqlite3.Connection, locked_for_s: float) -> Iterator[None]:
    """Within the block the backup sees the database as it is now.

    In WAL mode writers go on undisturbed; with a rollback journal they wait.
    """
    live.execute("BEGIN")
    watch = _Watch(locked_for_s)
    try:
        while not _reads(live):
            watch.wait()
            time.sleep(RETRY_S)
        yield
    finally:
        live.rollback()


def _reads(live: sqlite3.Connection) -> bool:
    """Read something, which takes the lock of a reader; false when a writer is in the way."""
    try:
        live.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return False
        raise
    return True


class _Watch:
    """Follows a copy. With `restarts` it goes in steps, each as long as the pause after it, and
    `_RestartedError` is raised when writers made it start over so many times. `Refusal` is raised when
    the lock was not had for long.
    """

    def __init__(self, locked_for_s: float, *, restarts: int | None = None) -> None:
        self._locked_for_s = locked_for_s
        self._restarts = restarts
        self._starts = 0
        self._left = sys.maxsize
        self._locked_since: float | None = None
        self._step_began = time.monotonic()

    def __call__(self, status: int, left: int, _total: int) -> None:
        if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            self.wait()
            return
        self._locked_since = None
        self._starts += left >= self._left
        self._left = left
        if self._restarts is not None:
            if self._starts >= self._restarts:
                raise _RestartedError
            time.sleep(min(time.monotonic() - self._step_began, LONGEST_PAUSE_S))
            self._step_began = time.monotonic()

    def wait(self) -> None:
        """Count a try that met a writer."""
        now = time.monotonic()
        if self._locked_since is None:
            self._locked_since = now
        if now - self._locked_since > self._locked_for_s:
            raise Refusal("locked", f"no gap between writers for {self._locked_for_s:g} s")


def _backup(
    live: sqlite3.Connection, target: sqlite3.Connection, watch: _Watch, *, pages: int = PAGES_PER_STEP
) -> None:
    """Copy in steps, between which writers have their turn; a write in between starts the copy over."""
    live.backup(target, pages=pages, progress=watch, sleep=RETRY_S)


def _settle(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# -- check and query ------------------------------------------------------------------------------------


def check(database: Path) -> dict[str, object]:
    """Look at every page and index of a copy."""
    with contextlib.closing(_open(database)) as connection:
        _inspect(connection, "PRAGMA integrity_check(5)")
    return _facts(database)


def _inspect(connection: sqlite3.Connection, check_sql: str) -> None:
    """Refuse a damaged database. Indexes and constraints over functions and collations that only the
    application has cannot be judged here; every page still is.
    """
    for _ in range(_MOST_STAND_INS):
        try:
            findings = [row[0] for row in connection.execute(check_sql)]
        except sqlite3.OperationalError as error:
            if not _stand_in(connection, str(error)):
                raise
            connection.execute("PRAGMA ignore_check_constraints=ON")
            check_sql = "PRAGMA quick_check(5)"
        else:
            break
    else:
        raise Refusal("sql", "it uses too many functions of its application")
    if findings != ["ok"]:
        raise Refusal("malformed", "; ".join(findings))


def _stand_in(connection: sqlite3.Connection, complaint: str) -> bool:
    """Define the function or collation that SQLite misses; false when it complains of something else."""
    if match := re.fullmatch(r"(?:unknown|no such) function: (\w+)(?:\(\))?", complaint):
        connection.create_function(match[1], -1, lambda *_values: None, deterministic=True)
    elif match := re.fullmatch(r"no such collation sequence: (\w+)", complaint):
        connection.create_collation(match[1], lambda a, b: (a > b) - (a < b))
    return match is not None


def _facts(database: Path) -> dict[str, object]:
    with contextlib.closing(_open(database)) as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        tables = connection.execute(_COUNT_TABLES).fetchone()[0]
    if tables == 0:
        raise Refusal("empty", "no table")
    return {"pages": pages, "tables": tables}


def query(database: Path, sql: str) -> str | int | float | None:
    """Return the first column of the first row. The SQL can change nothing and reach no other file."""
    with contextlib.closing(_open(database)) as connection:
        connection.execute("PRAGMA query_only=ON")
        connection.execute("PRAGMA trusted_schema=OFF")
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        row = connection.execute(sql).fetchone()
    value = None if row is None else row[0]
    if isinstance(value, bytes):
        value = value.hex()
    if isinstance(value, str) and len(value) > LONGEST_TEXT:
        raise Refusal("query", f"the answer is longer than {LONGEST_TEXT} characters")
    return value


# -- what went wrong ------------------------------------------------------------------------------------

_SQLITE_WORDS = {
    sqlite3.SQLITE_BUSY: "locked",
    sqlite3.SQLITE_LOCKED: "locked",
    sqlite3.SQLITE_CANTOPEN: "cannot-open",
    sqlite3.SQLITE_READONLY: "cannot-open",
    sqlite3.SQLITE_PERM: "unreadable",
    sqlite3.SQLITE_AUTH: "unreadable",
    sqlite3.SQLITE_NOTADB: "no-database",
    sqlite3.SQLITE_CORRUPT: "malformed",
    sqlite3.SQLITE_FULL: "space",
}
_SYSTEM_WORDS = {
    errno.ENOENT: "missing",
    errno.ENOTDIR: "missing",
    errno.EACCES: "unreadable",
    errno.EPERM: "unreadable",
    errno.ENOSPC: "space",
    errno.EDQUOT: "space",
}


def _word(error: Exception) -> str:
    match error:
        case Refusal():
            return error.word
        case sqlite3.Error():
            code = getattr(error, "sqlite_errorcode", None)  # Python's own complaints have none
            if code == sqlite3.SQLITE_READONLY_ROLLBACK:
                return "crashed"
            return "sql" if code is None else _SQLITE_WORDS.get(code & 0xFF, "sql")
        case OSError(errno=number):
            return _SYSTEM_WORDS.get(number or 0, "failed")
        case _:
            return "failed"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
