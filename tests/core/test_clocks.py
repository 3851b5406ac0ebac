"""Sleep and a step of the wall clock, told apart. Neither can be real in a test."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from snapd.clocks import Reading, read_clocks

BEFORE = Reading(datetime(2026, 11, 23, 12, tzinfo=UTC), boot_s=1000.0, awake_s=900.0)


def later(*, wall_s: float, boot_s: float, awake_s: float) -> Reading:
    return Reading(BEFORE.wall + timedelta(seconds=wall_s), BEFORE.boot_s + boot_s, BEFORE.awake_s + awake_s)


@pytest.mark.parametrize(
    ("after", "stepped", "slept"),
    [
        (later(wall_s=60, boot_s=60, awake_s=60), 0, 0),
        (later(wall_s=3660, boot_s=60, awake_s=60), 3600, 0),
        (later(wall_s=-3540, boot_s=60, awake_s=60), -3600, 0),
        (later(wall_s=3660, boot_s=3660, awake_s=60), 0, 3600),
        (later(wall_s=7260, boot_s=3660, awake_s=60), 3600, 3600),
    ],
    ids=["nothing happened", "set forward", "set back", "slept", "slept and was set forward"],
)
def test_a_step_and_a_sleep_are_told_apart(after: Reading, stepped: float, slept: float) -> None:
    assert after.stepped_since(BEFORE) == stepped
    assert after.slept_since(BEFORE) == slept


def test_the_two_other_clocks_are_those_that_nobody_can_set() -> None:
    first = read_clocks(BEFORE.wall)
    second = read_clocks(BEFORE.wall)
    assert second.boot_s >= first.boot_s > 0
    assert second.awake_s >= first.awake_s > 0
    assert first.wall == BEFORE.wall
