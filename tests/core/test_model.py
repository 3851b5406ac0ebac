"""Frozen values, job ids, and the names of archives."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snapd.model import (
    Archive,
    ArchivePattern,
    Kind,
    Outcome,
    Verdict,
    is_incomplete_name,
    job_id,
    split_job_id,
)

AT = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)


# -- words ----------------------------------------------------------------------------------------------


def test_the_agenda_takes_backups_before_restore_tests_before_expiries() -> None:
    assert sorted(Kind, key=lambda kind: kind.rank) == [Kind.BACKUP, Kind.RESTORE_TEST, Kind.EXPIRE]


def test_only_ok_and_warning_are_successes() -> None:
    assert {outcome for outcome in Outcome if outcome.succeeded} == {Outcome.OK, Outcome.WARNING}


@pytest.mark.parametrize("kind", Kind)
def test_a_job_id_names_kind_and_set(kind: Kind) -> None:
    assert split_job_id(job_id(kind, "mail:old")) == (kind, "mail:old")


@pytest.mark.parametrize("text", ["", "mail", "backup:", ":mail", "task:mail"])
def test_anything_else_is_no_job_id(text: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        split_job_id(text)


def test_a_verdict_keeps_exactly_when_it_has_a_reason() -> None:
    assert Verdict(Archive("a", AT), ("newest",)).keep
    assert not Verdict(Archive("a", AT), ()).keep


# -- patterns -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("mail_%Y%m%d-%H%M", "mail_20260203-0405"),
        ("%y%j.%S", "26034.06"),
        ("100%%_%Y-%m-%d", "100%_2026-02-03"),
        ("%Y/%m".replace("/", "-") + "-%d_%Y", "2026-02-03_2026"),
        ("größe+(x)[1]_%Y%j", "größe+(x)[1]_2026034"),
    ],
)
def test_a_pattern_renders_in_utc_and_reads_what_it_rendered(text: str, name: str) -> None:
    pattern = ArchivePattern(text)
    elsewhere = AT.astimezone(timezone(timedelta(hours=-9)))
    assert pattern.render(elsewhere) == name
    assert pattern.parse(name) is not None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mail", "full date"),
        ("mail_%Y", "full date"),
        ("mail_%Y%m", "full date"),
        ("mail_%m%d", "full date"),
        ("mail_%H%M%S", "full date"),
        ("mail_%%Y%%m%%d", "full date"),
        ("mail_%Y%m%d%", "'%' is no date field"),
        ("mail_%Y%m%d_%s", "'%s' is no date field"),
        ("%%%q%Y%m%d", "'%q' is no date field"),
        ("mail_%-d%Y%m%d", "'%-' is no date field"),
        (" mail_%Y%m%d", "white space"),
        ("mail_%Y%m%d\n", "white space"),
        ("ma\x1bil_%Y%m%d", "unprintable"),
        ("a::b_%Y%m%d", "separator"),
        ("mail_%Y%m%d.part", "incomplete"),
        ("mail_%Y%m%d.checkpoint", "incomplete"),
        ("mail.checkpoint.%Y%m%d", "incomplete"),
    ],
)
def test_a_pattern_that_cannot_tell_archives_apart_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ArchivePattern(text)


@pytest.mark.parametrize(
    "name",
    [
        "mail_20260203-0405",
        "mail_20260203-0405.2",
        "mail_20260203-0405.10",
        "mail_20260203-0405.part",
        "mail_20260203-0405.3.part",
        "mail_20260203-0405.checkpoint",
        "mail_20260203-0405.checkpoint.12",
    ],
)
def test_second_tries_and_incomplete_archives_are_the_sets_own(name: str) -> None:
    assert ArchivePattern("mail_%Y%m%d-%H%M").parse(name) == AT.replace(second=0)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "mail_old_20260203-0405",
        "mail_20260203-0405x",
        "xmail_20260203-0405",
        "mail_20260203-0405.1",
        "mail_20260203-0405.0",
        "mail_20260203-0405.02",
        "mail_20260203-0405.2.2",
        "mail_20260203-0405.parts",
        "mail_20260203-0405.part.part",
        "mail_20260203-0405\n",
        "mail_20260231-0405",
        "mail_20260203-2405",
        "mail_20260203-405",
        "mail_٢٠٢٦0203-0405",
        "MAIL_20260203-0405",
    ],
)
def test_a_strangers_name_is_never_the_sets(name: str) -> None:
    assert ArchivePattern("mail_%Y%m%d-%H%M").parse(name) is None


def test_a_name_whose_fields_contradict_each_other_is_a_strangers() -> None:
    assert ArchivePattern("%Y_%Y%m%d").parse("2026_20260203") is not None
    assert ArchivePattern("%Y_%Y%m%d").parse("2025_20260203") is None
    assert ArchivePattern("%Y%m%d_%j").parse("20260203_035") is None


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        ("a_%Y%m%d", "a_%Y%m%d", True),
        ("a_%Y%m%d", "b_%Y%m%d", False),
        ("a_%Y%m%d", "a_old_%Y%m%d", False),
        ("a_%Y%m%d", "a_%Y%j%H", False),
        ("a_%Y%j%S", "a_%Y%m%d%y", False),
        ("a_%Y%m%d%H", "a_%H%Y%m%d", True),
        ("a_%Y%m%d", "a_%Y%m%d.%H", True),
        ("a_%Y%m%d", "a_%Y%m%d.2", True),
        ("a_%Y%m%d", "a_%Y%m%d.1", False),
        ("a_%Y%m%d", "a_%Y%m%d.1%H", True),
        ("a_%Y%m%d", "a_%Y%m%d.0%H", False),
        ("a_%Y%m%d", "a_%Y%m%d.1234567%S", True),
        ("a_%Y%m%d", "a_%Y%m%d.x%H", False),
        ("a_%Y%m%d", "a_%Y%m%d.%H-%M", False),
        ("a%%_%Y%m%d", "a%%_%Y%m%d", True),
        ("a%%_%Y%m%d", "a1_%Y%m%d", False),
        ("a2026_%Y%m%d", "a%Y_%Y%m%d", True),
    ],
)
def test_two_patterns_overlap_when_one_name_can_be_both(one: str, other: str, overlap: bool) -> None:
    assert ArchivePattern(one).overlaps(ArchivePattern(other)) is overlap
    assert ArchivePattern(other).overlaps(ArchivePattern(one)) is overlap


FIELDS = ("%Y", "%m", "%d", "%H", "%M", "%S", "%j", "%y")
pieces = st.one_of(
    st.sampled_from(FIELDS), st.sampled_from([".", "2", "20", "%%", "_"]), st.text("ab0129._-", max_size=3)
)
texts = st.tuples(
    st.lists(pieces, max_size=3).map("".join),
    st.sampled_from(["%Y%m%d", "%y%j", "%Y-%m-%d", "%Y%j"]),
    st.lists(pieces, max_size=4).map("".join),
).map("".join)


def pattern_or_none(text: str) -> ArchivePattern | None:
    try:
        return ArchivePattern(text)
    except ValueError:
        return None


patterns = texts.map(pattern_or_none).filter(lambda pattern: pattern is not None)
instants = st.datetimes(datetime(1970, 1, 1), datetime(2068, 12, 31), timezones=st.just(UTC))
marks = st.sampled_from(["", ".part", ".checkpoint", ".checkpoint.3"])


@settings(max_examples=400, deadline=None)
@given(patterns, instants, st.integers(1, 120), marks)
def test_reading_a_rendered_name_gives_the_instant_as_far_as_the_pattern_tells(
    pattern: ArchivePattern, instant: datetime, attempt: int, mark: str
) -> None:
    name = pattern.render(instant, attempt) + mark
    assert is_incomplete_name(name) is bool(mark)
    read = pattern.parse(name)
    assert read is not None
    assert pattern.render(read) == pattern.render(instant)
    assert read.date() == instant.date()


tails = st.sampled_from(
    ["", ".", ".%H", ".%S%M", ".2", ".1", ".10", ".1%H", "2", "%H", "%d", "_", ".2%j", "%%"]
)
cousins = st.tuples(texts, tails, tails).map(
    lambda found: (pattern_or_none(found[0] + found[1]), pattern_or_none(found[0] + found[2]))
)


@settings(max_examples=600, deadline=None)
@given(cousins, instants, st.integers(1, 120), marks)
def test_a_pattern_reads_names_of_another_only_where_they_are_said_to_overlap(
    pair: tuple[ArchivePattern | None, ArchivePattern | None], instant: datetime, attempt: int, mark: str
) -> None:
    one, other = pair
    if one and other and one.parse(other.render(instant, attempt) + mark) is not None:
        assert one.overlaps(other)
        assert other.overlaps(one)


@given(st.text(max_size=40), patterns)
def test_no_name_in_a_store_breaks_the_reading(name: str, pattern: ArchivePattern) -> None:
    pattern.parse(name)
    is_incomplete_name(name)


@given(st.text(max_size=30))
def test_no_pattern_in_a_config_breaks_otherwise_than_by_being_refused(text: str) -> None:
    pattern_or_none(text)


@given(st.text("0123456789", min_size=14, max_size=14))
def test_digits_are_a_date_exactly_when_the_calendar_has_it(digits: str) -> None:
    read = ArchivePattern("mail_%Y%m%d%H%M%S").parse(f"mail_{digits}")
    try:
        date = datetime(int(digits[:4]), int(digits[4:6]), int(digits[6:8]), tzinfo=UTC)
        time = timedelta(hours=int(digits[8:10]), minutes=int(digits[10:12]), seconds=int(digits[12:]))
    except ValueError:
        assert read is None
    else:
        sound = digits[8:10] < "24" and digits[10:12] < "60" and digits[12:] < "60"
        assert read == (date + time if sound else None)
