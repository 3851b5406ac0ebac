"""`status`, as people and programs see it. The golden files are what is printed, to the letter."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.cli.canned import (
    LIGHTS_ON,
    NOW,
    FakeDaemon,
    backup_set,
    done,
    error,
    job,
    off,
    run,
    status,
    unfinished,
)
from tests.cli.conftest import Program

GOLDEN = Path(__file__).parent / "golden"

ON_THIS_MACHINE = off("the store is on this machine")
NO_COPY = off("the key's copy was never confirmed")
FAILED = run(
    "restore-test",
    "shop",
    outcome="failed",
    ended="2026-11-23T05:31:12+00:00",
    duration_s=72.4,
    archive="shop_20261123-0500",
    error_code="restore-test",
    message="the archive shop_20261123-0500 failed its restore test: SELECT max(id) FROM orders: expected at "
    "least 1, found 0",
    hint="restore it and look; the findings are in the history; an older archive may be good",
)
SHOP = backup_set(
    "shop",
    store="local",
    archives=311,
    lights={
        **LIGHTS_ON,
        "proven": off("last restored 92d ago, allowed are 90d"),
        "off-site": ON_THIS_MACHINE,
        "key copied": NO_COPY,
    },
    jobs={
        "backup": job(
            "*/15 * * * *",
            "2026-11-23T12:15:00+00:00",
            last=run(backup_set="shop", ended="2026-11-23T11:45:08+00:00", duration_s=8.2),
            unfinished=unfinished(
                backup_set="shop", run_id="aa11bb22cc33", started="2026-11-23T11:59:31+00:00", attempts=1
            ),
        ),
        "restore-test": job("30 5 * * *", "2026-11-24T05:30:00+00:00", last=FAILED),
        "expire": job("every 6h", "2026-11-23T18:00:00+00:00", last=run("expire", "shop")),
    },
)
WIKI = backup_set(
    "wiki",
    store="local",
    archives=0,
    newest=None,
    paused_until="2026-11-23T16:00:00+00:00",
    lights={
        **LIGHTS_ON,
        "fresh": off("no archive for the slot of 2026-11-23 00:00+00:00; no archive at all"),
        "proven": off("never restored"),
        "off-site": ON_THIS_MACHINE,
        "key copied": NO_COPY,
    },
    jobs={"backup": job("@daily", "2026-11-24T00:00:00+00:00")},
)
RUNNING = {
    **SHOP["jobs"]["backup"]["unfinished"],
    "lane": 1,
    "progress": {"files": 1204, "bytes": 3_100_000_000, "bytes_total": 8_000_000_000, "path": "srv/shop/x"},
}
LOCK = {
    "pid": 812,
    "run_id": "aa11bb22cc33",
    "job": "backup:shop",
    "since": "2026-11-23T11:59:31+00:00",
}
THREE_SETS = status(backup_set(), SHOP, WIKI, running=[RUNNING], lock=LOCK)
DETAILS = status(SHOP, running=[RUNNING], lock=LOCK)
RUNS = [
    run(backup_set="shop", ended="2026-11-23T11:45:08+00:00", duration_s=8.2),
    FAILED,
    run(
        backup_set="shop",
        outcome="missed",
        slot="2026-11-22T20:00:00+00:00",
        last_slot="2026-11-23T04:45:00+00:00",
        slots=36,
        started=None,
        duration_s=None,
        archive=None,
        bytes_new=None,
        bytes_total=None,
        ended="2026-11-23T05:00:00+00:00",
    ),
]


def same_as_golden(said: str, name: str) -> None:
    assert said == (GOLDEN / name).read_text(encoding="utf-8"), f"{name} differs:\n{said}"


def without_colours(said: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", said)


def test_on_a_terminal_of_80_columns_it_fits(program: Program, daemon: FakeDaemon) -> None:
    daemon.answers["status"] = [done(status=THREE_SETS)]
    exit_status, said = program.on_terminal("status")
    assert exit_status == 3
    assert max(len(line) for line in without_colours(said).splitlines()) <= 80
    same_as_golden(without_colours(said), "status-80.txt")


def test_in_a_pipe_there_are_no_colours_and_no_broken_lines(program: Program, daemon: FakeDaemon) -> None:
    daemon.answers["status"] = [done(status=THREE_SETS)]
    ran = program("status")
    assert "\x1b" not in ran.out
    same_as_golden(ran.out, "status-pipe.txt")


def test_as_json_it_is_what_the_daemon_said(program: Program, daemon: FakeDaemon) -> None:
    daemon.answers["status"] = [done(status=THREE_SETS)]
    ran = program("status", "--json")
    assert (ran.status, ran.err, json.loads(ran.out)) == (3, "", THREE_SETS)
    same_as_golden(ran.out, "status.json")


def test_of_one_set_it_tells_everything(program: Program, daemon: FakeDaemon) -> None:
    daemon.answers["status"] = [done(status=DETAILS)]
    daemon.answers["history"] = [done(runs=RUNS, restores=[])]
    exit_status, said = program.on_terminal("status", "shop")
    assert exit_status == 3
    assert daemon.requests == [
        {"op": "status", "set": "shop"},
        {"op": "history", "set": "shop", "limit": 10},
    ]
    same_as_golden(without_colours(said), "status-set-80.txt")


def test_of_one_set_as_json_it_has_the_recent_runs_too(program: Program, daemon: FakeDaemon) -> None:
    daemon.answers["status"] = [done(status=DETAILS)]
    daemon.answers["history"] = [done(runs=RUNS, restores=[])]
    assert json.loads(program("status", "shop", "--json").out) == {**DETAILS, "runs": RUNS}


def test_lights_are_green_and_red_on_a_terminal_only(program: Program, daemon: FakeDaemon) -> None:
    daemon.answers["status"] = [done(status=THREE_SETS)]
    _, said = program.on_terminal("status")
    assert "\x1b[32m●\x1b[0m" in said
    assert "\x1b[31m○\x1b[0m" in said
    program.environ["NO_COLOR"] = "1"
    assert "\x1b[3" not in program.on_terminal("status")[1]


def test_without_utf_8_lights_are_plus_and_minus(program: Program, daemon: FakeDaemon) -> None:
    daemon.answers["status"] = [done(status=THREE_SETS)]
    program.environ["PYTHONIOENCODING"] = "ascii"
    said = program("status").out
    assert said.isascii()
    assert "+ - + - -" in said


def test_with_all_lights_on_it_exits_0(program: Program, daemon: FakeDaemon) -> None:
    daemon.answers["status"] = [done(status=status(backup_set()))]
    ran = program("status")
    assert (ran.status, ran.err) == (0, "")
    assert "Off" not in ran.out


PROBLEM = {
    "message": "the secret file /etc/key can be read by others",
    "hint": "chmod 0600 /etc/key",
    "store": "local",
    "backup_set": None,
}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"config": {"file": "/etc/c.toml", "accepted": "x", "refused": ["/etc/c.toml:3: unknown key"]}},
            ["/etc/c.toml is wrong", "  /etc/c.toml:3: unknown key"],
        ),
        ({"history": {"unwritten": 4, "rebuilt": None}}, ["4 rows of the history wait"]),
        ({"history": {"unwritten": 0, "rebuilt": "2026-11-23"}}, ["The history was damaged"]),
        ({"problems": [PROBLEM]}, ["store local: the secret file", "  chmod 0600 /etc/key"]),
    ],
)
def test_what_else_is_wrong_comes_first_and_exits_3(
    program: Program, daemon: FakeDaemon, changes: dict[str, object], said: list[str]
) -> None:
    daemon.answers["status"] = [done(status=status(backup_set(), **changes))]
    ran = program("status")
    assert ran.status == 3
    top = ran.out.partition("SET ")[0]
    assert all(text in top for text in said), ran.out


def test_a_lock_that_another_process_holds_is_shown(program: Program, daemon: FakeDaemon) -> None:
    foreign = {"pid": 77, "run_id": "", "job": "restore:mail", "since": "2026-11-23T11:58:00+00:00"}
    daemon.answers["status"] = [done(status=status(backup_set(), lock=foreign))]
    assert "Lock     held by restore of mail (process 77) for 2m" in program("status").out


def test_what_runs_is_shown_with_its_lane(program: Program, daemon: FakeDaemon) -> None:
    beside = {**RUNNING, "run_id": "b", "job": "restore-test:mail", "lane": 2}
    aside = {**RUNNING, "run_id": "c", "job": "expire:mail", "lane": None}
    daemon.answers["status"] = [
        done(status=status(backup_set(), running=[beside, aside, RUNNING], lock=LOCK, reading=None))
    ]
    said = program("status").out
    assert "restore test of mail, 29s, in the second lane, 1,204 files" in said
    assert "expiry of mail, 29s, standing aside, 1,204 files" in said
    assert "backup of shop, 29s, 1,204 files" in said


def test_a_reader_that_a_killed_daemon_left_is_shown(program: Program, daemon: FakeDaemon) -> None:
    left = {"pid": 77, "run_id": "r", "job": "restore-test:mail", "since": "2026-11-23T11:58:00+00:00"}
    daemon.answers["status"] = [done(status=status(backup_set(), reading=left))]
    assert "Reader   restore test of mail (run r, process 77) for 2m" in program("status").out


def test_a_config_without_sets_is_said_so(program: Program, daemon: FakeDaemon) -> None:
    daemon.answers["status"] = [done(status=status(next=None))]
    ran = program("status")
    assert ran.status == 0
    assert "no backup set" in ran.out


def test_a_retry_that_waits_is_shown_as_what_comes_next(program: Program, daemon: FakeDaemon) -> None:
    waiting = unfinished(not_before="2026-11-23T12:05:00+00:00", message="no route to host", failures=1)
    item = backup_set(jobs={"backup": job("@hourly", None, unfinished=waiting)})
    daemon.answers["status"] = [done(status=status(item))]
    assert "retry in 5m" in program("status").out


def test_names_from_outside_cannot_steer_the_terminal(program: Program, daemon: FakeDaemon) -> None:
    hostile = backup_set("a\x1b]0;owned\x07\nFAKE LINE", lights={**LIGHTS_ON, "fresh": off("x\x1b[2J")})
    daemon.answers["status"] = [done(status=status(hostile))]
    _, said = program.on_terminal("status")
    assert r"a\x1b]0;owned\x07\nFAKE LINE" in said
    assert "\x1b]" not in said
    assert "\x1b[2J" not in said


def test_a_set_that_does_not_exist_is_refused_in_the_daemons_words(
    program: Program, daemon: FakeDaemon
) -> None:
    daemon.answers["status"] = [error("there is no backup set 'mial'", "there is: mail")]
    ran = program("status", "mial")
    assert (ran.status, ran.out) == (2, "")
    assert ran.err == "snapd-backup: there is no backup set 'mial'\n  there is: mail\n"


def test_an_expiry_that_could_not_finish_and_a_lost_pin_are_told_and_exit_3(
    program: Program, daemon: FakeDaemon
) -> None:
    late = {
        "completed": "2026-11-11T12:00:00+00:00",
        "late_s": 1036800.0,
        "why": "held: 1 suspect archive\x1b",
    }
    sets = [
        backup_set("mail", expiry=late),
        backup_set("shop", expiry={**late, "completed": None}, pinned_lost=["shop_1"]),
        backup_set("wiki", expiry={"completed": NOW, "late_s": None, "why": None}),
    ]
    daemon.answers["status"] = [done(status=status(*sets))]
    ran = program("status")
    assert ran.status == 3
    assert ran.out.startswith(
        "shop_1 is pinned, and not in its store any more; to forget the pin: snapd-backup unpin shop_1\n"
        "Expiry of mail was last completed 12d ago: held: 1 suspect archive\\x1b\n"
        "Expiry of shop was never completed: held: 1 suspect archive\\x1b\n"
        "\n"
    )
    daemon.answers["status"] = [done(status=status(sets[2]))]
    assert program("status").status == 0


def test_why_a_run_waits_for_its_next_attempt_is_said_with_the_cure(
    program: Program, daemon: FakeDaemon
) -> None:
    waiting = unfinished(not_before="2026-11-23T12:05:00+00:00", attempts=1, failures=1)
    waiting |= {"message": "there is no cachedir \x1b[2J", "hint": "make the folder\nthen repair"}
    due = unfinished(not_before="2026-11-23T12:00:00+00:00")
    jobs = {"backup": job("@daily", None, unfinished=waiting), "expire": job("@daily", None, unfinished=due)}
    daemon.answers["status"] = [done(status=status(backup_set(jobs=jobs)))]
    ran = program("status")
    assert (
        "backup of mail failed, next attempt in 5m\n"
        "  there is no cachedir \\x1b[2J\n"
        "  make the folder\n"
        "  then repair\n"
    ) in ran.out
    assert ran.out.count("next attempt") == 1
