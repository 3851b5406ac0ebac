"""`status SET`: everything about one backup set."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from snapd.cli import words
from snapd.cli.marks import marks
from snapd.cli.output import bold, coloured, escaped, fact
from snapd.cli.runs import print_history
from snapd.cli.table import Cell, Row, print_rows, print_sentence, print_table


def print_set(item: dict[str, Any], runs: list[dict[str, Any]], now: datetime) -> None:
    fact(f"{bold(escaped(item['name']))}: {_archives(item, now)}")
    if item["paused_until"]:
        fact(coloured(f"Paused until {words.local(item['paused_until'])}.", "yellow"))
    fact()
    print_rows([_light(label, light) for label, light in item["lights"].items()])
    fact()
    head = ("JOB", "SCHEDULE", "NEXT", "LAST")
    print_table(head, [_job(kind, job, now) for kind, job in item["jobs"].items()])
    for kind, job in item["jobs"].items():
        _print_complaint(kind, job)
    if runs:
        fact()
        print_history(runs, with_set=False)


def _archives(item: dict[str, Any], now: datetime) -> str:
    count = item["archives"]
    where = f"in store {escaped(item['store'])} ({escaped(item['engine'])})"
    if not count:
        return f"no archive {where}"
    newest = item["newest"]
    state = "" if newest["complete"] else ", incomplete"
    state += ", suspect" if newest["suspect"] else ""
    plural = "s" if count > 1 else ""
    return f"{count} archive{plural} {where}, newest {words.age(newest['created'], now)} old{state}"


def _light(label: str, light: dict[str, Any]) -> Row:
    mark = marks(on=light["on"])
    word = Cell("on" if light["on"] else "off", mark.colour)
    return (mark, word, label, escaped(light["why"]))


def _job(kind: str, job: dict[str, Any], now: datetime) -> Row:
    last = job["last"]
    if last is None:
        told = Cell("never", "yellow")
    else:
        outcome = words.outcome(last)
        told = Cell(f"{outcome.text} {words.ago(last['ended'], now)}", outcome.colour)
    return (words.kind(kind), escaped(job["schedule"] or "when asked"), words.next_of(job, now), told)


def _print_complaint(kind: str, job: dict[str, Any]) -> None:
    """Print what a job's last run had to complain of, with the cure below."""
    run = next((run for run in (job["unfinished"], job["last"]) if run is not None and run["message"]), None)
    if run is None:
        return
    fact()
    first, *more = run["message"].splitlines()
    print_sentence(f"{words.kind(kind)}, {words.outcome(run).text}: {escaped(first)}")
    for line in more:
        print_sentence(escaped(line))
    for line in (run["hint"] or "").splitlines():
        print_sentence(escaped(line), indent="  ")
