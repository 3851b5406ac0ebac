"""Batches of an expiry: as large as the engine allows, as small as the time budget wants."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapd.jobs.batches import BUDGET_S, FIRST, next_size

SIZES = st.integers(1, 500)
SECONDS = st.floats(0, 1e6)


@pytest.mark.parametrize(
    ("size", "seconds", "most", "expected"),
    [
        (1, 0.0, 10, 4),  # in no time: larger, but not at once
        (4, 4.0, 10, 10),  # a second each: as many as the engine takes
        (10, 10.0, 10, 10),
        (10, 60.0, 10, 5),  # six seconds each
        (10, 290.0, 10, 1),
        (1, 900.0, 10, 1),  # a quarter of an hour each: one at a time
        (1, 2.0, 500, 4),
        (16, 32.0, 500, 15),
    ],
)
def test_the_next_batch_is_what_the_budget_allows_at_the_last_pace(
    size: int, seconds: float, most: int, expected: int
) -> None:
    assert next_size(size, seconds, most) == expected


@given(SIZES, SECONDS, SIZES)
def test_a_batch_is_one_archive_at_least_and_what_the_engine_allows_at_most(
    size: int, seconds: float, most: int
) -> None:
    assert 1 <= next_size(size, seconds, most) <= most


@given(SIZES, SECONDS, SIZES)
def test_at_an_even_pace_a_batch_of_several_keeps_to_the_budget(size: int, seconds: float, most: int) -> None:
    following = next_size(size, seconds, most)
    assert following == 1 or following * seconds / size <= BUDGET_S * 1.000001


@given(st.floats(0, 1e4), SIZES)
def test_an_even_pace_leads_to_an_even_size(pace: float, most: int) -> None:
    size = FIRST
    for _ in range(6):
        size = next_size(size, pace * size, most)
    assert abs(next_size(size, pace * size, most) - size) <= 1
