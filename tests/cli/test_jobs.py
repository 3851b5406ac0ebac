"""`backup`, `restore-test` and `expire` beside a daemon."""

from __future__ import annotations

import json
import signal
from collections.abc import Generator
from typing import Any

import pytest

from snapd.control import Event, Request
from tests.cli.canned import FakeDaemon, backup_set, done, error, run, status, unfinished
from tests.cli.conftest import DEADLINE_S, Program
from tests.cli.test_status import without_colours

QUEUED: Event = {"event": "queued", "run": unfinished()}
STARTED: Event = {"event": "started", "attempt": 1}
PROGRESS: Event = {
    "event": "progress",
    "files": 12,
    "bytes": 3_000_000,
    "bytes_total": 9_000_000,
    "path": "srv/mail/\x1b[2Jx",
}
ENDED: Event = {"event": "ended", "successor": None}


def a_run(**changes: Any) -> list[Event]:
    return [QUEUED, STARTED, PROGRESS, ENDED, done(run=run(**changes))]


def test_a_backup_is_followed_to_its_end(program: Program, daemon: FakeDaemon) -> None:
    daemon.answers["run"] = a_run()
    ran = program("backup", "mail")
    assert ran.status == 0
    assert ran.out == "backup of mail: ok in 42s, archive mail_20261123-1100, 1.20 MB new of 8.00 GB\n"
    assert ran.err == "backup of mail is due (run 5f0c2b7a91de)\nstarted\n"
    assert daemon.requests == [{"op": "run", "kind": "backup", "set": "mail", "follow": True}]


@pytest.mark.parametrize(
    ("outcome", "expected"), [("ok", 0), ("warning", 3), ("failed", 1), ("interrupted", 1), ("skipped", 1)]
)
def test_the_exit_status_tells_the_outcome(
    program: Program, daemon: FakeDaemon, outcome: str, expected: int
) -> None:
    daemon.answers["run"] = a_run(outcome=outcome, message="a sentence", hint="what to do")
    ran = program("backup", "mail")
    assert ran.status == expected
    assert f"backup of mail: {outcome} in 42s" in ran.out
    assert "  a sentence\n  hint: what to do\n" in ran.out


def test_json_is_the_events_as_they_come(program: Program, daemon: FakeDaemon) -> None:
    daemon.answers["run"] = a_run()
    ran = program("backup", "mail", "--json")
    assert (ran.status, ran.err) == (0, "")
    assert [json.loads(line) for line in ran.out.splitlines()] == a_run()


def test_on_a_terminal_progress_is_one_line_that_goes_away(program: Program, daemon: FakeDaemon) -> None:
    daemon.answers["run"] = a_run()
    exit_status, said = program.on_terminal("backup", "mail")
    assert exit_status == 0
    assert "\x1b[2Jx" not in said
    assert "backup of mail: \x1b[32mok\x1b[0m in 42s" in said.splitlines()[-1]


def test_waiting_for_the_lock_says_who_holds_it(program: Program, daemon: FakeDaemon) -> None:
    waiting = {"event": "waiting", "holder": "expire:shop (run x, process 9)"}
    daemon.answers["run"] = [QUEUED, waiting, STARTED, ENDED, done(run=run())]
    assert "waiting for the lock, held by expire:shop (run x, process 9)\n" in program("backup", "mail").err


def test_a_retry_is_announced_with_its_reason(program: Program, daemon: FakeDaemon) -> None:
    retry = {
        "event": "retry",
        "at": "2026-11-23 12:05:00+00:00",
        "message": "no route to host",
        "hint": "look",
    }
    daemon.answers["run"] = [QUEUED, STARTED, retry, STARTED, ENDED, done(run=run())]
    said = program("backup", "mail").err
    assert "failed: no route to host; next attempt at 2026-11-23 12:05\n  look\n" in said


def test_a_run_in_progress_is_joined(program: Program, daemon: FakeDaemon) -> None:
    running = unfinished(started="2026-11-23T11:59:00+00:00")
    daemon.answers["run"] = [{"event": "queued", "run": running}, ENDED, done(run=run())]
    assert "runs already, joining it (run 5f0c2b7a91de)" in program("backup", "mail").err


def test_events_of_a_newer_daemon_are_passed_over(program: Program, daemon: FakeDaemon) -> None:
    daemon.answers["run"] = [QUEUED, {"event": "from-the-future", "x": 1}, done(run=run())]
    assert program("backup", "mail").status == 0


