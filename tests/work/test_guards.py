"""What holds an expiry back: each guard with its event and its advice; and the plan that is logged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from snapd.config import BackupSet, Expire
from snapd.errors import EmptyPolicyError, NetworkError
from snapd.event_fields import FIELDS
from snapd.events import EVENTS
from snapd.history import Run
from snapd.jobs import expire
from snapd.jobs.base import Work
from snapd.jobs.decision import groups
from snapd.model import Cause, Kind, Outcome
from snapd.retention import Guard
from tests.cli.test_jobs import hold as canned_hold
from tests.cli.test_jobs import long_plan
from tests.cli.test_json_contract import keys_of
from tests.fakes.work import START, World, set_of, world

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
TODAY = START + 100 * DAY
DAILY = {"schedule": "50 3 * * *", "deltas": ["1d", "7d"]}
KEPT = 8  # of daily archives under these deltas


def shop(**expiry: object) -> BackupSet:
    return set_of(schedule="0 0 * * *", expire=Expire.model_validate(DAILY | expiry))


def name_of(days_ago: float) -> str:
    return shop().archive.render(TODAY - days_ago * DAY)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[World]:
    """Twenty daily archives of ours, the newest of today, after a night that ended well."""
    with world(tmp_path) as found:
        found.clock.at = TODAY
        for days in range(20):
            found.engine.plant(name_of(days), TODAY - days * DAY)
            found.history.record_name("local", "shop", name_of(days), START)
        found.history.add([backup_row(Outcome.OK)])
        yield found


def backup_row(outcome: Outcome | None, **values: object) -> Run:
    at = TODAY - HOUR
    row = Run(
        run_id=f"backup-{outcome}", job="backup:shop", kind=Kind.BACKUP, backup_set="shop", slot=at,
        cause=Cause.SCHEDULE, started=at, ended=at if outcome else None, outcome=outcome,
    )  # fmt: skip
    return replace(row, **values)  # type: ignore[arg-type]


def work_of(scene: World, backup_set: BackupSet | None = None) -> Work:
    return replace(scene.work(backup_set or shop()), due_slot=TODAY - DAY)


def suspect(scene: World) -> Work:
    scene.history.set_suspect("local", name_of(0), suspect=True)
    return replace(work_of(scene), due_slot=TODAY - 2 * DAY)


def backup_failed(scene: World) -> Work:
    scene.history.add([backup_row(Outcome.FAILED, ended=TODAY, error_code="network")])
    return work_of(scene)


def backup_waits_for_its_retry(scene: World) -> Work:
    waiting = {"started": None, "attempts": 1, "failures": 1, "error_code": "network"}
    scene.history.add([backup_row(None, **waiting, not_before=TODAY + HOUR)])
    return work_of(scene)


def not_fresh(scene: World) -> Work:
    return replace(work_of(scene), due_slot=TODAY + timedelta(seconds=1))


def rebuilt(scene: World) -> Work:
    foreign(scene)
    scene.history.note("rebuilt", TODAY.isoformat())
    return work_of(scene)


def foreign(scene: World) -> Work:
    scene.engine.plant(name_of(30), TODAY - 30 * DAY)
    return work_of(scene)


def policy_changed(scene: World) -> Work:
    scene.history.record_expiry("shop", "another", TODAY)
    return work_of(scene)


def clock_jumped(scene: World) -> Work:
    scene.history.note("clock-jumped", TODAY.isoformat())
    return work_of(scene)


GUARDS: list[tuple[Callable[[World], Work], Guard, str]] = [
    (suspect, Guard.SUSPECT, "snapd-backup accept shop"),
    (backup_failed, Guard.BACKUP_FAILED, "next good backup"),
    (backup_waits_for_its_retry, Guard.BACKUP_FAILED, "next good backup"),
    (not_fresh, Guard.NOT_FRESH, "next good backup"),
    (rebuilt, Guard.REBUILT, "snapd-backup expire shop --approve"),
    (foreign, Guard.FOREIGN, "snapd-backup expire shop --approve"),
    (policy_changed, Guard.POLICY_CHANGED, "snapd-backup expire shop --approve"),
    (clock_jumped, Guard.CLOCK_JUMPED, "snapd-backup expire shop --approve"),
]
everyone = pytest.mark.parametrize(
    ("come_about", "guard", "advice"), GUARDS, ids=[come_about.__name__ for come_about, _, _ in GUARDS]
)


def test_each_guard_is_among_those_that_are_tried() -> None:
    assert {guard for _, guard, _ in GUARDS} == set(Guard)


@everyone
def test_each_guard_holds_and_has_its_own_event_with_its_advice(
    scene: World, come_about: Callable[[World], Work], guard: Guard, advice: str
) -> None:
    work = come_about(scene)
    before = scene.engine.names()
    with capture_logs() as lines:
        result = expire.run(work)
    assert scene.engine.names() == before
    assert (result.outcome, result.details["held_by"]) == (Outcome.WARNING, guard.value)
    assert str(result.details["held"]) in result.notes[0]
    assert advice in result.hint
    said = lines[-1]
    assert (said["event"], said["log_level"]) == (f"expiry-held-{guard}", "warning")
    assert (said["reason"], said["hint"]) == (result.details["held"], result.hint)
    assert said["event"] in EVENTS


@everyone
def test_the_plan_that_is_shown_says_the_same(
    scene: World, come_about: Callable[[World], Work], guard: Guard, advice: str
) -> None:
    shown = expire.decision_json(expire.decide(come_about(scene), scene.engine.archives()))
    hold = shown["hold"]
    assert isinstance(hold, dict)
    assert keys_of(shown) == keys_of(long_plan(hold=canned_hold()))
    assert (hold["guard"], hold["approvable"]) == (guard.value, guard.approvable)
    assert advice in hold["hint"]


@everyone
def test_a_yes_releases_only_what_waits_for_one(
    scene: World, come_about: Callable[[World], Work], guard: Guard, advice: str
) -> None:
    work = come_about(scene)
    expire.approve(work, expire.decide(work, scene.engine.archives()))
    result = expire.run(work)
    assert (result.outcome is Outcome.OK) is guard.approvable
    assert (name_of(19) in scene.engine.names()) is not guard.approvable
    assert bool(advice)


def test_a_backup_that_waits_for_room_in_the_store_holds_nothing(scene: World) -> None:
    waiting = {"started": None, "attempts": 1, "failures": 1, "error_code": "space"}
    scene.history.add([backup_row(None, **waiting, not_before=TODAY + HOUR)])
    assert expire.run(not_fresh(scene)).details["deleted"] == 20 - KEPT


@pytest.mark.parametrize(("max_share", "held"), [(0.0, True), (0.5, True), (0.6, False), (1.0, False)])
def test_the_share_that_needs_a_yes_is_the_configs(scene: World, max_share: float, held: bool) -> None:
    scene.history.record_expiry("shop", "another", TODAY)
    result = expire.run(work_of(scene, shop(max_share=max_share)))
    assert (result.outcome is Outcome.WARNING) is held


def test_incomplete_archives_go_when_the_config_says(scene: World) -> None:
    for days in (1.5, 2.5):
        scene.engine.plant(f"{name_of(days)}.part", TODAY - days * DAY)
    expire.run(work_of(scene, shop(partial_after="2d")))
    assert [name for name in scene.engine.names() if name.endswith(".part")] == [f"{name_of(1.5)}.part"]


# -- the plan in the journal ----------------------------------------------------------------------------


def test_the_journal_has_the_plan_with_its_names_and_reasons_before_anything_is_deleted(scene: World) -> None:
    scene.engine.fail_next("delete", NetworkError("the connection was lost"))
    with capture_logs() as lines, pytest.raises(NetworkError):
        expire.run(work_of(scene))
    (planned,) = [line for line in lines if line["event"] == "expiry-planned"]
    assert set(planned) - {"event", "log_level"} <= set(FIELDS)
    assert (planned["keep"], planned["delete"]) == (KEPT, 12)
    assert planned["archives"] == [name_of(days) for days in range(19, KEPT - 1, -1)]
    assert planned["reasons"] == [
        "keep 1: newest, 2026-04-11T00:00:00Z to 2026-04-11T00:00:00Z",
        "keep 3: min_keep, 2026-04-09T00:00:00Z to 2026-04-11T00:00:00Z",
        "keep 7: delta 1d, 2026-04-04T00:00:00Z to 2026-04-10T00:00:00Z",
        "delete 12: no rule keeps it, 2026-03-23T00:00:00Z to 2026-04-03T00:00:00Z",
    ]


def test_groups_gather_what_stays_for_one_rule_whatever_its_count(scene: World) -> None:
    keep = shop(deltas=None, keep={"daily": 3, "weekly": 2})
    scene.engine.plant(f"{name_of(9)}.part", TODAY - 9 * DAY)
    decision = expire.decide(work_of(scene, keep), scene.engine.archives())
    told = {(group.keep, group.reason): group.count for group in groups(decision.verdicts)}
    assert told[True, "daily"] == 3
    assert told[True, "weekly"] == 2
    assert told[False, "incomplete, and no longer young"] == 1
    assert sum(count for (kept, _), count in told.items() if not kept) == len(decision.planned)


# -- bad input ------------------------------------------------------------------------------------------


def test_a_policy_that_keeps_nothing_deletes_nothing(scene: World) -> None:
    empty = Expire.model_construct(**{**shop().expire.__dict__, "deltas": ()})
    work = replace(work_of(scene), backup_set=shop().model_copy(update={"expire": empty}))
    with pytest.raises(EmptyPolicyError, match="empty"):
        expire.run(work)
    assert scene.engine.count("delete") == 0


def test_a_listing_that_ended_early_deletes_nothing(scene: World) -> None:
    scene.engine.fail_next("archives", NetworkError("the list ended early"))
    with pytest.raises(NetworkError, match="ended early"):
        expire.run(work_of(scene))
    assert scene.engine.count("delete") == 0


def test_a_listing_that_ends_early_after_an_unclear_deletion_deletes_nothing_more(scene: World) -> None:
    def lose_the_connection(_name: str) -> None:
        scene.engine.fail_next("archives", NetworkError("the list ended early"))
        raise NetworkError("the connection was lost")

    scene.engine.during["delete"] = lose_the_connection
    with pytest.raises(NetworkError):
        expire.run(work_of(scene))
    assert scene.engine.count("delete") == 1
