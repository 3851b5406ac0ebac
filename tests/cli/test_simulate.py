"""`simulate`: policies tried on a list and over years, as they are typed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tarsnapper.expire import expire

from snapd.cli.archive_list import read_list
from snapd.cli.ticker import Ticker
from snapd.deltas import Deltas
from snapd.errors import UsageError
from snapd.keep import Keep
from snapd.model import Archive
from snapd.retention import Policy, plan
from snapd.simulation import ONLY_THE_NEWEST
from tests.cli.conftest import DEADLINE_S, Program, Ran

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
GOLDEN = Path(__file__).parent / "golden"
PLAN = ("--now", NOW.isoformat(), "--timezone", "UTC")
YEARS = ("--every", "15m", "--now", "2026-01-01", "--timezone", "Europe/London")


def line(name: str, created: datetime) -> str:
    return f"{name}\t{created.isoformat()}\n"


def listed(program: Program, text: str | bytes, *arguments: str) -> Ran:
    """Plan for a list that stands in a file."""
    content = text if isinstance(text, bytes) else text.encode()
    (program.folder / "list.txt").write_bytes(content)
    return program("simulate", "--archives", "list.txt", *PLAN, *arguments)


def answer(ran: Ran) -> Any:
    assert (ran.status, ran.err) == (0, ""), ran
    return json.loads(ran.out)


# -- a list ---------------------------------------------------------------------------------------------

DAILY = "".join(line(f"mail_{n:02}", NOW - n * DAY) for n in range(20))


def test_a_list_is_planned_newest_first_with_reasons(program: Program) -> None:
    shuffled = "".join(sorted(DAILY.splitlines(keepends=True), key=lambda text: text[::-1]))
    text = line("ahead", NOW + DAY) + shuffled
    found = answer(listed(program, text, "--keep", "daily=2, monthly=2", "--json"))
    assert found == {
        "keep": [
            {"name": "ahead", "reasons": ["future"]},
            {"name": "mail_00", "reasons": ["newest", "daily 1 of 2", "monthly 1 of 2"]},
            {"name": "mail_01", "reasons": ["daily 2 of 2", "monthly 2 of 2"]},
        ],
        "delete": [{"name": f"mail_{n:02}"} for n in range(2, 20)],
    }


def test_deltas_are_tarsnappers(program: Program) -> None:
    found = answer(listed(program, DAILY, "--deltas", "1d 3d 10d", "--json"))
    listing = {f"mail_{n:02}": NOW - n * DAY for n in range(20)}
    assert {item["name"] for item in found["keep"]} == set(expire(listing, [DAY, 3 * DAY, 10 * DAY]))
    assert found["keep"][0] == {"name": "mail_00", "reasons": ["newest"]}
    assert found["keep"][1] == {"name": "mail_01", "reasons": ["delta 1d", "delta 3d"]}


@pytest.mark.parametrize("deltas", ["1d 7d", "1d,7d", " 7d , 1d "])
def test_options_are_lists_with_commas_or_spaces(program: Program, deltas: str) -> None:
    found = answer(listed(program, DAILY, "--deltas", deltas, "--json"))
    assert [len(found[key]) for key in ("keep", "delete")] == [8, 12]


def test_only_the_newest_stands_above_the_policy(program: Program) -> None:
    found = answer(listed(program, DAILY, "--keep", "last=1", "--json"))
    assert [item["name"] for item in found["keep"]] == ["mail_00"]


def test_an_empty_list_has_nothing_to_keep(program: Program) -> None:
    assert answer(listed(program, "", "--keep", "last=1", "--json")) == {"keep": [], "delete": []}
    assert listed(program, "", "--keep", "last=1").out == "0 to keep, 0 to delete.\n"


def test_a_list_comes_from_standard_input_too(program: Program) -> None:
    argv = program.argv("simulate", "--archives", "-", *PLAN, "--deltas", "1d 7d", "--json")
    ran = subprocess.run(
        argv, env=program.environ, input=DAILY.encode(), capture_output=True, timeout=DEADLINE_S, check=True
    )
    assert len(json.loads(ran.stdout)["keep"]) == 8


def test_people_get_a_table(program: Program) -> None:
    text = line("a\x1b[31mb", NOW - DAY) + line("new", NOW)
    ran = listed(program, text, "--keep", "last=1")
    assert ran.out.splitlines() == [
        "VERDICT  CREATED           ARCHIVE     WHY",
        "keep     2026-03-01 12:00  new         newest, last 1 of 1",
        "delete   2026-02-28 12:00  a\\x1b[31mb  no rule keeps it",
        "",
        "1 to keep, 1 to delete.",
    ]


def test_periods_are_those_of_the_time_zone(program: Program) -> None:
    """20:00 and 21:30 UTC are one day in London and two in Athens."""
    text = line("late", datetime(2026, 1, 5, 22, 30, tzinfo=UTC)) + line(
        "early", datetime(2026, 1, 5, 21, tzinfo=UTC)
    )
    for zone, kept in (("Europe/London", 1), ("Europe/Athens", 2)):
        arguments = ("--archives", "l", "--now", "2026-02-01", "--timezone", zone)
        (program.folder / "l").write_text(text + line("old", datetime(2026, 1, 1, tzinfo=UTC)))
        found = answer(program("simulate", *arguments, "--keep", "daily=2", "--json"))
        assert [item["name"] for item in found["keep"]] == ["late", "early" if kept == 2 else "old"]


def test_instants_without_an_offset_are_read_on_the_clocks_of_the_zone(program: Program) -> None:
    """As `tarsnap --list-archives -v` prints them, with a space."""
    (program.folder / "l").write_text("a\t2026-07-01 00:30:00\nb\t2026-06-30T23:00:00Z\n")
    arguments = ("--archives", "l", "--timezone", "Europe/London", "--keep", "last=1", "--json")
    found = answer(program("simulate", *arguments, "--now", "2026-07-01T00:15"))
    assert [item["name"] for item in found["keep"]] == ["a", "b"]
    assert found["keep"][0]["reasons"] == ["future"]
    assert answer(program("simulate", *arguments, "--now", "2026-07-01T00:30"))["keep"][0]["name"] == "a"


def test_names_may_hold_anything_but_line_ends_and_nul(program: Program) -> None:
    names = ["a b", "tab\there", "-f", "ü\u202e", '"quoted"', " "]
    text = "".join(line(name, NOW - n * DAY) for n, name in enumerate(names))
    found = answer(listed(program, text, "--keep", "last=9", "--json"))
    assert [item["name"] for item in found["keep"]] == names


@pytest.mark.parametrize("text", [DAILY.replace("\n", "\r\n"), "\ufeff" + DAILY, DAILY + "\n\n", DAILY[:-1]])
def test_other_line_ends_a_mark_and_a_missing_last_line_end_are_no_matter(
    program: Program, text: str
) -> None:
    found = answer(listed(program, text, "--deltas", "1d 7d", "--json"))
    assert found["keep"][0]["name"] == "mail_00"
    assert [len(found[key]) for key in ("keep", "delete")] == [8, 12]


# -- bad lists ------------------------------------------------------------------------------------------


def complaint(ran: Ran) -> str:
    """The sentence of a refusal: exit 2, nothing printed, no more than a hint below it."""
    assert (ran.status, ran.out) == (2, ""), ran
    sentence, *hint = ran.err.splitlines()
    assert all(below.startswith("  ") for below in hint)
    assert sentence.startswith("snapd-backup: ")
    return sentence.removeprefix("snapd-backup: ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a\t2026-01-01T00:00Z\nb 2026-01-02T00:00Z\n", "line 2: a name, a tab and an instant are meant"),
        ("a\t2026-01-01T00:00Z\n\nb\tsoon\n", "line 3: 'soon' is no instant: ISO 8601 is meant"),
        ("a\t2026-13-01T00:00Z\n", "line 1: '2026-13-01T00:00Z' is no instant"),
        ("a\t\n", "line 1: '' is no instant"),
        ("\t2026-01-01T00:00Z\n", "line 1: there is no name before the tab"),
        ("a\t2026-01-01T00:00Z\nb\t2026-01-01T00:00Z\na\t2026-01-02T00:00Z\n", "line 3: the name 'a' stands"),
        ("a\0\t2026-01-01T00:00Z\n", "line 1: holds a NUL character"),
        (b"a\t2026-01-01T00:00Z\ncaf\xe9\t2026-01-02T00:00Z\n", "line 2: not UTF-8: found the byte 0xe9"),
        ("a\t0001-01-01T00:00Z\n", "line 1: '0001-01-01T00:00Z' lies outside the years"),
        ("a\t9999-12-31T23:59-12:00\n", "line 1: '9999-12-31T23:59-12:00' lies outside the years"),
        ("\x1b[31m\n" * 3, "line 1: a name, a tab and an instant are meant"),
    ],
)  # fmt: skip
def test_a_wrong_line_is_named(program: Program, text: str | bytes, said: str) -> None:
    sentence = complaint(listed(program, text, "--keep", "last=1"))
    assert sentence.startswith(f"the list list.txt, {said}")
    assert sentence.isprintable()


@pytest.mark.parametrize("cut", [1, 2, 3, 4, 5, 6, 7, 10, 16])
def test_a_list_that_ended_early_is_refused_wherever_it_ended(program: Program, cut: int) -> None:
    """Half an instant may be another instant: 2026-01-01T0 is none, and 2026-01-01T00 is one."""
    whole = DAILY[:-1]
    sentence = complaint(listed(program, whole[:-cut], "--keep", "last=1"))
    assert "line 20: " in sentence


def test_a_single_line_without_its_end_must_have_an_offset(program: Program) -> None:
    assert answer(listed(program, "a\t2026-01-01T00:00:00Z", "--keep", "last=1", "--json"))["keep"]
    assert "middle of a line" in complaint(listed(program, "a\t2026-01-01T00:00", "--keep", "last=1"))


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=60),
        st.lists(st.tuples(st.text(max_size=5), st.datetimes()), max_size=5).map(
            lambda rows: "".join(f"{name}\t{at}\n" for name, at in rows).encode("utf-8", "replace")
        ),
    ),
    st.sampled_from(["UTC", "Pacific/Kiritimati", "America/Adak"]),
)
def test_any_list_is_planned_for_or_refused_in_one_sentence(content: bytes, timezone: str) -> None:
    policies: list[Policy] = [
        Keep(timezone=timezone, hourly=3, weekly=3, yearly=2, within=DAY),
        Deltas((DAY, 40_000 * DAY)),
    ]
    with NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        archives: tuple[Archive, ...] = ()
        said = ""
        try:
            archives = read_list(file.name, ZoneInfo(timezone))
        except UsageError as error:
            said = error.message
    assert "\n" not in said
    for policy in policies:
        assert len(plan(archives, policy, ONLY_THE_NEWEST, NOW)) == len(archives)


def test_a_list_that_cannot_be_read_is_named_with_the_reason(program: Program) -> None:
    arguments = (*PLAN, "--keep", "last=1")
    missing = complaint(program("simulate", "--archives", "none.txt", *arguments))
    assert missing == "the list none.txt cannot be read: No such file or directory"
    assert "Is a directory" in complaint(program("simulate", "--archives", ".", *arguments))
    assert "name too long" in complaint(program("simulate", "--archives", "x" * 5000, *arguments))


def test_a_huge_list_is_refused_without_being_read_whole(program: Program) -> None:
    with (program.folder / "huge").open("wb") as opened:
        opened.truncate(2**40)  # a hole: no disk has to hold it
    ran = program("simulate", "--archives", "huge", *PLAN, "--keep", "last=1")
    assert complaint(ran) == "the list huge is larger than 64 MiB"


# -- bad policies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ([], "what is to be kept is not said"),
        (["--deltas", "1d 7d", "--keep", "daily=7"], "--deltas and --keep both say what to keep"),
        (["--deltas", ""], "--deltas: needs at least two deltas"),
        (["--deltas", "7d"], "--deltas: needs at least two deltas"),
        (["--deltas", "1d 24h"], "--deltas: two deltas are equal, 1d: each must be given once"),
        (["--deltas", "0d 7d"], "--deltas: must be longer than zero; found '0d'"),
        (["--deltas", "-1d 7d"], "--deltas: a duration cannot be negative; found '-1d'"),
        (["--deltas", "1d 40000d"], "--deltas: must not be longer than 100 years; found '40000d'"),
        (["--deltas", "1d 1y"], "--deltas: '1y' is no duration: a whole number and a unit"),
        (["--keep", ""], "--keep: keeps nothing; give a rule, such as daily=7"),
        (["--keep", " , "], "--keep: keeps nothing; give a rule, such as daily=7"),
        (["--keep", "daily=0"], "--keep: daily must be at least 1, and at most 1000000000; found 0"),
        (["--keep", "daily=-1"], "--keep: daily must be at least 1, and at most 1000000000; found -1"),
        (["--keep", "daily=" + "9" * 5000], "--keep: daily takes a whole number; found '9999"),
        (["--keep", "daily=7 daily=8"], "--keep: daily is given twice"),
        (["--keep", "minutely=7"], "--keep: 'minutely=7' is no rule: last, hourly, daily, weekly"),
        (["--keep", "daily"], "--keep: 'daily' is no rule"),
        (["--keep", "within=0h"], "--keep: must be longer than zero; found '0h'"),
        (["--keep", "within=1y"], "--keep: '1y' is no duration"),
    ],
)  # fmt: skip
def test_a_policy_that_makes_no_sense_is_told_in_a_sentence(
    program: Program, policy: list[str], said: str
) -> None:
    assert complaint(listed(program, DAILY, *policy)).startswith(said)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "exactly one of --archives and --every is needed"),
        (["--every", "15m", "--archives", "x"], "exactly one of --archives and --every is needed"),
        (["--archives", "x", "--for", "2y"], "--for belongs to --every, and a list needs none"),
        (["--every", "15m", "--now", "soon"], "'soon' is no instant"),
        (["--every", "15m", "--timezone", "Mars"], "'Mars' is no time zone"),
        (["--every", "0m"], "'every' needs a span longer than zero"),
        (["--every", "soon"], "'soon' has 1 fields, not cron's five"),
        (["--every", "15m", "--for", "0d"], "must be longer than zero"),
        (["--every", "15m", "--for", "200y"], "must not be longer than 100 years"),
        (["--every", "1s", "--for", "1y"], "31,536,000 backups are too many to simulate"),
        (["--every", "@yearly", "--for", "1d", "--now", "2026-05-05"], "no backup falls into 1d of"),
        (["--every", "@daily", "--for", "90y", "--now", "8950-01-01"], "--for 90y leads beyond the year"),
    ],
)  # fmt: skip
def test_a_question_that_makes_no_sense_is_told_in_a_sentence(
    program: Program, arguments: list[str], said: str
) -> None:
    assert complaint(program("simulate", "--keep", "last=1", *arguments)).startswith(said)


def test_an_error_is_json_for_programs(program: Program) -> None:
    ran = listed(program, "x\n", "--keep", "last=1", "--json")
    assert ran.status == 2
    assert json.loads(ran.out)["error"]["message"].startswith("the list list.txt, line 1: ")


# -- years ----------------------------------------------------------------------------------------------


def years(program: Program, *arguments: str) -> Any:
    return answer(program("simulate", *YEARS, *arguments, "--json"))


def test_years_as_json_tell_moments_generations_and_what_is_left(program: Program) -> None:
    found = years(program, "--deltas", "1h 1d 7d 30d 365d", "--for", "2y")
    assert found["schedule"] == "every 15m"
    assert found["policy"] == "deltas=3600s 86400s 604800s 2592000s 31536000s"
    assert (found["from"], found["until"]) == ("2026-01-01T00:00:00+00:00", "2028-01-01T00:00:00+00:00")
    assert [moment["after_s"] / 86400 for moment in found["after"]] == [1, 7, 30, 365, 730]
    last = found["after"][-1]
    assert last["made"] == 730 * 96
    assert last["kept"] == len(found["archives"]) == sum(each["kept"] for each in found["generations"])
    assert 350 < last["oldest_age_s"] / 86400 < 380
    assert [each["step_s"] for each in found["generations"]] == [3600, 86400, 604800, 2592000, None]
    for each in found["generations"][:-1]:
        assert each["largest_gap"]["gap_s"] <= each["worst_gap"]["gap_s"] <= 1.5 * each["step_s"]
    assert found["archives"][0]["reasons"][0] == "newest"


@pytest.mark.parametrize(
    ("every", "made"), [("0 */2 * * *", 120), ("@daily", 10), ("every 6h", 40), ("1d", 10)]
)
def test_backups_may_be_cron_an_alias_or_a_span(program: Program, every: str, made: int) -> None:
    arguments = ("--every", every, "--for", "10d", "--now", "2026-01-01", "--timezone", "UTC")
    found = answer(program("simulate", *arguments, "--keep", "daily=7", "--json"))
    assert found["after"][-1]["made"] == made


def look(program: Program, name: str, arguments: Sequence[str]) -> None:
    ran = program("simulate", *YEARS, *arguments)
    assert (ran.status, ran.err) == (0, "")
    assert ran.out == (GOLDEN / name).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("simulate-deltas-80.txt", ["--deltas", "1h 1d 7d 30d 365d"]),
        ("simulate-keep-80.txt", ["--keep", "hourly=24,daily=7,weekly=5,monthly=12", "--for", "400d"]),
    ],
)
def test_people_get_a_timeline(program: Program, name: str, arguments: list[str]) -> None:
    program.environ["COLUMNS"] = "80"
    look(program, name, arguments)
    lines = (GOLDEN / name).read_text(encoding="utf-8").splitlines()
    assert max(map(len, lines)) <= 80


def test_a_terminal_without_blocks_gets_letters(program: Program) -> None:
    program.environ |= {"LANG": "C", "PYTHONIOENCODING": "ascii", "COLUMNS": "80"}
    ran = program("simulate", *YEARS, "--deltas", "1d 7d", "--for", "30d")
    assert "##" in ran.out or "#." in ran.out
    assert ran.out.isascii()
    assert "\\u" not in ran.out


def test_progress_is_shown_from_a_second_on_and_goes() -> None:
    now, written = [0.0], list[str]()
    with Ticker("simulating", written.append, clock=lambda: now[0]) as ticker:
        for at in (0.5, 0.99, 1.0, 1.05, 1.2, 3.0):
            now[0] = at
            ticker.tell(at / 3)
    assert written == [
        "\rsimulating:  33%",
        "\rsimulating:  40%",
        "\rsimulating: 100%",
        "\r" + " " * 16 + "\r",
    ]


def test_what_takes_less_than_a_second_shows_no_progress() -> None:
    written: list[str] = []
    with Ticker("simulating", written.append, clock=lambda: 0.0) as ticker:
        ticker.tell(1)
    assert written == []


def test_a_terminal_gets_colours_and_is_left_clean(program: Program) -> None:
    status, said = program.on_terminal("simulate", *YEARS, "--deltas", "1d 7d", "--for", "30d")
    assert status == 0
    assert "\x1b[36m" in said
    assert "simulating" not in said.rpartition("\r")[2]
