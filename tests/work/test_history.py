"""The history's rows: what is due, what ended, what a job did last."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from snapd.errors import HistoryError
from snapd.history import History, Run, SecondRowError, Watched, runs
from snapd.history.file import FILE_NAME
from snapd.model import Cause, Kind, Outcome
from tests.work.history_rows import DAY, MINUTE, NOW, due, ended, missed, started


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    opened = History(tmp_path, now=NOW)
    yield opened
    opened.close()


def reopened(history: History) -> History:
    history.close()
    return History(history.folder, now=NOW)


def query(history: History, sql: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(history.folder / FILE_NAME)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


FULL_ROW = Run(
    "run-full",
    "restore-test:shop",
    Kind.RESTORE_TEST,
    "shop",
    NOW,
    Cause.CATCH_UP,
    last_slot=NOW + MINUTE,
    slots=7,
    not_before=NOW + 2 * MINUTE,
    attempts=3,
    failures=2,
    unclean=1,
    started=NOW + 3 * MINUTE,
    ended=NOW + timedelta(microseconds=1),
    outcome=Outcome.WARNING,
    archive="shop_1",
    bytes_total=2**60,
    bytes_new=0,
    error_code="network",
    message="it said “no”",
    hint="try again",
    details={"findings": [{"check": "rows", "passed": None}], "share": 0.5, "deep": {"a": [1, True]}},
)


def test_a_row_comes_back_as_it_was_written(history: History) -> None:
    history.add([FULL_ROW])
    history = reopened(history)
    assert history.run("run-full") == FULL_ROW
    assert history.rows() == (FULL_ROW,)
    history.close()


def test_instants_of_any_zone_are_stored_as_text_of_one_width_in_utc(history: History) -> None:
    tokyo = NOW.astimezone(timezone(timedelta(hours=9)))
    history.add([due(slot=tokyo), due("backup:shop", NOW + timedelta(microseconds=5))])
    assert query(history, "SELECT slot FROM runs ORDER BY slot") == [
        ("2026-11-23T12:00:00.000000Z",),
        ("2026-11-23T12:00:00.000005Z",),
    ]


def test_an_instant_without_a_zone_is_refused_and_changes_nothing(history: History) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        history.add([due(slot=datetime(2026, 1, 1))])
    assert history.unfinished() == ()


def test_details_are_json_text_and_what_json_does_not_know_becomes_text(history: History) -> None:
    history.add([replace(due(), details={"path": Path("/srv"), "pair": (1, 2)})])
    assert history.unfinished()[0].details == {"path": "/srv", "pair": [1, 2]}
    assert query(history, "SELECT details FROM runs") == [('{"path": "/srv", "pair": [1, 2]}',)]


def test_a_message_with_an_undecodable_file_name_is_recorded(history: History) -> None:
    run = due()
    history.add([run])
    history.update(replace(ended(run), message="cannot read caf\udce9", archive="a\udce9"))
    told = history.last(run.job)
    history = reopened(history)
    assert told is not None
    assert told.message == "cannot read caf\\udce9"
    assert history.last(run.job) == told
    history.close()


def test_unfinished_rows_come_in_the_order_of_the_agenda(history: History) -> None:
    expire, test = due("expire:mail", NOW - DAY), due("restore-test:mail", NOW - 2 * DAY)
    late, early = due("backup:shop", NOW), due("backup:mail", NOW - MINUTE)
    history.add([expire, test, late, early])
    assert history.unfinished() == (early, late, test, expire)
    history = reopened(history)
    assert history.unfinished() == (early, late, test, expire)
    history.close()


def test_a_second_due_row_of_a_job_is_refused_and_nothing_of_its_batch_is_written(history: History) -> None:
    history.add([due()])
    with pytest.raises(ValueError, match="unfinished row"):
        history.add([due("backup:shop"), due(slot=NOW + MINUTE)])
    with pytest.raises(ValueError, match="unfinished row"):
        history.add([due("backup:new"), due("backup:new", NOW + MINUTE)])
    assert [run.job for run in history.unfinished()] == ["backup:mail"]


def test_a_run_id_is_used_once(history: History) -> None:
    run = due()
    history.add([run])
    history.update(ended(run))
    with pytest.raises(ValueError, match="already"):
        history.add([replace(due("backup:shop"), run_id=run.run_id)])


def test_a_slot_that_comes_again_after_the_clock_went_back_gets_another_row(history: History) -> None:
    first, again = due(), due()
    history.add([first])
    history.update(ended(first))
    history.add([again])
    assert history.unfinished() == (again,)


def test_rows_and_how_far_their_job_is_accounted_for_are_written_as_one(tmp_path: Path) -> None:
    history = History(tmp_path, now=NOW)
    run = due()
    accounted = Watched(run.job, "@daily", "UTC", NOW)
    history.add([run])
    with pytest.raises(SecondRowError):
        history.add([due()], accounted=accounted)
    assert history.watched() == {}
    history.update(ended(run))
    history.add([due(slot=NOW + MINUTE)], accounted=accounted)
    history.close()
    with closing(History(tmp_path, now=NOW)) as again:
        assert again.watched() == {run.job: accounted}
        assert len(again.unfinished()) == 1


def test_a_waiting_row_is_replaced_only_while_it_waits(history: History) -> None:
    run = due()
    history.add([run])
    running = replace(run, started=NOW, attempts=1)
    assert history.replace_waiting(running)
    assert not history.replace_waiting(replace(run, not_before=NOW))
    assert history.unfinished() == (running,)
    history.update(ended(running))
    assert not history.replace_waiting(running)
    assert history.unfinished() == ()


def test_a_slot_that_was_missed_or_skipped_may_still_get_its_run(history: History) -> None:
    gap, catch_up = missed(), due(cause=Cause.CATCH_UP)
    history.add([gap, catch_up])
    assert history.unfinished() == (catch_up,)
    assert history.rows() == (gap,)


@pytest.mark.parametrize("cause", [Cause.INTERRUPTED, Cause.SLICED])
def test_the_run_that_follows_an_interrupted_one_is_for_the_same_slot(history: History, cause: Cause) -> None:
    first = due()
    history.add([first])
    history.update(ended(first, Outcome.INTERRUPTED))
    history.add([again := due(cause=cause)])
    assert history.unfinished() == (again,)


def test_an_update_may_not_make_a_second_unfinished_row(history: History) -> None:
    first = due()
    history.add([first])
    history.update(ended(first))
    history.add([due(slot=NOW + MINUTE)])
    with pytest.raises(ValueError, match="unfinished row"):
        history.update(first)


def test_the_last_run_is_told_apart_from_slots_that_no_run_was_made_for(history: History) -> None:
    run, gap = due(), missed(slot=NOW + MINUTE, at=NOW + DAY)
    history.add([run])
    assert history.last(run.job) is None
    assert history.last_row(run.job) is None
    history.update(ended(run))
    history.add([gap])
    assert (history.last(run.job), history.last_row(run.job)) == (ended(run), gap)
    history = reopened(history)
    assert (history.last(run.job), history.last_row(run.job)) == (ended(run), gap)
    history.close()


def test_a_row_that_is_ended_anew_or_revived_is_no_longer_what_memory_said(history: History) -> None:
    older, newer = due(), due(slot=NOW + MINUTE)
    history.add([older])
    history.update(ended(older))
    history.add([newer])
    history.update(ended(newer))
    history.update(replace(ended(newer), ended=NOW - DAY))
    assert history.last(older.job) == ended(older)
    history.update(started(older))
    assert history.last(older.job) == replace(ended(newer), ended=NOW - DAY)
    assert history.unfinished() == (started(older),)


def test_a_skipped_row_grows_by_a_slot(history: History) -> None:
    row = replace(missed(), outcome=Outcome.SKIPPED)
    history.add([row])
    longer = replace(row, slots=4, last_slot=NOW + 3 * MINUTE, ended=NOW + 3 * MINUTE)
    history.update(longer)
    assert history.last_row(row.job) == longer
    assert history.rows() == (longer,)


def test_rows_are_ended_ones_newest_end_first_and_can_be_chosen(history: History) -> None:
    mail = [ended(due("backup:mail", NOW + n * MINUTE)) for n in range(3)]
    test, shop = ended(due("restore-test:mail", NOW - DAY)), ended(due("backup:shop", NOW + DAY))
    history.add([*mail, test, shop, due("expire:mail")])
    assert history.rows() == (shop, *reversed(mail), test)
    assert history.rows(limit=2) == (shop, mail[2])
    assert history.rows(backup_set="mail") == (*reversed(mail), test)
    assert history.rows(backup_set="mail", limit=1) == (mail[2],)
    assert history.rows(kind=Kind.RESTORE_TEST) == (test,)
    assert history.rows(backup_set="mail", kind=Kind.BACKUP, limit=2) == (mail[2], mail[1])
    assert history.rows(backup_set="nobody") == ()


def test_an_unknown_row_is_none(history: History) -> None:
    assert history.run("nobody") is None


def test_watched_jobs_are_kept_replaced_and_forgotten(history: History) -> None:
    mail, shop = (Watched(f"backup:{name}", "@daily", "UTC", NOW) for name in ("mail", "shop"))
    later = replace(mail, through=NOW + DAY)
    history.watch([mail, shop])
    history.watch([later])
    history = reopened(history)
    assert history.watched() == {"backup:mail": later, "backup:shop": shop}
    history.unwatch(["backup:shop", "backup:nobody"])
    history = reopened(history)
    assert history.watched() == {"backup:mail": later}
    history.close()


def test_old_rows_become_daily_sums_once(history: History) -> None:
    long_ago = NOW - 500 * DAY
    old = [replace(ended(due(slot=long_ago + n * MINUTE)), bytes_new=10) for n in range(3)]
    gap, recent = missed(slot=long_ago), ended(due(slot=NOW - DAY))
    history.add([*old, gap, recent])
    assert history.compact(NOW) == 4
    assert history.compact(NOW) == 0
    assert history.rows() == (recent,)
    sums = query(
        history, "SELECT day, job, outcome, runs, round(seconds), bytes_new FROM daily ORDER BY outcome"
    )
    day = f"{long_ago:%Y-%m-%d}"
    assert sums == [
        (day, "backup:mail", "missed", 3, 0.0, 0),
        (day, "backup:mail", "ok", 3, 180.0, 30),
    ]


def test_sums_of_a_day_add_up_when_more_of_its_rows_grow_old(history: History) -> None:
    long_ago = datetime(2025, 3, 1, 12, tzinfo=NOW.tzinfo)
    early, late = ended(due(slot=long_ago)), ended(due(slot=long_ago + 60 * MINUTE))
    history.add([early, late, ended(due())])
    assert history.compact(long_ago + 400 * DAY + 30 * MINUTE) == 1
    assert history.compact(long_ago + 400 * DAY + 90 * MINUTE) == 1
    assert query(history, "SELECT runs FROM daily") == [(2,)]


def test_the_last_rows_of_a_job_stay_however_old(history: History) -> None:
    run, gap = ended(due(slot=NOW - 900 * DAY)), missed(slot=NOW - 800 * DAY)
    history.add([run, gap, ended(due(slot=NOW - 1000 * DAY))])
    assert history.compact(NOW) == 1
    history = reopened(history)
    assert history.last(run.job) == run
    assert history.last_row(run.job) == gap
    history.close()


QUERIES = {
    "unfinished rows": runs._UNFINISHED,
    "jobs": runs._JOBS_WITH_ENDED_RUNS,
    "the last row of a job": runs._LAST_ROW,
    "the last run of a job": runs._LAST_MADE,
    "when a job last went well": runs._LAST_OK,
    "the first run of a job": runs._FIRST_MADE,
    "rows": runs._ROWS,
    "rows of a kind": runs._ROWS_OF_KIND,
    "rows of a job": runs._ROWS_OF_JOB,
    "a row": runs._ROW,
}


@pytest.mark.parametrize("sql", QUERIES.values(), ids=QUERIES.keys())
def test_no_question_reads_the_whole_history(history: History, sql: str) -> None:
    plan = [str(row[-1]) for row in query(history, f"EXPLAIN QUERY PLAN {sql.replace('?', '1')}")]
    reads = [step for step in plan if "runs" in step]
    assert reads
    assert all("USING" in step for step in reads)
    assert "USE TEMP B-TREE FOR ORDER BY" not in plan


def test_closing_twice_is_closing_and_a_closed_history_says_so(history: History) -> None:
    history.close()
    history.close()
    with pytest.raises(HistoryError, match="closed"):
        history.add([due()])
    with pytest.raises(HistoryError, match="closed"):
        history.rows()


def test_a_closed_history_is_one_file(history: History) -> None:
    history.add([due()])
    history.close()
    assert [path.name for path in history.folder.iterdir()] == [FILE_NAME]
