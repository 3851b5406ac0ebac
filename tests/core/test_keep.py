"""`keep`: restic's rules, the calendar they mean, and what they promise."""

from __future__ import annotations

import random
import tomllib
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snapd.config import Expire
from snapd.errors import EmptyPolicyError
from snapd.keep import COUNTED, Keep
from snapd.model import Archive, Verdict
from snapd.retention import Floor, fingerprint, plan

GOLDEN = tomllib.loads((Path(__file__).parents[1] / "golden/retention/restic.toml").read_text())
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
BARE = Floor(min_keep=0)


def rules(text: dict[str, Any], timezone: str = "UTC") -> Keep:
    """The policy of `keep = { … }` as the config has it."""
    policy = Expire.model_validate({"schedule": "@daily", "keep": text}).policy(timezone)
    assert isinstance(policy, Keep)
    return policy


def named(created: datetime) -> Archive:
    return Archive(created.astimezone(UTC).isoformat(), created.astimezone(UTC))


def local(zone: str, *parts: int, fold: int = 0) -> datetime:
    """An instant by the wall clock of a zone; `fold=1` is the second time the clock shows it."""
    return datetime(*parts, tzinfo=ZoneInfo(zone), fold=fold)  # type: ignore[arg-type,misc]


def kept(verdicts: tuple[Verdict, ...]) -> set[str]:
    return {verdict.archive.name for verdict in verdicts if verdict.keep}


def kept_instants(instants: list[datetime], policy: Keep) -> list[datetime]:
    """The instants kept, newest first, as UTC."""
    now = max(instants) + DAY
    return [v.archive.created for v in plan(map(named, instants), policy, BARE, now) if v.keep]


def reasons(created: list[datetime], policy: Keep) -> list[tuple[str, ...]]:
    return [v.reasons for v in plan(map(named, created), policy, BARE, max(created))]


# -- restic's published cases ---------------------------------------------------------------------------


@pytest.mark.parametrize("case", GOLDEN["case"], ids=lambda case: f"restic-{case['number']}")
def test_keep_decides_as_restic_publishes(case: dict[str, Any]) -> None:
    archives = [Archive(f"a{number}", created) for number, created in enumerate(GOLDEN["archives"])]
    verdicts = plan(archives, rules(case["keep"]), BARE, NOW)
    assert [v.archive.created for v in verdicts if v.keep] == case["kept"]


@pytest.mark.parametrize("count", [103, 200])
def test_a_count_of_all_or_more_keeps_all(count: int) -> None:
    archives = [Archive(f"a{number}", created) for number, created in enumerate(GOLDEN["archives"])]
    assert len(kept(plan(archives, rules({"last": count}), BARE, NOW))) == len(archives) == 103


# -- reasons --------------------------------------------------------------------------------------------


def test_a_reason_says_which_rule_and_how_much_of_it_is_used() -> None:
    days = [NOW - number * DAY for number in range(30)]
    told = reasons(days, rules({"daily": 2, "weekly": 3, "within": "36h"}))  # NOW is a Sunday
    assert told[:3] == [
        ("newest", "within 1d 12h", "daily 1 of 2", "weekly 1 of 3"),
        ("within 1d 12h", "daily 2 of 2"),
        (),
    ]
    assert told[7] == ("weekly 2 of 3",)
    assert told[14] == ("weekly 3 of 3",)
    assert sum(map(bool, told)) == 4


def test_the_oldest_stays_while_count_is_left_and_its_reason_says_so() -> None:
    days = [NOW - number * DAY for number in range(8)]
    told = reasons(days, rules({"yearly": 3}))
    assert told[0] == ("newest", "yearly 1 of 3")
    assert told[1:7] == [()] * 6
    assert told[7] == ("yearly 2 of 3 (oldest)",)


def test_without_count_left_the_oldest_goes() -> None:
    days = [NOW - number * DAY for number in range(8)]
    assert reasons(days, rules({"yearly": 1}))[-1] == ()


def test_the_oldest_is_not_told_twice_when_it_is_the_newest_of_its_period_too() -> None:
    assert reasons([NOW, NOW - 400 * DAY], rules({"yearly": 5}))[1] == ("yearly 2 of 5",)
    assert reasons([NOW], rules({"last": 5})) == [("newest", "last 1 of 5")]


# -- the calendar ---------------------------------------------------------------------------------------


def test_periods_without_archives_take_nothing_of_the_count() -> None:
    days = [NOW - number * DAY for number in (0, 1, 10, 100, 200)]
    assert kept_instants(days, rules({"daily": 4})) == days[:4]


