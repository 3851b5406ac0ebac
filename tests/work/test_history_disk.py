"""A disk that takes nothing: writes wait in memory, in order, and reads are right all the while."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from snapd.errors import HistoryError
from snapd.history import History, KnownArchive, Proof, Restore, Watched
from snapd.history.disk import MOST_WAITING
from snapd.history.file import FILE_NAME
from snapd.model import Archive, Outcome
from tests.needs import give_up
from tests.work.history_rows import DAY, MINUTE, NOW, ROOT, due, ended, missed, started

START = """
import json, os, resource, sys
from dataclasses import replace
from pathlib import Path
from structlog.testing import capture_logs
from snapd.history import History
from tests.work.history_rows import MINUTE, NOW, due, ended, started

folder = Path(sys.argv[1])
told = {}
"""

LIMITED = """
def fill(history):
    number = 0
    while not history.unwritten:
        number += 1
        history.add([replace(ended(due(slot=NOW + number * MINUTE)), message="x" * 2000)])
        history.flush()  # a first refusal may only mean that the log must be folded in
    return number

with capture_logs() as logs:
    history = History(folder, now=NOW)
    history.add([waiting := due("backup:shop")])
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
    number = fill(history)
    told["reason"] = logs[-1]["reason"]
    del logs[:-1]
    history.update(started(waiting))
    history.record_name("offsite", "shop", "shop_1", NOW)
    told["unwritten"] = history.unwritten
    told["used"] = sorted(history.names_used("offsite"))
    told["last"] = history.last("backup:mail").slot == NOW + number * MINUTE
    told["newest"] = history.rows(limit=1)[0].slot == NOW + number * MINUTE
    told["running"] = history.unfinished()[0].running
    told["rows"] = len(history.rows(limit=number + 1)) == min(number, 1000)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    history.flush()
    told["left"] = history.unwritten
    history.close()
