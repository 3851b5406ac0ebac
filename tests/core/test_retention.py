"""What is kept, and why; when an expiry must not act by itself."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snapd.deltas import Deltas
from snapd.errors import EmptyPolicyError
from snapd.model import Archive, Outcome, Verdict
from snapd.retention import Circumstances, Floor, Guard, Hold, fingerprint, hold, plan

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
BARE = Floor(min_keep=0)


def deltas(*days: float) -> Deltas:
    return Deltas(tuple(day * DAY for day in days))


def aged(days: float, name: str = "", *, complete: bool = True, suspect: bool = False) -> Archive:
    return Archive(name or f"a{days:08.3f}", NOW - days * DAY, complete=complete, suspect=suspect)


def kept(verdicts: tuple[Verdict, ...]) -> set[str]:
    return {verdict.archive.name for verdict in verdicts if verdict.keep}


def reasons(verdicts: tuple[Verdict, ...]) -> dict[str, tuple[str, ...]]:
    return {verdict.archive.name: verdict.reasons for verdict in verdicts}


# -- the rules around the policy ------------------------------------------------------------------------


def test_verdicts_come_newest_first_and_equal_times_by_name_descending() -> None:
    archives = [aged(1, "a"), aged(0, "z"), aged(1, "c"), aged(1, "b")]
    assert [v.archive.name for v in plan(archives, deltas(1, 7), BARE, NOW)] == ["z", "c", "b", "a"]
    assert [archive.name for archive in archives] == ["a", "z", "c", "b"]


def test_reasons_are_words() -> None:
    floor = Floor(min_keep=2, proven="p", pinned=frozenset({"q"}), in_use=frozenset({"r"}))
    archives = [
        aged(0, "n"), aged(1, "d"), aged(400, "p"), aged(401, "q"), aged(402, "r"), aged(403, "x"),
        aged(-1, "f"), aged(404, "s", suspect=True),
        aged(2, "i", complete=False), aged(8, "j", complete=False),
    ]  # fmt: skip
    assert reasons(plan(archives, deltas(1, 7), floor, NOW)) == {
        "f": ("future",),
        "n": ("newest", "min_keep"),
        "d": ("delta 1d", "min_keep"),
        "i": ("incomplete, younger than 7 days",),
        "j": (),
        "p": ("proven",),
        "q": ("pinned",),
        "r": ("in use",),
        "x": (),
        "s": ("suspect",),
    }


def test_an_archive_dated_a_year_ahead_condemns_nothing() -> None:
    real = [aged(day) for day in range(10)]
    with_future = plan([*real, aged(-365, "ahead")], deltas(1, 7, 30), BARE, NOW)
    assert kept(with_future) == kept(plan(real, deltas(1, 7, 30), BARE, NOW)) | {"ahead"}


def test_an_archive_made_this_instant_is_not_from_the_future() -> None:
    assert plan([aged(0)], deltas(1, 7), BARE, NOW)[0].reasons == ("newest", "delta 1d")


@pytest.mark.parametrize(
    "odd", [aged(0, "odd", suspect=True), aged(0, "odd", complete=False), aged(-1, "odd")]
)
def test_what_does_not_count_takes_no_place_of_what_does(odd: Archive) -> None:
    real = [aged(day, f"r{day}") for day in range(1, 40)]
    floor = Floor(min_keep=3)
    verdicts = plan([odd, *real], deltas(1, 7), floor, NOW)
    assert kept(verdicts) - {"odd"} == kept(plan(real, deltas(1, 7), floor, NOW))
    assert reasons(verdicts)["r1"][0] == "newest"
    assert not {"newest", "min_keep"}.intersection(reasons(verdicts)["odd"])


def test_incomplete_archives_go_after_the_time_they_are_given() -> None:
    partial = [aged(6.9, "young", complete=False), aged(7.1, "old", complete=False)]
    assert kept(plan([aged(0, "n"), *partial], deltas(1, 7), BARE, NOW)) == {"n", "young"}
    later = plan([aged(0, "n"), *partial], deltas(1, 7), BARE, NOW, partial_after=30 * DAY)
    assert kept(later) == {"n", "young", "old"}


def test_incomplete_archives_stay_while_there_is_nothing_better() -> None:
    partial = [aged(20, "a", complete=False), aged(30, "b", complete=False)]
    assert kept(plan(partial, deltas(1, 7), BARE, NOW)) == {"a", "b"}


def test_an_empty_policy_is_refused_even_for_no_archives() -> None:
    with pytest.raises(EmptyPolicyError, match="empty"):
        plan([], Deltas(()), BARE, NOW)


spans = st.lists(st.integers(30, 400_000), min_size=2, max_size=4).map(
    lambda found: tuple(timedelta(minutes=n) for n in found)
)
archive_sets = st.lists(
    st.builds(
        Archive,
        name=st.text("abcdef", min_size=1, max_size=6),
        created=st.integers(-5000, 50_000).map(lambda n: NOW - timedelta(minutes=13 * n)),
        complete=st.sampled_from([True, True, True, False]),
        suspect=st.sampled_from([True, False, False, False]),
    ),
    max_size=30,
    unique_by=lambda archive: archive.name,
)


@settings(max_examples=300, deadline=None)
@given(archive_sets, spans, st.integers(0, 5), st.randoms(use_true_random=False))
def test_the_promises_of_a_plan_hold(
    archives: list[Archive], policy: tuple[timedelta, ...], min_keep: int, chance: random.Random
) -> None:
    a, b, c, *_ = *chance.sample([archive.name for archive in archives], k=min(3, len(archives))), "", "", ""
    floor = Floor(min_keep=min_keep, proven=a, pinned=frozenset({b}), in_use=frozenset({c}))
    verdicts = plan(archives, Deltas(policy), floor, NOW)

    assert sorted(v.archive.name for v in verdicts) == sorted(a.name for a in archives)
    order = [(v.archive.created, v.archive.name) for v in verdicts]
    assert order == sorted(order, reverse=True)

    counting = [
        v for v in verdicts if v.archive.complete and not v.archive.suspect and v.archive.created <= NOW
    ]
    assert all(v.keep for v in counting[: max(min_keep, 1)])
    assert all(v.keep for v in verdicts if v.archive.created > NOW or v.archive.suspect)
    assert {a, b, c} - {""} <= kept(verdicts)

    shuffled = chance.sample(archives, k=len(archives))
    assert plan(shuffled, Deltas(policy), floor, NOW) == verdicts
    for added in (max(policy) + 100 * DAY, min(policy) / 3):
        assert kept(verdicts) <= kept(plan(archives, Deltas((*policy, added)), floor, NOW))
    assert kept(verdicts) <= kept(plan(archives, Deltas(policy), replace(floor, min_keep=min_keep + 2), NOW))

    left = [v.archive for v in verdicts if v.keep]
    assert all(v.keep for v in plan(left, Deltas(policy), floor, NOW))


# -- fingerprint ----------------------------------------------------------------------------------------


def test_a_fingerprint_is_stable_text() -> None:
    """Compared with what an older release recorded, so it must not change."""
    assert fingerprint(deltas(7, 1), "mail_%Y%m%d", "Europe/London", min_keep=3) == (
        "deltas=86400s 604800s; min_keep=3; archive=mail_%Y%m%d; timezone=Europe/London"
    )


def test_a_fingerprint_differs_with_everything_that_decides_a_plan() -> None:
    policies = {
        fingerprint(deltas(1, 7), "m_%Y%m%d", "UTC", min_keep=3),
        fingerprint(deltas(1, 8), "m_%Y%m%d", "UTC", min_keep=3),
        fingerprint(deltas(1, 7), "n_%Y%m%d", "UTC", min_keep=3),
        fingerprint(deltas(1, 7), "m_%Y%m%d", "Europe/Paris", min_keep=3),
        fingerprint(deltas(1, 7), "m_%Y%m%d", "UTC", min_keep=4),
        fingerprint(deltas(1, 7), "m_%Y%m%d", "UTC", min_keep=3, adopted=["old_%Y%m%d"]),
        fingerprint(deltas(1, 7), "m_%Y%m%d", "UTC", min_keep=3, adopted=["old_%Y%m%d", "n_%Y%m%d"]),
        fingerprint(deltas(1, 7), "m_%Y%m%d", "UTC", min_keep=3, partial_after=timedelta(days=1)),
    }
    assert len(policies) == 8


def test_the_order_of_adopted_patterns_makes_no_other_fingerprint() -> None:
    one, other = (
        fingerprint(deltas(1, 7), "m_%Y%m%d", "UTC", min_keep=3, adopted=adopted)
        for adopted in (["a_%Y%m%d", "b_%Y%m%d"], ["b_%Y%m%d", "a_%Y%m%d"])
    )
    assert one == other


# -- hold -----------------------------------------------------------------------------------------------

CALM = Circumstances(archives=100, deletions=90, policy="p", completed_policy="p", last_outcome=Outcome.OK)


def test_nothing_holds_a_calm_set() -> None:
    assert hold(CALM) is None


@pytest.mark.parametrize(
    ("seen", "guard", "reason"),
    [
        (replace(CALM, not_fresh="no archive"), Guard.NOT_FRESH, "the set is not fresh: no archive"),
        (
            replace(CALM, last_outcome=Outcome.FAILED, last_error_code="network"),
            Guard.BACKUP_FAILED,
            "the last backup failed (network)",
        ),
        (replace(CALM, suspects=1), Guard.SUSPECT, "1 suspect archive waits"),
        (
            replace(CALM, suspects=2, last_outcome=Outcome.FAILED, last_error_code="space"),
            Guard.SUSPECT,
            "2 suspect archives wait",
        ),
        (
            replace(CALM, not_fresh="no archive", deletions=0),
            Guard.NOT_FRESH,
            "the set is not fresh: no archive",
        ),
    ],
)
def test_doubt_about_the_backups_holds_whatever_is_approved(
    seen: Circumstances, guard: Guard, reason: str
) -> None:
    found = hold(seen)
    assert found == Hold(guard, reason)
    assert not found.approvable


def test_a_full_store_is_not_held_by_the_backups_it_made_fail() -> None:
    full = replace(CALM, last_outcome=Outcome.FAILED, last_error_code="space")
    assert hold(full) is None
    assert hold(replace(full, not_fresh="no archive")) is None


UNEXPLAINED = [
    ({"completed_policy": None, "foreign": True}, Guard.FOREIGN),
    ({"completed_policy": "other"}, Guard.POLICY_CHANGED),
    ({"clock_stepped": True}, Guard.CLOCK_JUMPED),
]


@pytest.mark.parametrize(("change", "guard"), UNEXPLAINED)
def test_a_large_plan_that_time_does_not_explain_needs_approval(
    change: dict[str, object], guard: Guard
) -> None:
    found = hold(replace(CALM, **change))  # type: ignore[arg-type]
    assert found is not None
    assert (found.guard, found.approvable) == (guard, True)
    assert "90 of 100 archives" in found.reason


@pytest.mark.parametrize(("change", "_guard"), UNEXPLAINED)
@pytest.mark.parametrize("deletions", [0, 50])
def test_up_to_half_needs_none(change: dict[str, object], _guard: Guard, deletions: int) -> None:
    assert hold(replace(CALM, archives=100, deletions=deletions, **change)) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(("change", "guard"), UNEXPLAINED)
def test_most_of_ten_archives_needs_one_after_a_clock_step_only(
    change: dict[str, object], guard: Guard
) -> None:
    found = hold(replace(CALM, archives=10, deletions=9, **change))  # type: ignore[arg-type]
    assert (found is not None) == (guard is Guard.CLOCK_JUMPED)


def test_a_first_expiry_of_our_own_archives_needs_none() -> None:
    assert hold(replace(CALM, completed_policy=None)) is None


def test_a_rebuilt_history_needs_approval_for_a_single_deletion() -> None:
    rebuilt = replace(CALM, rebuilt=True, completed_policy=None, archives=5, deletions=1)
    assert hold(rebuilt) == Hold(
        Guard.REBUILT, "the history was rebuilt from nothing: 1 of 5 archives would be deleted"
    )
    assert Guard.REBUILT.approvable
    assert hold(replace(rebuilt, deletions=0)) is None


def test_the_share_is_a_parameter() -> None:
    changed = replace(CALM, completed_policy="other")
    assert hold(changed, max_share=0.9) is None
    assert hold(changed, max_share=0.89) is not None
