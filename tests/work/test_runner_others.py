"""Backups of other processes: ours make way for them as for those of their own process, and the reverse."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from snapd.lock import Holder, SingleLock, Wanted
from snapd.model import Outcome
from tests.fakes.scene import DEADLINE_S, START, Scene, backed_up_for_long, until


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    made.runner.start()
    yield made
    made.runner.stop(DEADLINE_S)
    made.history.close()


class Other:
    """What another process does that makes a backup: it waits for the lock, and says so; then it has it."""

    def __init__(self, scene: Scene) -> None:
        self.order: list[str] = []  # of what happened; the engine's hooks may add to it
        self.has_it, self.done = threading.Event(), threading.Event()
        self._folder = scene.folders.state
        self._waiting = threading.Event()
        self._thread = threading.Thread(target=self._back_up, daemon=True)

    def comes(self) -> None:
        """Begin to wait; once only."""
        if not self._waiting.is_set():
            self._thread.start()
            assert self._waiting.wait(DEADLINE_S)

    def ends(self) -> None:
        self.done.set()
        self._thread.join(DEADLINE_S)

    def _back_up(self) -> None:
        lock, me = SingleLock(self._folder), Holder(pid=4711, run_id="o", job="backup:other", since=START)
        with Wanted(self._folder).marked():
            self._waiting.set()
            until(lambda: lock.try_acquire(me))
        self.order.append("other")
        self.has_it.set()
        assert self.done.wait(DEADLINE_S)
        lock.release()


@pytest.fixture
def other(scene: Scene) -> Iterator[Other]:
    made = Other(scene)
    yield made
    made.done.set()


def comes_during(scene: Scene, other: Other, method: str) -> None:
    def during(_name: str) -> None:
        other.order.append(method)
        other.comes()

    scene.engine.during[method] = during  # type: ignore[index]


def test_an_expiry_makes_way_between_two_batches(scene: Scene, other: Other) -> None:
    backed_up_for_long(scene)
    comes_during(scene, other, "delete")
    expiry = scene.ask("expire:mail")
    assert other.has_it.wait(DEADLINE_S)
    assert other.order == ["delete", "other"], "one batch, of one archive"
    other.ends()
    assert scene.ended(expiry).outcome is Outcome.OK
    assert len(other.order) > 10


def test_a_reclaim_is_interrupted(scene: Scene, other: Other) -> None:
    backed_up_for_long(scene)

    def until_asked(_name: str) -> None:
        other.order.append("reclaim")
        if other.order == ["reclaim"]:
            other.comes()
            until(lambda: scene.engine.interrupt is not None and scene.engine.interrupt.requested)

    scene.engine.during["reclaim"] = until_asked
    expiry = scene.ask("expire:mail")
    assert other.has_it.wait(DEADLINE_S)
    other.ends()
    assert scene.ended(expiry).outcome is Outcome.OK
    assert other.order == ["reclaim", "other", "reclaim"]


def test_a_restore_test_hands_the_lock_over_and_goes_on(scene: Scene, other: Other) -> None:
    scene.ended(scene.ask("backup:mail"))

    def read(_name: str) -> None:
        other.comes()
        assert other.has_it.wait(DEADLINE_S)
        other.order.append("read")

    scene.engine.during["extract"] = read
    test = scene.ended(scene.ask("restore-test:mail"))
    assert test.outcome is Outcome.OK
    assert other.order == ["other", "read"]
    assert not other.done.is_set(), "beside it"


def test_a_creation_of_more_than_max_hold_is_cut_and_goes_on_after_it(scene: Scene, other: Other) -> None:
    def for_long(_name: str) -> None:
        other.order.append("create")
        if other.order == ["create"]:
            other.comes()
            scene.clock.at += timedelta(hours=2)
            until(lambda: scene.engine.interrupt is not None and scene.engine.interrupt.requested)

    scene.engine.during["create"] = for_long
    cut = scene.ended(scene.ask("backup:mail"))
    assert cut.outcome is Outcome.INTERRUPTED
    assert other.has_it.wait(DEADLINE_S)
    other.ends()
    until(lambda: not scene.history.unfinished())
    assert other.order == ["create", "other", "create"]


def test_what_is_no_backup_does_not_begin_before_it(scene: Scene, other: Other) -> None:
    scene.ended(scene.ask("backup:mail"))
    holder = SingleLock(scene.folders.state)
    assert holder.try_acquire(Holder(pid=1, run_id="x", job="repair", since=START))
    other.comes()
    test = scene.ask("restore-test:mail")
    holder.release()
    assert other.has_it.wait(DEADLINE_S)
    assert scene.history.run(test.run_id) == test
    other.ends()
    assert scene.ended(test).outcome is Outcome.OK


def test_a_backup_of_ours_that_waits_is_seen_by_others_and_then_no_more(scene: Scene) -> None:
    seen = Wanted(scene.folders.state)
    other = SingleLock(scene.folders.state)
    until(lambda: other.try_acquire(Holder(pid=4711, run_id="o", job="expire:other", since=START)))
    assert not seen.elsewhere()
    run = scene.ask("backup:mail")
    assert until(seen.elsewhere)
    inside: list[bool] = []
    scene.engine.during["create"] = lambda _name: inside.append(seen.elsewhere())
    other.release()
    assert scene.ended(run).outcome is Outcome.OK
    assert inside == [False]


def test_an_expiry_of_ours_that_waits_asks_nobody_for_way(scene: Scene) -> None:
    scene.ended(scene.ask("backup:mail"))
    seen = Wanted(scene.folders.state)
    other = SingleLock(scene.folders.state)
    until(lambda: other.try_acquire(Holder(pid=4711, run_id="o", job="expire:other", since=START)))
    with capture_logs() as lines:
        expiry = scene.ask("expire:mail")
        until(lambda: any(line["event"] == "lock-waiting" for line in lines))
    assert not seen.elsewhere()
    other.release()
    assert scene.ended(expiry).outcome is Outcome.OK
