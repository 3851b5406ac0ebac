"""An expiry, step by step, against an engine in memory and a real history."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from snapd.config import BackupSet, Expire
from snapd.errors import InterruptedRunError, NetworkError, UsageError
from snapd.history import Proof, Run
from snapd.jobs import backup, expire
from snapd.jobs.base import Work
from snapd.model import Archive, ArchivePattern, Cause, Kind, Outcome
from tests.fakes.work import START, World, set_of, world

DAY = timedelta(days=1)
TODAY = START + 100 * DAY
DAILY = Expire.model_validate({"schedule": "every 6h", "deltas": ["1d", "7d"]})
KEPT = 8  # of daily archives under these deltas: today and seven days back


def shop(**values: object) -> BackupSet:
    return set_of(**{"schedule": "0 0 * * *", "expire": DAILY} | values)


def name_of(days_ago: float) -> str:
    return shop().archive.render(TODAY - days_ago * DAY)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[World]:
    """Twenty daily archives that runs of ours made, the newest of today."""
    with world(tmp_path) as found:
        found.clock.at = TODAY
        for days in range(20):
            found.engine.plant(name_of(days), TODAY - days * DAY)
        ran(found, *[name_of(days) for days in reversed(range(20))])
        yield found


def work_of(scene: World, backup_set: BackupSet | None = None) -> Work:
    return replace(scene.work(backup_set or shop()), due_slot=TODAY - DAY)


def row(
    scene: World, number: int, *, kind: Kind = Kind.BACKUP, outcome: Outcome = Outcome.OK, archive: str = "",
    code: str = "", details: dict[str, object] | None = None,
) -> None:  # fmt: skip
    at = START + timedelta(hours=number)
    scene.history.add(
        [
            Run(
                run_id=f"{kind}-{number}", job=f"{kind}:shop", kind=kind, backup_set="shop", slot=at,
                cause=Cause.SCHEDULE, started=at, ended=at, outcome=outcome, archive=archive, error_code=code,
                details=details or {},
            )
        ]
    )  # fmt: skip


def ran(scene: World, *archives: str) -> None:
    for number, archive in enumerate(archives):
        scene.history.record_name("local", "shop", archive, START)
        row(scene, number, archive=archive)


def after_first_batch(action: Callable[[], None]) -> Callable[[], None]:
    """What happens when an expiry steps aside for the second time, before its second batch."""
    waiting: list[Callable[[], None]] = [action, lambda: None]
    return lambda: waiting.pop()() if waiting else None


# -- the plain case -------------------------------------------------------------------------------------


def test_what_the_policy_no_longer_keeps_is_deleted_and_the_space_given_back(scene: World) -> None:
    result = expire.run(work_of(scene))
    assert result.outcome is Outcome.OK
    assert result.details == {"archives": 20, "planned": 12, "deleted": 12, "completed": True}
    assert scene.engine.names() == [name_of(days) for days in range(KEPT)]
    assert scene.engine.reclaimed == 1
    assert len(scene.history.known_archives("shop")) == KEPT
    assert scene.history.completed_policy("shop") is not None


@pytest.mark.parametrize(("timezone", "days"), [("UTC", [0, 1, 2, 6]), ("America/New_York", [0, 1, 2, 5])])
def test_keep_rules_count_the_periods_of_the_configured_zone(
    scene: World, timezone: str, days: list[int]
) -> None:
    """The archives are of midnight in UTC, which is the evening before in New York, Sunday's on a Monday."""
    keep = Expire.model_validate({"schedule": "@daily", "keep": {"daily": 3, "weekly": 2}, "min_keep": 1})
    work = work_of(scene, shop(expire=keep))
    zoned = work.config.model_copy(
        update={"daemon": work.config.daemon.model_copy(update={"timezone": timezone})}
    )
    verdicts = expire.decide(replace(work, config=zoned), scene.engine.archives()).verdicts
    assert [v.archive.name for v in verdicts if v.keep] == [name_of(days_ago) for days_ago in days]


