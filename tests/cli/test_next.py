"""`next`: schedules without config or daemon."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Program


def instants(program: Program, *arguments: str) -> list[str]:
    ran = program("next", *arguments, "--json")
    assert (ran.status, ran.err) == (0, "")
    answer = json.loads(ran.out)
    assert list(answer) == ["next"]
    found: list[str] = answer["next"]
    return found


def test_instants_have_the_offset_of_the_time_zone(program: Program) -> None:
    arguments = ["30 2 * * *", "--timezone", "Europe/Berlin", "--from", "2026-10-24T12:00", "--count", "2"]
    assert instants(program, *arguments) == ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"]


def test_an_offset_in_from_is_kept_to(program: Program) -> None:
    arguments = ["@daily", "--timezone", "Europe/Berlin", "--from", "2026-11-23T23:30:00Z", "--count", "1"]
    assert instants(program, *arguments) == ["2026-11-25T00:00:00+01:00"]


def test_the_systems_time_zone_is_the_default(program: Program) -> None:
    program.environ["TZ"] = "Asia/Kolkata"
    assert instants(program, "@daily", "--from", "2026-11-23T10:00", "--count", "1") == [
        "2026-11-24T00:00:00+05:30"
    ]


def test_five_instants_after_now_are_shown_unless_told_otherwise(program: Program) -> None:
    assert len(instants(program, "every 15m")) == 5


def test_people_get_the_weekday_too(program: Program) -> None:
    ran = program("next", "0 4 * * sun", "--timezone", "UTC", "--from", "2026-11-23", "--count", "1")
    assert ran.out == "Sun 2026-11-29 04:00:00 +0000\n"


@pytest.mark.parametrize(
    "arguments",
    [["61 * * * *"], ["@daily", "--timezone", "Mars/Base"], ["@daily", "--from", "soon"], ["0 0 31 2 *"]],
)
def test_what_makes_no_sense_exits_2_with_a_sentence(program: Program, arguments: list[str]) -> None:
    ran = program("next", *arguments)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("snapd-backup: ")
    assert "Traceback" not in ran.err
