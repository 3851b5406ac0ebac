"""Checks of a restore test: expected against seen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapd.checks import Scalar, Tree, judge_command, judge_path, judge_query, read_instant
from snapd.model import Finding

MADE = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def path(
    seen: Tree | None,
    *,
    min_files: int | None = None,
    min_bytes: int | None = None,
    newest_within: timedelta | None = None,
) -> Finding:
    return judge_path(
        "srv", seen, min_files=min_files, min_bytes=min_bytes, newest_within=newest_within, created=MADE
    ).finding


def newer(value: Scalar, limit: timedelta = DAY) -> Finding:
    return judge_query("SELECT x", value, newer_than=limit, created=MADE).finding


# -- path -----------------------------------------------------------------------------------------------


def test_a_path_finding_says_what_was_expected_and_seen() -> None:
    judged = judge_path(
        "srv/mail",
        Tree(3, 2500, MADE - timedelta(hours=2)),
        min_files=2,
        min_bytes=1000,
        newest_within=DAY,
        created=MADE,
    )
    assert judged.finding == Finding(
        check="path srv/mail",
        expected="at least 2 files, at least 1.00 kB, the newest within 1d",
        seen="3 files, 2.50 kB, the newest 2h before the archive",
        passed=True,
    )
    assert judged.data_age == timedelta(hours=2)


def test_a_path_that_is_not_there_fails() -> None:
    finding = path(None, min_files=0)
    assert (finding.seen, finding.passed) == ("not in the archive", False)


def test_an_empty_folder_fails_unless_no_file_is_asked_for() -> None:
    assert path(Tree(0, 0, None)).passed is False
    assert path(Tree(0, 0, None), min_files=0).passed is True
    assert path(Tree(0, 0, None), min_files=0, newest_within=DAY).passed is False


@pytest.mark.parametrize(
    ("tree", "passed"),
    [
        (Tree(5, 100, MADE), True),
        (Tree(4, 100, MADE), False),
        (Tree(5, 99, MADE), False),
    ],
)
def test_files_and_bytes_are_least_numbers(tree: Tree, passed: bool) -> None:
    assert path(tree, min_files=5, min_bytes=100).passed is passed


@pytest.mark.parametrize(
    ("age", "passed"),
    [
        (DAY, True),
        (DAY + timedelta(seconds=1), False),
        (timedelta(0), True),
        (-timedelta(hours=23), True),
        (-timedelta(hours=25), None),
    ],
)
def test_freshness_is_measured_against_the_archive_and_the_future_tells_nothing(
    age: timedelta, passed: bool | None
) -> None:
    finding = path(Tree(1, 1, MADE - age), newest_within=DAY)
    assert finding.passed is passed
    assert ("cannot be told" in finding.seen) is (passed is None)


def test_the_age_of_data_is_zero_when_it_changed_during_the_backup_and_unknown_from_the_future() -> None:
    ages = [
        judge_path(
            "p", Tree(1, 1, MADE - age), min_files=None, min_bytes=None, newest_within=None, created=MADE
        )
        for age in (timedelta(hours=3), -timedelta(hours=3), -timedelta(days=3))
    ]
    assert [judged.data_age for judged in ages] == [timedelta(hours=3), timedelta(0), None]


# -- query ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        "2026-03-01 06:00:00",
        "2026-03-01 06:00:00.000",
        "2026-03-01T06:00:00Z",
        "2026-03-01T06:00:00+00:00",
        "2026-03-01T07:00:00+01:00",
        " 2026-03-01 06:00 ",
        1772344800,
        1772344800.0,
        1772344800000,
        "1772344800",
        "1772344800000",
    ],
)
def test_an_instant_is_read_in_every_form_that_databases_keep(value: Scalar) -> None:
    assert read_instant(value) == datetime(2026, 3, 1, 6, tzinfo=UTC)


def test_a_date_is_its_midnight() -> None:
    assert read_instant("2026-03-01") == datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [None, "", "yesterday", "0001-01-01T00:00:00+14:00", True, float("nan"), float("inf"), 1e300, "9" * 400],
)
def test_anything_else_is_no_instant(value: Scalar) -> None:
    assert read_instant(value) is None


@given(st.one_of(st.none(), st.text(), st.integers(), st.floats(), st.from_regex(r"\A[0-9T:. +-]{4,30}\Z")))
def test_no_value_of_a_database_breaks_a_check(value: Scalar) -> None:
    instant = read_instant(value)
    assert instant is None or instant.tzinfo is UTC
    assert newer(value).passed in (True, False, None)
    judge_query("q", value, at_least=1, created=MADE)
    judge_query("q", value, equals="1", created=MADE)


@pytest.mark.parametrize(
    ("value", "passed", "seen"),
    [
        ("2026-03-01 06:00:00", True, "'2026-03-01 06:00:00', 6h before the archive"),
        ("2026-02-28 11:59:59", False, "'2026-02-28 11:59:59', 1d 1s before the archive"),
        (None, False, "no value (no row, or NULL)"),
        ("soon", False, "'soon', which is no time"),
        ("2027-03-01", None, "cannot be told"),
    ],
)
def test_newer_than_fails_on_old_or_missing_rows_and_doubts_the_future(
    value: Scalar, passed: bool | None, seen: str
) -> None:
    finding = newer(value)
    assert finding.passed is passed
    assert seen in finding.seen


def test_newer_than_tells_the_age_of_the_data_even_when_it_fails() -> None:
    judged = judge_query("q", "2026-02-20 12:00:00", newer_than=DAY, created=MADE)
    assert judged.data_age == timedelta(days=9)
    assert judged.finding.passed is False


@pytest.mark.parametrize(
    ("value", "passed"),
    [
        (10, True),
        (9, False),
        (10.5, True),
        ("12", True),
        ("many", False),
        (None, False),
        (float("nan"), False),
    ],
)
def test_at_least_wants_a_number_that_large(value: Scalar, passed: bool) -> None:
    assert judge_query("q", value, at_least=10, created=MADE).finding.passed is passed


@pytest.mark.parametrize(
    ("value", "expected", "passed"),
    [(5, 5, True), (5.0, 5, True), ("5", 5, True), (5, "5", True), ("a", "a", True), ("a", "A", False),
     (None, "None", False), (None, 0, False), (0, 0, True)],
)  # fmt: skip
def test_equals_compares_numbers_as_numbers_and_texts_as_texts(
    value: Scalar, expected: str | int | float, passed: bool
) -> None:
    assert judge_query("q", value, equals=expected, created=MADE).finding.passed is passed


def test_a_query_without_a_limit_wants_any_value() -> None:
    assert judge_query("q", 0, created=MADE).finding.passed is True
    assert judge_query("q", None, created=MADE).finding.passed is False


def test_long_texts_are_cut() -> None:
    finding = judge_query("SELECT " + "x" * 5000, "y" * 5000, equals="z" * 5000, created=MADE).finding
    assert max(len(finding.check), len(finding.expected), len(finding.seen)) < 250


# -- command --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "tail", "seen", "passed"),
    [
        (0, "all good\n", "exit status 0", True),
        (3, "one\nno such table\n\n", "exit status 3: no such table", False),
        (1, "", "exit status 1", False),
        (-9, "", "killed by signal 9", False),
        (None, "working", "not ended in time: working", False),
    ],
)
def test_a_command_passes_with_exit_status_0_only(
    status: int | None, tail: str, seen: str, passed: bool
) -> None:
    judged = judge_command(["sh", "-c", "a b"], status, tail, time_limit=timedelta(minutes=10))
    assert judged.finding == Finding("command sh -c 'a b'", "exit status 0 within 10m", seen, passed)
    assert judged.data_age is None
