"""A damaged history is moved aside and started anew; backups never wait for it."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from snapd.errors import HistoryTooNewError
from snapd.history import History, Watched
from snapd.history.file import FILE_NAME
from snapd.history.migrations import MIGRATIONS
from tests.work.history_rows import MINUTE, NOW, due, ended

PAGE = 4096
ASIDE = "history.sqlite.damaged-20261123-120000"


def filled(folder: Path, rows: int = 400) -> Path:
    """Make a closed history of many pages."""
    history = History(folder, now=NOW)
    history.add([ended(due(slot=NOW + n * MINUTE)) for n in range(rows)])
    history.close()
    return folder / FILE_NAME


def overwrite(path: Path, start: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(content)


def spoil_pages(path: Path) -> None:
    """Overwrite every page but those of the schema."""
    overwrite(path, 8 * PAGE, b"\xa5" * (path.stat().st_size - 8 * PAGE))


def run_sql(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(sql)


def make_foreign(path: Path) -> None:
    path.unlink()
    run_sql(path, "CREATE TABLE guests (name TEXT)")


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "not a database": lambda path: path.write_bytes(b"Dear diary,\n" * 1000),
    "a few bytes": lambda path: path.write_bytes(b"SQL"),
    "garbage in the header": lambda path: overwrite(path, 0, b"\x00" * 60),
    "garbage in the schema": lambda path: overwrite(path, 100, b"\xff" * (PAGE - 100)),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "a table is gone": lambda path: run_sql(path, "DROP VIEW ended_runs; DROP TABLE runs"),
    "a word nobody knows": lambda path: run_sql(path, "UPDATE runs SET outcome = 'splendid'"),
    "an instant that is none": lambda path: run_sql(path, "UPDATE runs SET ended = 'tomorrow'"),
    "text that is none": lambda path: run_sql(path, "UPDATE runs SET message = CAST(x'ff' AS TEXT)"),
    "the database of another program": make_foreign,
    "a folder": make_folder,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_file_is_moved_aside_and_an_empty_one_started(
    tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    damage(filled(tmp_path))
    with capture_logs() as logs:
        history = History(tmp_path, now=NOW)
    assert history.rebuilt
    assert history.rows() == ()
    assert (noted := history.noted("rebuilt")) is not None
    assert noted.startswith("2026-11-23T12:00:00")
    assert history.unwritten == 0
    history.add([run := due()])
    history.close()
    assert (
        sorted(path.name for path in tmp_path.iterdir() if path.suffix not in {"-wal", "-shm"})[0]
        == FILE_NAME
    )
    assert (tmp_path / ASIDE).exists()
    assert [(log["event"], log["log_level"], log["path"]) for log in logs] == [
        ("history-rebuilt", "error", str(tmp_path / ASIDE))
    ]
    again = History(tmp_path, now=NOW)
    assert not again.rebuilt
    assert again.noted("rebuilt") == noted
    assert again.unfinished() == (run,)
    again.close()


def test_an_emptied_file_is_started_anew_and_nothing_is_moved(tmp_path: Path) -> None:
    filled(tmp_path).write_bytes(b"")
    with capture_logs() as logs:
        history = History(tmp_path, now=NOW)
    assert history.rebuilt
    assert history.noted("rebuilt") is not None
    history.close()
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]
    assert [log["event"] for log in logs] == ["history-rebuilt"]


def test_a_new_history_is_not_a_rebuilt_one(tmp_path: Path) -> None:
    with capture_logs() as logs:
        history = History(tmp_path, now=NOW)
    assert not history.rebuilt
    assert history.noted("rebuilt") is None
    history.close()
    assert logs == []


def test_two_damaged_files_of_one_second_are_both_kept(tmp_path: Path) -> None:
    for content in (b"first" * 100, b"second" * 100):
        (tmp_path / FILE_NAME).write_bytes(content)
        History(tmp_path, now=NOW).close()
    assert (tmp_path / ASIDE).read_bytes().startswith(b"first")
    assert (tmp_path / f"{ASIDE}.2").read_bytes().startswith(b"second")


def test_spoilt_pages_are_found_at_the_first_opening_after_an_unclean_end(tmp_path: Path) -> None:
    filled(tmp_path)
    history = History(tmp_path, now=NOW)
    history.add([due()])
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    for name in (FILE_NAME, f"{FILE_NAME}-wal"):  # what a power cut would leave at this moment
        shutil.copy(tmp_path / name, crashed / name)
    history.close()
    spoil_pages(crashed / FILE_NAME)
    after = History(crashed, now=NOW)
    assert after.rebuilt
    assert after.unfinished() == ()
    after.close()
    assert (crashed / f"{ASIDE}-wal").exists()


def test_an_unclean_end_without_damage_loses_nothing(tmp_path: Path) -> None:
    history = History(tmp_path, now=NOW)
    history.add([run := due()])
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    for name in (FILE_NAME, f"{FILE_NAME}-wal"):
        shutil.copy(tmp_path / name, crashed / name)
    history.close()
    after = History(crashed, now=NOW)
    assert not after.rebuilt
    assert after.unfinished() == (run,)
    after.close()


def working(folder: Path) -> History:
    """Open a history of many pages and let it know a due row, an ended one and a job."""
    filled(folder)
    history = History(folder, now=NOW)
    history.watch([Watched("backup:shop", "@daily", "UTC", NOW)])
    history.add([due("backup:shop")])
    return history


def check_survivors(history: History) -> None:
    """What is remembered is right at once, and right in the new file."""
    shop = history.unfinished()
    last = history.last("backup:mail")
    assert [run.job for run in shop] == ["backup:shop"]
    assert last is not None
    assert last.slot == NOW + 399 * MINUTE
    assert history.rebuilt
    assert history.unwritten == 0
    history.close()
    again = History(history.folder, now=NOW)
    assert not again.rebuilt
    assert again.noted("rebuilt") is not None
    assert again.unfinished() == shop
    assert again.last("backup:mail") == last
    assert again.last_row("backup:mail") == last
    assert again.watched() == {"backup:shop": Watched("backup:shop", "@daily", "UTC", NOW)}
    assert again.rows() == (last,)
    again.close()


def spoil_in_use(history: History) -> None:
    path = history.folder / FILE_NAME
    run_sql(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    spoil_pages(path)


def test_damage_found_by_a_question_does_not_stop_the_work(tmp_path: Path) -> None:
    history = working(tmp_path)
    spoil_in_use(history)
    with capture_logs() as logs:
        assert len(history.rows(limit=1000)) == 1
    assert [log["event"] for log in logs] == ["history-rebuilt"]
    assert re.fullmatch(r".*/history\.sqlite\.damaged-\d{8}-\d{6}", logs[0]["path"])
    check_survivors(history)


def test_damage_found_by_a_write_does_not_stop_the_work(tmp_path: Path) -> None:
    history = working(tmp_path)
    spoil_in_use(history)
    (shop,) = history.unfinished()
    for number in range(50):
        history.add([ended(due("backup:other", NOW + number * MINUTE))])
    assert history.rebuilt
    assert (other := history.last("backup:other")) is not None
    assert other.slot == NOW + 49 * MINUTE
    assert history.unfinished() == (shop,)
    history.close()
    again = History(tmp_path, now=NOW)
    assert again.unfinished() == (shop,)
    assert again.last("backup:other") == other
    again.close()


def test_damage_that_no_question_meets_is_found_by_the_daily_upkeep(tmp_path: Path) -> None:
    history = working(tmp_path)
    spoil_in_use(history)
    assert history.compact(NOW) == 0
    check_survivors(history)


def test_a_file_removed_while_it_is_in_use_is_started_anew(tmp_path: Path) -> None:
    history = working(tmp_path)
    for path in tmp_path.iterdir():
        path.unlink()
    history.note("any", "write")
    check_survivors(history)


def test_a_file_replaced_by_another_process_is_taken_as_it_is(tmp_path: Path) -> None:
    history = working(tmp_path)
    for path in list(tmp_path.iterdir()):
        path.rename(path.with_name(f"old-{path.name}"))
    other = History(tmp_path, now=NOW)
    other.note("other", "was here")
    other.close()
    history.note("any", "write")
    assert history.noted("other") == "was here"
    check_survivors(history)


def make_newer(path: Path) -> None:
    run_sql(path, f"PRAGMA user_version = {len(MIGRATIONS) + 1}")


def test_a_file_of_a_newer_program_is_refused_and_not_touched(tmp_path: Path) -> None:
    path = filled(tmp_path)
    make_newer(path)
    before = path.read_bytes()
    with pytest.raises(HistoryTooNewError, match="newer") as refused:
        History(tmp_path, now=NOW)
    assert refused.value.exit_code == 2
    assert "install" in refused.value.hint
    assert path.read_bytes() == before
    assert not list(tmp_path.glob("*damaged*"))


def test_a_program_whose_file_was_changed_by_a_newer_one_goes_on_in_memory(tmp_path: Path) -> None:
    history = working(tmp_path)
    run_sql(
        tmp_path / FILE_NAME,
        f"ALTER TABLE notes RENAME COLUMN value TO text; PRAGMA user_version = {len(MIGRATIONS) + 1}",
    )
    with capture_logs() as logs:
        history.note("any", "write")
    assert history.noted("any") == "write"
    assert history.unwritten == 1
    assert len(history.unfinished()) == 1
    assert "newer" in logs[0]["reason"]
    history.close()
    assert not list(tmp_path.glob("*damaged*"))