def test_a_week_is_an_iso_week_over_the_end_of_a_year() -> None:
    """2024-12-30 to 2025-01-05 is one ISO week; 2027-01-01 to 03 belongs to week 53 of 2026."""
    days = [datetime(2025, 1, 6, tzinfo=UTC), datetime(2025, 1, 5, tzinfo=UTC)]
    days += [datetime(2024, 12, 30, tzinfo=UTC), datetime(2024, 12, 29, tzinfo=UTC)]
    assert kept_instants(days, rules({"weekly": 3})) == [days[0], days[1], days[3]]
    turn = [datetime(2027, 1, 4, tzinfo=UTC), datetime(2027, 1, 3, tzinfo=UTC)]
    turn += [datetime(2026, 12, 28, tzinfo=UTC), datetime(2026, 12, 27, tzinfo=UTC)]
    assert kept_instants(turn, rules({"weekly": 3})) == [turn[0], turn[1], turn[3]]


@given(st.datetimes(datetime(1971, 1, 1), datetime(2400, 1, 1)), st.integers(1, 20))
def test_any_two_days_share_a_week_exactly_when_their_iso_weeks_are_one(day: datetime, apart: int) -> None:
    two = [day.replace(tzinfo=UTC) + apart * DAY, day.replace(tzinfo=UTC)]
    ancient = two[1] - 100 * DAY  # takes what is left of the count
    same = two[0].isocalendar()[:2] == two[1].isocalendar()[:2]
    assert kept_instants([*two, ancient], rules({"weekly": 2})) == [two[0], ancient if same else two[1]]


@pytest.mark.parametrize(
    ("zone", "kept_hour"), [("UTC", 23), ("Europe/London", 22), ("Asia/Tokyo", 14), ("America/New_York", 23)]
)
def test_a_day_is_one_of_the_configured_zone(zone: str, kept_hour: int) -> None:
    """Hourly archives of 2026-06-01 to 02 in UTC; the newest of the last day but one by the wall clock."""
    hours = [datetime(2026, 6, 1, tzinfo=UTC) + timedelta(hours=n) for n in range(48)]
    found = kept_instants(hours, rules({"daily": 2}, zone))
    assert found[0] == hours[-1]
    day = {instant.astimezone(ZoneInfo(zone)).date() for instant in found}
    assert len(day) == 2
    assert found[1].hour == {"America/New_York": 3}.get(zone, kept_hour)


def test_on_the_spring_night_each_hour_of_the_wall_clock_is_one() -> None:
    """Berlin, 2026-03-29: 01:59 is followed by 03:00."""
    made = [local("Europe/Berlin", 2026, 3, 29, *time) for time in ((1, 10), (1, 50), (3, 10), (3, 50))]
    assert made[2] - made[1] == timedelta(hours=1, minutes=20)  # wall clocks; in truth 20 minutes
    found = kept_instants(made, rules({"hourly": 2}, "Europe/Berlin"))
    assert found == [made[3].astimezone(UTC), made[1].astimezone(UTC)]


def test_on_the_autumn_night_the_hour_that_comes_twice_is_one_hour() -> None:
    """Berlin, 2026-10-25: 02:59 summer time is followed by 02:00 winter time."""
    summer = local("Europe/Berlin", 2026, 10, 25, 2, 30)
    winter = local("Europe/Berlin", 2026, 10, 25, 2, 30, fold=1)
    made = [
        local("Europe/Berlin", 2026, 10, 25, 3, 30),
        winter,
        summer,
        local("Europe/Berlin", 2026, 10, 25, 1, 30),
        local("Europe/Berlin", 2026, 10, 25, 0, 30),
    ]
    assert winter.astimezone(UTC) - summer.astimezone(UTC) == timedelta(hours=1)
    found = kept_instants(made, rules({"hourly": 3}, "Europe/Berlin"))
    assert found == [made[0].astimezone(UTC), winter.astimezone(UTC), made[3].astimezone(UTC)]


@pytest.mark.parametrize(("month", "day", "hours"), [(3, 29, 23), (10, 25, 25)])
@pytest.mark.parametrize("rule", ["daily", "weekly"])
def test_a_day_whose_clock_changes_is_one_day(month: int, day: int, hours: int, rule: str) -> None:
    """Both are Sundays: the week ends with them, at an hour that only the zone knows."""
    midnight = local("Europe/Berlin", 2026, month, day).astimezone(UTC)
    made = [midnight + timedelta(minutes=30) + timedelta(hours=n) for n in range(-1, hours + 1)]
    found = kept_instants(made, rules({rule: 2}, "Europe/Berlin"))
    assert found == [made[-1], made[-2]]  # the next day's first, and this day's last
    if rule == "daily":
        assert kept_instants(made, rules({"daily": 3}, "Europe/Berlin")) == [made[-1], made[-2], made[0]]


# -- within ---------------------------------------------------------------------------------------------


def test_within_counts_from_the_newest_archive_and_not_from_the_clock() -> None:
    old = [Archive(f"a{n}", NOW - (1000 + n) * DAY) for n in range(10)]
    assert kept(plan(old, rules({"within": "3d"}), BARE, NOW)) == {"a0", "a1", "a2"}


