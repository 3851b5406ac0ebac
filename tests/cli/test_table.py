"""Tables and words."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapd.cli import words
from snapd.cli.output import escaped
from snapd.cli.table import Cell, lines, width_of


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert list(lines([("A", "B"), ("long", "x")], None)) == ["A     B", "long  x"]


def test_the_last_column_is_broken_at_the_edge() -> None:
    assert list(lines([("a", "one two three four twenty-five six")], 32)) == [
        "a  one two three four",
        "   twenty-five six",
    ]


def test_a_last_column_that_would_be_too_narrow_stands_below_its_row() -> None:
    assert list(lines([("a" * 10, "one two three four five six"), ("b", "short")], 24)) == [
        "aaaaaaaaaa",
        "    one two three four",
        "    five six",
        "b           short",
    ]


def test_a_word_that_is_too_long_is_cut_in_a_table_and_left_whole_in_a_sentence() -> None:
    assert list(lines([("a", "/" * 40)], 32)) == ["a  " + "/" * 29, "   " + "/" * 11]
    assert list(lines([("to " + "/" * 40,)], 32)) == ["to", "/" * 40]


def test_wide_characters_take_two_columns_and_combining_ones_none() -> None:
    assert width_of("日本") == 4
    assert width_of("e\u0301") == 1
    assert list(lines([("日本", "x"), ("abcd", "x")], None)) == ["日本  x", "abcd  x"]


@given(st.lists(st.tuples(st.text(), st.text()), min_size=1), st.integers(60, 200))
def test_no_line_is_wider_than_the_terminal_where_cells_allow(
    rows: list[tuple[str, str]], width: int
) -> None:
    cells = [(Cell(escaped(a)[:20].strip()), Cell(escaped(b))) for a, b in rows]
    if all(width_of(first.text) <= 30 for first, _ in cells):
        plain = list(lines(cells, width))
        assert all(len(line) <= width for line in plain if line.isascii())


@given(st.text())
def test_escaped_text_is_printable_and_plain_text_stays(text: str) -> None:
    assert escaped(text).isprintable()
    if text.isprintable():
        assert escaped(text) == text


@pytest.mark.parametrize(
    ("span", "said"),
    [
        (timedelta(seconds=5), "5s"),
        (timedelta(minutes=12, seconds=30), "12m"),
        (timedelta(hours=2, minutes=3), "2h 3m"),
        (timedelta(hours=26), "1d 2h"),
        (timedelta(days=12, hours=5), "12d"),
        (timedelta(seconds=-3), "0s"),
    ],
)
def test_spans_are_as_exact_as_people_need(span: timedelta, said: str) -> None:
    assert words.span(span) == said


def test_jobs_are_said_in_words() -> None:
    assert words.job("restore-test:mail") == "restore test of mail"
    assert words.job("expire:mail") == "expiry of mail"
    assert words.job("daemon") == "daemon"
