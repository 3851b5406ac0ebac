"""Long creations in slices: a first upload of days keeps no other set waiting, and comes to its end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from snapd.history import Run
from snapd.jobs.base import Work
from snapd.model import Cause, Kind, Outcome
from tests.fakes.scene import DEADLINE_S, MINUTE, START, Scene, until

HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    made.runner.stop(DEADLINE_S)
    made.history.close()


def is_cut(scene: Scene, backup_set: str = "mail") -> bool:
    """Whether the creation of a set is asked to end."""
    (reason,) = (
        current.launcher.interrupt.reason
        for current in scene.runner.current()
        if current.run.backup_set == backup_set
    )
    return reason == "sliced"


def create_mail(scene: Scene, middle: Callable[[], None]) -> None:
    """Do something in the middle of each creation of `mail`."""

    def during(name: str) -> None:
        if name.startswith("mail"):
            middle()

    scene.engine.during["create"] = during


def let_go_on(scene: Scene, by: timedelta) -> None:
    scene.clock.at += by
    scene.runner.notify()


def slices(scene: Scene, backup_set: str = "mail") -> list[Run]:
    """Ended backups of a set, in the order of their ends."""
    return list(reversed(scene.history.rows(backup_set=backup_set, kind=Kind.BACKUP)))


# -- when it is cut -------------------------------------------------------------------------------------


def test_a_creation_longer_than_max_hold_makes_way_for_another_set_and_goes_on_after_it(
    scene: Scene,
) -> None:
    seen: list[bool] = []

    def once() -> None:
        if seen:
            return
        let_go_on(scene, HOUR)
        scene.ask("backup:web")
        seen.append(is_cut(scene))
        let_go_on(scene, SECOND)
        seen.append(is_cut(scene))

    create_mail(scene, once)
    first = scene.ask("backup:mail")
    with capture_logs() as lines:
        scene.runner.start()
        cut = scene.ended(first)
        until(lambda: not scene.history.unfinished())
    assert seen == [False, True]
    assert (cut.outcome, cut.archive) == (Outcome.INTERRUPTED, "")
    assert [name[:4] for name in scene.created()] == ["mail", "web_", "mail"]
    (last,) = [run for run in slices(scene) if run.cause is Cause.SLICED]
    assert (last.outcome, last.slot) == (Outcome.OK, first.slot)
    (told,) = [line for line in lines if line["event"] == "run-sliced"]
    assert (told["backup_set"], told["duration_s"]) == ("mail", 3601.0)


def test_a_creation_is_left_alone_for_as_long_as_nobody_waits(scene: Scene) -> None:
    seen: list[bool] = []

    def long() -> None:
        scene.ask("restore-test:mail")  # no backup
        let_go_on(scene, 9 * 24 * HOUR)
        seen.append(is_cut(scene))

    create_mail(scene, long)
    scene.runner.start()
    assert scene.ended(scene.ask("backup:mail")).outcome is Outcome.OK
    assert seen == [False]


def test_a_creation_that_would_have_to_begin_anew_is_not_cut(scene: Scene) -> None:
    seen: list[bool] = []
    scene.engine.properties = replace(scene.engine.properties, resumable=False)

    def long() -> None:
        scene.ask("backup:web")
        let_go_on(scene, 2 * HOUR)
        seen.append(is_cut(scene))

    create_mail(scene, long)
    scene.runner.start()
    assert scene.ended(scene.ask("backup:mail")).outcome is Outcome.OK
    assert seen == [False]


def test_a_creation_that_ended_as_it_was_asked_to_is_followed_by_the_rest_of_its_run(scene: Scene) -> None:
    def requested(work: Work) -> list[bool]:
        interrupt = work.launcher.interrupt
        with work.yielding.sliceable():
            interrupt.request("sliced")
            inside = interrupt.requested
        return [inside, interrupt.requested]

    assert scene.runner.look("backup:mail", requested) == [True, False]


def test_what_comes_before_a_creation_takes_nothing_of_its_time(scene: Scene) -> None:
    """Or a dump of an hour, made anew for each slice, would leave no time to create anything."""

    def cuts(work: Work) -> list[bool]:
        scene.clock.at += 5 * HOUR
        with work.yielding.sliceable():
            scene.ask("backup:web")
            (mine,) = scene.runner.current()
            seen = [mine.sliced]
            let_go_on(scene, HOUR)
            seen.append(mine.sliced)
            let_go_on(scene, SECOND)
            return [*seen, mine.sliced]

    assert scene.runner.look("backup:mail", cuts) == [False, False, True]


def test_what_follows_the_creation_is_not_cut(scene: Scene) -> None:
    seen: list[bool] = []

    def look(_name: str) -> None:
        if not seen:
            let_go_on(scene, 2 * HOUR)
            scene.ask("backup:web")
            seen.append(is_cut(scene))

    scene.engine.during["find"] = look
    scene.runner.start()
    assert scene.ended(scene.ask("backup:mail")).outcome is Outcome.OK
    assert seen == [False]


# -- nobody starves -------------------------------------------------------------------------------------


def test_a_first_upload_of_days_delays_a_set_of_every_15_minutes_by_max_hold_and_is_done(
    scene: Scene,
) -> None:
    left = timedelta(days=2)
    began: list[timedelta] = []

    def work() -> None:
        nonlocal left
        began.append(left)
        while left > timedelta(0):
            scene.clock.at += 5 * MINUTE
            left -= 5 * MINUTE
            if scene.clock.at.minute % 15 == 0:
                scene.ask("backup:web")
            scene.runner.notify()
            if is_cut(scene):
                return

    create_mail(scene, work)
    scene.ask("backup:mail")
    scene.runner.start()
    until(lambda: slices(scene) and slices(scene)[-1].outcome is Outcome.OK)
    made = slices(scene)
    assert [run.outcome for run in made] == [Outcome.INTERRUPTED] * (len(made) - 1) + [Outcome.OK]
    assert all(before - after > HOUR for before, after in pairwise(began)), "no progress"
    waits = [run.started - run.slot for run in slices(scene, "web") if run.started]
    assert len(waits) >= len(made) - 1
    assert max(waits) <= HOUR + 5 * MINUTE


def test_two_first_uploads_take_turns(scene: Scene) -> None:
    left = {"mail": 5 * HOUR, "web_": 5 * HOUR}

    def work(name: str) -> None:
        mine = name[:4]
        while left[mine] > timedelta(0):
            scene.clock.at += MINUTE
            left[mine] -= MINUTE
            scene.runner.notify()
            if is_cut(scene, mine.rstrip("_")):
                return

    scene.engine.during["create"] = work
    scene.ask("backup:mail")
    scene.ask("backup:web")
    scene.runner.start()
    until(lambda: not scene.history.unfinished())
    order = [name[:4] for name in scene.created()]
    assert order[:8] == ["mail", "web_"] * 4
    assert {run.outcome for run in (slices(scene)[-1], slices(scene, "web")[-1])} == {Outcome.OK}


# -- what comes between ---------------------------------------------------------------------------------


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What the backup of `web` waits for, for which one of `mail` was cut."""
    made = threading.Event()
    yield made
    made.set()


