"""Years of backups and nightly expiry: what is left, and how large its gaps ever are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snapd.cron import Schedule
from snapd.deltas import Deltas
from snapd.keep import Keep
from snapd.model import Archive
from snapd.retention import Policy, plan
from snapd.simulation import MARKS, NIGHTLY, ONLY_THE_NEWEST, Generation, generations, project
from snapd.units import parse_duration

START = datetime(2023, 1, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
FOUR_YEARS = 1461 * DAY
ZONE = "Europe/London"


def deltas(text: str) -> Deltas:
    return Deltas(tuple(parse_duration(word) for word in text.split()))


def every(text: str, zone: str = ZONE) -> Schedule:
    return Schedule.parse(text, zone)


GFS = Keep(timezone=ZONE, daily=7, weekly=5, monthly=12, yearly=3)
HOURLY = Keep(timezone=ZONE, hourly=24, daily=7, weekly=5, monthly=12)


# -- how large gaps get ---------------------------------------------------------------------------------


@pytest.mark.parametrize("backups", ["@daily", "every 2h"])
@pytest.mark.parametrize("policy", ["1d 7d 30d 365d", "1d 30d", "1d 3d 10d 40d", "1d 2d 60d"])
def test_in_four_years_of_deltas_no_gap_is_half_as_long_again_as_its_generation_means(
    backups: str, policy: str
) -> None:
    """An hour is added: where clocks go back, two daily backups are 25 hours apart."""
    for seen in project(every(backups), deltas(policy), START, FOUR_YEARS).generations:
        if seen.generation.step:
            assert seen.worst is not None
            assert seen.worst.length <= 1.5 * seen.generation.step + HOUR


@pytest.mark.parametrize("backups", ["@daily", "every 2h"])
@pytest.mark.parametrize("policy", [GFS, HOURLY, Keep(timezone=ZONE, daily=30, monthly=24)])
def test_in_four_years_of_keep_no_gap_is_twice_as_long_as_its_period(backups: str, policy: Keep) -> None:
    spacing = {"@daily": DAY, "every 2h": 2 * HOUR}[backups]
    for seen in project(every(backups), policy, START, FOUR_YEARS).generations:
        if seen.generation.step and seen.worst:
            assert seen.worst.length <= max(2 * seen.generation.step, spacing + HOUR)


def test_the_history_of_deltas_reaches_as_far_back_as_they_say() -> None:
    moment = project(every("every 2h"), deltas("1d 7d 30d 365d"), START, FOUR_YEARS).moments[-1]
    assert 365 * DAY - 15 * DAY <= moment.oldest_age <= 365 * DAY + 15 * DAY


def test_a_keep_with_count_left_never_lets_the_first_archive_go() -> None:
    policy = Keep(timezone=ZONE, daily=7, yearly=10)
    projection = project(every("@daily"), policy, START, FOUR_YEARS)
    assert projection.verdicts[-1].archive.created == datetime(2023, 1, 2, tzinfo=UTC)
    assert [m.kept for m in projection.moments if m.after == 365 * DAY] == [8]


# -- faithful -------------------------------------------------------------------------------------------


def left_night_by_night(backups: Schedule, policy: Policy, span: timedelta) -> list[datetime]:
    """The same by hand: one instant at a time, expiry where one is due."""
    nightly, end = Schedule.parse(NIGHTLY, backups.timezone), START + span
    made: list[Archive] = []
    coming, night = backups.after(START), nightly.after(START)
    while coming is not None and night is not None and min(coming, night) <= end:
        if coming <= night:
            made.append(Archive(coming.isoformat(), coming))
            coming = backups.after(coming)
        else:
            made = [v.archive for v in plan(made, policy, ONLY_THE_NEWEST, night) if v.keep]
            night = nightly.after(night)
    return [v.archive.created for v in plan(made, policy, ONLY_THE_NEWEST, end) if v.keep]


@pytest.mark.parametrize("backups", ["every 90m", "15 */6 * * *", "50 3 * * *"])
@pytest.mark.parametrize("policy", [deltas("2h 1d 7d 30d"), GFS, Keep(timezone=ZONE, last=3, within=DAY)])
def test_each_night_sees_what_the_nights_before_have_left(backups: str, policy: Policy) -> None:
    span = 100 * DAY + 5 * HOUR
    projection = project(every(backups), policy, START, span)
    left = [verdict.archive.created for verdict in projection.verdicts]
    assert left == left_night_by_night(every(backups), policy, span)
    assert projection.moments[-1].kept == len(left)
    assert projection.moments[-1].oldest_age == START + span - left[-1]


def test_moments_come_after_a_day_a_week_a_month_a_year_and_at_the_end() -> None:
    projection = project(every("@daily"), deltas("1d 7d"), START, 400 * DAY)
    assert [moment.after for moment in projection.moments] == [*MARKS, 400 * DAY]
    for moment in projection.moments:
        assert moment.at >= START + moment.after
        assert moment.made == (moment.at - START) // DAY
    assert [moment.kept for moment in projection.moments[1:]] == [7, 8, 8, 8]


def test_a_mark_that_falls_on_a_night_is_that_night() -> None:
    start = START + timedelta(hours=3, minutes=50)
    moments = project(every("@daily"), deltas("1d 7d"), start, 10 * DAY).moments
    assert [moment.at for moment in moments] == [start + DAY, start + 7 * DAY, start + 10 * DAY]


def test_a_generation_reaches_a_hundred_years_at_most() -> None:
    century = 36525 * DAY
    for policy in (deltas("1d 40000d"), Keep(timezone=ZONE, within=40_000 * DAY)):
        assert generations(policy)[-1] == Generation(century, None, None)
        assert project(every("@daily"), policy, START, DAY).moments[-1].kept == 1


def test_less_than_a_day_has_one_moment_and_everything_stays_until_its_end() -> None:
    projection = project(every("every 15m"), deltas("1d 7d"), START, 3 * HOUR)
    assert [(moment.after, moment.made) for moment in projection.moments] == [(3 * HOUR, 12)]
    assert len(projection.verdicts) == 2  # the oldest and the newest, as tarsnapper has it


def test_a_time_without_a_backup_is_refused() -> None:
    with pytest.raises(ValueError, match="no backup"):
        project(every("@yearly"), deltas("1d 7d"), START + DAY, 30 * DAY)


def test_it_tells_how_far_it_is() -> None:
    shares: list[float] = []
    project(every("@daily"), deltas("1d 7d"), START, 30 * DAY, told=shares.append)
    assert shares == sorted(shares)
    assert len(shares) == 31
    assert shares[-1] == 1


# -- generations ----------------------------------------------------------------------------------------


def test_the_generations_of_deltas_follow_one_another() -> None:
    zero = timedelta(0)
    assert generations(deltas("7d 1h 1d")) == (
        Generation(zero, DAY, HOUR),
        Generation(DAY, 7 * DAY, DAY),
        Generation(7 * DAY, None, None),
    )


def test_the_generations_of_keep_leave_out_rules_that_reach_no_further() -> None:
    policy = Keep(timezone=ZONE, last=5, within=3 * DAY, hourly=24, daily=7, monthly=1_000_000)
    assert generations(policy) == (
        Generation(timedelta(0), 3 * DAY, None),
        Generation(3 * DAY, 7 * DAY, DAY),
        Generation(7 * DAY, 1178 * 31 * DAY, 31 * DAY),
        Generation(1178 * 31 * DAY, None, None),
    )
    assert generations(Keep(timezone=ZONE, last=5)) == (Generation(timedelta(0), None, None),)


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from([deltas("1d 7d 30d"), deltas("3h 2d 5d"), GFS, HOURLY, Keep(timezone=ZONE, last=4)]),
    st.integers(1, 80),
    st.sampled_from(["every 5h", "@daily", "0 9-17 * * 1-5"]),
)
def test_each_archive_and_each_gap_is_in_one_generation(policy: Policy, days: int, backups: str) -> None:
    projection = project(every(backups), policy, START, days * DAY + 9 * HOUR)
    end = projection.moments[-1].at
    ages = [end - verdict.archive.created for verdict in projection.verdicts]
    assert [age for seen in projection.generations for age in seen.ages] == ages
    for seen in projection.generations:
        inside = [b - a for a, b in pairwise(ages) if seen.generation.holds(b)]
        assert (seen.gap.length if seen.gap else None) == (max(inside) if inside else None)
        if seen.gap:
            assert seen.worst is not None
            assert seen.worst.length >= seen.gap.length
