"""`deltas` decides as the released tarsnapper does, which stands beside it here."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tarsnapper.config import parse_deltas
from tarsnapper.expire import expire

from snapd.deltas import Deltas
from snapd.model import Archive, Verdict
from snapd.retention import Floor, plan
from snapd.units import parse_duration

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
BARE = Floor(min_keep=0)
GRAINS = [timedelta(seconds=1), timedelta(minutes=15), timedelta(hours=6), DAY]


def deltas(*days: float) -> Deltas:
    return Deltas(tuple(day * DAY for day in days))


def aged(days: float, name: str = "") -> Archive:
    return Archive(name or f"a{days:08.3f}", NOW - days * DAY)


def kept(verdicts: tuple[Verdict, ...]) -> set[str]:
    return {verdict.archive.name for verdict in verdicts if verdict.keep}


def kept_ages(ages: list[float], policy: Deltas) -> list[float]:
    verdicts = plan([aged(age) for age in ages], policy, BARE, NOW)
    return [(NOW - verdict.archive.created) / DAY for verdict in verdicts if verdict.keep]


def assert_as_tarsnapper(archives: list[Archive], spans: tuple[timedelta, ...]) -> None:
    """Both decide alike, tarsnapper being handed the archives in our order.

    Of archives of one instant it keeps the first that it is handed, so the order of the listing decides.
    """
    verdicts = plan(archives, Deltas(spans), BARE, NOW)
    listing = {verdict.archive.name: verdict.archive.created for verdict in verdicts}
    assert kept(verdicts) == set(expire(listing, list(spans)))


# -- beside tarsnapper ----------------------------------------------------------------------------------


def test_the_rival_is_the_release_that_is_named() -> None:
    assert version("tarsnapper").startswith("0.5")


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[Archive], tuple[timedelta, ...]]:
    """Archives and deltas on one grid, so that equal times and ties between two neighbours are common."""
    grain = draw(st.sampled_from(GRAINS))
    ages = draw(st.lists(st.integers(0, 120), max_size=30))
    spans = draw(st.lists(st.integers(1, 60), min_size=2, max_size=5))
    names = draw(st.permutations([f"a{number}" for number in range(len(ages))]))
    archives = [Archive(name, NOW - age * grain) for name, age in zip(names, ages, strict=True)]
    return archives, tuple(span * grain for span in spans)


@settings(max_examples=2000, deadline=None)
@given(cases())
def test_any_archives_under_any_deltas_are_decided_as_by_tarsnapper(
    case: tuple[list[Archive], tuple[timedelta, ...]],
) -> None:
    assert_as_tarsnapper(*case)


@pytest.mark.parametrize("seed", range(20))
def test_jittered_series_with_holes_are_decided_as_by_tarsnapper(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(100):
        spacing = timedelta(minutes=chance.choice([15, 60, 360, 1440]))
        archives = [
            Archive(f"mail_{n}", NOW - n * spacing - timedelta(microseconds=chance.randrange(10**9)))
            for n in range(chance.randrange(1, 60))
            if chance.random() > 0.1
        ]
        spans = tuple(spacing * chance.randrange(1, 80) for _ in range(chance.randrange(2, 5)))
        assert_as_tarsnapper(archives, spans)


@pytest.mark.parametrize("seed", range(10))
def test_long_series_are_decided_as_by_tarsnapper(seed: int) -> None:
    chance = random.Random(seed)
    archives = [
        Archive(f"mail_{n}", NOW - timedelta(hours=n, seconds=chance.randrange(3000)))
        for n in range(500)
        if chance.random() > 0.05
    ]
    assert_as_tarsnapper(archives, (timedelta(hours=1), DAY, 3 * DAY, 14 * DAY))


@pytest.mark.parametrize("text", ["1d 7d 30d", "1h 1d 30d 90d 360d", "3600s 1d", "90s 2h 1d"])
def test_deltas_that_tarsnapper_reads_mean_the_same_here(text: str) -> None:
    assert [parse_duration(word) for word in text.split()] == parse_deltas(text)


# -- as examples ----------------------------------------------------------------------------------------

EXAMPLES = [
    ([], deltas(1, 7), []),
    ([40], deltas(1, 7), [40]),
    ([0, 1, 5], deltas(1, 7), [0, 1, 5]),  # its test_failing_keep
    ([1, 5], deltas(1, 10), [1, 5]),  # test_nothing_to_do
    ([1, 5], deltas(1, 2), [1]),  # test_something_to_expire
    ([0, 8], deltas(1, 7), [0, 8]),
    ([0, 13], deltas(1, 7), [0, 13]),
    ([0, 14], deltas(1, 7), [0]),
    ([0, 15], deltas(1, 7), [0]),
    (list(range(60)), deltas(1, 7, 30), [0, 1, 2, 3, 4, 5, 6, 7, 9, 16, 23, 30]),
    (list(range(60)), deltas(30, 1, 7), [0, 1, 2, 3, 4, 5, 6, 7, 9, 16, 23, 30]),
    ([0, 0.01, 0.02], deltas(1, 7), [0, 0.02]),  # of one day the middle goes
    ([0, 1, 2, 3], deltas(1, 1), [0, 1]),  # equal deltas, which only the config refuses
]


@pytest.mark.parametrize(("ages", "policy", "expected"), EXAMPLES)
def test_deltas_keep_what_tarsnapper_keeps(ages: list[float], policy: Deltas, expected: list[float]) -> None:
    assert kept_ages(ages, policy) == pytest.approx(expected)
    assert_as_tarsnapper([aged(age) for age in ages], policy.spans)


def test_a_tiny_step_under_a_long_reach_ends() -> None:
    policy = Deltas((timedelta(microseconds=1), timedelta(days=365_000)))
    assert kept_ages([0, 10, 3000], policy) == pytest.approx([0, 10, 3000])


def test_deltas_longer_than_the_calendar_are_no_error() -> None:
    policy = Deltas((timedelta(days=1), timedelta(days=900_000_000), timedelta.max))
    assert kept_ages([0, 10, 3000], policy) == pytest.approx([0, 10, 3000])


def test_of_archives_of_one_instant_the_policy_keeps_the_last_name() -> None:
    twins = [aged(3, name) for name in ("b", "c", "a")]
    assert kept(plan([*twins, aged(0, "n")], deltas(1, 7), BARE, NOW)) == {"n", "c"}


# -- what is refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize("found", [(DAY,), (DAY, timedelta(0)), (-DAY, DAY)])
def test_a_single_or_a_zero_delta_is_refused(found: tuple[timedelta, ...]) -> None:
    with pytest.raises(ValueError, match="delta"):
        Deltas(found)
