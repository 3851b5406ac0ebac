"""What an operator can ask: facts, runs, plans, pauses."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from snapd.errors import NetworkError
from snapd.events import EVENTS
from snapd.history import History, KnownArchive
from snapd.lock import SingleLock
from snapd.model import Archive, Outcome
from snapd.operations import LISTINGS, InUse, Operations
from tests.fakes.asking import answer, error, events, operations_on
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
    return operations_on(scene, in_use)


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


def test_a_backup_that_is_cut_into_slices_is_followed_to_the_end_of_the_last(
    operations: Operations, scene: Scene
) -> None:
    def cut_once(name: str) -> None:
        if scene.engine.count("create") == 1:
            scene.ask("backup:web")
            scene.clock.at += timedelta(hours=2)
            scene.runner.notify()

    scene.engine.during["create"] = cut_once
    told = events(operations, op="run", kind="backup", set="mail", follow=True)
    assert [event["event"] for event in told if event["event"] in ("started", "ended")] == [
        "started",
        "ended",
    ] * 2
    assert (told[-1]["run"]["outcome"], told[-1]["run"]["cause"]) == ("ok", "sliced")


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
    status, line = answer(operations, op="status")["status"], operations.overview.line()
    go.set()
    assert [item["run_id"] for item in status["running"]] == [run.run_id]
    assert status["lock"]["run_id"] == run.run_id
    assert line.startswith("backup of mail runs; ")


def test_systemd_is_told_anew_when_an_expiry_waits_for_a_reader(scene: Scene) -> None:
    by_hand, lines = {"mail_of_old"}, list[tuple[int | None, ...]]()
    scene.runner.stop(DEADLINE_S)
    scene.runner = scene.another(
        in_use=lambda: frozenset(by_hand),
        changed=lambda: lines.append(tuple(each.lane for each in scene.runner.current())),
    )
    backed_up_for_long(scene)
    expiry = scene.ask("expire:mail")
    until(lambda: (None,) in lines)
    by_hand.clear()
    assert scene.ended(expiry).outcome is Outcome.OK


def test_status_shows_both_lanes_and_who_stands_aside(operations: Operations, scene: Scene) -> None:
    backed_up_for_long(scene)
    reading, on = threading.Event(), threading.Event()

    def read(_name: str) -> None:
        reading.set()
        assert on.wait(DEADLINE_S)

    scene.engine.during["extract"] = read
    test = scene.ask("restore-test:mail")
    assert reading.wait(DEADLINE_S)
    scene.ended(scene.ask("backup:web"))
    expiry = scene.ask("expire:mail")
    until(lambda: [each.lane for each in scene.runner.current()] == [2, None])
    status, line = answer(operations, op="status")["status"], operations.overview.line()
    on.set()
    assert [(item["job"], item["lane"]) for item in status["running"]] == [
        ("restore-test:mail", 2),
        ("expire:mail", None),
    ]
    assert (status["lock"], status["reading"]["run_id"]) == (None, test.run_id)
    assert line.startswith("restore-test of mail runs in the second lane; expire of mail stands aside; ")
    assert scene.ended(expiry).outcome is Outcome.OK


def test_the_status_line_names_what_comes_and_the_lights_that_are_off(
    operations: Operations,
) -> None:
    line = operations.overview.line()
    assert line.startswith("idle; next backup:mail at ")
    assert line.endswith(
        "lights off: fresh (all sets), proven (all sets), encrypted (all sets), off-site (all sets), "
        "key copied (all sets)"
    )


def test_the_status_line_says_that_a_run_waits_for_its_next_attempt(
    operations: Operations, scene: Scene
) -> None:
    scene.engine.fail_next("create", NetworkError("no route to host"))
    scene.ask("backup:mail")
    again = START + timedelta(minutes=1)
    told = f"backup of mail failed, next attempt at {again.astimezone():%a %H:%M:%S}; next backup:mail"
    until(lambda: told in operations.overview.line())


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


@pytest.mark.parametrize(
    "request_",
    [
        {"op": "archives", "set": "mail", "refresh": True},
        {"op": "pin", "archive": "mail_20250101-000000"},
        {"op": "plan", "set": "mail"},
    ],
)
def test_a_listing_is_taken_over_before_a_backup_can_add_an_archive_that_it_does_not_have(
    scene: Scene, request_: Mapping[str, Any]
) -> None:
    held: list[bool] = []

    class Watched(History):
        def record_listing(
            self, store: str, backup_set: str, archives: Sequence[Archive], now: datetime
        ) -> tuple[Archive, ...]:
            held.append(SingleLock(scene.folders.state).holder() is not None)
            return super().record_listing(store, backup_set, archives, now)

    scene.engine.plant("mail_20250101-000000")
    scene.runner.stop(DEADLINE_S)
    scene.history.close()
    scene.history = Watched(scene.folders.state, now=START)
    scene.runner = scene.another()
    scene.runner.start()
    assert answer(operations_on(scene), **request_)["event"] == "done"
    assert held == [True]


def test_a_plan_deletes_nothing_and_shows_a_reason_for_each_archive(
    operations: Operations, scene: Scene
) -> None:
    backed_up_for_long(scene)
    before = scene.engine.names()
    plan = answer(operations, op="plan", set="mail")["plan"]
    assert scene.engine.names() == before
    assert plan["keep"] + plan["delete"] == len(before)
    assert all(bool(item["reasons"]) == item["keep"] for item in plan["archives"])


@pytest.mark.parametrize("request_", [{"op": "archives", "refresh": True}, {"op": "plan"}])
def test_listings_beyond_a_few_are_told_at_once_to_come_back(
    operations: Operations, scene: Scene, request_: Mapping[str, Any]
) -> None:
    inside, go = threading.Event(), threading.Event()

    def hold(_name: str) -> None:
        inside.set()
        assert go.wait(DEADLINE_S)

    scene.engine.during["create"] = hold
    scene.ask("backup:mail")
    assert inside.wait(DEADLINE_S)
    with ThreadPoolExecutor(LISTINGS + 1) as pool:
        asked = [pool.submit(answer, operations, **request_, set="mail") for _ in range(LISTINGS + 1)]
        refused = next(as_completed(asked, DEADLINE_S)).result()
        go.set()
        others = [one.result(DEADLINE_S)["event"] for one in asked if one.result(DEADLINE_S) != refused]
    assert (refused["code"], refused["exit"]) == ("lock", 75)
    assert "status" in refused["hint"]
    assert others == ["done"] * LISTINGS


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


def test_what_comes_next_is_not_a_slot_that_a_pause_will_skip(operations: Operations) -> None:
    slot = START + timedelta(minutes=15)
    for span, expected in (("10m", slot), ("15m", slot), ("16m", slot + timedelta(minutes=15))):
        answer(operations, op="pause", set="mail", **{"for": span})
        status = answer(operations, op="status")["status"]
        assert status["next"] == {"job": "backup:mail", "slot": expected.isoformat()}
        assert status["sets"][0]["jobs"]["backup"]["next"] == expected.isoformat()
        assert f"next backup:mail at {expected.astimezone():%a %H:%M:%S}" in operations.overview.line()


def test_many_may_hold_one_archive_at_once(operations: Operations, in_use: InUse) -> None:
    gate = threading.Barrier(8)

    def hold_often() -> None:
        gate.wait()
        for number in range(200):
            held = operations.answer({"op": "hold", "set": "mail", "archive": f"mail_{number % 3}"})
            next(held)
            in_use.names()
            held.close()

    threads = [threading.Thread(target=hold_often) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert in_use.names() == frozenset()


RESTORED = {
    "op": "restored",
    "set": "mail",
    "archive": "mail_20261123-120000",
    "to": "/root/restored",
    "paths": ["srv/mail"],
    "seconds": 12.5,
    "error": None,
}
RESTORE = {
    "at": START.isoformat(),
    "backup_set": "mail",
    "archive": "mail_20261123-120000",
    "to": "/root/restored",
    "paths": ["srv/mail"],
    "duration_s": 12.5,
    "uid": 1000,
    "outcome": "ok",
    "error": None,
}


def test_a_restore_that_a_command_made_is_written_down_and_told_once(operations: Operations) -> None:
    with capture_logs() as said:
        assert answer(operations, **RESTORED, peer_uid=1000)["restore"] == RESTORE
    assert answer(operations, op="history") == {"event": "done", "runs": [], "restores": [RESTORE]}
    (line,) = [entry for entry in said if entry["event"] == "restored"]
    assert (line["log_level"], line["outcome"], line["peer_uid"]) == ("info", "ok", 1000)
    assert set(line) - {"event", "log_level"} <= {*EVENTS["restored"].fields}


def test_a_restore_that_failed_is_told_as_a_warning_with_its_reason(operations: Operations) -> None:
    with capture_logs() as said:
        told = answer(operations, **{**RESTORED, "error": "no space left"})["restore"]
    assert (told["outcome"], told["error"], told["uid"]) == ("failed", "no space left", os.geteuid())
    (line,) = [entry for entry in said if entry["event"] == "restored"]
    assert (line["log_level"], line["reason"]) == ("warning", "no space left")


def test_the_history_can_be_narrowed_to_restores_or_to_runs(operations: Operations, scene: Scene) -> None:
    scene.ended(scene.ask("backup:mail"))
    answer(operations, **RESTORED)
    answer(operations, **{**RESTORED, "set": "web", "archive": "web_1"})
    only = answer(operations, op="history", kind="restore")
    assert (only["runs"], len(only["restores"])) == ([], 2)
    assert answer(operations, op="history", kind="backup")["restores"] == []
    assert [item["archive"] for item in answer(operations, op="history", set="web")["restores"]] == ["web_1"]
    assert len(answer(operations, op="history", limit=1)["restores"]) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"set": "nope"}, "no backup set 'nope'"),
        ({"archive": ""}, "'archive' must be a text"),
        ({"archive": "x" * 4097}, "'archive' must be a text"),
        ({"to": 7}, "'to' must be a text"),
        ({"paths": "srv"}, "must be a list"),
        ({"paths": ["x"] * 1001}, "at most 1000"),
        ({"paths": [None]}, "'paths' must be a text"),
        ({"seconds": float("nan")}, "from 0 to ten years"),
        ({"seconds": -1}, "from 0 to ten years"),
        ({"seconds": 10**400}, "from 0 to ten years"),
        ({"seconds": True}, "must be a number"),
        ({"error": ""}, "'error' must be a text"),
    ],
)
def test_a_restore_that_is_not_believable_is_refused_and_not_written(
    operations: Operations, change: Mapping[str, Any], said: str
) -> None:
    assert said in error(operations, **{**RESTORED, **change})
    assert answer(operations, op="history")["restores"] == []


def test_what_is_suspect_counts_again_once_it_is_accepted(operations: Operations, scene: Scene) -> None:
    for number, suspect in enumerate((True, False, True)):
        name = f"mail_20261123-12000{number}"
        archive = Archive(name, START + timedelta(seconds=number), suspect=suspect)
        scene.history.record_archive(KnownArchive(archive, "local", "mail", START))
    with capture_logs() as said:
        accepted = answer(operations, op="accept", set="mail", peer_uid=7)["accepted"]
        assert answer(operations, op="accept", set="mail")["accepted"] == []
    assert accepted == ["mail_20261123-120002", "mail_20261123-120000"]
    assert not [known for known in scene.history.known_archives("mail") if known.archive.suspect]
    (line,) = [entry for entry in said if entry["event"] == "accepted"]
    assert (line["log_level"], line["count"], line["archives"], line["peer_uid"]) == ("info", 2, accepted, 7)


def plan_of_foreign_archives(operations: Operations, scene: Scene) -> dict[str, Any]:
    """Twenty archives of mail that were not made here, and a good backup: their first expiry waits."""
    for number in range(1, 21):
        created = START - number * timedelta(seconds=10)
        scene.engine.plant(f"mail_{created:%Y%m%d-%H%M%S}", created)
    scene.ended(scene.ask("backup:mail"))
    told: dict[str, Any] = answer(operations, op="plan", set="mail")["plan"]
    assert told["hold"]["guard"] == "foreign"
    return told


def test_the_names_of_a_plan_that_was_shown_are_approved_in_parts(
    operations: Operations, scene: Scene
) -> None:
    plan = plan_of_foreign_archives(operations, scene)
    names = [item["name"] for item in plan["archives"] if not item["keep"]]
    request = {"op": "approve", "set": "mail", "policy": plan["policy"]}
    with capture_logs() as said:
        for names_, further in ((["mail_20200101-000000"], False), (names[:-2], False), (names[-2:-1], True)):
            told = answer(operations, **request, names=names_, further=further, peer_uid=7)
            assert told == {"event": "done", "set": "mail", "approved": len(names_)}
    lines = [line for line in said if line["event"] == "expiry-approved"]
    assert [(line["count"], line["peer_uid"]) for line in lines] == [(1, 7), (len(names) - 2, 7), (1, 7)]
    assert {*lines[0]} - {"event", "log_level"} <= {*EVENTS["expiry-approved"].fields}
    assert scene.history.approved("mail", plan["policy"], START) == set(names[:-1])
    assert scene.ended(scene.ask("expire:mail")).details["deleted"] == len(names) - 1
    assert names[-1] in scene.engine.names()


def test_a_plan_is_approved_in_one_request_only_where_it_waits_for_that(
    operations: Operations, scene: Scene
) -> None:
    plan_of_foreign_archives(operations, scene)
    told = answer(operations, op="plan", set="mail", approve=True)
    assert told["approved"] is True
    assert scene.ended(scene.ask("expire:mail")).outcome is Outcome.OK
    told = answer(operations, op="plan", set="mail", approve=True)
    assert (told["approved"], told["plan"]["hold"]) == (False, None)


def test_an_approval_of_another_policy_than_the_one_in_force_is_refused(
    operations: Operations, scene: Scene
) -> None:
    plan = plan_of_foreign_archives(operations, scene)
    asked = {"op": "approve", "set": "mail", "names": ["mail_20261123-115940"]}
    assert "is another one than when the plan was shown" in error(operations, **asked, policy="older")
    assert scene.history.approved("mail", plan["policy"], START) == frozenset()


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"op": "status", "set": "nope"}, "no backup set 'nope'"),
        ({"op": "run", "kind": "backup", "set": "nope", "follow": False}, "no backup set"),
        ({"op": "run", "kind": "restore-test", "set": "mail", "follow": False}, "no restore-test job"),
        ({"op": "run", "kind": "shrink", "set": "mail", "follow": False}, "malformed"),
        ({"op": "run"}, "malformed"),
        ({"op": "restored", "set": "mail"}, "malformed"),
        ({"op": "accept"}, "malformed"),
        ({"op": "approve", "set": "mail", "policy": "x"}, "malformed"),
        ({"op": "approve", "set": "mail", "policy": "x", "names": "mail_1"}, "must be a list"),
        ({"op": "approve", "set": "mail", "policy": "x", "names": [[]] * 1001}, "at most 1000"),
        ({"op": "approve", "set": "mail", "policy": "x", "names": [7]}, "7 is no archive"),
        ({"op": "approve", "set": "mail", "policy": "x", "names": ["web_20200101-000000"]}, "is no archive"),
        ({"op": "approve", "set": "web", "policy": "x", "names": []}, "no retention policy"),
        ({"op": "accept", "set": "nope"}, "no backup set"),
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