def test_a_change_from_deltas_to_keep_is_a_change_of_policy(scene: World) -> None:
    expire.run(work_of(scene))
    keep = Expire.model_validate({"schedule": "@daily", "keep": {"last": 1}, "min_keep": 1})
    decision = expire.decide(work_of(scene, shop(expire=keep)), scene.engine.archives())
    assert decision.policy != scene.history.completed_policy("shop")
    assert decision.policy.startswith("keep=last 1; ")


def test_a_second_expiry_finds_nothing_to_do_and_reclaims_nothing(scene: World) -> None:
    expire.run(work_of(scene))
    result = expire.run(work_of(scene))
    assert result.outcome is Outcome.OK
    assert result.details["deleted"] == 0
    assert scene.engine.count("delete") == 3
    assert scene.engine.reclaimed == 1


def test_batches_are_no_larger_than_the_engine_allows_and_step_aside_before_each(scene: World) -> None:
    scene.engine.properties = replace(scene.engine.properties, largest_delete_batch=5)
    expire.run(work_of(scene))
    sizes = [len(call.names) for call in scene.engine.calls if call.method == "delete"]
    assert sizes == [1, 4, 5, 2]
    assert scene.yielding.asides == 4


def test_batches_shrink_to_what_the_time_budget_allows(scene: World) -> None:
    at = [0.0]

    def delete_slowly(_name: str) -> None:
        at[0] += 12.0

    scene.engine.during["delete"] = delete_slowly
    expire.run(replace(work_of(scene), steady=lambda: at[0]))
    sizes = [len(call.names) for call in scene.engine.calls if call.method == "delete"]
    assert sizes == [1, 2, 2, 2, 2, 2, 1]


def test_the_oldest_go_first(scene: World) -> None:
    expire.run(work_of(scene))
    first = next(call for call in scene.engine.calls if call.method == "delete")
    assert first.names[0] == name_of(19)


def test_archives_that_are_not_the_sets_are_never_touched(scene: World) -> None:
    strangers = [
        "shop_old_20250101-000000",
        "mail_20250101-000000",
        "shop_20250101",
        "shop_20250231-000000",
        "x",
    ]
    for name in strangers:
        scene.engine.plant(name, TODAY - 90 * DAY)
    decision = expire.decide(work_of(scene), scene.engine.archives())
    assert not {verdict.archive.name for verdict in decision.verdicts}.intersection(strangers)
    expire.run(work_of(scene))
    assert set(strangers) <= set(scene.engine.names())


def test_an_engine_that_needs_no_reclaim_is_not_asked_to(scene: World) -> None:
    scene.engine.properties = replace(scene.engine.properties, needs_reclaim=False)
    expire.run(work_of(scene))
    assert scene.engine.count("reclaim") == 0


def test_a_set_without_a_policy_cannot_be_expired(scene: World) -> None:
    with pytest.raises(UsageError, match="no retention policy") as caught:
        expire.run(work_of(scene, shop(expire=None)))
    assert "[backup.shop.expire]" in caught.value.hint


def test_the_journal_gets_the_plan_and_each_batch(scene: World) -> None:
    work = work_of(scene)
    with capture_logs() as lines:
        expire.run(work)
    said = [(line["event"], line.get("keep"), line.get("delete"), line.get("count")) for line in lines]
    assert said == [
        ("expiry-planned", KEPT, 12, None),
        ("archives-deleted", None, None, 1),
        ("archives-deleted", None, None, 4),
        ("archives-deleted", None, None, 7),
    ]
    assert {(line["run_id"], line["backup_set"]) for line in lines} == {(work.run_id, "shop")}


# -- the floor ------------------------------------------------------------------------------------------


def test_the_newest_proven_archive_and_those_in_use_stay(scene: World) -> None:
    for days in (18, 12, 15):
        scene.history.record_proof(Proof("shop", name_of(days), TODAY, seconds=1))
    scene.history.record_proof(Proof("shop", "shop_20200101-000000", TODAY, seconds=1))  # gone long since
    work = replace(work_of(scene), in_use=lambda: frozenset({name_of(19)}))
    expire.run(work)
    assert set(scene.engine.names()) - {name_of(days) for days in range(KEPT)} == {name_of(12), name_of(19)}


