"""The alarm clock and the slots that passed."""

from __future__ import annotations

import pickle
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from snapd.cron import Schedule
from snapd.history import History, Run
from snapd.model import Cause, Outcome
from snapd.schedule import AlarmClock, Diff, Stored, Trigger, diff
from snapd.slots import Slots

NOW = datetime(2026, 11, 23, 12, 0, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def trigger(text: str = "*/15 * * * *") -> Trigger:
    return Trigger(text, "UTC")


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    opened = History(tmp_path, now=NOW)
    yield opened
    opened.close()


# -- the trigger ------------------------------------------------------------------------------------------


def test_a_trigger_is_stored_as_two_strings_and_comes_back_equal() -> None:
    stored = pickle.dumps(trigger())
    assert pickle.loads(stored) == trigger()
    assert trigger().__getstate__() == {"expression": "*/15 * * * *", "timezone": "UTC"}


def test_triggers_differ_by_expression_and_by_zone() -> None:
    assert trigger() != trigger("@daily")
    assert trigger() != Trigger("*/15 * * * *", "Europe/Berlin")
    assert len({trigger(), trigger()}) == 1


def test_the_next_fire_time_may_be_now_but_never_the_previous_one() -> None:
    slot = NOW.replace(minute=15, second=0)
    assert trigger().get_next_fire_time(None, slot) == slot
    assert trigger().get_next_fire_time(slot, slot) == slot + 15 * MINUTE


def test_a_year_off_costs_the_trigger_one_step() -> None:
    assert trigger().get_next_fire_time(NOW - timedelta(days=365), NOW) == NOW.replace(minute=15, second=0)


# -- diff -------------------------------------------------------------------------------------------------


def test_unchanged_jobs_are_not_touched() -> None:
    stored = {"backup:a": Stored(trigger(), NOW + MINUTE)}
    assert not diff({"backup:a": trigger()}, stored, NOW)


def test_diff_tells_added_changed_and_removed_jobs() -> None:
    stored = {"backup:a": Stored(trigger(), NOW + MINUTE), "backup:b": Stored(trigger(), NOW + MINUTE)}
    wanted = {"backup:a": trigger("@daily"), "backup:c": trigger()}
    assert diff(wanted, stored, NOW) == Diff(
        added=("backup:c",), changed=("backup:a",), removed=("backup:b",)
    )


@pytest.mark.parametrize("next_run", [None, NOW + timedelta(days=365)])
def test_a_next_run_from_a_clock_that_was_ahead_is_recomputed(next_run: datetime | None) -> None:
    assert diff({"backup:a": trigger()}, {"backup:a": Stored(trigger(), next_run)}, NOW).moved == (
        "backup:a",
    )


# -- the alarm clock, on a real job store -----------------------------------------------------------------


@pytest.fixture
def rung() -> threading.Event:
    return threading.Event()


@pytest.fixture
def alarm(tmp_path: Path, rung: threading.Event) -> Iterator[AlarmClock]:
    clock = AlarmClock(tmp_path, rung.set)
    yield clock
    clock.stop()


def test_the_alarm_rings_at_a_slot(alarm: AlarmClock, rung: threading.Event) -> None:
    alarm.set({"backup:a": trigger("every 1s")}, datetime.now(UTC))
    assert rung.wait(10)


def test_an_alarm_that_comes_in_the_middle_of_a_stop_is_no_error(
    alarm: AlarmClock, rung: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    alarm.set({"backup:mail": trigger("@yearly")}, NOW)
    scheduler = alarm._scheduler
    assert scheduler is not None
    scheduler.pause()  # so that it is we who look at what is due, and not its thread
    scheduler.modify_job("backup:mail", next_run_time=NOW)
    alarm.stop()
    scheduler._process_jobs()
    scheduler._jobstores["default"].shutdown()
    assert rung.is_set()
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


def test_jobs_persist_and_a_second_start_changes_nothing(tmp_path: Path, rung: threading.Event) -> None:
    wanted = {"backup:a": trigger("@yearly"), "expire:a": trigger("@daily")}
    first = AlarmClock(tmp_path, rung.set)
    assert set(first.set(wanted, datetime.now(UTC)).added) == set(wanted)
    first.stop()
    second = AlarmClock(tmp_path, rung.set)
    try:
        assert not second.set(wanted, datetime.now(UTC))
    finally:
        second.stop()


@pytest.mark.parametrize("rubbish", [b"", b"not a database at all, but long enough to be one" * 50])
def test_a_damaged_job_store_is_made_anew(tmp_path: Path, alarm: AlarmClock, rubbish: bytes) -> None:
    (tmp_path / "jobs.sqlite").write_bytes(rubbish)
    assert alarm.set({"backup:a": trigger()}, datetime.now(UTC)).added == ("backup:a",)


def test_a_folder_in_the_place_of_the_job_store_is_put_aside(tmp_path: Path, alarm: AlarmClock) -> None:
    (tmp_path / "jobs.sqlite").mkdir()
    (tmp_path / "jobs.sqlite" / "mine").touch()
    assert alarm.set({"backup:a": trigger()}, datetime.now(UTC)).added == ("backup:a",)
    assert list(tmp_path.glob("jobs.sqlite.aside-*/mine"))


def test_a_row_that_nobody_can_read_is_replaced(tmp_path: Path, alarm: AlarmClock) -> None:
    alarm.set({"backup:a": trigger("@yearly")}, datetime.now(UTC))
    alarm.stop()
    with sqlite3.connect(tmp_path / "jobs.sqlite") as store:
        store.execute("UPDATE apscheduler_jobs SET job_state = x'00'")
    store.close()
    assert alarm.set({"backup:a": trigger("@yearly")}, datetime.now(UTC)).added == ("backup:a",)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # its thread dies of it
def test_a_locked_job_store_is_an_error_that_passes(tmp_path: Path, alarm: AlarmClock) -> None:
    alarm.set({"backup:a": trigger()}, datetime.now(UTC))
    holder = sqlite3.connect(tmp_path / "jobs.sqlite", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(OperationalError):
        alarm.restart(datetime.now(UTC))
    assert not alarm.running
    holder.execute("ROLLBACK")
    holder.close()
    alarm.restart(datetime.now(UTC))
    assert alarm.running


# -- slots ------------------------------------------------------------------------------------------------


def every(text: str) -> Schedule:
    return Schedule.parse(text, "UTC")


def outcomes(history: History) -> list[tuple[str, Outcome | None, int]]:
    ended = [(run.job, run.outcome, run.slots) for run in reversed(history.rows())]
    return ended + [(run.job, None, 1) for run in history.unfinished()]


def test_a_new_job_owes_nothing_for_the_time_before_it(history: History) -> None:
    slots = Slots(history)
    slots.set_jobs({"backup:a": every("every 1m")}, NOW)
    assert outcomes(history) == []
    assert slots.next_slot() == NOW.replace(minute=1, second=0)


def test_a_slot_that_passes_becomes_due_once(history: History) -> None:
    slots = Slots(history)
    slots.set_jobs({"backup:a": every("every 1m")}, NOW)
    assert slots.catch_up(NOW + MINUTE).due == 1
    assert slots.catch_up(NOW + MINUTE).due == 0
    assert outcomes(history) == [("backup:a", None, 1)]


def test_a_daemon_that_was_down_over_several_slots_catches_up_once(tmp_path: Path) -> None:
    before = History(tmp_path, now=NOW)
    Slots(before).set_jobs({"backup:a": every("every 1m")}, NOW)
    before.close()
    after = History(tmp_path, now=NOW + 10 * MINUTE)
    Slots(after).set_jobs({"backup:a": every("every 1m")}, NOW + 10 * MINUTE)
    assert outcomes(after) == [("backup:a", Outcome.MISSED, 10), ("backup:a", None, 1)]
    assert after.unfinished()[0].cause is Cause.CATCH_UP
    after.close()


def test_a_changed_schedule_loses_no_slot_of_the_old_one(history: History) -> None:
    slots = Slots(history)
    slots.set_jobs({"backup:a": every("every 1m")}, NOW)
    slots.set_jobs({"backup:a": every("@yearly")}, NOW + MINUTE)
    assert outcomes(history) == [("backup:a", None, 1)]
    assert slots.coming() == [(datetime(2027, 1, 1, tzinfo=UTC), "backup:a")]


def test_waiting_rows_of_a_removed_job_end_skipped(history: History) -> None:
    slots = Slots(history)
    slots.set_jobs({"backup:a": every("every 1m"), "backup:b": every("every 1m")}, NOW)
    slots.catch_up(NOW + MINUTE)
    slots.set_jobs({"backup:b": every("every 1m")}, NOW + MINUTE)
    slots.end_removed(["backup:b"], NOW + MINUTE)
    assert outcomes(history) == [("backup:a", Outcome.SKIPPED, 1), ("backup:b", None, 1)]


def test_slots_during_a_pause_are_skipped(history: History) -> None:
    slots = Slots(history)
    slots.set_jobs({"backup:a": every("every 1m")}, NOW)
    history.pause("a", NOW + 5 * MINUTE)
    slots.catch_up(NOW + 2 * MINUTE)
    assert outcomes(history) == [("backup:a", Outcome.SKIPPED, 2)]


def test_slots_that_come_again_after_the_clock_went_back_run_again(history: History) -> None:
    slots = Slots(history)
    slots.set_jobs({"backup:a": every("every 1m")}, NOW)
    slots.catch_up(NOW + MINUTE)
    (first,) = history.unfinished()
    history.update(replace(first, started=NOW, ended=NOW + MINUTE, outcome=Outcome.OK))
    slots.rewind(NOW)
    assert slots.catch_up(NOW + MINUTE).due == 1
    (again,) = history.unfinished()
    assert (again.slot, again.run_id != first.run_id) == (first.slot, True)


def test_a_retry_dated_by_a_wrong_clock_does_not_wait_for_it(history: History) -> None:
    slots = Slots(history)
    slots.set_jobs({"backup:a": every("every 1m")}, NOW)
    slots.catch_up(NOW + MINUTE)
    (due,) = history.unfinished()
    history.update(replace(due, attempts=1, not_before=NOW + timedelta(days=365)))
    slots.rewind(NOW)
    assert history.unfinished()[0].not_before is None


def test_a_row_that_began_between_look_and_write_is_not_taken_over(history: History) -> None:
    slots = Slots(history)
    slots.set_jobs({"backup:a": every("every 1m")}, NOW)
    slots.catch_up(NOW + MINUTE)
    (due,) = history.unfinished()
    history.update(replace(due, attempts=1, not_before=NOW + 10 * MINUTE))
    replace_waiting = history.replace_waiting

    def begin_first(run: Run) -> bool:
        history.replace_waiting = replace_waiting  # type: ignore[method-assign]
        history.update(replace(due, started=NOW, attempts=2))
        return replace_waiting(run)

    history.replace_waiting = begin_first  # type: ignore[method-assign]
    slots.catch_up(NOW + 2 * MINUTE)
    (running,) = history.unfinished()
    assert (running.run_id, running.running) == (due.run_id, True)
    assert history.rows()[0].outcome is Outcome.SKIPPED


def test_a_clock_that_went_back_does_not_silence_a_job_for_a_year(history: History) -> None:
    slots = Slots(history)
    slots.set_jobs({"backup:a": every("every 1m")}, NOW + timedelta(days=365))
    assert slots.rewind(NOW) == ("backup:a",)
    assert slots.catch_up(NOW + MINUTE).due == 1


def test_a_start_with_a_clock_that_was_ahead_counts_from_now(tmp_path: Path) -> None:
    before = History(tmp_path, now=NOW)
    Slots(before).set_jobs({"backup:a": every("every 1m")}, NOW + timedelta(days=365))
    before.close()
    after = History(tmp_path, now=NOW)
    slots = Slots(after)
    slots.set_jobs({"backup:a": every("every 1m")}, NOW)
    assert slots.catch_up(NOW + MINUTE).due == 1
    after.close()


def test_a_lost_history_makes_every_backup_due(history: History) -> None:
    slots = Slots(history)
    slots.make_due(["backup:a", "backup:b"], NOW)
    slots.make_due(["backup:a"], NOW)
    assert {(run.job, run.cause) for run in history.unfinished()} == {
        ("backup:a", Cause.CATCH_UP),
        ("backup:b", Cause.CATCH_UP),
    }
    assert len(history.unfinished()) == 2
