"""`status`: the five lights, what runs, what comes next. Light to import."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from snapd.cli import client, words
from snapd.cli.arguments import json_option, pass_invocation, set_argument
from snapd.cli.attention import (
    is_late,
    lights_off,
    needs_attention,
    print_late,
    print_lost,
    print_off,
    problem_of,
)
from snapd.cli.invocation import Invocation
from snapd.cli.marks import LEGEND, letters, marks
from snapd.cli.output import coloured, escaped, fact, print_json
from snapd.cli.status_of_set import print_set
from snapd.cli.table import Cell, Row, print_rows, print_sentence, print_table

RECENT_RUNS = 10
WARNING = 3
_LANES = {1: "", 2: "in the second lane", None: "standing aside"}


@click.command("status")
@set_argument(required=False)
@json_option
@pass_invocation
def status_command(invocation: Invocation, backup_set: str | None, as_json: bool) -> int:
    """Show the five lights of every backup set, what runs and what comes next; with SET everything about one.

    Exit status: 0 all lights are on, 3 a light is off or something else needs attention, 2 no daemon answers.
    """
    found = client.status(invocation, backup_set or "")
    if backup_set:
        request = {"op": "history", "set": backup_set, "limit": RECENT_RUNS}
        found["runs"] = client.answer(invocation, request)["runs"]
    if as_json:
        print_json(found)
    else:
        _print(found)
    return WARNING if needs_attention(found) else 0


def _print(status: dict[str, Any]) -> None:
    now = words.instant(status["now"])
    _print_warnings(status)
    _print_doubts(status["sets"], now)
    if "runs" in status:
        print_set(status["sets"][0], status["runs"], now)
    elif status["sets"]:
        _print_sets(status, now)
        print_off(lights_off(status))
        _print_retries(status["sets"], now)
    else:
        fact("The config has no backup set.")
    fact()
    _print_work(status, now)


# -- the table of sets ----------------------------------------------------------------------------------


def _print_sets(status: dict[str, Any], now: datetime) -> None:
    head = ("SET", letters(), "LAST BACKUP", "NEWEST", "NEXT BACKUP")
    print_table(head, [_row(item, now) for item in status["sets"]])
    fact()
    fact(f"{LEGEND}   {marks(on=True).shown} on  {marks(on=False).shown} off")


def _row(item: dict[str, Any], now: datetime) -> Row:
    job = item["jobs"].get("backup")
    lights = [marks(on=light["on"]) for light in item["lights"].values()]
    drawn = Cell(" ".join(mark.text for mark in lights), drawn=" ".join(mark.shown for mark in lights))
    return (escaped(item["name"]), drawn, _last(job, now), _newest(item, now), _next(item, job, now))


def _last(job: dict[str, Any] | None, now: datetime) -> Cell:
    if job is None or job["last"] is None:
        return Cell("never", "yellow")
    outcome = words.outcome(job["last"])
    return Cell(f"{outcome.text} {words.ago(job['last']['ended'], now)}", outcome.colour)


def _newest(item: dict[str, Any], now: datetime) -> str:
    newest = item["newest"]
    return f"{words.age(newest['created'], now)} old" if newest else "none"


def _next(item: dict[str, Any], job: dict[str, Any] | None, now: datetime) -> Cell:
    if item["paused_until"]:
        return Cell(f"paused, {words.span(words.instant(item['paused_until']) - now)} left", "yellow")
    return words.next_of(job, now)


# -- what else there is to say --------------------------------------------------------------------------


def _print_warnings(status: dict[str, Any]) -> None:
    refused, history = status["config"]["refused"], status["history"]
    if refused:
        _warn(f"{status['config']['file']} is wrong, the daemon runs on the last accepted config:")
        for line in refused:
            fact(f"  {escaped(line)}")
    if history["rebuilt"]:
        _warn("The history was damaged and started anew: proofs are gone, and expiry asks for approval.")
    if history["unwritten"]:
        _warn(f"{history['unwritten']} rows of the history wait in memory: is the disk full?")
    for problem in status["problems"]:
        _warn(f"{problem_of(problem)}: {problem['message']}")
        for line in problem["hint"].splitlines():
            fact(f"  {escaped(line)}")
    if needs_attention({**status, "sets": []}):
        fact()


def _print_doubts(sets: list[dict[str, Any]], now: datetime) -> None:
    """Print what expiry could not do, and what it should not have done."""
    lost = [name for item in sets for name in item["pinned_lost"]]
    late = [item for item in sets if is_late(item)]
    print_lost(lost)
    for item in late:
        print_late(item, now)
    if lost or late:
        fact()


def _print_retries(sets: list[dict[str, Any]], now: datetime) -> None:
    """Print why runs wait for their next attempt, and the cure."""
    waiting = [job["unfinished"] for item in sets for job in item["jobs"].values() if _is_retried(job)]
    for run in waiting:
        fact()
        ahead = words.ahead(run["not_before"], now)
        fact(coloured(f"{words.job(run['job'])} failed, next attempt {ahead}", "yellow"))
        for line in (*run["message"].splitlines(), *(run["hint"] or "").splitlines()):
            print_sentence(escaped(line), indent="  ")


def _is_retried(job: dict[str, Any]) -> bool:
    run = job["unfinished"]
    return run is not None and not run["started"] and bool(run["not_before"] and run["message"])


def _warn(sentence: str) -> None:
    fact(coloured(escaped(sentence), "yellow"))


def _print_work(status: dict[str, Any], now: datetime) -> None:
    rows: list[Row] = [("Running", _running(run, now)) for run in status["running"]] or [
        ("Running", "nothing")
    ]
    for label, says, holder in (("Lock", "held by ", status["lock"]), ("Reader", "", status.get("reading"))):
        if holder and all(run["run_id"] != holder["run_id"] for run in status["running"]):
            rows.append((label, says + words.holder(holder, now)))
    if status["next"]:
        slot = status["next"]["slot"]
        rows.append(
            ("Next", f"{words.job(status['next']['job'])} {words.ahead(slot, now)} ({words.local(slot)})")
        )
    daemon = f"{escaped(status['version'])}, process {status['pid']}, up {words.age(status['started'], now)}"
    print_rows([*rows, ("Daemon", daemon)])


def _running(run: dict[str, Any], now: datetime) -> str:
    progress = words.progress(run["progress"])
    since = words.age(run["started"], now) if run["started"] else "just started"
    parts = [words.job(run["job"]), since, _LANES[run.get("lane", 1)], progress]
    return ", ".join(part for part in parts if part)
