"""Schedules: Debian's cron, its nicknames, and `every`."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta
from itertools import pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from snapd.cron import Passed, Schedule

ZONES = (
    "UTC",
    "Europe/Berlin",
    "Europe/London",
    "America/New_York",
    "America/Sao_Paulo",
    "America/St_Johns",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Apia",
)


def at(text: str, zone: str = "UTC") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def slots_of(schedule: Schedule, after: datetime, until: datetime) -> list[datetime]:
    """Every slot in (after, until], found by stepping forward."""
    found = []
    instant = schedule.after(after)
    while instant is not None and instant <= until:
        found.append(instant)
        instant = schedule.after(instant)
    return found


def local(expression: str, zone: str, day: str, days: int = 1) -> list[str]:
    """The slots of some local days as clock times with their offset."""
    start = at(f"{day}T00:00", zone) - timedelta(microseconds=1)
    end = at((datetime.fromisoformat(day) + timedelta(days=days)).isoformat(), zone)
    slots = slots_of(Schedule.parse(expression, zone), start, end - timedelta(microseconds=1))
    return [slot.astimezone(ZoneInfo(zone)).strftime("%d %H:%M%z") for slot in slots]


# -- what is accepted -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "slots"),
    [
        ("30 4 * * *", ["2026-03-02T04:30", "2026-03-03T04:30"]),
        ("*/20 0 * * *", ["2026-03-02T00:20", "2026-03-02T00:40"]),
        ("0 9-17/4 * * mon-fri", ["2026-03-02T09:00", "2026-03-02T13:00"]),
        ("0 0 * * 7", ["2026-03-08T00:00", "2026-03-15T00:00"]),
        ("0 0 * * SUN", ["2026-03-08T00:00", "2026-03-15T00:00"]),
        ("0 0 1 jan,JUL *", ["2026-07-01T00:00", "2027-01-01T00:00"]),
        ("0 0 29 2 *", ["2028-02-29T00:00", "2032-02-29T00:00"]),
        ("  0\t12  *  *  * ", ["2026-03-02T12:00", "2026-03-03T12:00"]),
        ("@hourly", ["2026-03-02T01:00", "2026-03-02T02:00"]),
        ("@daily", ["2026-03-03T00:00", "2026-03-04T00:00"]),
        ("@midnight", ["2026-03-03T00:00", "2026-03-04T00:00"]),
        ("@weekly", ["2026-03-08T00:00", "2026-03-15T00:00"]),
        ("@monthly", ["2026-04-01T00:00", "2026-05-01T00:00"]),
        ("@yearly", ["2027-01-01T00:00", "2028-01-01T00:00"]),
        ("@annually", ["2027-01-01T00:00", "2028-01-01T00:00"]),
        ("every 30s", ["2026-03-02T00:00:30", "2026-03-02T00:01"]),
        ("every 15m", ["2026-03-02T00:15", "2026-03-02T00:30"]),
        ("every 6h", ["2026-03-02T06:00", "2026-03-02T12:00"]),
        ("every 2d", ["2026-03-04T00:00", "2026-03-06T00:00"]),
        ("every 1w", ["2026-03-05T00:00", "2026-03-12T00:00"]),  # the epoch was a Thursday
    ],
)
def test_the_next_slots_of_a_schedule_are_those_of_cron(expression: str, slots: list[str]) -> None:
    schedule = Schedule.parse(expression, "UTC")
    first = schedule.after(at("2026-03-02T00:00"))  # a Monday
    assert first is not None
    assert [first, schedule.after(first)] == [at(text) for text in slots]


def test_both_day_fields_are_united_unless_one_starts_with_a_star() -> None:
    assert local("0 0 13 * fri", "UTC", "2026-03-01", 31) == [
        f"{day} 00:00+0000" for day in ("06", "13", "20", "27")
    ]
    assert local("0 0 */2 * mon", "UTC", "2026-03-01", 31) == ["09 00:00+0000", "23 00:00+0000"]


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("", "no schedule"),
        ("   ", "no schedule"),
        ("* * * *", "has 4 fields"),
        ("0 * * * * *", "has 6 fields"),
        ("60 * * * *", "bad minute"),
        ("0 24 * * *", "bad hour"),
        ("0 0 0 * *", "bad day-of-month"),
        ("0 0 32 * *", "bad day-of-month"),
        ("0 0 1 13 *", "bad month"),
        ("0 0 * * 8", "bad day-of-week"),
        ("0 0 * * fri-mon", "bad day-of-week"),
        ("*/0 * * * *", "bad minute"),
        ("5/15 * * * *", "no minute of cron"),
        ("0 0 L * *", "no day of month of cron"),
        ("0 0 * * 5L", "no day of week of cron"),
        ("0 0 * * mon#2", "no day of week of cron"),
        ("0 0 * * monday", "no day of week of cron"),
        ("٣ 0 * * *", "no minute of cron"),
        ("0 0 30 2 *", "never fires"),
        ("0 0 31 4,6,9,11 *", "never fires"),
        ("@reboot", "caught up anyway"),
        ("@fortnightly", "unknown"),
        ("every 0m", "longer than zero"),
        ("every 15", "no duration"),
        ("every 15M", "no duration"),
        ("every -15m", "no duration"),
        ("every 1.5h", "no duration"),
        ("every 4000d", "longer than ten years"),
        ("every 999999999999999w", "longer than any archive"),
        ("0 0 * * *\x00", "no schedule"),
        ("1," * 5000 + "1 * * * *", "no schedule"),
    ],
)
def test_anything_else_is_refused_in_one_sentence(expression: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        Schedule.parse(expression, "UTC")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_schedule_that_lies_wholly_in_a_skipped_hour_never_fires() -> None:
    with pytest.raises(ValueError, match="never fires"):
        Schedule.parse("* 2 25-31 3 */7", "Europe/Berlin")
    Schedule.parse("* 2 25-31 3 */7", "UTC")


@pytest.mark.parametrize(
    "zone", ["", "Mars/Base", "../etc/passwd", "/etc/localtime", "Europe", "a" * 5000, "\x00"]
)
def test_an_unknown_zone_is_refused(zone: str) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        Schedule.parse("@daily", zone)


def test_a_schedule_cannot_be_made_without_being_checked() -> None:
    with pytest.raises(ValueError, match="no minute of cron"):
        Schedule("nonsense * * * *", "UTC")


def test_an_instant_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="without a time zone"):
        Schedule.parse("@daily", "UTC").after(datetime(2026, 1, 1))


def test_a_schedule_compares_hashes_and_pickles_as_its_two_texts() -> None:
    one, other = Schedule("@daily", "UTC"), Schedule("@daily", "UTC")
    one.after(at("2026-03-02T00:00"))
    assert one == other
    assert hash(one) == hash(other)
    assert one != Schedule("@daily", "Europe/Berlin")
    assert pickle.loads(pickle.dumps(one)) == one


# -- clock changes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "day", "expression", "slots"),
    [
        ("Europe/Berlin", "2026-03-29", "30 2 * * *", ["29 03:00+0200"]),
        ("Europe/Berlin", "2026-10-25", "30 2 * * *", ["25 02:30+0200"]),
        ("Europe/London", "2026-03-29", "30 1 * * *", ["29 02:00+0100"]),
        ("Europe/London", "2026-10-25", "30 1 * * *", ["25 01:30+0100"]),
        ("America/New_York", "2026-03-08", "30 2 * * *", ["08 03:00-0400"]),
        ("America/New_York", "2026-11-01", "30 1 * * *", ["01 01:30-0400"]),
        ("Australia/Lord_Howe", "2026-10-04", "15 2 * * *", ["04 02:30+1100"]),
        ("Australia/Lord_Howe", "2026-04-05", "45 1 * * *", ["05 01:45+1100"]),
        ("America/Sao_Paulo", "2017-10-15", "0 0 * * *", ["15 01:00-0200"]),
        ("America/Sao_Paulo", "2018-02-17", "30 23 * * *", ["17 23:30-0200"]),
        ("Asia/Beirut", "2026-03-29", "0 0 * * *", ["29 01:00+0300"]),
        ("Asia/Beirut", "2026-10-24", "30 23 * * *", ["24 23:30+0300"]),
        (
            "Europe/Berlin",
            "2026-03-29",
            "10,40 2,3 * * *",
            ["29 03:00+0200", "29 03:10+0200", "29 03:40+0200"],
        ),
    ],
)
def test_a_fixed_hour_runs_exactly_once_on_both_nights(
    zone: str, day: str, expression: str, slots: list[str]
) -> None:
    assert local(expression, zone, day) == slots


@pytest.mark.parametrize(
    ("zone", "day", "expression", "hours"),
    [
        ("Europe/Berlin", "2026-10-25", "0 * * * *", 25),
        ("Europe/Berlin", "2026-03-29", "0 * * * *", 23),
        ("Europe/Berlin", "2026-10-25", "0 */2 * * *", 13),
        ("Europe/Berlin", "2026-03-29", "0 */2 * * *", 11),
        ("America/Sao_Paulo", "2017-10-15", "0 * * * *", 23),
        ("America/Sao_Paulo", "2018-02-17", "0 * * * *", 25),
        ("Australia/Lord_Howe", "2026-04-05", "*/30 * * * *", 49),
        ("Australia/Lord_Howe", "2026-10-04", "*/30 * * * *", 47),
        ("Europe/Berlin", "2026-10-25", "*/15 2 * * *", 8),
        ("Europe/Berlin", "2026-03-29", "*/15 2 * * *", 0),
    ],
)
def test_a_wildcard_follows_real_time(zone: str, day: str, expression: str, hours: int) -> None:
    assert len(local(expression, zone, day)) == hours


def test_every_second_hour_runs_in_both_of_autumns_hours_and_leaves_three_in_spring() -> None:
    autumn = local("0 */2 * * *", "Europe/Berlin", "2026-10-25")
    assert autumn[:4] == ["25 00:00+0200", "25 02:00+0200", "25 02:00+0100", "25 04:00+0100"]
    assert local("0 */2 * * *", "Europe/Berlin", "2026-03-29")[:2] == ["29 00:00+0100", "29 04:00+0200"]


def test_a_day_that_a_zone_skipped_is_a_gap_at_whose_end_its_jobs_run() -> None:
    assert local("0 6 * * *", "Pacific/Apia", "2011-12-29", 3) == [
        "29 06:00-1000",
        "31 00:00+1400",
        "31 06:00+1400",
    ]
    assert local("0 */6 * * *", "Pacific/Apia", "2011-12-29", 3)[3:6] == [
        "29 18:00-1000",
        "31 00:00+1400",
        "31 06:00+1400",
    ]


def test_clocks_that_went_back_across_midnight_keep_slots_in_order() -> None:
    schedule = Schedule.parse("*/30 * * * *", "America/St_Johns")  # 7 November 2010, 00:01 to 23:01
    slots = slots_of(schedule, at("2010-11-07T02:00"), at("2010-11-07T05:00"))
    assert slots == sorted(set(slots))
    assert [b - a for a, b in pairwise(slots)] == [timedelta(minutes=30)] * 5


def test_every_is_anchored_to_the_epoch_whatever_the_zone() -> None:
    for zone in ZONES:
        schedule = Schedule.parse("every 7h", zone)
        assert schedule.latest(at("1970-01-01T13:59:59")) == at("1970-01-01T07:00")
        assert schedule.after(at("1969-12-31T20:00")) == at("1970-01-01T00:00")


# -- bounds ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("expression", ["* * * * *", "0 0 29 2 *", "30 2 * * *", "every 1s", "every 3650d"])
def test_the_ends_of_the_calendar_are_no_error(zone: str, expression: str) -> None:
    schedule = Schedule.parse(expression, zone)
    first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    for instant in (first, first + timedelta(days=3), last - timedelta(days=3), last):
        schedule.after(instant)
        schedule.latest(instant)
        schedule.slots(instant, instant)
        assert schedule.interval(instant) >= timedelta(0)
    assert schedule.after(last) is None
    assert schedule.latest(first) in (None, first)


def test_the_rarest_schedule_is_found_from_either_side() -> None:
    schedule = Schedule.parse("0 0 29 2 */7", "UTC")  # 29 February on a Sunday, across 2100
    assert schedule.after(at("2088-03-01T00:00")) == at("2128-02-29T00:00")
    assert schedule.latest(at("2128-02-28T00:00")) == at("2088-02-29T00:00")


def test_a_year_of_quarters_of_an_hour_is_one_answer() -> None:
    for zone in ("UTC", "Europe/Berlin"):
        passed = Schedule.parse("*/15 * * * *", zone).slots(at("2025-01-01T00:00"), at("2026-01-01T00:00"))
        assert passed == Passed(at("2025-01-01T00:15"), at("2026-01-01T00:00"), 35040)


def test_no_slot_in_between_is_none() -> None:
    schedule = Schedule.parse("0 0 * * *", "UTC")
    assert schedule.slots(at("2026-01-01T00:00"), at("2026-01-01T23:59")) is None
    assert schedule.slots(at("2026-01-02T00:00"), at("2026-01-01T00:00")) is None


def test_the_interval_is_the_gap_that_an_instant_lies_in() -> None:
    schedule = Schedule.parse("0 9-17 * * *", "UTC")
    assert schedule.interval(at("2026-01-01T09:00")) == timedelta(hours=1)
    assert schedule.interval(at("2026-01-01T16:59")) == timedelta(hours=1)
    assert schedule.interval(at("2026-01-01T17:00")) == timedelta(hours=16)


# -- properties -----------------------------------------------------------------------------------------

zones = st.sampled_from(ZONES)
instants = st.datetimes(datetime(1995, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))
changes = st.sampled_from(  # instants near which a clock changed in one of the zones
    [
        at("2026-03-29T01:00"),
        at("2026-10-25T01:00"),
        at("2011-12-30T10:00"),
        at("2010-11-07T02:31"),
        at("2017-10-15T03:00"),
        at("2018-02-18T02:00"),
        at("2026-10-03T15:30"),
        at("2026-04-04T15:00"),
        at("2026-03-28T22:00"),
    ]
).flatmap(lambda change: st.timedeltas(timedelta(days=-2), timedelta(days=2)).map(lambda d: change + d))


def field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    ranges = st.tuples(number, number).map(lambda pair: "-".join(map(str, sorted(pair))))
    step = st.integers(1, 30)
    return st.one_of(
        st.just("*"),
        step.map(lambda n: f"*/{n}"),
        st.lists(st.one_of(number.map(str), ranges), min_size=1, max_size=3).map(",".join),
        st.tuples(ranges, step).map(lambda pair: f"{pair[0]}/{pair[1]}"),
    )


cron = st.tuples(
    field(0, 59),
    field(0, 23),
    st.one_of(st.just("*"), field(1, 28)),
    st.just("*"),
    st.one_of(st.just("*"), field(0, 7)),
).map(" ".join)
every = st.tuples(st.integers(1, 200), st.sampled_from("mhd")).map(lambda pair: f"every {pair[0]}{pair[1]}")


def schedule_or_none(expression: str, zone: str) -> Schedule | None:
    try:
        return Schedule.parse(expression, zone)
    except ValueError:  # such as the 31st that is no 1st Monday
        return None


@settings(max_examples=300, deadline=None)
@given(st.one_of(cron, every), zones, st.one_of(instants, changes), st.integers(0, 3 * 86400))
def test_after_latest_each_and_slots_agree(expression: str, zone: str, start: datetime, seconds: int) -> None:
    schedule = schedule_or_none(expression, zone)
    if schedule is None:
        return
    end = start + timedelta(seconds=seconds)
    found = slots_of(schedule, start, end)
    assert found == sorted(set(found))
    assert list(schedule.each(start, end)) == found
    assert schedule.slots(start, end) == (Passed(found[0], found[-1], len(found)) if found else None)
    following = schedule.after(end)
    assert following is not None
    assert following > end
    assert schedule.latest(following) == following
    latest = schedule.latest(following - timedelta(microseconds=1))
    assert latest is not None
    assert latest <= end
    assert latest == found[-1] if found else latest <= start


@settings(max_examples=200, deadline=None)
@given(st.one_of(cron, every), zones, st.lists(st.one_of(instants, changes), min_size=2, max_size=6))
def test_what_was_asked_before_changes_no_answer(expression: str, zone: str, asked: list[datetime]) -> None:
    schedule = schedule_or_none(expression, zone)
    if schedule is None:
        return
    for instant in asked:
        anew = Schedule(expression, zone)
        assert (schedule.latest(instant), schedule.interval(instant)) == (
            anew.latest(instant),
            anew.interval(instant),
        )


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(cron, every), zones, st.one_of(instants, changes), st.lists(st.integers(0, 86400), max_size=4)
)
def test_counting_in_parts_is_counting_in_one(
    expression: str, zone: str, start: datetime, parts: list[int]
) -> None:
    schedule = schedule_or_none(expression, zone)
    if schedule is None:
        return
    total, at_ = 0, start
    for seconds in parts:
        passed = schedule.slots(at_, at_ + timedelta(seconds=seconds))
        total += passed.count if passed else 0
        at_ += timedelta(seconds=seconds)
    whole = schedule.slots(start, at_)
    assert total == (whole.count if whole else 0)


@settings(max_examples=60, deadline=None)
@given(cron, st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"]), st.one_of(instants, changes))
def test_the_slots_are_those_that_cronsim_finds(expression: str, zone: str, start: datetime) -> None:
    """Zones that change at night: at midnight cronsim runs a wildcard job in an hour that was skipped."""
    schedule = schedule_or_none(expression, zone)
    if schedule is None:
        return
    end = start + timedelta(days=3)
    there = start.astimezone(ZoneInfo(zone)) if zone != "UTC" else start
    simulated = (slot.astimezone(UTC) for slot in CronSim(expression, there - timedelta(hours=3)))
    expected = {slot for slot in takewhile(lambda slot: slot <= end, simulated) if slot > start}
    assert slots_of(schedule, start, end) == sorted(expected)
