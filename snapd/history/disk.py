"""Reading and writing the history so that no state of the disk stops a backup.

A write that the disk refuses waits, and is tried again, in order, at every later write. While anything waits,
a copy in memory that has taken every write answers the reads, so that what was recorded counts from that
moment on. Damage moves the file aside and starts an empty one; what must survive it is asked of `reconcile`.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from snapd.errors import HistoryError, HistoryTooNewError
from snapd.history.file import (
    FILE_NAME,
    DamagedError,
    RefusedError,
    check_access,
    empty_memory,
    examine,
    is_empty,
    judged,
    memory_of,
    memory_of_file,
    open_file,
    set_aside,
)
from snapd.history.migrations import roll_back
from snapd.history.rows import Statement, Value, to_text
from snapd.logger import log

T = TypeVar("T")

MOST_WAITING = 10_000
_DROP_AT_ONCE = 1_000
_PUT_NOTE = "INSERT OR REPLACE INTO notes (key, value) VALUES (?, ?)"
_THIN_MEMORY = """
    DELETE FROM runs WHERE outcome IS NOT NULL AND run_id NOT IN (
        SELECT run_id FROM ended_runs ORDER BY end_instant DESC LIMIT 10000
    )
"""


@dataclass(frozen=True, slots=True)
class Write:
    """One transaction. `detail`: may be dropped before others when too many wait (the row of a run)."""

    statements: tuple[Statement, ...]
    detail: bool = False


class Disk:
    """The door to the file. Every statement must give the same result when it is done twice.

    `lock` may be held by the caller to make several calls one; it is reentrant. `clock` names moved files.
    `reconcile` returns statements that bring what the owner remembers into a file that may know less.
    """

    def __init__(
        self, folder: Path, *, clock: Callable[[], datetime], reconcile: Callable[[], Sequence[Statement]]
    ) -> None:
        check_access(folder)
        self.lock = threading.RLock()
        self.rebuilt = False
        self._path = folder / FILE_NAME
        self._clock = clock
        self._reconcile = reconcile
        self._connection: sqlite3.Connection | None = None
        self._file_id: tuple[int, int] | None = None
        self._memory: sqlite3.Connection | None = None
        self._waiting: deque[Write] = deque()
        self._dropped = 0
        self._behind = False  # the file may lack what the owner remembers
        self._damage = ""  # of a file that could not be moved aside yet
        self._opened = False
        self._closed = False
        self._open_first()

    @property
    def unwritten(self) -> int:
        """Writes that wait; at least 1 as long as there is no file that takes them."""
        with self.lock:
            return len(self._waiting) or int(self._memory is not None)

    def read(self, decode: Callable[[sqlite3.Row], T], sql: str, *values: Value) -> list[T]:
        """Return the decoded rows of a query. A row that cannot be decoded counts as damage."""
        with self.lock:
            self._refuse_closed()
            if self._memory is None:
                try:
                    return _fetch(self._connection, decode, sql, values)
                except DamagedError as damage:
                    self._settle(damage)
                except RefusedError as refusal:
                    self._make_do(refusal)
            try:
                return _fetch(self._memory or self._connection, decode, sql, values)
            except DamagedError:
                self._stand_in(empty_memory())  # what was copied was damaged too
                return _fetch(self._memory, decode, sql, values)

    def write(self, *statements: Statement, detail: bool = False) -> None:
        """Do statements in one transaction, now or later. A wrong statement raises `sqlite3.Error`."""
        if not statements:
            return
        with self.lock:
            self._refuse_closed()
            self._enqueue(Write(statements, detail))
            self._settle()

    def flush(self) -> None:
        """Try again what waits."""
        with self.lock:
            if self._memory is not None and not self._closed:
                self._settle()

    def examine(self) -> None:
        """Look at every page of the file; damage is dealt with as everywhere."""
        with self.lock:
            if self._memory is None and self._connection is not None:
                try:
                    examine(self._connection)
                except DamagedError as damage:
                    self._settle(damage)
                except RefusedError as refusal:
                    self._make_do(refusal)

    def close(self) -> None:
        """Try once more what waits, and close; may be called twice."""
        with self.lock:
            if self._closed:
                return
            self.flush()
            if self.unwritten:
                self._complain("closed", hint="what was not written is in the journal only")
            self._closed = True
            self._drop_connection()
            self._drop_memory()

    # -- opening --------------------------------------------------------------------------------------

    def _open_first(self) -> None:
        try:
            self._attach()
        except DamagedError as damage:
            self._settle(damage)
        except RefusedError as refusal:
            self._make_do(refusal)
        self._opened = True
        if self._waiting and self._memory is None:
            self._settle()

    def _attach(self) -> sqlite3.Connection:
        emptied = is_empty(self._path)
        self._connection = open_file(self._path)
        self._file_id = _identity(self._path)
        if emptied:
            self._note_rebuilt("the file was empty")
        return self._connection

    def _current(self) -> sqlite3.Connection:
        """Return a connection to the file that has our name now: somebody may have removed or replaced it."""
        if self._file_id is not None and _identity(self._path) != self._file_id:
            self._file_id = None
            self._damage = ""
            self._note_rebuilt("the file was removed or replaced while it was in use")
            return self._replace()
        return self._connection or self._reopen()

    def _reopen(self) -> sqlite3.Connection:
        if self._damage:
            self._start_anew(self._damage)
        self._behind = True
        try:
            return self._attach()
        except HistoryTooNewError as error:
            if not self._opened:
                raise
            raise RefusedError(error.message) from error

    def _replace(self) -> sqlite3.Connection:
        """Leave a file that is gone for the one that has its name now; without one, what is gone can still be
        read through the old connection.
        """
        old, self._connection = self._connection, None
        try:
            connection = self._reopen()
        except RefusedError as refusal:
            self._connection = old
            raise RefusedError(str(refusal), reopen=True) from refusal
        except BaseException:
            _close(old)
            raise
        _close(old)
        return connection

    # -- writing --------------------------------------------------------------------------------------

    def _enqueue(self, write: Write) -> None:
        if self._memory is not None:
            _commit(self._memory, write.statements)
        self._waiting.append(write)
        self._bound()

    def _settle(self, damage: DamagedError | None = None) -> None:
        """Write what waits, after dealing with damage; then nothing waits, or the memory stands in."""
        try:
            if damage is None:
                try:
                    self._write_waiting()
                except DamagedError as found:
                    damage = found
            if damage is not None:
                self._start_anew(str(damage))
                self._write_waiting()
        except (DamagedError, RefusedError) as error:
            self._make_do(error)

    def _write_waiting(self) -> None:
        connection = self._current()
        while self._waiting:
            self._write_first(connection)
        if self._behind:
            _commit(connection, self._reconcile())
            self._behind = False
        self._relieve()

    def _write_first(self, connection: sqlite3.Connection) -> None:
        try:
            _commit(connection, self._waiting[0].statements)
        except (DamagedError, RefusedError):
            raise
        except Exception:  # a wrong statement must not block those behind it
            self._waiting.popleft()
            raise
        self._waiting.popleft()

    def _bound(self) -> None:
        """Keep what waits within bounds: the oldest rows of runs go first, then whatever is oldest."""
        if len(self._waiting) <= MOST_WAITING:
            return
        details = [write for write in self._waiting if write.detail][:_DROP_AT_ONCE]
        gone = {id(write) for write in details or list(self._waiting)[:_DROP_AT_ONCE]}
        self._waiting = deque(write for write in self._waiting if id(write) not in gone)
        self._behind = True
        if self._memory is not None:
            _commit(self._memory, ((_THIN_MEMORY, ()),))
        if not self._dropped:
            self._complain("too many writes wait", hint="the oldest rows are dropped; free some space")
        self._dropped += len(gone)

    # -- trouble --------------------------------------------------------------------------------------

    def _start_anew(self, reason: str) -> None:
        """Move the damaged file aside; the next write starts an empty one. Raises `RefusedError`."""
        self.rebuilt = True
        self._damage = reason
        moved_to = set_aside(self._path, self._clock())
        self._damage = ""
        self._drop_connection()
        self._file_id = None
        self._note_rebuilt(reason, path=str(moved_to))

    def _note_rebuilt(self, reason: str, **moved: str) -> None:
        """Remember and report that we start from nothing; `path` is where the old file went."""
        self.rebuilt = True
        self._behind = True
        self._enqueue(Write(((_PUT_NOTE, ("rebuilt", to_text(self._clock()))),)))
        log.error(
            "history-rebuilt",
            **moved,
            reason=reason,
            hint="backups go on; expiry waits for an approval, proofs come with the next restore tests",
        )

    def _make_do(self, error: DamagedError | RefusedError) -> None:
        """Let the memory stand in for a file that takes nothing."""
        if self._memory is None:
            self._stand_in(self._copy_to_memory())
            self._complain(
                str(error), hint="backups go on; free some space, or make the file system writable"
            )
        if isinstance(error, DamagedError) or error.reopen:
            self._drop_connection()

    def _stand_in(self, memory: sqlite3.Connection) -> None:
        """Answer reads from `memory`, once it has what is remembered and what waits."""
        self._drop_memory()
        self._memory = memory
        if self._opened:
            _commit(memory, self._reconcile())
        for write in self._waiting:
            _commit(memory, write.statements)

    def _copy_to_memory(self) -> sqlite3.Connection:
        try:
            return memory_of(self._connection) if self._connection else memory_of_file(self._path)
        except (DamagedError, RefusedError, sqlite3.Error):
            return empty_memory()
        except HistoryTooNewError:
            if not self._opened:
                raise
            return empty_memory()

    def _relieve(self) -> None:
        """The file has everything again."""
        if self._memory is None:
            return
        self._drop_memory()
        log.info("history-written", path=str(self._path))
        self._dropped = 0

    def _complain(self, reason: str, *, hint: str) -> None:
        log.error("history-unwritten", path=str(self._path), reason=reason, count=self.unwritten, hint=hint)

    def _refuse_closed(self) -> None:
        if self._closed:
            raise HistoryError("the history is closed")

    def _drop_connection(self) -> None:
        _close(self._connection)
        self._connection = None

    def _drop_memory(self) -> None:
        _close(self._memory)
        self._memory = None


def _close(connection: sqlite3.Connection | None) -> None:
    if connection is not None:
        connection.close()


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _fetch(
    connection: sqlite3.Connection | None,
    decode: Callable[[sqlite3.Row], T],
    sql: str,
    values: tuple[Value, ...],
) -> list[T]:
    assert connection is not None, "a history that is open has a file or stands in memory"
    with judged(connection):
        rows = connection.execute(sql, values).fetchall()
    try:
        return [decode(row) for row in rows]
    except (ValueError, TypeError, LookupError) as error:
        raise DamagedError(f"a row cannot be read: {error}") from error


def _commit(connection: sqlite3.Connection, statements: Sequence[Statement]) -> None:
    with judged(connection):
        try:
            connection.execute("BEGIN IMMEDIATE")
            for sql, values in statements:
                connection.execute(sql, values)
            connection.execute("COMMIT")
        except BaseException:
            roll_back(connection)
            raise