def test_incomplete_archives_go_after_a_week_and_younger_ones_stay(scene: World) -> None:
    scene.engine.plant(f"{name_of(8)}.part", TODAY - 8 * DAY)
    scene.engine.plant(f"{name_of(2)}.part", TODAY - 2 * DAY)
    expire.run(work_of(scene))
    assert [name for name in scene.engine.names() if name.endswith(".part")] == [f"{name_of(2)}.part"]


# -- held -----------------------------------------------------------------------------------------------


def test_a_set_that_is_not_fresh_is_not_expired(scene: World) -> None:
    with capture_logs() as lines:
        result = expire.run(replace(work_of(scene), due_slot=TODAY + timedelta(seconds=1)))
    assert result.outcome is Outcome.WARNING
    assert result.error_code == "held"
    assert "not fresh" in result.notes[0]
    assert result.hint
    assert len(scene.engine.names()) == 20
    assert result.details["held_by"] == "not-fresh"
    assert lines[-1]["event"] == "expiry-held-not-fresh"
    assert "not fresh" in lines[-1]["reason"]
    assert scene.history.completed_policy("shop") is None


def test_a_failed_backup_holds_expiry_unless_the_store_was_full(scene: World) -> None:
    row(scene, 50, outcome=Outcome.FAILED, code="network")
    assert "the last backup failed (network)" in expire.run(work_of(scene)).notes[0]
    row(scene, 51, outcome=Outcome.FAILED, code="space")
    late = replace(work_of(scene), due_slot=TODAY + timedelta(seconds=1))
    assert expire.run(late).details["deleted"] == 12


def test_a_suspect_archive_holds_expiry_until_a_restore_test_of_it_passes(scene: World) -> None:
    expire.decide(work_of(scene), scene.engine.archives())
    scene.history.set_suspect("local", name_of(0), suspect=True)
    held = expire.run(replace(work_of(scene), due_slot=TODAY - 2 * DAY))
    assert "suspect" in held.notes[0]
    assert "restore-test" in held.hint
    scene.history.record_proof(Proof("shop", name_of(0), TODAY, seconds=1))
    assert expire.run(work_of(scene)).outcome is Outcome.OK


def test_a_hold_without_a_way_out_cannot_be_approved(scene: World) -> None:
    late = replace(work_of(scene), due_slot=TODAY + timedelta(seconds=1))
    expire.approve(late, expire.decide(late, scene.engine.archives()))
    assert expire.run(late).details["deleted"] == 0


# -- approval -------------------------------------------------------------------------------------------


@pytest.fixture
def foreign(tmp_path: Path) -> Iterator[World]:
    """Twenty daily archives that somebody else made."""
    with world(tmp_path) as found:
        found.clock.at = TODAY
        for days in range(20):
            found.engine.plant(name_of(days), TODAY - days * DAY)
        yield found


def test_the_first_expiry_of_archives_made_elsewhere_waits_for_approval(foreign: World) -> None:
    work = work_of(foreign)
    held = expire.run(work)
    assert held.outcome is Outcome.WARNING
    assert "12 of 20 archives" in held.notes[0]
    assert "--approve" in held.hint
    assert len(foreign.engine.names()) == 20

    expire.approve(work, expire.decide(work, foreign.engine.archives()))
    assert expire.run(work).outcome is Outcome.OK
    assert foreign.engine.names() == [name_of(days) for days in range(KEPT)]
    assert foreign.history.completed_policy("shop") is not None
    assert expire.run(work).outcome is Outcome.OK


def test_only_what_is_both_approved_and_still_planned_is_deleted(foreign: World) -> None:
    work = work_of(foreign)
    decision = expire.decide(work, foreign.engine.archives())
    foreign.history.approve("shop", [name_of(19), name_of(18), name_of(3), "mail_1"], decision.policy, TODAY)
    result = expire.run(work)
    assert set(foreign.engine.names()) == {name_of(days) for days in range(18)}
    assert result.outcome is Outcome.WARNING
    assert result.details["deleted"] == 2
    assert foreign.history.completed_policy("shop") is None


