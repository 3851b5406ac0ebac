"""The second lane: a restore test that reads on beside backups and deletes; and who waits for whom."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from snapd.history import Run
from snapd.lock import Holder, SingleLock
from snapd.model import Cause, Outcome
from snapd.workshop import Current
from tests.fakes.scene import DEADLINE_S, MINUTE, START, Scene, backed_up_for_long, until

ROTATING = """
[backup.mail.restore_test]
schedule = "@yearly"
pick = "rotate"
[[backup.mail.restore_test.check]]
command = ["true"]
"""
STRANGER = Holder(pid=4711, run_id="theirs", job="restore-test:web", since=START)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path, ROTATING)
    made.runner.start()
    yield made
    made.runner.stop(DEADLINE_S)
    made.history.close()


class Reader:
    """A restore test that stands still in the middle of its extraction."""

    def __init__(self, scene: Scene) -> None:
        self.inside, self.on = threading.Event(), threading.Event()
        self._scene = scene
        scene.engine.during["extract"] = self._during

    def _during(self, _name: str) -> None:
        self.inside.set()
        until(lambda: self.on.is_set() or self.current.launcher.interrupt.requested)

    @property
    def current(self) -> Current:
        (found,) = (each for each in self._scene.runner.current() if each.run.kind == "restore-test")
        return found

    def start(self) -> Run:
        run = self._scene.ask("restore-test:mail")
        assert self.inside.wait(DEADLINE_S)
        return run


@pytest.fixture
def reader(scene: Scene) -> Iterator[Reader]:
    """A restore test that may be started, of a set with one archive."""
    scene.ended(scene.ask("backup:mail"))
    made = Reader(scene)
    yield made
    made.on.set()


def handed_over(scene: Scene, reader: Reader) -> Run:
    """Start the test and have a backup of `web` made beside it; return the test."""
    test = reader.start()
    assert scene.ended(scene.ask("backup:web")).outcome is Outcome.OK
    assert reader.current.beside
    return test


def running(scene: Scene, job: str) -> bool:
    return any(run.job == job and run.running for run in scene.history.unfinished())


def settled(scene: Scene) -> None:
    """Let the first lane turn once more, with a backup of `web`."""
    scene.clock.at += MINUTE
    scene.ended(scene.ask("backup:web"))


# -- handing over ---------------------------------------------------------------------------------------


def test_a_restore_test_goes_on_beside_a_due_backup_and_is_neither_cut_nor_begun_anew(
    scene: Scene, reader: Reader
) -> None:
    holders: list[Holder | None] = []
    with capture_logs() as lines:
        test = reader.start()
        assert scene.runner.lock.held, "it starts under the lock"
        scene.engine.during["create"] = lambda _name: holders.append(SingleLock(scene.folders.state).holder())
        assert scene.ended(scene.ask("backup:web")).outcome is Outcome.OK
        assert not reader.current.launcher.interrupt.requested
        reader.on.set()
        ended = scene.ended(test)
    assert [holder and holder.job for holder in holders] == ["backup:web"]
    assert (ended.outcome, ended.attempts, ended.archive) == (Outcome.OK, 1, "mail_20261123-120000")
    assert [proof.archive for proof in scene.history.proofs("mail")] == [ended.archive]
    assert [line["run_id"] for line in lines if line["event"] == "run-handed-over"] == [test.run_id]


def test_a_restore_test_that_gave_the_lock_away_never_takes_it_again(scene: Scene, reader: Reader) -> None:
    test = handed_over(scene, reader)
    until(lambda: scene.runner.lock.holder() is None)
    other = SingleLock(scene.folders.state)
    assert other.try_acquire(Holder(pid=1, run_id="x", job="backup:x", since=START))
    reader.on.set()
    assert scene.ended(test).outcome is Outcome.OK
    other.release()


def test_between_its_checks_it_leaves_the_lock_to_whoever_has_it_however_many_are_due(
    scene: Scene, reader: Reader
) -> None:
    inside, on = threading.Event(), threading.Event()

    def stand_still(name: str) -> None:
        if name.startswith("web"):
            inside.set()
            assert on.wait(DEADLINE_S)

    scene.engine.during["create"] = stand_still
    test = reader.start()
    made = [scene.ask("backup:web")]
    assert inside.wait(DEADLINE_S)
    made.append(scene.ask("backup:mail"))
    reader.on.set()
    ended = scene.ended(test)
    holder = SingleLock(scene.folders.state).holder()
    on.set()
    assert ended.outcome is Outcome.OK, ended.message
    assert holder is not None
    assert holder.job == "backup:web"
    assert {scene.ended(run).outcome for run in made} == {Outcome.OK}


def test_what_reads_holds_a_lock_of_its_own_and_keeps_no_backup_waiting(scene: Scene, reader: Reader) -> None:
    reader.start()
    assert reader.current.launcher.lock_fd == scene.runner.reading.fd
    scene.ended(scene.ask("backup:web"))
    assert reader.current.launcher.lock_fd == scene.runner.reading.fd
    held = SingleLock(scene.folders.state, "reading").holder()
    assert held is not None
    assert held.job == "restore-test:mail"


def test_without_a_due_backup_the_lock_stays_with_the_restore_test(scene: Scene, reader: Reader) -> None:
    test = reader.start()
    expiry = scene.ask("expire:mail")
    scene.runner.notify()
    assert not reader.current.beside
    assert not running(scene, expiry.job)
    reader.on.set()
    assert scene.ended(test).outcome is Outcome.OK
    assert scene.ended(expiry).outcome is Outcome.OK
    until(lambda: scene.runner.lock.holder() is None and scene.runner.reading.holder() is None)


def test_a_restore_test_of_an_hour_delays_no_backup(scene: Scene, reader: Reader) -> None:
    asked: list[Run] = []

    def for_an_hour(_name: str) -> None:
        for minute in range(60):
            if minute % 15 == 7:
                asked.append(scene.ask("backup:web"))
                scene.ended(asked[-1])
            scene.clock.at += MINUTE

    scene.engine.during["extract"] = for_an_hour
    test = scene.ended(scene.ask("restore-test:mail"))
    assert test.outcome is Outcome.OK
    assert test.ended is not None
    assert test.ended - test.slot == 60 * MINUTE
    made = [scene.ended(run) for run in asked]
    assert [run.started and run.started - run.slot for run in made] == [timedelta(0)] * 4


def test_an_engine_that_cannot_read_beside_a_creation_is_interrupted_and_starts_over(
    scene: Scene, reader: Reader
) -> None:
    scene.engine.properties = replace(scene.engine.properties, reads_beside_creation=False)
    test = reader.start()
    assert scene.ended(scene.ask("backup:web")).outcome is Outcome.OK
    cut = scene.ended(test)
    assert (cut.outcome, cut.message) == (Outcome.INTERRUPTED, "made way for a backup")
    reader.on.set()
    (again,) = until(lambda: scene.history.proofs("mail"))
    assert again.archive == "mail_20261123-120000"


# -- beside it ------------------------------------------------------------------------------------------


def test_beside_it_archives_are_deleted_but_the_one_that_it_reads(scene: Scene, reader: Reader) -> None:
    oldest = scene.engine.plant("mail_20261123-100000", START - 120 * MINUTE, files={"/letter": b"dear"}).name
    backed_up_for_long(scene)
    reader.on.set()
    assert scene.ended(scene.ask("restore-test:mail")).details["picked"] == "newest"
    reader.on.clear()
    reader.inside.clear()
    test = reader.start()
    assert reader.current.reading == oldest
    scene.ended(scene.ask("backup:web"))
    expiry = scene.ask("expire:mail")
    until(lambda: any(each.aside for each in scene.runner.current()))  # done but for the reclaim
    assert oldest in scene.engine.names()
    assert len(scene.engine.names()) < 20
    reader.on.set()
    assert {scene.ended(run).outcome for run in (test, expiry)} == {Outcome.OK}
    assert scene.ended(scene.ask("expire:mail")).outcome is Outcome.OK
    assert oldest not in scene.engine.names()


def test_a_reclaim_waits_for_the_reader_while_backups_run_and_is_done_after_it(
    scene: Scene, reader: Reader
) -> None:
    backed_up_for_long(scene)
    test = handed_over(scene, reader)
    with capture_logs() as lines:
        expiry = scene.ask("expire:mail")
        until(lambda: [line for line in lines if line["event"] == "lock-waiting"])
    (told,) = [line for line in lines if line["event"] == "lock-waiting"]
    assert (told["kind"], "restore-test:mail" in told["holder"]) == ("expire", True)
    for _ in range(3):
        settled(scene)
    assert scene.engine.count("reclaim") == 0
    reader.on.set()
    assert scene.ended(test).outcome is Outcome.OK
    assert scene.ended(expiry).outcome is Outcome.OK
    assert scene.engine.count("reclaim") == 1


def test_another_restore_test_waits_for_the_first_and_keeps_no_expiry_waiting(
    scene: Scene, reader: Reader
) -> None:
    test = handed_over(scene, reader)
    second, expiry = scene.ask("restore-test:web"), scene.ask("expire:mail")
    assert scene.ended(expiry).outcome is Outcome.OK
    settled(scene)
    assert not running(scene, second.job)
    reader.on.set()
    assert scene.ended(test).outcome is Outcome.OK
    assert scene.ended(second).outcome is Outcome.OK


def test_a_look_does_not_wait_for_what_the_first_lane_cannot_begin_either(
    scene: Scene, reader: Reader
) -> None:
    backed_up_for_long(scene)
    handed_over(scene, reader)
    scene.ask("expire:mail")
    until(lambda: [each.lane for each in scene.runner.current()] == [2, None])
    later = scene.ask("expire:web")
    assert scene.runner.look("backup:mail", lambda work: len(work.engine.archives())) > 0
    assert scene.history.run(later.run_id) == later


def test_a_look_at_the_store_is_taken_beside_it(scene: Scene, reader: Reader) -> None:
    handed_over(scene, reader)
    names = scene.runner.look("backup:mail", lambda work: [item.name for item in work.engine.archives()])
    assert len(names) == 2


def test_a_restore_by_hand_keeps_reclaims_waiting_too(scene: Scene) -> None:
    by_hand = {"mail_of_old"}
    scene.runner.stop(DEADLINE_S)
    scene.runner = scene.another(in_use=lambda: frozenset(by_hand))
    scene.runner.start()
    backed_up_for_long(scene)
    expiry = scene.ask("expire:mail")
    until(lambda: any(each.aside for each in scene.runner.current()))
    assert scene.engine.count("reclaim") == 0
    by_hand.clear()
    assert scene.ended(expiry).outcome is Outcome.OK
    assert scene.engine.count("reclaim") == 1


# -- stop, limits, crash --------------------------------------------------------------------------------


def test_a_stop_ends_both_lanes_gently_and_makes_both_runs_due_again(scene: Scene, reader: Reader) -> None:
    handed_over(scene, reader)
    inside = threading.Event()

    def until_the_stop(_name: str) -> None:
        inside.set()
        until(lambda: scene.engine.interrupt is not None and scene.engine.interrupt.requested)

    scene.engine.during["create"] = until_the_stop
    scene.ask("backup:web")
    assert inside.wait(DEADLINE_S)
    assert scene.runner.stop(DEADLINE_S)
    assert scene.runner.current() == ()
    left = {(run.job, run.cause, run.running) for run in scene.history.unfinished()}
    assert left == {
        ("restore-test:mail", Cause.INTERRUPTED, False),
        ("backup:web", Cause.INTERRUPTED, False),
    }
    assert list((scene.folders.state / "scratch").iterdir()) == []
    assert (scene.runner.lock.holder(), scene.runner.reading.holder()) == (None, None)


def test_a_stop_that_comes_with_the_hand_over_leaves_nothing_behind_but_due_rows(
    scene: Scene, reader: Reader
) -> None:
    """Whichever of the two is first."""
    test = reader.start()
    due = scene.ask("backup:web")
    assert scene.runner.stop(DEADLINE_S)
    cut, backup = scene.history.run(test.run_id), scene.history.run(due.run_id)
    assert cut is not None
    assert backup is not None
    assert cut.outcome is Outcome.INTERRUPTED
    left = {run.job: run.running for run in scene.history.unfinished()}
    made = backup.outcome is Outcome.OK
    assert left == {"restore-test:mail": False} | ({} if made else {"backup:web": False})
    assert list((scene.folders.state / "scratch").iterdir()) == []
    assert (scene.runner.lock.holder(), scene.runner.reading.holder()) == (None, None)


def test_the_run_limit_ends_what_takes_too_long_in_the_second_lane(scene: Scene, reader: Reader) -> None:
    test = handed_over(scene, reader)
    scene.clock.at += timedelta(hours=24, seconds=1)
    assert scene.runner.at_work(), "within its grace"
    scene.runner.enforce_limits()
    waiting = until(lambda: next((run for run in scene.history.unfinished() if run.not_before), None))
    assert (waiting.run_id, waiting.error_code) == (test.run_id, "timeout")


def test_what_hangs_in_the_second_lane_is_noticed(scene: Scene, reader: Reader) -> None:
    handed_over(scene, reader)
    assert scene.runner.at_work()
    scene.clock.at += timedelta(hours=25)
    assert not scene.runner.at_work()


def test_both_rows_of_a_daemon_that_died_are_settled(scene: Scene) -> None:
    scene.runner.stop(DEADLINE_S)
    for job in ("backup:web", "restore-test:mail"):
        due = scene.ask(job)
        scene.history.update(replace(due, started=START, attempts=1))
    assert scene.another().recover(START) == 2
    assert [(run.job, run.cause, run.running) for run in scene.history.unfinished()] == [
        ("backup:web", Cause.INTERRUPTED, False),
        ("restore-test:mail", Cause.INTERRUPTED, False),
    ]


def test_a_reader_that_a_killed_daemon_left_keeps_tests_and_reclaims_waiting_and_no_backup(
    scene: Scene,
) -> None:
    backed_up_for_long(scene)
    left = SingleLock(scene.folders.state, "reading")
    assert left.try_acquire(STRANGER)
    expiry, test = scene.ask("expire:mail"), scene.ask("restore-test:mail")
    until(lambda: any(each.aside for each in scene.runner.current()))
    settled(scene)
    assert scene.engine.count("reclaim") == 0
    assert not running(scene, test.job)
    left.release()
    assert scene.ended(expiry).outcome is Outcome.OK
    assert scene.ended(test).outcome is Outcome.OK


def test_cleaning_up_waits_for_a_reader_that_a_killed_daemon_left(scene: Scene) -> None:
    left = SingleLock(scene.folders.state, "reading")
    assert left.try_acquire(STRANGER)
    order: list[str] = []
    cleaning = threading.Thread(target=scene.runner.alone, args=("tidy", lambda: order.append("cleaned")))
    cleaning.start()
    settled(scene)
    order.append("gone")
    left.release()
    cleaning.join(DEADLINE_S)
    assert order == ["gone", "cleaned"]


def test_cleaning_up_does_not_wait_for_our_own_reader(scene: Scene, reader: Reader) -> None:
    handed_over(scene, reader)
    cleaned: list[bool] = []
    scene.runner.alone("tidy", lambda: cleaned.append(reader.current.beside))
    assert cleaned == [True]
