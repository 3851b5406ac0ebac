"""An expiry that is killed, between its batches or inside one: store and history agree again afterwards.

A kill is an exception that nothing in the job catches: whatever the job would have done next does not happen.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from snapd.config import BackupSet, Expire
from snapd.history import History, Pin, Run
from snapd.jobs import expire
from snapd.jobs.base import Work
from snapd.model import Cause, Kind, Outcome
from tests.fakes.work import START, World, set_of, world

DAY = timedelta(days=1)
TODAY = START + 100 * DAY
COUNT, KEPT = 30, 8  # daily archives, and those of them that these deltas keep
GOING = COUNT - KEPT
STRANGER = "shop_old_20250101-000000"


class KilledError(BaseException):
    """The end of the process, as far as its own code can see."""


def shop() -> BackupSet:
    return set_of(
        schedule="0 0 * * *",
        expire=Expire.model_validate({"schedule": "50 3 * * *", "deltas": ["1d", "7d"]}),
    )


def name_of(days_ago: int) -> str:
    return shop().archive.render(TODAY - days_ago * DAY)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[World]:
    """Thirty daily archives, the newest of today, and one of a stranger."""
    with world(tmp_path) as found:
        found.clock.at = TODAY
        found.engine.plant(STRANGER, TODAY - 90 * DAY)
        for days in range(COUNT):
            found.engine.plant(name_of(days), TODAY - days * DAY)
        yield found


def made_here(scene: World) -> None:
    for days in range(COUNT):
        scene.history.record_name("local", "shop", name_of(days), START)
    at = {"slot": TODAY, "started": TODAY, "ended": TODAY, "outcome": Outcome.OK}
    row = Run("r", "backup:shop", Kind.BACKUP, "shop", cause=Cause.SCHEDULE, **at)  # type: ignore[arg-type]
    scene.history.add([row])


def work_of(scene: World, history: History) -> Work:
    return replace(scene.work(shop()), due_slot=TODAY - DAY, history=history)


def kill_at(scene: World, deletion: int) -> None:
    """Kill the process as it is about to delete this one of all archives, counted from 0."""
    left = [deletion]

    def during(_name: str) -> None:
        if left[0] == 0:
            del scene.engine.during["delete"]
            raise KilledError
        left[0] -= 1

    scene.engine.during["delete"] = during


def killed(scene: World, deletion: int) -> None:
    """Run an expiry that is killed there, and let go of the history as a dead process does."""
    kill_at(scene, deletion)
    with pytest.raises(KilledError):
        expire.run(work_of(scene, scene.history))
    assert len(scene.engine.names()) == 1 + COUNT - deletion


def next_life(scene: World) -> History:
    return History(scene.folders.state, now=TODAY)


def kept() -> list[str]:
    return [STRANGER, *(name_of(days) for days in range(KEPT))]


def deletions(scene: World) -> list[str]:
    return [name for call in scene.engine.calls if call.method == "delete" for name in call.names]


@pytest.mark.parametrize("deletion", range(GOING))
def test_the_next_expiry_carries_a_killed_one_to_its_end_wherever_it_was(scene: World, deletion: int) -> None:
    made_here(scene)
    killed(scene, deletion)
    with closing(next_life(scene)) as history:
        result = expire.run(work_of(scene, history))
        assert result.outcome is Outcome.OK
        assert result.details["deleted"] == GOING - deletion
        assert scene.engine.names() == kept()
        assert [known.archive.name for known in history.known_archives("shop")] == kept()[1:]
        assert history.noted("reclaim-due:local") is None
    assert scene.engine.reclaimed == 1
    assert set(deletions(scene)) == {name_of(days) for days in range(KEPT, COUNT)}


@pytest.mark.parametrize("deletion", [0, 1, 3, 11, 16, 21])
def test_an_approval_outlives_a_kill_and_covers_no_other_name(scene: World, deletion: int) -> None:
    work = work_of(scene, scene.history)
    decision = expire.decide(work, scene.engine.archives())
    assert decision.hold is not None
    expire.approve(work, decision)
    killed(scene, deletion)
    with closing(next_life(scene)) as history:
        assert expire.run(work_of(scene, history)).outcome is Outcome.OK
        assert history.completed_policy("shop") is not None
    assert scene.engine.names() == kept()
    assert set(deletions(scene)) == set(decision.planned)


def test_a_pin_that_comes_after_a_kill_counts_in_the_next_life(scene: World) -> None:
    made_here(scene)
    killed(scene, 3)
    with closing(next_life(scene)) as history:
        decided = expire.decide(work_of(scene, history), scene.engine.archives())
        saved = decided.planned[0]
        history.pin(Pin("local", saved, "shop", TODAY))
        assert expire.run(work_of(scene, history)).outcome is Outcome.OK
    assert set(scene.engine.names()) == {*kept(), saved}


def test_a_kill_between_deletion_and_its_record_is_found_by_the_listing(scene: World) -> None:
    made_here(scene)

    def kill_aside() -> None:
        raise KilledError

    scene.yielding.aside = kill_aside
    with pytest.raises(KilledError):
        expire.run(work_of(scene, scene.history))
    gone = scene.engine.names()[-1]
    scene.engine.delete([gone])  # and nobody wrote it down
    scene.yielding.aside = lambda: None
    with closing(next_life(scene)) as history:
        assert gone in {known.archive.name for known in history.known_archives("shop")}
        expire.decide(work_of(scene, history), scene.engine.archives())
        assert gone not in {known.archive.name for known in history.known_archives("shop")}
        assert gone in history.names_used("local")