@pytest.mark.parametrize("option", ["--no-follow", "--detach"])
def test_detached_the_run_is_left_to_the_daemon(program: Program, daemon: FakeDaemon, option: str) -> None:
    daemon.answers["run"] = [QUEUED, done(run=unfinished())]
    ran = program("backup", "mail", option)
    assert (ran.status, ran.out) == (0, "backup of mail: due (run 5f0c2b7a91de)\n")
    assert ran.err == "see it with `snapd-backup status mail`\n"
    assert daemon.requests[0]["follow"] is False


def test_ctrl_c_stops_the_following_and_not_the_run(program: Program, daemon: FakeDaemon) -> None:
    def endless(_request: Request) -> Generator[Event | None]:
        yield QUEUED
        yield STARTED
        while not daemon.gone.wait(0.01):
            yield None

    daemon.answers["run"] = endless
    following = program.start("backup", "mail")
    assert following.stderr is not None
    while following.stderr.readline() != b"started\n":
        pass
    following.send_signal(signal.SIGINT)
    out, err = following.communicate(timeout=DEADLINE_S)
    assert following.returncode == 130
    assert out == b""
    assert b"the run goes on: see it with `snapd-backup status mail`" in err
    assert b"Traceback" not in err
    assert daemon.gone.wait(DEADLINE_S)


LOCK = {"pid": 9, "run_id": "r1", "job": "expire:shop", "since": "2026-11-23T11:00:00+00:00"}


def test_no_wait_exits_75_and_says_who_holds_the_lock(program: Program, daemon: FakeDaemon) -> None:
    daemon.answers["status"] = [done(status=status(backup_set(), lock=LOCK))]
    ran = program("backup", "mail", "--no-wait")
    assert (ran.status, ran.out) == (75, "")
    assert "the lock is held by expiry of shop (run r1, process 9) since 2026-11-23 11:00" in ran.err
    assert [request["op"] for request in daemon.requests] == ["status"]


def test_no_wait_runs_when_the_lock_is_free(program: Program, daemon: FakeDaemon) -> None:
    daemon.answers["status"] = [done(status=status(backup_set()))]
    daemon.answers["run"] = a_run()
    assert program("backup", "mail", "--no-wait").status == 0


def test_a_refusal_has_its_own_words_hint_and_exit_status(program: Program, daemon: FakeDaemon) -> None:
    daemon.answers["run"] = [error("the set 'mail' has no expire job", "add [backup.mail.expire]")]
    ran = program("expire", "mail")
    assert (ran.status, ran.out) == (2, "")
    assert ran.err == "snapd-backup: the set 'mail' has no expire job\n  add [backup.mail.expire]\n"


def test_a_daemon_that_goes_away_is_no_success(program: Program, daemon: FakeDaemon) -> None:
    daemon.answers["run"] = [QUEUED, STARTED]
    ran = program("backup", "mail")
    assert ran.status == 1
    assert "the daemon ended before it answered" in ran.err


FINDINGS = [
    {"check": "path srv/mail", "expected": "it exists", "seen": "12 files", "passed": True},
    {"check": "SELECT 1", "expected": "at least 1", "seen": "0\x1b[2J", "passed": False},
    {"check": "command", "expected": "exit status 0", "seen": "no room", "passed": None},
]


def test_a_restore_test_shows_its_findings(program: Program, daemon: FakeDaemon) -> None:
    details = {"findings": FINDINGS, "data_age_s": 90.0}
    ended = run("restore-test", outcome="failed", archive="mail_1", message="it failed", details=details)
    daemon.answers["run"] = [QUEUED, STARTED, ENDED, done(run=ended)]
    ran = program("restore-test", "mail")
    assert ran.status == 1
    assert ran.out == (
        "restore test of mail: failed in 42s, archive mail_1, its newest data 1m 30s older than it\n"
        "  it failed\n"
        "\n"
        "RESULT  CHECK          EXPECTED       SEEN\n"
        "passed  path srv/mail  it exists      12 files\n"
        "failed  SELECT 1       at least 1     0\\x1b[2J\n"
        "untold  command        exit status 0  no room\n"
    )


def test_an_expiry_says_how_many_archives_went(program: Program, daemon: FakeDaemon) -> None:
    ended = run("expire", details={"archives": 30, "planned": 6, "deleted": 6, "completed": True})
    daemon.answers["run"] = [QUEUED, STARTED, ENDED, done(run=ended)]
    assert program("expire", "mail").out == "expiry of mail: ok in 42s, 6 of 30 archives deleted\n"


def verdict(name: str, *reasons: str, **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "created": "2026-11-23T11:00:00+00:00",
        "complete": True,
        "suspect": False,
        "keep": bool(reasons),
        "reasons": list(reasons),
        **changes,
    }