def test_an_approval_for_another_policy_is_none(foreign: World) -> None:
    work = work_of(foreign)
    expire.approve(work, expire.decide(work, foreign.engine.archives()))
    wider = Expire.model_validate({"schedule": "every 6h", "deltas": ["1d", "8d"]})
    expire.run(work_of(foreign, shop(expire=wider)))
    assert len(foreign.engine.names()) == 20


def test_an_approval_lapses_after_a_week(foreign: World) -> None:
    work = work_of(foreign)
    expire.approve(work, expire.decide(work, foreign.engine.archives()))
    foreign.clock.at += 8 * DAY
    expire.run(work)
    assert len(foreign.engine.names()) == 20


def test_a_large_plan_after_a_change_of_policy_waits_for_approval(scene: World) -> None:
    scene.history.record_expiry("shop", "another", TODAY)
    assert "changed" in expire.run(work_of(scene)).notes[0]


def test_an_archive_whose_creation_we_tried_is_not_foreign_however_its_run_ended(foreign: World) -> None:
    for days in range(20):
        foreign.history.record_name("local", "shop", name_of(days), START)
    assert expire.run(work_of(foreign)).outcome is Outcome.OK


def test_a_clock_step_asks_once_until_an_expiry_is_completed_after_it(scene: World) -> None:
    policy = expire.decide(work_of(scene), scene.engine.archives()).policy
    scene.history.record_expiry("shop", policy, TODAY)
    scene.history.note("clock-jumped", "2099-01-01T00:00:00+00:00")  # as a wrong clock told it
    assert "clock" in expire.run(work_of(scene)).notes[0]
    work = work_of(scene)
    expire.approve(work, expire.decide(work, scene.engine.archives()))
    assert expire.run(work).outcome is Outcome.OK
    for days in range(8, 20):
        scene.engine.plant(name_of(days), TODAY - days * DAY)
    assert expire.run(work).details["deleted"] == 12

    scene.history.note("clock-jumped", "2026-01-01T00:00:00+00:00")  # and back
    for days in range(8, 20):
        scene.engine.plant(name_of(days), TODAY - days * DAY)
    assert "clock" in expire.run(work).notes[0]


def test_a_backup_of_a_clock_that_is_a_year_ahead_condemns_no_good_archive_unasked(scene: World) -> None:
    for name in scene.engine.names()[9:]:
        scene.engine.delete([name])
    expire.run(work_of(scene))
    before = scene.engine.names()
    scene.history.note("clock-jumped", (TODAY + 365 * DAY).isoformat())
    scene.clock.at = TODAY + 365 * DAY
    scene.engine.plant("shop_20270101-000000", scene.clock.at)
    assert expire.run(work_of(scene)).error_code == "held"
    assert set(before) <= set(scene.engine.names())


def test_a_clock_step_before_the_first_archive_of_a_set_does_not_concern_it(scene: World) -> None:
    scene.history.note("clock-jumped", TODAY.isoformat())
    assert "clock" in expire.run(work_of(scene)).notes[0]
    saved = scene.folders.state.parent / "saved"
    saved.mkdir()
    backup.run(scene.work(set_of(name="new", archive=ArchivePattern("new_%Y%m%d-%H%M%S"), paths=(saved,))))
    assert scene.history.noted("clock-seen:new") == TODAY.isoformat()
    assert scene.history.noted("clock-seen:shop") is None


def test_a_rebuilt_history_waits_for_approval_of_a_single_deletion_and_then_forgets(foreign: World) -> None:
    for days in range(9, 20):
        foreign.engine.delete([name_of(days)])
    foreign.history.note("rebuilt", TODAY.isoformat())
    work = work_of(foreign)
    assert "rebuilt" in expire.run(work).notes[0]
    expire.approve(work, expire.decide(work, foreign.engine.archives()))
    assert expire.run(work).outcome is Outcome.OK
    assert name_of(8) not in foreign.engine.names()
    foreign.engine.plant(name_of(9), TODAY - 9 * DAY)
    assert expire.run(work).details["deleted"] == 1


