"""What is due and what follows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapd import agenda
from snapd.cron import Passed
from snapd.errors import EngineBusyError, InterruptedRunError, KeyFaultError, NetworkError, RestoreTestError
from snapd.history import Run
from snapd.model import Cause, Kind, Outcome, Result

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
JOB = "backup:mail"


def ids() -> agenda.NewId:
    numbers = count(1)
    return lambda: f"new{next(numbers)}"


def due(job: str = JOB, slot: datetime = NOW, cause: Cause = Cause.SCHEDULE, run_id: str = "old") -> Run:
    return agenda.new_run(job, slot, cause, run_id)


def next_due(rows: list[Run], now: datetime) -> Run | None:
    return next(agenda.due_now(rows, now), None)


def once(at: datetime = NOW) -> Passed:
    return Passed(at, at, 1)


def settle(
    passed: Passed,
    unfinished: Run | None = None,
    previous: Run | None = None,
    *,
    paused: bool = False,
    awake: bool = True,
) -> agenda.Settled:
    return agenda.settle_slots(
        JOB, passed, NOW, ids(), unfinished=unfinished, previous=previous, paused=paused, awake=awake
    )


def test_one_slot_just_now_is_one_due_row() -> None:
    settled = settle(once(NOW - timedelta(seconds=1)))
    assert [(run.cause, run.outcome, run.slot) for run in settled.added] == [
        (Cause.SCHEDULE, None, NOW - timedelta(seconds=1))
    ]


def test_several_slots_are_one_missed_row_and_one_catch_up_run() -> None:
    settled = settle(Passed(NOW - 5 * HOUR, NOW - HOUR, 5))
    missed, caught = settled.added
    assert (missed.outcome, missed.slot, missed.last_slot, missed.slots) == (
        Outcome.MISSED,
        NOW - 5 * HOUR,
        NOW - HOUR,
        5,
    )
    assert (caught.cause, caught.outcome, caught.slot) == (Cause.CATCH_UP, None, NOW - HOUR)


def test_several_slots_of_a_few_seconds_were_not_missed_by_a_daemon_that_ran() -> None:
    seconds = Passed(NOW - timedelta(seconds=2), NOW, 3)
    skipped, due_now = settle(seconds).added
    assert (skipped.outcome, skipped.slots) == (Outcome.SKIPPED, 2)
    assert (due_now.cause, due_now.slot) == (Cause.SCHEDULE, NOW)


def test_the_same_slots_were_missed_by_a_daemon_that_did_not_run() -> None:
    seconds = Passed(NOW - timedelta(seconds=2), NOW, 3)
    settled = settle(seconds, awake=False)
    assert [(run.outcome, run.cause) for run in settled.added] == [
        (Outcome.MISSED, Cause.SCHEDULE),
        (None, Cause.CATCH_UP),
    ]


def test_one_slot_noticed_late_was_missed_too() -> None:
    settled = settle(once(NOW - HOUR))
    assert [run.outcome for run in settled.added] == [Outcome.MISSED, None]


def test_slots_of_a_daemon_that_did_not_run_are_missed_though_a_row_waited_which_makes_up_for_them() -> None:
    (missed,) = settle(Passed(NOW - 5 * HOUR, NOW - HOUR, 5), due(), awake=False).added
    assert (missed.outcome, missed.slots, missed.message) == (Outcome.MISSED, 5, "the daemon did not run")


def test_slots_missed_while_a_row_waited_for_its_retry_are_told_and_it_is_taken_over() -> None:
    waits = replace(due(), attempts=1, failures=2, not_before=NOW + HOUR)
    settled = settle(Passed(NOW - 5 * HOUR, NOW - HOUR, 5), waits, awake=False)
    assert [(run.run_id, run.outcome) for run in settled.updated] == [("old", Outcome.FAILED)]
    missed, successor = settled.added
    assert (missed.outcome, missed.slots) == (Outcome.MISSED, 5)
    assert (successor.cause, successor.failures, successor.slot) == (Cause.CATCH_UP, 2, NOW - HOUR)


def test_a_slot_during_a_run_is_skipped_and_says_by_which() -> None:
    running = agenda.started(due(), NOW - HOUR)
    (skipped,) = settle(once(), running).added
    assert skipped.outcome is Outcome.SKIPPED
    assert "ran (run old)" in skipped.message


def test_skipped_slots_of_one_stretch_share_a_row() -> None:
    running = agenda.started(due(), NOW - HOUR)
    (first,) = settle(once(NOW - MINUTE), running).added
    settled = settle(once(), running, previous=first)
    assert settled.added == ()
    (longer,) = settled.updated
    assert (longer.run_id, longer.slots, longer.slot, longer.last_slot) == (
        first.run_id,
        2,
        NOW - MINUTE,
        NOW,
    )


def test_slots_of_a_paused_set_are_skipped() -> None:
    (skipped,) = settle(Passed(NOW - HOUR, NOW, 3), paused=True).added
    assert (skipped.outcome, skipped.slots) == (Outcome.SKIPPED, 3)


def test_a_slot_takes_over_from_a_row_that_waits_for_its_retry() -> None:
    (waiting,) = agenda.after_error(agenda.started(due(), NOW), NetworkError("no route"), NOW, ids()).updated
    settled = settle(once(), waiting)
    (given_up,), (successor,) = settled.updated, settled.added
    assert (given_up.outcome, given_up.error_code) == (Outcome.FAILED, "network")
    assert (successor.failures, successor.not_before) == (1, None)


def test_the_agenda_takes_backups_first_then_tests_then_expiry() -> None:
    rows = [
        due("expire:a", NOW - 3 * HOUR),
        due("restore-test:a", NOW - 2 * HOUR),
        due("backup:b", NOW),
        due("backup:a", NOW - HOUR),
    ]
    assert [run.job for run in agenda.in_order(rows)] == [
        "backup:a",
        "backup:b",
        "restore-test:a",
        "expire:a",
    ]


def test_a_run_that_was_cut_off_lets_other_sets_go_first() -> None:
    cut = due("backup:a", NOW - HOUR, Cause.INTERRUPTED)
    other = due("backup:b", NOW)
    assert next_due([cut, other], NOW) == other
    assert next_due([cut, due("expire:b", NOW)], NOW) == cut


def sliced(job: str, at: datetime) -> Run:
    """Return the row of a run that was cut into slices at an instant, days after its slot."""
    running = agenda.started(due(job, NOW - 48 * HOUR), NOW - 2 * HOUR)
    cut = agenda.after_error(running, InterruptedRunError("cut off", cause="sliced"), at, ids())
    return cut.added[0]


def test_a_run_that_was_sliced_goes_behind_what_is_due_and_before_what_comes_later() -> None:
    cut = sliced("backup:a", NOW)
    before, after = due("backup:b", NOW - MINUTE), due("backup:c", NOW + MINUTE)
    assert agenda.in_order([after, cut, before]) == [before, cut, after]
    assert next_due([cut], NOW) == cut
    assert next_due([cut, due("expire:b", NOW - HOUR)], NOW) == cut


def test_sets_that_are_due_all_the_time_do_not_starve_a_run_that_was_sliced() -> None:
    """Two sets are due again as soon as they have run; each run takes a minute."""
    now, waiting, ran = NOW, [sliced("backup:a", NOW), due("backup:b"), due("backup:c")], []
    for _ in range(12):
        run = next_due(waiting, now)
        assert run is not None
        waiting.remove(run)
        ran.append(run.job.removeprefix("backup:"))
        now += MINUTE
        waiting.append(sliced(run.job, now) if run.job == "backup:a" else due(run.job, now))
    assert [ran.count(name) for name in "abc"] == [4, 4, 4]


def test_a_slice_that_ended_in_order_ends_the_count_of_failures_and_crashes() -> None:
    running = replace(agenda.started(due(), NOW), failures=2, unclean=1, attempts=3)
    (cut,), (following,) = _cut(running, "sliced"), _following(running, "sliced")
    assert (cut.outcome, "max_hold" in cut.message) == (Outcome.INTERRUPTED, True)
    assert (following.failures, following.unclean, following.attempts) == (0, 0, 3)
    (stopped,) = _following(running, "stop")
    assert (stopped.failures, stopped.unclean) == (2, 1)


def _cut(running: Run, cause: str) -> tuple[Run, ...]:
    return agenda.after_error(running, InterruptedRunError("cut off", cause=cause), NOW, ids()).updated


def _following(running: Run, cause: str) -> tuple[Run, ...]:
    return agenda.after_error(running, InterruptedRunError("cut off", cause=cause), NOW, ids()).added


def test_a_row_that_waits_is_not_due_until_its_time() -> None:
    waiting = replace(due(), not_before=NOW + MINUTE)
    assert next_due([waiting], NOW) is None
    assert agenda.next_wake([waiting], NOW) == NOW + MINUTE
    assert next_due([waiting], NOW + MINUTE) == waiting


def test_running_rows_are_never_due_again() -> None:
    assert next_due([agenda.started(due(), NOW)], NOW) is None


def waits(error: NetworkError | EngineBusyError, times: int) -> list[timedelta]:
    run, found = due(), []
    for _ in range(times):
        (run,) = agenda.after_error(agenda.started(run, NOW), error, NOW, ids()).updated
        assert run.outcome is None
        assert run.not_before is not None
        found.append(run.not_before - NOW)
    return found


def test_transient_errors_wait_one_five_fifteen_and_then_fifteen_minutes() -> None:
    assert waits(NetworkError("no route"), 5) == [m * MINUTE for m in (1, 5, 15, 15, 15)]


def test_a_busy_store_is_tried_every_minute() -> None:
    assert waits(EngineBusyError("in use"), 3) == [MINUTE] * 3


def test_an_error_that_nobody_mends_fails_at_once() -> None:
    settled = agenda.after_error(
        agenda.started(due(), NOW), KeyFaultError("no key", hint="get it"), NOW, ids()
    )
    (failed,) = settled.updated
    assert (failed.outcome, failed.error_code, failed.hint, failed.failures) == (
        Outcome.FAILED,
        "key",
        "get it",
        1,
    )
    assert settled.added == ()


def test_a_failed_restore_test_keeps_its_findings() -> None:
    error = RestoreTestError("a row is old", details={"findings": [1]})
    (failed,) = agenda.after_error(agenda.started(due(), NOW), error, NOW, ids()).updated
    assert failed.details == {"findings": [1]}


@pytest.mark.parametrize(("cause", "expected"), [("stop", Cause.INTERRUPTED), ("sliced", Cause.SLICED)])
def test_a_run_cut_off_on_purpose_is_interrupted_and_due_again(cause: str, expected: Cause) -> None:
    error = InterruptedRunError("stopping", cause=cause)
    settled = agenda.after_error(agenda.started(due(), NOW), error, NOW, ids())
    (cut,), (again,) = settled.updated, settled.added
    assert cut.outcome is Outcome.INTERRUPTED
    assert (again.cause, again.slot, again.outcome, again.running) == (expected, cut.slot, None, False)


def test_a_run_that_made_way_says_for_what_not_how_its_program_ended() -> None:
    error = InterruptedRunError("borg was interrupted after 3s", cause="backup-due")
    (cut,) = agenda.after_error(agenda.started(due("restore-test:a"), NOW), error, NOW, ids()).updated
    assert cut.message == "made way for a backup"


def test_success_forgets_the_failures_before_it() -> None:
    run = agenda.started(replace(due(), failures=3), NOW)
    ended = agenda.succeeded(run, Result(Outcome.OK, archive="a"), NOW)
    assert (ended.failures, ended.archive, ended.outcome) == (0, "a", Outcome.OK)


def test_a_run_that_takes_the_daemon_down_twice_is_given_up() -> None:
    first = agenda.recover(agenda.started(due(), NOW), NOW, ids(), clean_stop=False)
    assert first.updated[0].outcome is Outcome.INTERRUPTED
    (again,) = first.added
    second = agenda.recover(agenda.started(again, NOW), NOW, ids(), clean_stop=False)
    (given_up,) = second.updated
    assert (given_up.outcome, given_up.error_code) == (Outcome.FAILED, "crash-loop")
    assert second.added == ()


def test_a_daemon_that_was_stopped_in_order_is_not_held_against_the_run() -> None:
    run = agenda.started(due(), NOW)
    for _ in range(5):
        (run,) = agenda.recover(run, NOW, ids(), clean_stop=True).added
        run = agenda.started(run, NOW)
    assert run.unclean == 0


@given(
    first=st.integers(0, 10_000),
    length=st.integers(0, 10_000),
    state=st.sampled_from(["none", "due", "running", "waiting"]),
    paused=st.booleans(),
)
def test_at_most_one_unfinished_row_is_left_whatever_passed(
    first: int, length: int, state: str, paused: bool
) -> None:
    last = NOW - first * MINUTE
    passed = Passed(last - length * MINUTE, last, length + 1)
    before: Run | None = {
        "none": None,
        "due": due(),
        "running": agenda.started(due(), NOW),
        "waiting": replace(due(), attempts=1, not_before=NOW + MINUTE),
    }[state]
    settled = settle(passed, before, paused=paused)
    rows = {run.run_id: run for run in ([before] if before else [])}
    rows |= {run.run_id: run for run in (*settled.updated, *settled.added)}
    unfinished = [run for run in rows.values() if run.outcome is None]
    assert len(unfinished) <= 1
    assert paused or unfinished, "no slot that passed may leave nothing to do"
    assert len({run.run_id for run in settled.added}) == len(settled.added)


def test_a_row_that_nobody_wants_any_more_ends_skipped_and_says_why() -> None:
    ended = agenda.skipped(replace(due(), not_before=NOW + HOUR), NOW, "the set is paused")
    assert (ended.outcome, ended.message, ended.ended, ended.not_before) == (
        Outcome.SKIPPED,
        "the set is paused",
        NOW,
        None,
    )


def test_kinds_that_were_not_asked_for_stay() -> None:
    assert next(agenda.due_now([due("expire:a")], NOW, kinds=[Kind.BACKUP]), None) is None
