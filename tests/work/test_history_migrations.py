"""The schema grows by numbered steps, each in one transaction."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from snapd.errors import HistoryError
from snapd.history import History
from snapd.history.file import FILE_NAME, memory_of
from snapd.history.migrations import MIGRATIONS, Migration, migrate, version_of
from snapd.history.rows import put_run
from tests.work.history_rows import NOW, due, ended

SECOND: Migration = (
    "ALTER TABLE runs ADD COLUMN lane INTEGER NOT NULL DEFAULT 1",
    "CREATE TABLE tags (name TEXT NOT NULL PRIMARY KEY)",
)
BROKEN: Migration = ("CREATE TABLE tags (name TEXT)", "ALTER TABLE nobody ADD COLUMN lane INTEGER")
RELEASED = ["4e0263caaef3f82a"]  # a digest of each step, for steps that are out in the world


@contextmanager
def database(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.row_factory = sqlite3.Row
        yield connection


def tables(connection: sqlite3.Connection) -> set[str]:
    return {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS) + 1))
def test_a_database_of_every_older_version_is_brought_up_to_date_with_its_rows(
    tmp_path: Path, version: int
) -> None:
    run, over = due(), ended(due("backup:shop"))
    with database(tmp_path / FILE_NAME) as connection:
        migrate(connection, MIGRATIONS[:version])
        for row in (run, over):
            connection.execute(*put_run(row))
    history = History(tmp_path, now=NOW)
    assert not history.rebuilt
    assert history.unfinished() == (run,)
    assert history.rows() == (over,)
    history.close()
    with database(tmp_path / FILE_NAME) as connection:
        assert version_of(connection) == len(MIGRATIONS)


def test_a_further_step_keeps_what_is_there_and_is_done_once(tmp_path: Path) -> None:
    with database(tmp_path / FILE_NAME) as connection:
        migrate(connection)
        connection.execute(*put_run(run := due()))
        for _again in range(2):
            migrate(connection, (*MIGRATIONS, SECOND))
        assert version_of(connection) == len(MIGRATIONS) + 1
        assert "tags" in tables(connection)
        row = connection.execute("SELECT run_id, lane FROM runs").fetchone()
        assert tuple(row) == (run.run_id, 1)


def test_a_step_that_fails_leaves_the_step_before(tmp_path: Path) -> None:
    with database(tmp_path / FILE_NAME) as connection:
        with pytest.raises(sqlite3.OperationalError):
            migrate(connection, (*MIGRATIONS, BROKEN))
        assert not connection.in_transaction
        assert version_of(connection) == len(MIGRATIONS)
        assert "tags" not in tables(connection)
        migrate(connection, (*MIGRATIONS, SECOND))
        assert version_of(connection) == len(MIGRATIONS) + 1


def test_two_processes_may_migrate_at_once(tmp_path: Path) -> None:
    for number in range(10):
        path = tmp_path / f"{number}.sqlite"
        failures = together(4, lambda path=path: _migrate_file(path))  # type: ignore[misc]
        assert failures == []


def _migrate_file(path: Path) -> None:
    with database(path) as connection:
        connection.execute("PRAGMA busy_timeout = 5000")
        migrate(connection, (*MIGRATIONS, SECOND))
        assert version_of(connection) == len(MIGRATIONS) + 1


def together(times: int, act: Callable[[], None]) -> list[Exception]:
    """Do the same in several threads at once; return what they raised."""
    gate, failures = threading.Barrier(times), list[Exception]()

    def one() -> None:
        gate.wait()
        try:
            act()
        except (AssertionError, sqlite3.Error, HistoryError) as error:
            failures.append(error)

    threads = [threading.Thread(target=one) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failures


def test_several_processes_may_create_the_history_at_once(tmp_path: Path) -> None:
    def open_and_close() -> None:
        history = History(folder, now=NOW)
        assert history.unwritten == 0
        assert not history.rebuilt
        history.close()

    for number in range(10):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert together(4, open_and_close) == []
        assert [path.name for path in folder.iterdir()] == [FILE_NAME]


def test_a_copy_in_memory_of_an_older_file_is_up_to_date(tmp_path: Path) -> None:
    with database(tmp_path / FILE_NAME) as connection:
        migrate(connection, MIGRATIONS[:1])
        connection.execute(*put_run(due()))
        connection.execute("ANALYZE")
        with closing(memory_of(connection)) as memory:
            assert version_of(memory) == len(MIGRATIONS)
            assert memory.execute("SELECT count(*) FROM runs").fetchone()[0] == 1


def test_a_released_step_is_never_edited() -> None:
    words = [" ".join(" ".join(step).split()) for step in MIGRATIONS]
    digests = [hashlib.sha256(step.encode()).hexdigest()[:16] for step in words]
    assert digests[: len(RELEASED)] == RELEASED
