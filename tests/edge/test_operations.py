"""What an operator can ask: facts, runs, plans, pauses."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from snapd.followers import Event
from snapd.model import Outcome
from snapd.operations import InUse, Operations, describe
from snapd.state_folder import Loaded
from tests.fakes.scene import DEADLINE_S, START, Scene, backed_up_for_long, until


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    made.runner.start()
    yield made
    made.runner.stop(DEADLINE_S)
    made.history.close()


@pytest.fixture
def in_use() -> InUse:
    return InUse()


@pytest.fixture
def operations(scene: Scene, in_use: InUse) -> Operations:
    situation = describe(
        Loaded(scene.accepted, refused=()),
        Path("/etc/snapd-backup/config.toml"),
        scene.folders,
        accepted_at=START,
        started=START,
    )
    return Operations(
        lambda: situation,
        scene.history,
        scene.runner,
        scene.folders,
        coming=lambda: [(START + timedelta(minutes=15), "backup:mail")],
        reload=lambda: {"event": "done", "added": [], "removed": [], "changed": []},
        in_use=in_use,
    )


def events(operations: Operations, **request: Any) -> list[Event]:
    return [event for event in operations.answer(request) if event is not None]


def answer(operations: Operations, **request: Any) -> Event:
    """The last event of an answer, as it travels."""
    event: Event = json.loads(json.dumps(events(operations, **request)[-1]))
    return event


def error(operations: Operations, **request: Any) -> str:
    event = answer(operations, **request)
    assert event["event"] == "error"
    return str(event["message"])


def test_status_shows_every_set_with_its_five_lights(operations: Operations) -> None:
    status = answer(operations, op="status")["status"]
    assert [item["name"] for item in status["sets"]] == ["mail", "web"]
    assert list(status["sets"][0]["lights"]) == ["fresh", "proven", "encrypted", "off-site", "key copied"]
    assert status["next"] == {"job": "backup:mail", "slot": (START + timedelta(minutes=15)).isoformat()}


def test_status_tells_what_is_wrong_on_the_machine(operations: Operations) -> None:
    problems = answer(operations, op="status")["status"]["problems"]
    assert any("passphrase" in item["message"] or "repository" in item["message"] for item in problems)


def test_a_backup_that_was_never_made_is_not_fresh_and_says_so(operations: Operations) -> None:
    light = answer(operations, op="status", set="mail")["status"]["sets"][0]["lights"]["fresh"]
    assert light["on"] is False
    assert light["why"]


def test_a_run_is_followed_to_its_end(operations: Operations) -> None:
    told = events(operations, op="run", kind="backup", set="mail", follow=True)
    assert told[0]["event"] == "queued"
    assert told[-1]["run"]["outcome"] == "ok"
    assert told[-1]["run"]["archive"] == "mail_20261123-120000"


def test_a_run_that_is_not_followed_is_only_asked_for(operations: Operations) -> None:
    told = events(operations, op="run", kind="backup", set="mail", follow=False)
    assert [event["event"] for event in told] == ["queued", "done"]


def test_a_follower_of_an_ended_run_gets_its_end_at_once(operations: Operations, scene: Scene) -> None:
    scene.ended(scene.ask("backup:mail"))
    rows = answer(operations, op="history")["runs"]
    assert [row["outcome"] for row in rows] == ["ok"]


def test_status_shows_a_run_in_progress_with_the_holder_of_the_lock(
    operations: Operations, scene: Scene
) -> None:
    inside, go = threading.Event(), threading.Event()

    def hold(_name: str) -> None:
        inside.set()
        assert go.wait(DEADLINE_S)

    scene.engine.during["create"] = hold
    run = scene.ask("backup:mail")
    assert inside.wait(DEADLINE_S)
    status, line = answer(operations, op="status")["status"], operations.line()
    go.set()
    assert [item["run_id"] for item in status["running"]] == [run.run_id]
    assert status["lock"]["run_id"] == run.run_id
    assert line.startswith("backup of mail runs; ")


def test_the_status_line_names_what_comes_and_the_lights_that_are_off(
    operations: Operations,
) -> None:
    line = operations.line()
    assert line.startswith("idle; next backup:mail at ")
    assert "lights off: mail (fresh, proven" in line


def test_history_can_be_narrowed(operations: Operations, scene: Scene) -> None:
    scene.ended(scene.ask("backup:mail"))
    scene.ended(scene.ask("backup:web"))
    assert len(answer(operations, op="history")["runs"]) == 2
    assert [row["backup_set"] for row in answer(operations, op="history", set="web")["runs"]] == ["web"]
    assert answer(operations, op="history", kind="expire")["runs"] == []
    assert len(answer(operations, op="history", limit=1)["runs"]) == 1


def test_archives_are_those_last_listed_until_a_refresh(operations: Operations, scene: Scene) -> None:
    scene.ended(scene.ask("backup:mail"))
    scene.engine.plant("mail_20250101-000000")
    scene.engine.plant("mail_old_20250101-000000")
    names = [item["name"] for item in answer(operations, op="archives", set="mail")["archives"]]
    assert names == ["mail_20261123-120000"]
    fresh = answer(operations, op="archives", set="mail", refresh=True)["archives"]
    assert {item["name"] for item in fresh} == {"mail_20261123-120000", "mail_20250101-000000"}


def test_a_plan_deletes_nothing_and_shows_a_reason_for_each_archive(
    operations: Operations, scene: Scene
) -> None:
    backed_up_for_long(scene)
    before = scene.engine.names()
    plan = answer(operations, op="plan", set="mail")["plan"]
    assert scene.engine.names() == before
    assert plan["keep"] + plan["delete"] == len(before)
    assert all(bool(item["reasons"]) == item["keep"] for item in plan["archives"])


def test_an_approved_plan_is_carried_out_by_the_next_expiry(operations: Operations, scene: Scene) -> None:
    backed_up_for_long(scene)
    scene.history.withdraw_approval("mail")
    held = answer(operations, op="run", kind="expire", set="mail", follow=True)["run"]
    assert (held["outcome"], held["error_code"]) == ("warning", "held")
    assert answer(operations, op="plan", set="mail", approve=True)["approved"] is True
    scene.clock.at += timedelta(seconds=1)
    done = answer(operations, op="run", kind="expire", set="mail", follow=True)["run"]
    assert done["outcome"] == "ok"
    assert done["details"]["deleted"] > 0


def test_an_archive_that_somebody_reads_is_kept_until_he_is_gone(
    operations: Operations, in_use: InUse
) -> None:
    held = operations.answer({"op": "hold", "set": "mail", "archive": "mail_20250101-000000"})
    assert next(held) == {"event": "pinned", "archive": "mail_20250101-000000"}
    assert in_use.names() == {"mail_20250101-000000"}
    held.close()
    assert in_use.names() == frozenset()


def test_a_set_is_paused_and_resumed(operations: Operations) -> None:
    until_iso = answer(operations, op="pause", set="mail", **{"for": "4h"})["paused_until"]
    assert until_iso == (START + timedelta(hours=4)).isoformat()
    assert answer(operations, op="status", set="mail")["status"]["sets"][0]["paused_until"] == until_iso
    answer(operations, op="resume", set="mail")
    assert answer(operations, op="status", set="mail")["status"]["sets"][0]["paused_until"] is None


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"op": "status", "set": "nope"}, "no backup set 'nope'"),
        ({"op": "run", "kind": "backup", "set": "nope", "follow": False}, "no backup set"),
        ({"op": "run", "kind": "restore-test", "set": "mail", "follow": False}, "no restore-test job"),
        ({"op": "run", "kind": "shrink", "set": "mail", "follow": False}, "malformed"),
        ({"op": "run"}, "malformed"),
        ({"op": "pause", "set": "mail", "for": "soon"}, "no duration"),
        ({"op": "pause", "set": "mail", "for": "99999999999999w"}, "longer than"),
        ({"op": "history", "limit": "many"}, "malformed"),
        ({"op": "history", "limit": 0}, "limit must be"),
        ({"op": "dance"}, "no request 'dance'"),
    ],
)
def test_bad_requests_get_one_sentence(
    operations: Operations, request_: Mapping[str, Any], said: str
) -> None:
    assert said in error(operations, **request_)


def test_rows_of_slots_say_how_many_they_cover(operations: Operations, scene: Scene) -> None:
    run = scene.ended(scene.ask("backup:mail"))
    assert run.outcome is Outcome.OK
    (row,) = answer(operations, op="history")["runs"]
    assert (row["slots"], row["job"], row["duration_s"]) == (1, "backup:mail", 0.0)
    assert until(lambda: scene.runner.lock.holder() is None)