told["events"] = [log["event"] for log in logs]
told["number"] = number
print(json.dumps(told))
"""

FULL = """
def fill_up():
    with open(folder / "ballast", "ab", buffering=0) as file:
        for size in (4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                pass

def make_room():
    (folder / "ballast").unlink()

with capture_logs() as logs:
    fill_up()
    history = History(folder, now=NOW)
    told["new"] = history.unwritten
    history.add([first := due()])
    told["first"] = history.unfinished() == (first,)
    make_room()
    history.flush()
    told["made"] = history.unwritten
    history.update(ended(first))
    fill_up()
    number = 0
    while not history.unwritten:
        number += 1
        history.add([replace(ended(due(slot=NOW + number * MINUTE)), message="x" * 2000)])
    history.add([second := due("backup:shop")])
    told["second"] = history.unfinished() == (second,)
    history.close()
    told["lost"] = len(logs)
    make_room()
    history = History(folder, now=NOW)
    told["kept"] = not history.rebuilt and history.run(first.run_id) == ended(first)
    told["over"] = history.unfinished() == ()
    history.add([third := due("backup:third")])
    history.note("key", "value")
    history.close()

    fill_up()
    history = History(folder, now=NOW)
    told["old"] = history.unfinished() == (third,) and history.noted("key") == "value"
    history.update(started(third))
    told["third"] = history.unfinished() == (started(third),)
    make_room()
    history.update(ended(third))
    told["end"] = history.unwritten
    history.close()
    history = History(folder, now=NOW)
    told["last"] = history.last("backup:third") == ended(third) and not history.rebuilt
    history.close()
told["events"] = [log["event"] for log in logs]
told["reasons"] = [log["reason"] for log in logs if "reason" in log]
print(json.dumps(told))
"""


def child(program: str, folder: Path, *before: str) -> dict[str, object]:
    """Run a program in a process of its own and return the facts that it prints."""
    finished = subprocess.run(
        [*before, sys.executable, "-c", START + program, str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    facts: dict[str, object] = json.loads(finished.stdout.splitlines()[-1])
    return facts


def test_writes_past_a_limit_wait_and_are_written_in_order_once_it_is_gone(tmp_path: Path) -> None:
    told = child(LIMITED, tmp_path)
    number = told.pop("number")
    assert isinstance(number, int)
    assert told.pop("reason")
    assert told == {
        "unwritten": 3,
        "used": ["shop_1"],
        "last": True,
        "newest": True,
        "running": True,
        "rows": True,
        "left": 0,
        "events": ["history-unwritten", "history-written"],
    }
    history = History(tmp_path, now=NOW)
    assert not history.rebuilt
    assert [run.slot for run in history.rows(limit=number + 1)] == [
        NOW + n * MINUTE for n in range(number, 0, -1)
    ]
    assert [run.running for run in history.unfinished()] == [True]
    assert history.names_used("offsite") == {"shop_1"}
    history.close()


IN_A_SMALL_DISK = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c")
MOUNT = 'mount -t tmpfs -o size=1m tmpfs "$0" && exec "$@"'


def test_a_really_full_disk_neither_stops_an_opening_nor_a_write(tmp_path: Path) -> None:
    tried = subprocess.run(
        [*IN_A_SMALL_DISK, MOUNT, str(tmp_path), "true"], check=False, capture_output=True, text=True
    )
    if tried.returncode:
        reason = f"no small disk can be mounted here: {tried.stderr.strip()}"
        give_up(reason)
    told = child(FULL, tmp_path, *IN_A_SMALL_DISK, MOUNT, str(tmp_path))
    assert told.pop("reasons")
    new = told.pop("new")
    assert isinstance(new, int)
    assert new > 0
    assert told == {
        "first": True,
        "made": 0,
        "second": True,
        "lost": 4,
        "kept": True,
        "over": True,
        "old": True,
        "third": True,
        "end": 0,
        "last": True,
        "events": [
            "history-unwritten",
            "history-written",
            "history-unwritten",
            "history-unwritten",
            "history-unwritten",
            "history-written",
        ],
    }
    assert list(tmp_path.iterdir()) == []  # the small disk is gone with its process


# -- a state folder that goes away and comes back -------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    return folder


@pytest.fixture
def history(folder: Path) -> Iterator[History]:
    opened = History(folder, now=NOW)
    yield opened
    opened.close()


def take_away(folder: Path) -> None:
    folder.rename(folder.with_name("away"))


def bring_back(folder: Path) -> None:
    folder.with_name("away").rename(folder)


def test_everything_recorded_while_the_folder_is_gone_counts_at_once_and_for_good(
    history: History, folder: Path
) -> None:
    before = ended(due(slot=NOW - DAY))
    history.add([before])
    take_away(folder)
    run, gap = due(), missed("backup:shop")
    history.watch([Watched(run.job, "@daily", "UTC", NOW)])
    history.add([run, gap])
    history.update(started(run))
    history.record_archive(KnownArchive(Archive("a", NOW, suspect=True), "offsite", "mail", NOW))
    history.record_name("offsite", "mail", "b", NOW)
    history.record_proof(Proof("mail", "c", NOW, 1.0))
    history.record_dumps("mail", "c", {"db": 5}, NOW)
    history.approve("mail", ["a"], "policy", NOW)
    history.record_expiry("mail", "policy", NOW)
    history.pause("mail", NOW + DAY)
    history.note("clean-stop", "no")
    history.record_restore(by_hand := Restore("mail", "a", "/root/restored", NOW, 2.5, ("srv/a",), 0))

    def check(opened: History) -> None:
        assert opened.unfinished() == (started(run),)
        assert opened.last("backup:mail") == before
        assert opened.last_row("backup:shop") == gap
        assert opened.watched()[run.job].through == NOW
        assert opened.known_archives("mail")[0].archive.suspect
        assert opened.names_used("offsite") == {"a", "b"}
        assert len(opened.proofs("mail")) == 1
        assert opened.last_good_dump("mail", "db") == 5
        assert opened.approved("mail", "policy", NOW) == {"a"}
        assert opened.completed_policy("mail") == "policy"
        assert opened.paused_until("mail", NOW) == NOW + DAY
        assert opened.noted("clean-stop") == "no"
        assert opened.restores("mail") == (by_hand,)
        assert opened.rows() == (gap, before)

    assert history.unwritten > 0
    check(history)
    bring_back(folder)
    history.flush()
    assert history.unwritten == 0
    check(history)
    history.close()
    again = History(folder, now=NOW)
    check(again)
    again.close()


def test_the_rules_for_rows_hold_while_writes_wait(history: History, folder: Path) -> None:
    take_away(folder)
    first = due()
    history.add([first])
    with pytest.raises(ValueError, match="unfinished row"):
        history.add([due(slot=NOW + MINUTE)])
    history.update(ended(first))
    history.add([again := due()])
    assert history.unfinished() == (again,)
    assert not history.replace_waiting(first)
    bring_back(folder)


def test_the_trouble_is_told_once_when_it_begins_and_once_when_it_is_over(
    history: History, folder: Path
) -> None:
    history.note("before", "")
    with closing(sqlite3.connect(folder / FILE_NAME, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with capture_logs() as logs:
            history.note("first", "x")
            assert history.unwritten == 1
            assert history.noted("first") == "x"
            other.execute("COMMIT")
            history.note("second", "y")
            assert history.unwritten == 0
            history.flush()
    assert [(log["event"], log["log_level"]) for log in logs] == [
        ("history-unwritten", "error"),
        ("history-written", "info"),
    ]
    assert logs[0]["reason"] == "database is locked"
    assert logs[0]["count"] == 1
    assert not history.rebuilt


def test_upkeep_waits_until_everything_is_written(history: History, folder: Path) -> None:
    history.add([ended(due(slot=NOW - 500 * DAY)), ended(due())])
    take_away(folder)
    history.note("any", "write")
    assert history.compact(NOW) == 0
    bring_back(folder)
    history.flush()
    assert history.compact(NOW) == 1


def test_too_many_waiting_writes_lose_old_rows_but_no_mark_and_nothing_that_matters_now(
    history: History, folder: Path
) -> None:
    history.add([running := due("backup:shop"), over := due("backup:other")])
    take_away(folder)
    with capture_logs() as logs:
        history.update(ended(over))
        history.add([ended(due("backup:other", NOW + DAY))])
        history.record_name("offsite", "mail", "mail_1", NOW)
        history.update(started(running))
        for number in range(MOST_WAITING + 10):
            history.add([ended(due(slot=NOW + number * MINUTE))])
    assert 0 < history.unwritten <= MOST_WAITING
    assert [log["event"] for log in logs].count("history-unwritten") == 2
    bring_back(folder)
    history.flush()
    assert history.unwritten == 0
    history.close()
    again = History(folder, now=NOW)
    assert again.unfinished() == (started(running),)
    assert again.names_used("offsite") == {"mail_1"}
    assert (last := again.last("backup:mail")) is not None
    assert last.slot == NOW + (MOST_WAITING + 9) * MINUTE
    assert MOST_WAITING - 1000 <= len(again.rows(limit=2 * MOST_WAITING)) < MOST_WAITING + 10
    assert (dropped := again.run(over.run_id)) is not None
    assert dropped.outcome is Outcome.MISSED
    assert "not known" in dropped.message
    again.close()


# -- a folder that is not ours --------------------------------------------------------------------------


def test_a_missing_folder_is_named_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="is missing") as refused:
        History(tmp_path / "nowhere", now=NOW)
    assert str(tmp_path / "nowhere") in refused.value.message
    assert "install -d" in refused.value.hint


DENIED = """
from snapd.errors import HistoryError

def refusal():
    try:
        History(folder, now=NOW).close()
    except HistoryError as error:
        return [error.message, error.hint]
    return ["", ""]

folder.chmod(0o500)
told["folder"] = refusal()
folder.chmod(0o700)
(folder / "history.sqlite").chmod(0o400)
told["file"] = refusal()
(folder / "history.sqlite").chmod(0o600)
told["cured"] = refusal()
print(json.dumps(told))
"""

SPOILT_PAGES = """
def spoil(path):
    with path.open("r+b") as file:
        file.seek(8 * 4096)
        file.write(b"\\xa5" * (path.stat().st_size - 8 * 4096))
"""

SPOILT_WORDS = """
import sqlite3
def spoil(path):
    connection = sqlite3.connect(path)
    connection.execute("UPDATE runs SET cause = 'fate' WHERE outcome IS NOT NULL")
    connection.commit()
    connection.close()
"""

STUCK = """
with capture_logs() as logs:
    history = History(folder, now=NOW)
    history.add([ended(due(slot=NOW + number * MINUTE)) for number in range(400)])
    history.close()
    history = History(folder, now=NOW)
    history.add([waiting := due("backup:shop")])
    spoil(folder / "history.sqlite")
    folder.chmod(0o500)
    told["rows"] = len(history.rows(limit=1000))
    history.note("key", "value")
    told["stuck"] = [history.noted("key"), history.unwritten > 0, history.unfinished() == (waiting,)]
    told["begin"] = [log["event"] for log in logs]
    history.note("key", "later")
    folder.chmod(0o700)
    history.flush()
    told["freed"] = [history.noted("key"), history.unwritten, history.unfinished() == (waiting,)]
    told["rebuilt"] = history.rebuilt and history.noted("rebuilt") is not None
    history.close()
told["events"] = [log["event"] for log in logs]
told["aside"] = len(list(folder.glob("*.damaged-*[0-9]")))
print(json.dumps(told))
"""


def without_privileges() -> tuple[str, ...]:
    """The start of a command whose process obeys file modes even as root."""
    if os.geteuid() != 0:
        return ()
    if shutil.which("setpriv") is None:
        give_up("setpriv is needed to obey file modes as root")
    return ("setpriv", "--bounding-set=-all", "--inh-caps=-all")


def test_a_folder_or_a_file_that_is_not_ours_to_write_is_named_with_the_cure(tmp_path: Path) -> None:
    History(tmp_path, now=NOW).close()
    told = child(DENIED, tmp_path, *without_privileges())
    assert f"the state folder {tmp_path} cannot be written by" in str(told["folder"])
    assert f"the history {tmp_path / FILE_NAME} cannot be written by" in str(told["file"])
    assert "chown" in str(told["folder"])
    assert "chown" in str(told["file"])
    assert told["cured"] == ["", ""]


@pytest.mark.parametrize("spoil", [SPOILT_PAGES, SPOILT_WORDS], ids=["pages", "words"])
def test_a_damaged_file_that_cannot_be_moved_aside_is_done_without_until_it_can(
    tmp_path: Path, spoil: str
) -> None:
    told = child(spoil + STUCK, tmp_path, *without_privileges())
    assert told == {
        "rows": 1,
        "stuck": ["value", True, True],
        "begin": ["history-unwritten"],
        "freed": ["later", 0, True],
        "rebuilt": True,
        "events": ["history-unwritten", "history-rebuilt", "history-written"],
        "aside": 1,
    }


def test_a_gap_that_grew_while_writes_waited_is_written_as_it_was_at_last(
    history: History, folder: Path
) -> None:
    take_away(folder)
    row = replace(missed(), outcome=Outcome.SKIPPED)
    history.add([row])
    longer = replace(row, slots=4, ended=NOW + DAY)
    history.update(longer)
    bring_back(folder)
    history.flush()
    assert history.rows() == (longer,)
