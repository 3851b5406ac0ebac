"""`history`, `archives`, `pause`, `resume` and `reload`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from snapd.control import Event
from tests.cli.canned import FakeDaemon, done, error, restore, run
from tests.cli.conftest import Program

ARCHIVES = [
    {
        "name": "mail_20261123-1100",
        "created": "2026-11-23T11:00:00+00:00",
        "complete": True,
        "suspect": False,
        "listed": "2026-11-23T12:00:00+00:00",
        "proven": "2026-11-23T11:30:00+00:00",
        "pinned": "2026-11-23T11:45:00+00:00",
    },
    {
        "name": "mail_20261123-0900",
        "created": "2026-11-23T09:00:00+00:00",
        "complete": True,
        "suspect": True,
        "listed": "2026-11-23T12:00:00+00:00",
        "proven": None,
        "pinned": None,
    },
    {
        "name": "mail_20261123-0700.part\n",
        "created": "2026-11-23T07:00:00+00:00",
        "complete": False,
        "suspect": False,
        "listed": "2026-11-23T12:00:00+00:00",
        "proven": None,
        "pinned": None,
    },
]


def test_the_history_is_a_table_newest_first_as_the_daemon_gives_it(
    program: Program, daemon: FakeDaemon
) -> None:
    daemon.answers["history"] = [done(runs=[run(), run("expire", "shop", outcome="skipped")], restores=[])]
    ran = program("history")
    assert ran.status == 0
    assert ran.out == (
        "ENDED             SET   KIND    OUTCOME  TOOK  NEW      WHAT\n"
        "2026-11-23 11:00  mail  backup  ok       42s   1.20 MB  mail_20261123-1100\n"
        "2026-11-23 11:00  shop  expiry  skipped  42s            slot 2026-11-23 11:00\n"
    )


def test_set_kind_and_limit_go_to_the_daemon(program: Program, daemon: FakeDaemon) -> None:
    daemon.answers["history"] = [done(runs=[], restores=[])]
    ran = program("history", "mail", "--kind", "restore-test", "--limit", "3")
    assert ran.out == "No run has ended yet.\n"
    assert daemon.requests == [{"op": "history", "set": "mail", "kind": "restore-test", "limit": 3}]


def test_history_as_json_is_one_object(program: Program, daemon: FakeDaemon) -> None:
    daemon.answers["history"] = [done(runs=[run()], restores=[restore()])]
    assert json.loads(program("history", "--json").out) == {"runs": [run()], "restores": [restore()]}


def test_restores_stand_among_the_runs_by_time(program: Program, daemon: FakeDaemon) -> None:
    early = restore(at="2026-11-23T10:59:00+00:00", outcome="failed", error="no space left\x1b[2J")
    daemon.answers["history"] = [done(runs=[run()], restores=[restore("shop"), early])]
    assert program("history").out == (
        "ENDED             SET   KIND     OUTCOME  TOOK  NEW      WHAT\n"
        "2026-11-23 11:30  shop  restore  ok       12s            shop_20261123-1100 -> /root/restored\n"
        "2026-11-23 11:00  mail  backup   ok       42s   1.20 MB  mail_20261123-1100\n"
        "2026-11-23 10:59  mail  restore  failed   12s            "
        "mail_20261123-1100 -> /root/restored, no space left\\x1b[2J\n"
    )
    newest = json.loads(program("history", "--json", "--limit", "2").out)
    assert newest == {"runs": [run()], "restores": [restore("shop")]}


def test_without_a_restore_by_hand_it_says_so(program: Program, daemon: FakeDaemon) -> None:
    daemon.answers["history"] = [done(runs=[], restores=[])]
    assert program("history", "--kind", "restore").out == "Nothing was restored yet.\n"
    assert daemon.requests == [{"op": "history", "set": None, "kind": "restore", "limit": 50}]


def test_slots_within_one_minute_are_told_to_the_second(program: Program, daemon: FakeDaemon) -> None:
    slots: dict[str, Any] = {"outcome": "skipped", "slots": 3, "slot": "2026-11-23T07:39:05+00:00"}
    close = run(**slots, last_slot="2026-11-23T07:39:35+00:00")
    far = run(**slots, last_slot="2026-11-23T07:41:05+00:00")
    daemon.answers["history"] = [done(runs=[close, far], restores=[])]
    said = program("history").out
    assert "3 slots, 2026-11-23 07:39:05 to 2026-11-23 07:39:35\n" in said
    assert "3 slots, 2026-11-23 07:39 to 2026-11-23 07:41\n" in said


def test_accept_names_the_archives_that_count_again(program: Program, daemon: FakeDaemon) -> None:
    daemon.answers["accept"] = [done(set="mail", accepted=["mail_2", "mail_1\n"])]
    assert program("accept", "mail").out == "accepted mail_2\naccepted mail_1\\n\n"
    assert daemon.requests == [{"op": "accept", "set": "mail"}]
    assert json.loads(program("accept", "mail", "--json").out) == {
        "set": "mail",
        "accepted": ["mail_2", "mail_1\n"],
    }


def test_without_a_suspect_archive_accept_says_so(program: Program, daemon: FakeDaemon) -> None:
    daemon.answers["accept"] = [done(set="mail", accepted=[])]
    assert program("accept", "mail").out == "No archive of mail is suspect.\n"


PIN = {
    "store": "offsite",
    "backup_set": "mail",
    "archive": "mail_1\x1b",
    "pinned": "2026-11-23T12:00:00+00:00",
    "uid": 0,
    "reason": "the audit",
}


def test_an_archive_is_pinned_with_a_reason_and_the_answer_names_its_set(
    program: Program, daemon: FakeDaemon
) -> None:
    daemon.answers["pin"] = [{"event": "listing", "store": "offsite"}, done(pin=PIN, expiring=False)]
    ran = program("pin", "mail_1", "--set", "mail", "--reason", "the audit")
    assert (ran.status, ran.out) == (0, "pinned mail_1\\x1b of mail\n")
    assert ran.err == "listing the archives of store offsite\n"
    asked = {"op": "pin", "archive": "mail_1", "set": "mail", "reason": "the audit"}
    assert daemon.requests == [asked]
    assert json.loads(program("pin", "mail_1", "--json").out) == {"pin": PIN, "expiring": False}
    assert daemon.requests[-1] == {**asked, "set": None, "reason": ""}


def test_a_pin_beside_a_running_expiry_says_that_it_may_be_late(program: Program, daemon: FakeDaemon) -> None:
    daemon.answers["pin"] = [done(pin=PIN, expiring=True)]
    assert "snapd-backup archives mail --refresh" in program("pin", "mail_1").out


def test_a_pin_is_taken_back(program: Program, daemon: FakeDaemon) -> None:
    daemon.answers["unpin"] = [done(pin=PIN, expiring=False)]
    assert program("unpin", "mail_1").out == "unpinned mail_1\\x1b of mail\n"
    assert daemon.requests == [{"op": "unpin", "archive": "mail_1", "set": None}]
    assert json.loads(program("unpin", "mail_1", "--json").out) == {"pin": PIN}


def test_archives_are_listed_with_their_state_and_proof(program: Program, daemon: FakeDaemon) -> None:
    daemon.answers["archives"] = [done(archives=ARCHIVES, pinned_lost=[])]
    ran = program("archives", "mail")
    assert ran.out == (
        "ARCHIVE                    CREATED           STATE             PROVEN\n"
        "mail_20261123-1100         2026-11-23 11:00  complete, pinned  2026-11-23 11:30\n"
        "mail_20261123-0900         2026-11-23 09:00  suspect           never\n"
        "mail_20261123-0700.part\\n  2026-11-23 07:00  incomplete        never\n"
    )
    assert daemon.requests == [{"op": "archives", "set": "mail", "refresh": False}]


def test_a_refresh_asks_the_store_first(program: Program, daemon: FakeDaemon) -> None:
    listing: Event = {"event": "listing", "store": "offsite"}
    daemon.answers["archives"] = [listing, done(archives=ARCHIVES, pinned_lost=[])]
    ran = program("archives", "mail", "--refresh", "--json")
    assert json.loads(ran.out) == {"archives": ARCHIVES, "pinned_lost": []}
    assert ran.err == "listing the archives of store offsite\n"
    assert daemon.requests == [{"op": "archives", "set": "mail", "refresh": True}]


def test_a_pinned_archive_that_is_gone_is_named(program: Program, daemon: FakeDaemon) -> None:
    daemon.answers["archives"] = [done(archives=[], pinned_lost=["m\x1b"])]
    assert program("archives", "mail").out == (
        "No archive of mail is known.\n\n"
        "m\\x1b is pinned, and not in its store any more; to forget the pin: snapd-backup unpin m\\x1b\n"
    )


def test_without_an_archive_it_says_so(program: Program, daemon: FakeDaemon) -> None:
    daemon.answers["archives"] = [done(archives=[], pinned_lost=[])]
    assert program("archives", "mail").out == "No archive of mail is known.\n"


def test_without_a_daemon_archives_says_how_to_ask_the_store(program: Program) -> None:
    ran = program("archives", "mail")
    assert ran.status == 2
    assert "snapd-backup archives mail --refresh" in ran.err


def test_pause_says_until_when(program: Program, daemon: FakeDaemon) -> None:
    daemon.answers["pause"] = [done(set="mail", paused_until="2026-11-23T16:00:00+00:00")]
    ran = program("pause", "mail", "--for", "4h")
    assert ran.out == "mail is paused until 2026-11-23 16:00\n"
    assert daemon.requests == [{"op": "pause", "set": "mail", "for": "4h"}]
    assert json.loads(program("pause", "mail", "--for", "4h", "--json").out) == {
        "set": "mail",
        "paused_until": "2026-11-23T16:00:00+00:00",
    }


def test_pause_needs_to_know_for_how_long(program: Program) -> None:
    ran = program("pause", "mail")
    assert ran.status == 2
    assert "--for" in ran.err


def test_resume_ends_a_pause(program: Program, daemon: FakeDaemon) -> None:
    daemon.answers["resume"] = [done(set="mail", paused_until=None)]
    assert program("resume", "mail").out == "mail is resumed\n"
    assert json.loads(program("resume", "mail", "--json").out) == {"set": "mail", "paused_until": None}


CHANGE = {
    "added": ["wiki"],
    "removed": [],
    "changed": ["mail", "shop"],
    "problems": ["borg is not installed"],
}


def test_reload_says_what_changed_and_what_is_wrong_on_the_machine(
    program: Program, daemon: FakeDaemon
) -> None:
    daemon.answers["reload"] = [done(**CHANGE)]
    ran = program("reload")
    assert ran.status == 0
    assert ran.out == "reloaded: added wiki; changed mail, shop\nproblem: borg is not installed\n"
    assert json.loads(program("reload", "--json").out) == CHANGE


def test_reload_of_a_bad_file_fails_with_every_problem(program: Program, daemon: FakeDaemon) -> None:
    problems = "c.toml:3: unknown key\nc.toml:9: no such store\nthe config in force stays as it was"
    daemon.answers["reload"] = [error("the config is wrong", problems, code="refused")]
    ran = program("reload")
    assert ran.status == 2
    assert ran.err == (
        "snapd-backup: the config is wrong\n"
        "  c.toml:3: unknown key\n  c.toml:9: no such store\n  the config in force stays as it was\n"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["status"],
        ["history"],
        ["archives", "mail"],
        ["pause", "mail", "--for", "1h"],
        ["resume", "mail"],
        ["reload"],
        ["backup", "mail", "--detach"],
    ],
)
def test_without_a_daemon_it_exits_2_and_says_how_to_start_one(
    program: Program, arguments: list[str]
) -> None:
    ran = program(*arguments)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("snapd-backup: no daemon answers at ")
    assert "systemctl start snapd-backup" in ran.err
