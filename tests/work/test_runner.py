"""The runner: one run at a time, under the lock, whatever happens inside."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from snapd.errors import BusyError, InterruptedRunError, KeyFaultError, NetworkError
from snapd.history import Run
from snapd.jobs.base import Work
from snapd.lock import Holder, SingleLock
from snapd.model import Cause, Outcome
from snapd.runner import READ_WAIT_S
from tests.fakes.scene import DEADLINE_S, MINUTE, START, Scene, backed_up_for_long, until


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    made.runner.stop(DEADLINE_S)
    made.history.close()


# -- one run --------------------------------------------------------------------------------------------


def test_a_due_backup_becomes_an_archive_and_a_row(scene: Scene) -> None:
    scene.runner.start()
    run = scene.ended(scene.ask("backup:mail"))
    assert (run.outcome, run.archive) == (Outcome.OK, "mail_20261123-120000")
    assert scene.engine.names() == ["mail_20261123-120000"]
    assert [known.archive.name for known in scene.history.known_archives("mail")] == scene.engine.names()


def test_the_lock_is_held_during_a_run_and_free_after_it(scene: Scene) -> None:
    held: list[Holder | None] = []
    scene.engine.during["create"] = lambda _name: held.append(SingleLock(scene.folders.state).holder())
    scene.runner.start()
    run = scene.ended(scene.ask("backup:mail"))
    assert held[0] is not None
    assert (held[0].run_id, held[0].job) == (run.run_id, "backup:mail")
    assert until(lambda: scene.runner.lock.holder() is None)


def test_two_due_runs_never_overlap(scene: Scene) -> None:
    inside = threading.Semaphore(1)
    clashes: list[str] = []

    def alone(name: str) -> None:
        if not inside.acquire(blocking=False):
            clashes.append(name)
        time.sleep(0.02)  # room for a clash
        inside.release()

    scene.engine.during["create"] = alone
    first, second = scene.ask("backup:mail"), scene.ask("backup:web")
    scene.runner.start()
    scene.ended(first)
    scene.ended(second)
    assert clashes == []


def test_an_exception_that_nobody_foresaw_fails_the_run_and_the_next_one_goes_on(scene: Scene) -> None:
    def defect(_name: str) -> None:
        del scene.engine.during["create"]
        raise ZeroDivisionError("oops")

    scene.engine.during["create"] = defect
    scene.runner.start()
    failed = scene.ended(scene.ask("backup:mail"))
    assert (failed.outcome, failed.error_code) == (Outcome.FAILED, "internal")
    assert "oops" in failed.message
    assert scene.ended(scene.ask("backup:web")).outcome is Outcome.OK


def test_an_error_is_recorded_with_its_code_and_hint(scene: Scene) -> None:
    scene.engine.fail_next("create", KeyFaultError("the key is gone", hint="fetch the copy"))
    scene.runner.start()
    run = scene.ended(scene.ask("backup:mail"))
    assert (run.outcome, run.error_code, run.message, run.hint) == (
        Outcome.FAILED,
        "key",
        "the key is gone",
        "fetch the copy",
    )


def test_a_transient_error_waits_and_is_tried_again_under_a_new_name(scene: Scene) -> None:
    scene.engine.fail_next("create", NetworkError("no route"))
    scene.runner.start()
    run = scene.ask("backup:mail")
    waiting = until(lambda: next((r for r in scene.history.unfinished() if r.not_before), None))
    assert (waiting.error_code, waiting.not_before) == ("network", START + MINUTE)
    assert scene.runner.lock.holder() is None or until(lambda: scene.runner.lock.holder() is None)
    scene.clock.at = START + MINUTE
    scene.runner.notify()
    ended = scene.ended(run)
    assert (ended.outcome, ended.attempts, ended.failures) == (Outcome.OK, 2, 0)
    assert scene.created() == ["mail_20261123-120000", "mail_20261123-120100"]


def test_a_retry_at_the_same_instant_gets_another_name_too(scene: Scene) -> None:
    scene.engine.fail_next("create", NetworkError("no route"))
    scene.runner.start()
    run = scene.ask("backup:mail")
    until(lambda: any(r.not_before for r in scene.history.unfinished()))
    scene.ask("backup:mail")  # asked for: it need not wait
    assert scene.ended(run).archive == "mail_20261123-120000.2"


def test_asking_twice_is_one_run(scene: Scene) -> None:
    assert scene.ask("backup:mail").run_id == scene.ask("backup:mail").run_id


def test_without_a_daemon_only_what_was_asked_for_runs(scene: Scene) -> None:
    scene.ask("backup:web")  # waits in the history for the daemon
    scene.runner = scene.another(only_asked=True)
    scene.runner.start()
    assert scene.ended(scene.ask("backup:mail")).outcome is Outcome.OK
    assert [run.job for run in scene.history.unfinished()] == ["backup:web"]


# -- the lock of another process ------------------------------------------------------------------------


def test_a_run_waits_for_the_lock_of_somebody_else_and_says_so(scene: Scene) -> None:
    other = SingleLock(scene.folders.state)
    assert other.try_acquire(Holder(pid=4711, run_id="theirs", job="backup:web", since=START))
    run = scene.ask("backup:mail")
    with scene.runner.followers.follow(run.run_id) as events:
        scene.runner.start()
        told = events.get(timeout=DEADLINE_S)
    assert told["event"] == "waiting"
    assert "4711" in told["holder"]
    assert scene.created() == []
    other.release()
    assert scene.ended(run).outcome is Outcome.OK


def test_a_look_at_the_store_gives_up_only_after_its_patience(scene: Scene) -> None:
    other = SingleLock(scene.folders.state)
    assert other.try_acquire(Holder(pid=1, run_id="theirs", job="backup:web", since=START))
    with ThreadPoolExecutor(1) as beside:
        look = beside.submit(scene.runner.look, "backup:mail", lambda work: work.engine.archives())
        while not look.done():
            scene.clock.at += timedelta(seconds=READ_WAIT_S)
            time.sleep(0.005)
        with pytest.raises(BusyError):
            look.result()
    other.release()
    assert scene.runner.look("backup:mail", lambda work: work.engine.archives()) == ()
    assert scene.runner.lock.holder() is None


# -- stepping aside -------------------------------------------------------------------------------------


def methods(scene: Scene) -> list[str]:
    return [call.method for call in scene.engine.calls if call.method in ("create", "delete", "reclaim")]


def test_an_expiry_lets_a_due_backup_run_between_two_batches(scene: Scene) -> None:
    backed_up_for_long(scene)
    asked: list[Run] = []

    def ask_once(_name: str) -> None:
        if not asked:
            asked.append(scene.ask("backup:web"))

    scene.engine.during["delete"] = ask_once
    expiry = scene.ended(scene.ask("expire:mail"))
    assert expiry.outcome is Outcome.OK, expiry
    assert scene.ended(asked[0]).outcome is Outcome.OK
    assert methods(scene)[1:4] == ["delete", "create", "delete"]


def test_a_reclaim_is_interrupted_for_a_due_backup_and_done_again(scene: Scene) -> None:
    backed_up_for_long(scene)
    asked: list[Run] = []

    def ask_once(_name: str) -> None:
        if not asked:
            asked.append(scene.ask("backup:web"))

    scene.engine.during["reclaim"] = ask_once
    expiry = scene.ended(scene.ask("expire:mail"))
    assert expiry.outcome is Outcome.OK
    assert methods(scene)[-3:] == ["reclaim", "create", "reclaim"]


def test_a_reclaim_that_was_interrupted_three_times_runs_to_its_end(scene: Scene) -> None:
    backed_up_for_long(scene)
    asked: list[Run] = []

    def ask_always(_name: str) -> None:
        scene.clock.at += timedelta(seconds=1)
        asked.append(scene.ask("backup:web"))

    scene.engine.during["reclaim"] = ask_always
    expiry = scene.ended(scene.ask("expire:mail"))
    assert expiry.outcome is Outcome.OK
    assert methods(scene).count("reclaim") == 4
    scene.ended(asked[-1])


# -- stop, crash, limits --------------------------------------------------------------------------------


def test_a_stop_interrupts_the_run_gently_and_makes_it_due_again(scene: Scene) -> None:
    inside = threading.Event()

    def wait_for_the_stop(_name: str) -> None:
        inside.set()
        assert scene.engine.interrupt is not None
        until(lambda: scene.engine.interrupt is not None and scene.engine.interrupt.requested)

    scene.engine.during["create"] = wait_for_the_stop
    scene.runner.start()
    run = scene.ask("backup:mail")
    assert inside.wait(DEADLINE_S)
    assert scene.runner.stop(DEADLINE_S)
    cut = scene.history.run(run.run_id)
    assert cut is not None
    assert cut.outcome is Outcome.INTERRUPTED
    (again,) = scene.history.unfinished()
    assert (again.cause, again.slot, again.running) == (Cause.INTERRUPTED, run.slot, False)


def test_a_stop_during_an_expiry_ends_it_after_the_batch(scene: Scene) -> None:
    backed_up_for_long(scene)
    stopped = threading.Event()

    def stop_once(_name: str) -> None:
        if not stopped.is_set():
            stopped.set()
            threading.Thread(target=scene.runner.stop, args=(DEADLINE_S,)).start()
            until(lambda: scene.engine.interrupt is not None and scene.engine.interrupt.requested)

    scene.engine.during["delete"] = stop_once
    expiry = scene.ended(scene.ask("expire:mail"))
    assert expiry.outcome is Outcome.INTERRUPTED
    assert scene.engine.count("delete") == 1


def test_after_a_stop_nothing_begins_any_more(scene: Scene) -> None:
    row = scene.ask("backup:mail")
    assert scene.runner.stop(DEADLINE_S)
    assert scene.runner.lock.try_acquire(Holder(pid=1, run_id="x", job="x", since=START))
    scene.runner.carry_out(row)
    scene.runner.lock.release()
    assert scene.history.unfinished() == (row,)
    scene.history.update(replace(row, outcome=Outcome.SKIPPED, ended=START))
    with pytest.raises(InterruptedRunError):
        scene.runner.look("backup:mail", lambda work: work.engine.archives())
    assert scene.engine.calls == []


def test_rows_left_running_are_settled_at_the_next_start(scene: Scene) -> None:
    run = scene.ask("backup:mail")
    scene.history.update(_running(run))
    assert scene.another().recover(START) == 1
    cut = scene.history.run(run.run_id)
    assert cut is not None
    assert cut.outcome is Outcome.INTERRUPTED
    assert scene.history.unfinished()[0].unclean == 1


def test_a_run_that_kills_the_daemon_each_time_is_given_up_and_others_go_on(scene: Scene) -> None:
    scene.ask("backup:mail")
    for _ in range(2):
        scene.history.update(_running(scene.history.unfinished()[0]))
        scene.another().recover(START)
    assert scene.history.unfinished() == ()
    ends = {(run.outcome, run.error_code) for run in scene.history.rows(backup_set="mail")}
    assert ends == {(Outcome.INTERRUPTED, ""), (Outcome.FAILED, "crash-loop")}
    scene.runner.start()
    assert scene.ended(scene.ask("backup:web")).outcome is Outcome.OK


def _running(run: Run) -> Run:
    return replace(run, started=START, attempts=run.attempts + 1)


def test_a_lane_that_turns_is_at_work_and_one_that_ended_is_not(scene: Scene) -> None:
    assert not scene.runner.at_work()
    scene.runner.start()
    assert scene.runner.at_work()
    scene.runner.stop(DEADLINE_S)
    assert not scene.runner.at_work()


# -- followers ------------------------------------------------------------------------------------------


def test_followers_see_start_progress_and_end(scene: Scene) -> None:
    run = scene.ask("backup:mail")
    with scene.runner.followers.follow(run.run_id) as events:
        scene.runner.start()
        seen = [events.get(timeout=DEADLINE_S)["event"] for _ in range(3)]
    assert seen == ["started", "progress", "ended"]


def test_a_follower_that_does_not_read_costs_a_bounded_memory(scene: Scene) -> None:
    with scene.runner.followers.follow("run") as events:
        for number in range(10_000):
            scene.runner.followers.tell("run", {"event": "progress", "files": number})
        assert events.qsize() <= 100
    scene.runner.followers.tell("run", {"event": "after"})
    while not events.empty():
        assert events.get_nowait()["event"] == "progress"


# -- races ----------------------------------------------------------------------------------------------


def test_a_run_that_was_cut_off_does_not_wait_beside_the_one_that_follows_it_already(scene: Scene) -> None:
    """The next slot may be written between the end of a row and the row that would follow it."""
    inside = threading.Event()

    def wait_for_the_stop(_name: str) -> None:
        inside.set()
        until(lambda: scene.engine.interrupt is not None and scene.engine.interrupt.requested)

    scene.engine.during["create"] = wait_for_the_stop
    scene.runner.start()
    scene.ask("backup:mail")
    assert inside.wait(DEADLINE_S)
    update = scene.history.update

    def slip_in(run: Run) -> None:
        update(run)
        if run.outcome is Outcome.INTERRUPTED:
            scene.history.add(
                [replace(run, run_id="faster", outcome=None, started=None, slot=START + MINUTE)]
            )

    scene.history.update = slip_in  # type: ignore[method-assign]
    assert scene.runner.stop(DEADLINE_S)
    assert [run.run_id for run in scene.history.unfinished()] == ["faster"]


def test_a_paused_set_keeps_its_waiting_rows_until_the_pause_is_over(scene: Scene) -> None:
    row = replace(scene.ask("backup:mail"), cause=Cause.SCHEDULE)
    scene.history.update(row)
    scene.history.pause("mail", START + MINUTE)
    scene.runner.start()
    assert scene.ended(scene.ask("backup:web")).outcome is Outcome.OK
    assert scene.history.unfinished() == (row,)
    scene.clock.at = START + MINUTE
    scene.runner.notify()
    assert scene.ended(row).outcome is Outcome.OK


def test_what_an_operator_asks_for_runs_in_a_paused_set_too(scene: Scene) -> None:
    scene.history.pause("mail", START + MINUTE)
    scene.runner.start()
    assert scene.ended(scene.ask("backup:mail")).outcome is Outcome.OK


def test_a_row_that_was_ended_before_its_start_does_not_run(scene: Scene) -> None:
    row = scene.ask("backup:mail")
    assert scene.runner.lock.try_acquire(Holder(pid=1, run_id="x", job="x", since=START))
    scene.history.update(replace(row, outcome=Outcome.SKIPPED, ended=START))
    scene.runner.carry_out(row)
    scene.runner.lock.release()
    assert scene.created() == []


def test_a_defect_between_two_runs_does_not_end_the_lane(scene: Scene) -> None:
    attempts: list[str] = []
    take = scene.runner.lock.try_acquire

    def read_only_disk_once(holder: Holder) -> bool:
        attempts.append(holder.job)
        if len(attempts) == 1:
            raise OSError(30, "Read-only file system")
        return take(holder)

    scene.runner.lock.try_acquire = read_only_disk_once  # type: ignore[method-assign]
    scene.runner.start()
    assert scene.ended(scene.ask("backup:mail")).outcome is Outcome.OK
    assert len(attempts) >= 2


def test_a_backup_that_becomes_due_interrupts_a_look_and_a_fourth_look_is_taken_to_its_end(
    scene: Scene,
) -> None:
    scene.runner.start()
    looks: list[str] = []

    def look(work: Work) -> int:
        scene.clock.at += timedelta(seconds=1)
        scene.ask("backup:web")
        looks.append(work.launcher.interrupt.reason)
        if work.launcher.interrupt.requested:
            raise InterruptedRunError("interrupted", cause=work.launcher.interrupt.reason)
        return len(looks)

    assert scene.runner.look("backup:mail", look) == 4
    assert looks == ["backup-due"] * 3 + [""]
    assert until(lambda: not scene.history.unfinished())


def test_time_aside_does_not_count_against_the_limit_of_a_run(scene: Scene) -> None:
    """A backup of days inside an expiry that stepped aside must not look like an expiry of days."""
    backed_up_for_long(scene)
    seen: list[bool] = []

    def ask_once(_name: str) -> None:
        if not seen:
            scene.engine.during["create"] = look
            scene.ask("backup:web")
            seen.append(True)

    def look(_name: str) -> None:
        for current in scene.runner.current():
            if current.aside:
                current.since -= 10 * 86400.0
        scene.runner.enforce_limits()
        seen.append(scene.runner.at_work())

    scene.engine.during["delete"] = ask_once
    expiry = scene.ended(scene.ask("expire:mail"))
    assert seen == [True, True]
    assert expiry.outcome is Outcome.OK