def cut_once(scene: Scene, gate: threading.Event) -> Run:
    """Have a backup of `mail` cut for one of `web` that waits at the gate; return the first slice."""
    inside = threading.Event()

    def during(name: str) -> None:
        if name.startswith("web"):
            inside.set()
            assert gate.wait(DEADLINE_S)
        elif not inside.is_set():
            scene.ask("backup:web")
            let_go_on(scene, HOUR + SECOND)

    scene.engine.during["create"] = during
    first = scene.ask("backup:mail")
    scene.runner.start()
    assert inside.wait(DEADLINE_S)
    return scene.ended(first)


def waiting(scene: Scene) -> Run:
    (row,) = (run for run in scene.history.unfinished() if run.backup_set == "mail")
    return row


def test_a_slice_waits_through_a_pause_and_goes_on_after_it(scene: Scene, gate: threading.Event) -> None:
    cut_once(scene, gate)
    row = waiting(scene)
    scene.history.pause("mail", scene.clock.at + MINUTE)
    gate.set()
    until(lambda: [run.job for run in scene.history.unfinished()] == ["backup:mail"])
    assert waiting(scene) == row
    scene.clock.at += MINUTE
    scene.runner.notify()
    assert scene.ended(row).outcome is Outcome.OK


def test_a_stop_between_two_slices_leaves_the_next_one_due(scene: Scene, gate: threading.Event) -> None:
    cut_once(scene, gate)
    row = waiting(scene)
    stopping = threading.Thread(target=scene.runner.stop, args=(DEADLINE_S,))
    stopping.start()
    until(lambda: any(each.launcher.interrupt.requested for each in scene.runner.current()))
    gate.set()
    stopping.join(DEADLINE_S)
    assert waiting(scene) == row
    scene.runner = scene.another()
    scene.runner.start()
    assert scene.ended(row).outcome is Outcome.OK


def test_a_crash_in_a_slice_counts_once_however_often_the_daemon_died_before_it(
    scene: Scene, gate: threading.Event
) -> None:
    first = scene.ask("backup:mail")
    scene.history.update(replace(first, unclean=1))
    cut_once(scene, gate)
    row = waiting(scene)
    assert (row.unclean, row.failures, row.cause) == (0, 0, Cause.SLICED)
    scene.history.update(replace(row, started=scene.clock.at))
    scene.another().recover(scene.clock.at)
    again = waiting(scene)
    assert (again.cause, again.unclean, again.slot) == (Cause.INTERRUPTED, 1, first.slot)


def test_an_operator_who_asks_for_it_hurries_the_next_slice(scene: Scene, gate: threading.Event) -> None:
    cut_once(scene, gate)
    row = waiting(scene)
    assert row.not_before is not None
    assert scene.ask("backup:mail").run_id == row.run_id
    assert waiting(scene).not_before is None
    assert waiting(scene).slot == START