def test_a_set_that_came_after_the_history_was_rebuilt_does_not_wait(scene: World) -> None:
    scene.history.note("rebuilt", TODAY.isoformat())
    assert expire.run(work_of(scene)).details["deleted"] == 12


def test_a_rebuilt_history_is_not_approved_by_an_expiry_with_nothing_to_do(foreign: World) -> None:
    foreign.history.note("rebuilt", TODAY.isoformat())
    everything = Expire.model_validate({"schedule": "every 6h", "deltas": ["1d", "400d"]})
    assert expire.run(work_of(foreign, shop(expire=everything))).outcome is Outcome.OK
    assert foreign.history.completed_policy("shop") is None


# -- while it deletes -----------------------------------------------------------------------------------


def small_batches(scene: World) -> None:
    scene.engine.properties = replace(scene.engine.properties, largest_delete_batch=5)


def test_a_suspect_backup_that_ran_between_two_batches_ends_the_expiry(scene: World) -> None:
    small_batches(scene)

    def back_up() -> None:
        fresh = scene.engine.plant(shop().archive.render(TODAY + timedelta(minutes=1)), TODAY)
        scene.history.record_listing("local", "shop", scene.engine.archives(), TODAY)
        scene.history.set_suspect("local", fresh.name, suspect=True)
        row(scene, 60, archive=fresh.name)

    scene.yielding.aside = after_first_batch(back_up)
    result = expire.run(work_of(scene))
    assert result.outcome is Outcome.WARNING
    assert result.details["deleted"] == 1
    assert "suspect" in result.notes[0]
    assert scene.history.completed_policy("shop") is None


def test_a_good_backup_that_ran_between_two_batches_lets_it_go_on(scene: World) -> None:
    small_batches(scene)

    def back_up() -> None:
        fresh = scene.engine.plant(shop().archive.render(TODAY + timedelta(minutes=1)), TODAY)
        scene.history.record_name("local", "shop", fresh.name, TODAY)
        row(scene, 60)

    scene.yielding.aside = after_first_batch(back_up)
    assert expire.run(work_of(scene)).details["deleted"] == 12


def test_a_backup_that_failed_between_two_batches_and_waits_for_its_retry_ends_the_expiry(
    scene: World,
) -> None:
    small_batches(scene)

    def fail() -> None:
        waiting = Run(
            run_id="backup-60", job="backup:shop", kind=Kind.BACKUP, backup_set="shop", slot=TODAY,
            cause=Cause.SCHEDULE, attempts=1, failures=1, not_before=TODAY + timedelta(minutes=5),
            error_code="network",
        )  # fmt: skip
        scene.history.add([waiting])

    scene.yielding.aside = after_first_batch(fail)
    result = expire.run(work_of(scene))
    assert result.details["deleted"] == 1
    assert "the last backup failed (network)" in result.notes[0]


def test_a_stop_between_two_batches_leaves_what_was_deleted_on_record(scene: World) -> None:
    small_batches(scene)

    def stop() -> None:
        raise InterruptedRunError("stopping", cause="stop")

    scene.yielding.aside = after_first_batch(stop)
    with pytest.raises(InterruptedRunError):
        expire.run(work_of(scene))
    assert len(scene.history.known_archives("shop")) == 19
    scene.yielding.aside = lambda: None
    assert expire.run(work_of(scene)).details["deleted"] == 11
    assert scene.engine.reclaimed == 1


def fail_after(scene: World, deletions: int) -> None:
    """Let the engine lose its connection after some archives of the first batch are gone."""
    left = [deletions]

    def during(_name: str) -> None:
        if left[0] == 0:
            scene.engine.during.pop("delete")
            raise NetworkError("the connection was lost")
        left[0] -= 1

    scene.engine.during["delete"] = during