def test_within_counts_from_the_newest_that_is_neither_in_the_future_nor_suspect_nor_incomplete() -> None:
    odd = [
        Archive("future", NOW + DAY),
        Archive("suspect", NOW, suspect=True),
        Archive("partial", NOW, complete=False),
    ]
    real = [Archive(f"a{n}", NOW - (1 + n) * DAY) for n in range(5)]
    found = kept(plan([*odd, *real], rules({"within": "2d"}), BARE, NOW))
    assert found == {"future", "suspect", "partial", "a0", "a1"}


def test_what_is_exactly_as_old_as_within_goes() -> None:
    made = [NOW, NOW - DAY + timedelta(microseconds=1), NOW - DAY]
    assert kept_instants(made, rules({"within": "1d"})) == made[:2]


# -- future, suspect, incomplete ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "odd",
    [
        Archive("odd", NOW + 400 * DAY),
        Archive("odd", NOW, suspect=True),
        Archive("odd", NOW, complete=False),
    ],
)
def test_what_does_not_count_takes_no_place_of_what_does(odd: Archive) -> None:
    real = [Archive(f"r{n:02}", NOW - (n + 1) * DAY) for n in range(40)]
    policy = rules({"last": 2, "daily": 7, "monthly": 2})
    assert kept(plan([odd, *real], policy, BARE, NOW)) == kept(plan(real, policy, BARE, NOW)) | {"odd"}


# -- refused --------------------------------------------------------------------------------------------


def test_an_empty_keep_is_refused_even_for_no_archives() -> None:
    with pytest.raises(EmptyPolicyError, match="empty"):
        plan([], Keep(timezone="UTC"), BARE, NOW)


@pytest.mark.parametrize("wrong", [{"last": -1}, {"yearly": -1}, {"within": -DAY}])
def test_a_negative_rule_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="negative"):
        Keep(timezone="UTC", **{"daily": 7, **wrong})


# -- fingerprint ----------------------------------------------------------------------------------------


def test_the_fingerprint_of_a_keep_is_stable_text() -> None:
    policy = rules({"within": "30d", "yearly": 1, "last": 3, "daily": 7}, "Europe/London")
    assert fingerprint(policy, "mail_%Y", "Europe/London", min_keep=3) == (
        "keep=last 3, daily 7, yearly 1, within 2592000s; min_keep=3; archive=mail_%Y; timezone=Europe/London"
    )


# -- promises -------------------------------------------------------------------------------------------

policies = st.builds(
    Keep,
    timezone=st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns"]),
    **{word: st.integers(0, 8) for word in COUNTED},
    within=st.integers(0, 500).map(lambda hours: timedelta(hours=hours)),
).filter(lambda policy: not policy.empty)
archive_sets = st.lists(
    st.builds(
        Archive,
        name=st.text("abcdef", min_size=1, max_size=6),
        created=st.integers(-50, 4000).map(lambda n: NOW - n * timedelta(hours=7)),
        complete=st.sampled_from([True, True, True, False]),
        suspect=st.sampled_from([True, False, False, False]),
    ),
    max_size=60,
    unique_by=lambda archive: archive.name,
)


@settings(max_examples=500, deadline=None)
@given(archive_sets, policies, st.integers(0, 5), st.randoms(use_true_random=False))
def test_the_promises_of_a_keep_hold(
    archives: list[Archive], policy: Keep, min_keep: int, chance: random.Random
) -> None:
    a, b, c, *_ = *chance.sample([archive.name for archive in archives], k=min(3, len(archives))), "", "", ""
    floor = Floor(min_keep=min_keep, proven=a, pinned=frozenset({b}), in_use=frozenset({c}))
    verdicts = plan(archives, policy, floor, NOW)

    assert Counter(v.archive for v in verdicts) == Counter(archives)
    assert plan(chance.sample(archives, k=len(archives)), policy, floor, NOW) == verdicts
    counting = [
        v for v in verdicts if v.archive.complete and not v.archive.suspect and v.archive.created <= NOW
    ]
    assert all(v.keep for v in counting[: max(min_keep, 1)])
    assert all(v.keep for v in verdicts if v.archive.created > NOW or v.archive.suspect)
    assert {a, b, c} - {""} <= kept(verdicts)

    word = chance.choice(COUNTED)
    more = replace(policy, **{word: getattr(policy, word) + chance.randrange(1, 4)})
    longer = replace(policy, within=policy.within + timedelta(hours=chance.randrange(1, 900)))
    for larger in (more, longer):
        assert kept(verdicts) <= kept(plan(archives, larger, floor, NOW))

    left = [v.archive for v in verdicts if v.keep]
    assert all(v.keep for v in plan(left, policy, floor, NOW))