def group(reason: str, count: int = 1, *, keep: bool = True) -> dict[str, Any]:
    ends = {"oldest": "2026-11-01T11:00:00+00:00", "newest": "2026-11-23T11:00:00+00:00"}
    return {"keep": keep, "reason": reason, "count": count, **ends}


def hold(guard: str = "policy-changed", *, approvable: bool = True) -> dict[str, Any]:
    return {
        "guard": guard,
        "reason": "the policy has changed",
        "approvable": approvable,
        "hint": "look at it\x1b\nthen at it again",
    }


def plan(**changes: Any) -> dict[str, Any]:
    return {
        "backup_set": "mail",
        "policy": "x",
        "hold": None,
        "keep": 1,
        "delete": 1,
        "approved": [],
        "groups": [group("newest"), group("no rule keeps it", keep=False)],
        "archives": [verdict("mail_2", "newest", "1d generation"), verdict("mail_1.part", complete=False)],
        **changes,
    }


LISTING: Event = {"event": "listing", "store": "offsite"}


def test_the_plan_of_an_expiry_shows_each_archive_with_its_reasons(
    program: Program, daemon: FakeDaemon
) -> None:
    daemon.answers["plan"] = [LISTING, done(plan=plan(), approved=False)]
    ran = program("expire", "mail", "--plan")
    assert (ran.status, ran.err) == (0, "listing the archives of store offsite\n")
    assert ran.out == (
        "VERDICT  CREATED           ARCHIVE      WHY\n"
        "keep     2026-11-23 11:00  mail_2       newest, 1d generation\n"
        "delete   2026-11-23 11:00  mail_1.part  no rule keeps it, incomplete\n"
        "\n"
        "1 to keep, 1 to delete.\n"
    )
    assert daemon.requests == [{"op": "plan", "set": "mail", "approve": False}]


def test_a_plan_as_json_is_events_too(program: Program, daemon: FakeDaemon) -> None:
    events = [LISTING, done(plan=plan(), approved=False)]
    daemon.answers["plan"] = events
    ran = program("expire", "mail", "--plan", "--json")
    assert [json.loads(line) for line in ran.out.splitlines()] == events


def long_plan(**changes: Any) -> dict[str, Any]:
    """Nine archives to keep, and thirty to delete."""
    archives = [
        verdict(f"mail_{number}", *(["newest"] if number > 30 else [])) for number in range(39, 0, -1)
    ]
    groups = [group("newest"), group("delta 1d", 8), group("no rule keeps it", 30, keep=False)]
    return plan(keep=9, delete=30, archives=archives, groups=groups, **changes)


GROUPS = """
KEEP  OLDEST            NEWEST            WHY
1     2026-11-01 11:00  2026-11-23 11:00  newest
8     2026-11-01 11:00  2026-11-23 11:00  delta 1d
(An archive may stay for several reasons.)

DELETE  OLDEST            NEWEST            WHY
30      2026-11-01 11:00  2026-11-23 11:00  no rule keeps it

9 to keep, 30 to delete.
"""


def test_a_long_plan_is_told_in_groups_with_the_ends_of_what_goes(
    program: Program, daemon: FakeDaemon
) -> None:
    daemon.answers["plan"] = [done(plan=long_plan(), approved=False)]
    named = [f"  mail_{number}\n" for number in range(1, 31)]
    more = "  ... 20 more: snapd-backup expire mail --plan --all\n"
    ends = "To be deleted, the oldest first:\n" + "".join([*named[:5], more, *named[25:]])
    assert program("expire", "mail", "--plan").out == ends + GROUPS


def test_all_of_a_long_plan_is_shown_when_asked_for(program: Program, daemon: FakeDaemon) -> None:
    daemon.answers["plan"] = [done(plan=long_plan(), approved=False)]
    said = program("expire", "mail", "--plan", "--all").out
    assert said.endswith(GROUPS)
    assert [line.split()[3] for line in said.splitlines()[1:40]] == [f"mail_{n}" for n in range(39, 0, -1)]


def test_a_long_plan_fits_into_80_columns(program: Program, daemon: FakeDaemon) -> None:
    wordy = group("incomplete, and no longer young enough to be worth another week", keep=False)
    wide = long_plan(hold=hold())
    daemon.answers["plan"] = [done(plan={**wide, "groups": [*wide["groups"], wordy]}, approved=False)]
    _, said = program.on_terminal("expire", "mail", "--plan")
    shown = without_colours(said.partition("To be deleted")[2]).splitlines()
    assert len(shown) > 20
    assert max(map(len, shown)) <= 80


