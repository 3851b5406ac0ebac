"""Which archive a restore takes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from snapd.cli.choice import Wanted, choose, instant_of
from snapd.errors import UsageError
from snapd.model import Archive

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
OLD = Archive("m_1", NOON - timedelta(hours=9))
GOOD = Archive("m_2", NOON - timedelta(hours=5))
SUSPECT = Archive("m_3", NOON - timedelta(hours=3), suspect=True)
PART = Archive("m_4.part", NOON - timedelta(hours=1), complete=False)
ALL = [GOOD, PART, OLD, SUSPECT]


def test_the_newest_that_is_complete_and_not_suspect_is_taken_and_the_rest_named() -> None:
    chosen = choose(ALL, Wanted(), "m")
    assert chosen.archive == GOOD
    assert "m_4.part, m_3" in chosen.note


def test_without_newer_ones_there_is_nothing_to_note() -> None:
    assert choose([OLD, GOOD], Wanted(), "m").note == ""


def test_an_instant_takes_the_newest_made_by_then() -> None:
    assert choose(ALL, Wanted(at=NOON - timedelta(hours=6)), "m").archive == OLD
    assert choose(ALL, Wanted(at=GOOD.created), "m").archive == GOOD


def test_a_name_takes_that_archive_whatever_it_is() -> None:
    chosen = choose(ALL, Wanted(name="m_4.part"), "m")
    assert chosen.archive == PART
    assert "incomplete" in chosen.note


def test_a_suspect_one_is_taken_with_a_warning_where_no_other_is_left() -> None:
    chosen = choose([SUSPECT, PART], Wanted(), "m")
    assert chosen.archive == SUSPECT
    assert "suspect" in chosen.note


@pytest.mark.parametrize(
    ("archives", "wanted", "hint"),
    [
        (ALL, Wanted(name="m_9"), "m_4.part, m_3, m_2, m_1"),
        (ALL, Wanted(at=NOON - timedelta(days=1)), "m_4.part"),
        ([PART], Wanted(), "m_4.part"),
        ([], Wanted(), "no archive whose name"),
    ],
)
def test_where_nothing_fits_the_hint_shows_what_there_is(
    archives: list[Archive], wanted: Wanted, hint: str
) -> None:
    with pytest.raises(UsageError) as caught:
        choose(archives, wanted, "m")
    assert hint in caught.value.hint


def test_instants_are_read_with_and_without_an_offset() -> None:
    assert instant_of("2026-11-23T12:00Z") == NOON
    assert instant_of("2026-11-23").tzinfo is not None
    with pytest.raises(UsageError):
        instant_of("yesterday")
