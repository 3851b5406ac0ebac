"""`repair` as it is asked of a daemon: its costs first, then the work, under the lock."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from snapd.errors import OutOfSyncError
from snapd.followers import Event
from snapd.model import Progress
from snapd.operations import Operations
from tests.fakes.asking import answer, error, events, operations_on
from tests.fakes.scene import DEADLINE_S, Scene, until

OTHER = """
[store.spare]
engine = "borg"
repository = "/nowhere/spare"
passphrase = { file = "/nowhere/passphrase" }
"""


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path, OTHER)
    made.runner.start()
    yield made
    made.runner.stop(DEADLINE_S)
    made.history.close()


@pytest.fixture
def operations(scene: Scene) -> Operations:
    return operations_on(scene)


def test_the_costs_are_told_first_and_nothing_is_done(operations: Operations, scene: Scene) -> None:
    told = answer(operations, op="repair", store="local", yes=False)
    assert "may take hours" in told["costs"]
    assert told["repaired"] is False
    assert scene.engine.count("repair") == 0


def test_a_repair_is_made_under_the_lock_and_told_to_the_journal(
    operations: Operations, scene: Scene
) -> None:
    held: list[bool] = []
    scene.engine.during["repair"] = lambda _name: held.append(scene.runner.lock.holder() is not None)
    with capture_logs() as logs:
        told = events(operations, op="repair", store="local", yes=True)
    assert [event["event"] for event in told if event["event"] != "progress"] == ["repairing", "done"]
    assert told[-1]["repaired"] is True
    assert held == [True]
    assert scene.runner.lock.holder() is None
    assert [entry["event"] for entry in logs] == ["repair-started", "repaired"]


def test_its_progress_is_followed(operations: Operations, scene: Scene) -> None:
    scene.engine.during["repair"] = lambda _name: scene.engine.progress(Progress(path="Phase 1"))
    told = events(operations, op="repair", store="local", yes=True)
    assert [event["path"] for event in told if event["event"] == "progress"] == ["Phase 1"]


def test_a_repair_that_fails_says_why(operations: Operations, scene: Scene) -> None:
    scene.engine.fail_next("repair", OutOfSyncError("no good", hint="look"))
    with capture_logs() as logs:
        assert error(operations, op="repair", store="local", yes=True) == "no good"
    assert logs[-1]["event"] == "repair-failed"
    assert (logs[-1]["reason"], logs[-1]["error_code"]) == ("no good", "out-of-sync")


def test_a_second_repair_beside_it_is_refused(operations: Operations, scene: Scene) -> None:
    going, go = threading.Event(), threading.Event()

    def wait(_name: str) -> None:
        going.set()
        go.wait(DEADLINE_S)

    scene.engine.during["repair"] = wait
    following = operations.answer({"op": "repair", "store": "local", "yes": True})
    first = next(following)
    assert first == {"event": "repairing", "store": "local"}
    told: list[Event | None] = []
    follower = threading.Thread(target=lambda: told.extend(following))
    follower.start()
    assert going.wait(DEADLINE_S)
    assert "already" in error(operations, op="repair", store="local", yes=True)
    go.set()
    follower.join()
    assert scene.engine.count("repair") == 1
    assert told[-1] is not None
    assert told[-1]["event"] == "done"


def test_it_goes_on_when_nobody_follows_any_more(operations: Operations, scene: Scene) -> None:
    ended = threading.Event()
    scene.engine.during["repair"] = lambda _name: ended.set()
    following = operations.answer({"op": "repair", "store": "local", "yes": True})
    next(following)
    next(following)
    following.close()
    assert ended.wait(DEADLINE_S)
    assert until(lambda: scene.runner.lock.holder() is None)


def test_a_repair_that_nobody_follows_any_more_is_not_begun_twice(
    operations: Operations, scene: Scene
) -> None:
    going, go = threading.Event(), threading.Event()

    def wait(_name: str) -> None:
        going.set()
        go.wait(DEADLINE_S)

    scene.engine.during["repair"] = wait
    following = operations.answer({"op": "repair", "store": "local", "yes": True})
    next(following)
    assert going.wait(DEADLINE_S)
    following.close()
    assert "already" in error(operations, op="repair", store="local", yes=True)
    go.set()
    assert until(lambda: scene.runner.lock.holder() is None)
    assert scene.engine.count("repair") == 1


def test_a_backup_that_becomes_due_meanwhile_waits_for_its_end(operations: Operations, scene: Scene) -> None:
    asked = []
    scene.engine.during["repair"] = lambda _name: asked.append(scene.ask("backup:mail"))
    events(operations, op="repair", store="local", yes=True)
    scene.ended(asked[0])
    assert [call.method for call in scene.engine.calls if call.method in ("repair", "create")] == [
        "repair",
        "create",
    ]


@pytest.mark.parametrize(
    ("store", "said"), [("nix", "there is no store"), ("spare", "no backup set uses the store")]
)
def test_a_store_that_is_not_there_or_not_used_is_refused(
    operations: Operations, store: str, said: str
) -> None:
    assert said in error(operations, op="repair", store=store, yes=True)