def test_a_plan_that_is_held_says_why_and_what_to_do(program: Program, daemon: FakeDaemon) -> None:
    daemon.answers["plan"] = [done(plan=plan(hold=hold()), approved=False)]
    ran = program("expire", "mail", "--plan")
    assert ran.status == 3
    assert ran.out.endswith(
        "Expiry is held: the policy has changed.\n  look at it\\x1b\n  then at it again\n"
    )


def test_an_approval_without_a_terminal_needs_a_yes_in_the_command(
    program: Program, daemon: FakeDaemon
) -> None:
    for options in ([], ["--json"]):
        ran = program("expire", "mail", "--approve", *options)
        assert ran.status == 2
        assert "no terminal to ask on" in ran.out + ran.err
    assert daemon.requests == []


def test_an_approval_with_yes_shows_what_was_approved(program: Program, daemon: FakeDaemon) -> None:
    daemon.answers["plan"] = [done(plan=plan(hold=hold(), approved=["mail_1.part"]), approved=True)]
    ran = program("expire", "mail", "--approve", "--yes")
    assert ran.status == 0
    assert "no rule keeps it, approved, incomplete" in ran.out
    assert "Approved for 7 days: the 1 names above." in ran.out
    assert daemon.requests == [{"op": "plan", "set": "mail", "approve": True}]


@pytest.mark.parametrize(
    ("held", "status", "said"),
    [
        (None, 0, "Nothing holds it: it needs no approval.\n"),
        (hold("suspect", approvable=False), 3, "A yes does not release that.\n"),
    ],
)
def test_what_does_not_wait_for_a_yes_is_not_approved(
    program: Program, daemon: FakeDaemon, held: dict[str, Any] | None, status: int, said: str
) -> None:
    daemon.answers["plan"] = [done(plan=plan(hold=held), approved=False)]
    ran = program("expire", "mail", "--approve", "--yes")
    assert ran.status == status
    assert ran.out.endswith(said)


def test_on_a_terminal_the_names_that_were_shown_are_approved_after_a_yes(
    program: Program, daemon: FakeDaemon
) -> None:
    daemon.answers["plan"] = [done(plan=long_plan(hold=hold()), approved=False)]
    daemon.answers["approve"] = [done(set="mail", approved=30)]
    exit_status, said = program.on_terminal("expire", "mail", "--approve", typed="y\n")
    assert exit_status == 0
    names = [f"mail_{number}" for number in range(30, 0, -1)]
    assert all(f"  {name}\n" in said for name in names)
    assert "Approve the deletion of these 30 archives? [y/N]: " in said
    approved = {"op": "approve", "set": "mail", "policy": "x", "names": names, "further": False}
    assert daemon.requests == [{"op": "plan", "set": "mail", "approve": False}, approved]


@pytest.mark.parametrize("typed", ["n\n", "\n"])
def test_on_a_terminal_nothing_is_approved_without_a_yes(
    program: Program, daemon: FakeDaemon, typed: str
) -> None:
    daemon.answers["plan"] = [done(plan=plan(hold=hold()), approved=False)]
    exit_status, said = program.on_terminal("expire", "mail", "--approve", typed=typed)
    assert exit_status == 3
    assert said.endswith("Nothing is approved.\n")
    assert [request["op"] for request in daemon.requests] == ["plan"]


def test_very_many_names_are_approved_in_several_requests(program: Program, daemon: FakeDaemon) -> None:
    names = [f"mail_{number}_{'x' * 100}" for number in range(2500)]
    many = plan(hold=hold(), delete=2500, archives=[verdict(name) for name in names])
    daemon.answers["plan"] = [done(plan=many, approved=False)]
    daemon.answers["approve"] = [done(set="mail", approved=1)]
    exit_status, _ = program.on_terminal("expire", "mail", "--approve", typed="y\n")
    assert exit_status == 0
    sent = daemon.requests[1:]
    assert [name for request in sent for name in request["names"]] == names
    assert [request["further"] for request in sent] == [False] + [True] * (len(sent) - 1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--plan", "--approve"], "exclude each other"),
        (["--all"], "--all goes with --plan"),
        (["--approve", "--yes", "--all"], "--all goes with --plan"),
        (["--yes"], "--yes goes with --approve"),
        (["--plan", "--yes"], "--yes goes with --approve"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    program: Program, daemon: FakeDaemon, options: list[str], said: str
) -> None:
    ran = program("expire", "mail", *options)
    assert ran.status == 2
    assert said in ran.err
    assert daemon.requests == []
