"""Durations and sizes as operators write and read them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapd.units import format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("30s", timedelta(seconds=30)),
        ("15m", timedelta(minutes=15)),
        ("2h", timedelta(hours=2)),
        ("7d", timedelta(days=7)),
        ("1w", timedelta(weeks=1)),
        (" 1 h ", timedelta(hours=1)),
        ("0s", timedelta(0)),
    ],
)
def test_a_duration_is_a_whole_number_and_a_unit(text: str, span: timedelta) -> None:
    assert parse_duration(text) == span


@pytest.mark.parametrize("text", ["", "7", "d", "1.5h", "-1h", "1M", "1y", "1h30m", "٧d", "1" * 5000 + "d"])
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="no duration") as caught:
        parse_duration(text)
    assert len(str(caught.value)) < 200


def test_a_duration_beyond_all_bounds_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than any archive"):
        parse_duration("999999999999999w")


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (timedelta(0), "0s"),
        (timedelta(seconds=0.9), "0s"),
        (timedelta(seconds=45), "45s"),
        (timedelta(days=2, hours=3, minutes=4), "2d 3h"),
        (timedelta(days=2, minutes=4), "2d 4m"),
        (-timedelta(hours=1), "-1h"),
        (timedelta(days=365), "365d"),
    ],
)
def test_a_span_is_shown_in_its_two_largest_units(span: timedelta, text: str) -> None:
    assert format_duration(span) == text


@given(st.integers(1, 10**6), st.sampled_from("smhdw"))
def test_a_parsed_duration_shows_as_what_it_is_to_the_second_unit(number: int, unit: str) -> None:
    span = parse_duration(f"{number}{unit}")
    shown = sum((parse_duration(part) for part in format_duration(span).split()), timedelta(0))
    assert timedelta(0) <= span - shown < timedelta(hours=1)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("512", 512),
        ("10k", 10_000),
        ("500M", 500_000_000),
        ("2G", 2 * 10**9),
        ("1 TB", 10**12),
        ("9B", 9),
    ],
)
def test_a_size_is_a_whole_number_and_an_si_unit(text: str, count: int) -> None:
    assert parse_size(text) == count


@pytest.mark.parametrize("text", ["", "G", "1.5G", "-1", "1KiB", "1m", "1g", "٧", "1" * 5000])
def test_anything_else_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="no size") as caught:
        parse_size(text)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (1234567, "1.23 MB"),
        (12_345_678, "12.3 MB"),
        (999_499_999, "999 MB"),
        (999_999_999, "1.00 GB"),
        (10**15, "1.00 PB"),
        (10**18, "1000 PB"),
        (-2500, "-2.50 kB"),
    ],
)
def test_bytes_are_shown_with_three_digits(count: int, text: str) -> None:
    assert format_size(count) == text
