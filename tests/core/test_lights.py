"""The five lights."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from snapd.lights import Facts, grace, lights
from snapd.model import Archive

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
GOOD = Facts(
    scheduled=True,
    due_slot=NOW - 3 * HOUR,
    archives=(Archive("a", NOW - 2 * HOUR),),
    proven_at=NOW - timedelta(days=3),
    proven_within=timedelta(days=90),
    encrypted=True,
    off_site=True,
    key_confirmed=NOW - timedelta(days=30),
)


def test_a_set_in_order_has_all_lights_on_and_says_why() -> None:
    found = lights(GOOD, NOW)
    assert [(label, light.on, light.why) for label, light in found] == [
        ("fresh", True, "latest archive 2h ago"),
        ("proven", True, "restored 3d ago"),
        ("encrypted", True, "encrypted by the engine"),
        ("off-site", True, "on another machine"),
        ("key copied", True, "the key's copy was confirmed 30d ago"),
    ]
    assert found.off == ()


def test_a_new_set_has_all_lights_off() -> None:
    new = replace(GOOD, archives=(), proven_at=None, encrypted=None, off_site=False, key_confirmed=None)
    assert lights(new, NOW).off == ("fresh", "proven", "encrypted", "off-site", "key copied")


@pytest.mark.parametrize(
    ("archive", "on"),
    [
        (Archive("a", NOW - 3 * HOUR), True),
        (Archive("a", NOW - 3 * HOUR - timedelta(seconds=1)), False),
        (Archive("a", NOW - HOUR, complete=False), False),
        (Archive("a", NOW - HOUR, suspect=True), False),
        (Archive("a", NOW + HOUR), False),
        (Archive("a", NOW), True),
    ],
)
def test_fresh_takes_a_whole_unsuspected_archive_from_the_due_slot_to_now(archive: Archive, on: bool) -> None:
    light = lights(replace(GOOD, archives=(archive,)), NOW).fresh
    assert light.on is on
    assert ("no archive for the slot of 2026-03-01 09:00+00:00" in light.why) is not on


def test_one_good_archive_among_others_makes_fresh() -> None:
    others = (Archive("x", NOW - HOUR, suspect=True), Archive("y", NOW - 90 * HOUR))
    assert lights(replace(GOOD, archives=(*others, *GOOD.archives)), NOW).fresh.on


@pytest.mark.parametrize(
    ("archives", "said"),
    [((), "no archive at all"), ((Archive("a", NOW - HOUR, suspect=True),), "suspect")],
)
def test_a_set_without_a_schedule_is_exempt_but_not_silent(archives: tuple[Archive, ...], said: str) -> None:
    light = lights(replace(GOOD, scheduled=False, due_slot=None, archives=archives), NOW).fresh
    assert light.on
    assert "no schedule" in light.why
    assert said in light.why


def test_before_the_first_due_slot_fresh_needs_an_archive() -> None:
    waiting = replace(GOOD, due_slot=None)
    assert lights(waiting, NOW).fresh.on
    assert not lights(replace(waiting, archives=()), NOW).fresh.on


@pytest.mark.parametrize(
    ("age", "on", "why"),
    [
        (timedelta(days=90), True, "restored 90d ago"),
        (timedelta(days=90, seconds=1), False, "last restored 90d 1s ago, allowed are 90d"),
        (-HOUR, False, "its restore test is dated 1h ahead"),
    ],
)
def test_a_proof_lasts_as_long_as_the_config_says(age: timedelta, on: bool, why: str) -> None:
    light = lights(replace(GOOD, proven_at=NOW - age), NOW).proven
    assert (light.on, light.why) == (on, why)


@pytest.mark.parametrize(
    ("age", "on"), [(timedelta(days=365), True), (timedelta(days=366), False), (-HOUR, False)]
)
def test_a_confirmed_key_copy_counts_for_a_year(age: timedelta, on: bool) -> None:
    assert lights(replace(GOOD, key_confirmed=NOW - age), NOW).key_copied.on is on


@pytest.mark.parametrize(
    ("encrypted", "why"), [(None, "the store has not told yet"), (False, "the store is not encrypted")]
)
def test_encryption_that_is_unknown_is_no_encryption(encrypted: bool | None, why: str) -> None:
    light = lights(replace(GOOD, encrypted=encrypted), NOW).encrypted
    assert (light.on, light.why) == (False, why)


@pytest.mark.parametrize(
    ("interval", "expected"),
    [(timedelta(minutes=15), HOUR), (4 * HOUR, HOUR), (24 * HOUR, 6 * HOUR), (timedelta(0), HOUR)],
)
def test_the_grace_is_an_hour_or_a_quarter_of_the_interval(interval: timedelta, expected: timedelta) -> None:
    assert grace(interval) == expected