def test_after_an_unclear_error_the_store_says_what_is_gone(scene: World) -> None:
    fail_after(scene, 3)
    with pytest.raises(NetworkError):
        expire.run(work_of(scene))
    assert len(scene.engine.names()) == 17
    assert len(scene.history.known_archives("shop")) == 17


def test_an_error_after_the_last_deletion_of_a_batch_is_none(scene: World) -> None:
    deleted = scene.engine.delete

    def lost_at_the_end(names: list[str]) -> None:
        deleted(names)
        raise NetworkError("the connection was lost")

    class Flaky(type(scene.engine)):  # type: ignore[misc]
        def delete(self, names: list[str]) -> None:
            lost_at_the_end(names)

    scene.engine.__class__ = Flaky
    assert expire.run(work_of(scene)).details["deleted"] == 12


# -- reclaim --------------------------------------------------------------------------------------------


def interrupt_reclaim(scene: World, times: int, cause: str = "backup-due") -> None:
    scene.engine.fail_next("reclaim", InterruptedRunError("cut off", cause=cause), times=times)


@pytest.mark.parametrize("times", [1, 2])
def test_a_reclaim_that_a_backup_interrupts_is_tried_again(scene: World, times: int) -> None:
    interrupt_reclaim(scene, times)
    assert expire.run(work_of(scene)).outcome is Outcome.OK
    assert scene.engine.reclaimed == 1
    assert scene.yielding.blocks == times + 2, "one for the listing"


def test_after_three_interruptions_a_reclaim_runs_to_its_end(scene: World) -> None:
    interrupt_reclaim(scene, 3)
    assert expire.run(work_of(scene)).outcome is Outcome.OK
    assert scene.yielding.waits == 4, "each time for readers"
    assert scene.engine.reclaimed == 1
    assert scene.yielding.blocks == 4, "one for the listing"
    assert scene.engine.count("reclaim") == 4


def test_a_reclaim_that_was_stopped_is_made_up_for_by_the_next_expiry(scene: World) -> None:
    interrupt_reclaim(scene, 1, cause="stop")
    with pytest.raises(InterruptedRunError):
        expire.run(work_of(scene))
    assert scene.engine.reclaimed == 0
    assert expire.run(work_of(scene)).details["deleted"] == 0
    assert scene.engine.reclaimed == 1


# -- the plan as shown ----------------------------------------------------------------------------------


def test_the_plan_as_json_tells_every_archive_its_fate_and_deletes_nothing(scene: World) -> None:
    decision = expire.decide(work_of(scene), scene.engine.archives())
    shown = json.loads(json.dumps(expire.decision_json(decision)))
    assert (shown["keep"], shown["delete"], shown["hold"], shown["approved"]) == (KEPT, 12, None, [])
    assert shown["archives"][0] == {
        "name": name_of(0),
        "created": TODAY.isoformat(),
        "complete": True,
        "suspect": False,
        "keep": True,
        "reasons": ["newest", "min_keep"],
    }
    assert [item["keep"] for item in shown["archives"]] == [True] * KEPT + [False] * 12
    assert len(scene.engine.names()) == 20


def test_the_plan_as_json_says_what_holds_it(foreign: World) -> None:
    shown = expire.decision_json(expire.decide(work_of(foreign), foreign.engine.archives()))
    hold = shown["hold"]
    assert isinstance(hold, dict)
    assert hold["approvable"] is True
    assert "not made here" in hold["reason"]


def test_an_empty_store_is_no_error(tmp_path: Path) -> None:
    with world(tmp_path) as empty:
        empty.clock.at = datetime.fromisoformat("2026-01-02T00:00:00+00:00")
        result = expire.run(replace(empty.work(shop(schedule=None)), due_slot=None))
    assert result.outcome is Outcome.OK
    assert result.details["archives"] == 0


def test_a_listing_of_one_archive_keeps_it_whatever_its_age(scene: World) -> None:
    old = Archive(name_of(99), TODAY - 99 * DAY)
    work = replace(work_of(scene), due_slot=old.created)
    assert expire.decide(work, [old]).planned == ()
