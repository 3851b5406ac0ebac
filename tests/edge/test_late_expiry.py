"""An expiry that could not finish for long has an age of its own, in the status and in the journal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from snapd.events import EVENTS
from snapd.history import Run
from snapd.model import Cause, Kind, Outcome
from snapd.operations import Operations
from snapd.upkeep import Upkeep
from tests.fakes.asking import answer, operations_on
from tests.fakes.scene import START, Scene, until

DAY = timedelta(days=1)
HELD: dict[str, Any] = {
    "message": "expiry is held: 1 suspect archive waits",
    "details": {"held": "1 suspect archive waits", "held_by": "suspect"},
}


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """A set `mail` that is expired daily, and a set `web` that never is."""
    made = Scene(tmp_path)
    yield made
    made.history.close()


@pytest.fixture
def operations(scene: Scene) -> Operations:
    return operations_on(scene)


def ran(scene: Scene, days_ago: float, outcome: Outcome | None, **values: Any) -> None:
    at = START - days_ago * DAY
    row = Run(
        run_id=f"{days_ago}", job="expire:mail", kind=Kind.EXPIRE, backup_set="mail", slot=at,
        cause=Cause.SCHEDULE, started=at if outcome else None, ended=at if outcome else None, outcome=outcome,
    )  # fmt: skip
    scene.history.add([replace(row, **values)])


def expiry(operations: Operations) -> dict[str, Any]:
    (mail,) = answer(operations, op="status", set="mail")["status"]["sets"]
    told: dict[str, Any] = mail["expiry"]
    return told


def upkeep_of(scene: Scene) -> Upkeep:
    return Upkeep(
        lambda: scene.accepted, scene.history, scene.folders, lambda: START, alone=lambda _what, work: work()
    )


def said(scene: Scene) -> list[dict[str, Any]]:
    """What the journal is told of expiries that are late."""
    with capture_logs() as lines:
        upkeep_of(scene).tell_late_expiries()
    return [dict(line) for line in lines]


def test_an_expiry_that_was_held_for_days_says_when_it_was_last_completed_and_why(
    operations: Operations, scene: Scene
) -> None:
    ran(scene, 12, Outcome.OK)
    for days in (11, 4, 1):
        ran(scene, days, Outcome.WARNING, **HELD)
    completed = (START - 12 * DAY).isoformat()
    assert expiry(operations) == {
        "completed": completed,
        "late_s": 12 * 86400.0,
        "why": "held: 1 suspect archive waits",
    }
    (line,) = said(scene)
    assert line == {
        "event": "expiry-late",
        "log_level": "warning",
        "backup_set": "mail",
        "seconds": 12 * 86400,
        "reason": "held: 1 suspect archive waits",
        "completed": completed,
    }
    assert set(line) - {"event", "log_level"} <= {*EVENTS["expiry-late"].fields}


def test_the_upkeep_of_a_start_and_of_each_day_tells_it(scene: Scene) -> None:
    ran(scene, 12, Outcome.OK)
    ran(scene, 1, Outcome.WARNING, **HELD)
    with capture_logs() as lines:
        upkeep_of(scene).tidy()
        until(lambda: lines)
    assert [line["event"] for line in lines] == ["expiry-late"]


def test_one_that_was_never_completed_counts_from_its_first_try(operations: Operations, scene: Scene) -> None:
    for days in (5, 1):
        ran(scene, days, Outcome.WARNING, **HELD)
    assert expiry(operations)["completed"] is None
    assert expiry(operations)["late_s"] == 5 * 86400.0


@pytest.mark.parametrize(
    ("outcome", "values", "why"),
    [
        (Outcome.FAILED, {"message": "the store is gone"}, "failed: the store is gone"),
        (Outcome.INTERRUPTED, {"message": "the daemon was stopped"}, "interrupted: the daemon was stopped"),
        (None, {"failures": 3, "attempts": 3, "message": "no route"}, "failed: no route"),
    ],
)
def test_failed_interrupted_and_retried_ones_count_too(
    operations: Operations, scene: Scene, outcome: Outcome | None, values: dict[str, Any], why: str
) -> None:
    ran(scene, 6, Outcome.OK)
    ran(scene, 1, outcome, **values)
    assert (expiry(operations)["late_s"], expiry(operations)["why"]) == (6 * 86400.0, why)


def test_a_run_that_does_not_get_its_turn_counts_too(operations: Operations, scene: Scene) -> None:
    ran(scene, 5, Outcome.OK)
    ran(scene, 4, None)
    assert expiry(operations)["why"] == "it is due, and does not get its turn"


@pytest.mark.parametrize(
    "runs",
    [
        [],
        [(0.5, Outcome.OK)],
        [(3, Outcome.OK), (2, Outcome.WARNING), (1, Outcome.WARNING)],  # three days are a few, not more
        [(9, Outcome.WARNING), (1, Outcome.OK)],
        [(40, Outcome.OK), (1, Outcome.MISSED), (0, None)],  # the machine was off
        [(40, Outcome.OK), (1, Outcome.SKIPPED)],  # the set was paused
    ],
    ids=["never", "well", "patience", "recovered", "off", "paused"],
)
def test_otherwise_it_is_not_late(
    operations: Operations, scene: Scene, runs: list[tuple[float, Outcome | None]]
) -> None:
    for days_ago, outcome in runs:
        ran(scene, days_ago, outcome, **(HELD if outcome is Outcome.WARNING else {}))
    assert (expiry(operations)["late_s"], expiry(operations)["why"]) == (None, None)
    assert said(scene) == []


def test_a_set_without_an_expiry_has_none(operations: Operations) -> None:
    (web,) = answer(operations, op="status", set="web")["status"]["sets"]
    assert web["expiry"] is None
