"""How long a due backup waits for the others, by a clock that only the engine's work moves on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from snapd.history import Run
from snapd.jobs.batches import BUDGET_S
from snapd.lock import SingleLock
from snapd.model import Outcome
from tests.fakes.scene import DEADLINE_S, Scene, backed_up_for_long, until

SECOND = timedelta(seconds=1)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    made.runner.stop(DEADLINE_S)
    made.history.close()


@pytest.mark.parametrize(
    ("each", "batch"),
    [(2 * SECOND, 10 * 2 * SECOND), (10 * SECOND, BUDGET_S * SECOND), (600 * SECOND, 600 * SECOND)],
    ids=["quick deletions", "slower ones", "ten minutes for each"],
)
def test_an_expiry_of_a_thousand_archives_delays_a_due_backup_by_one_batch_at_most(
    scene: Scene, each: timedelta, batch: timedelta
) -> None:
    backed_up_for_long(scene, count=1000)
    asked: dict[str, Run] = {}
    deleted: list[str] = []

    def during(name: str) -> None:
        scene.clock.at += each
        deleted.append(name)
        if len(deleted) % 7 == 0:
            run = scene.ask("backup:web")
            asked[run.run_id] = run

    scene.engine.during["delete"] = during
    expiry = scene.ended(scene.ask("expire:mail"))
    scene.engine.during.pop("delete")
    assert (expiry.outcome, len(deleted)) == (Outcome.OK, 997)
    made = [scene.ended(run) for run in asked.values()]
    waits = [run.started - run.slot for run in made if run.started]
    assert len(waits) > 60
    assert max(waits) <= batch


@pytest.mark.parametrize("job", ["expire:mail", "restore-test:mail"])
def test_a_listing_makes_way_for_a_due_backup_and_is_made_again(scene: Scene, job: str) -> None:
    backed_up_for_long(scene)
    order: list[str] = []
    asked: list[Run] = []

    def ask_once(_name: str) -> None:
        order.append("archives")
        if not asked:
            asked.append(scene.ask("backup:web"))

    scene.engine.during["create"] = lambda _name: order.append("create")
    scene.engine.during["archives"] = ask_once
    assert scene.ended(scene.ask(job)).outcome is Outcome.OK
    assert scene.ended(asked[0]).outcome is Outcome.OK
    assert order == ["archives", "create", "archives"]


def test_a_reclaim_delays_three_backups_not_at_all_and_then_shows_that_it_has_the_lock(scene: Scene) -> None:
    backed_up_for_long(scene)
    asked: list[Run] = []
    holders: list[str] = []

    def ask_always(_name: str) -> None:
        asked.append(scene.ask("backup:web"))
        holder = SingleLock(scene.folders.state).holder()
        holders.append(holder.job if holder else "nobody")
        (mine,) = scene.runner.current()
        if not mine.launcher.interrupt.requested:
            scene.clock.at += timedelta(hours=1)

    scene.engine.during["reclaim"] = ask_always
    expiry = scene.ended(scene.ask("expire:mail"))
    assert expiry.outcome is Outcome.OK
    assert holders == ["expire:mail"] * 4
    made = [scene.ended(run) for run in asked]
    assert [run.started and run.started - run.slot for run in made] == [timedelta(0)] * 3 + [
        timedelta(hours=1)
    ]
    until(lambda: SingleLock(scene.folders.state).holder() is None)
