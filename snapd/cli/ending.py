"""How a run ended, in words and tables."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from snapd.cli import words
from snapd.cli.output import escaped, fact
from snapd.cli.table import Cell, lines, print_sentence, print_table, terminal_width
from snapd.units import format_duration

PASSED = {True: Cell("passed", "green"), False: Cell("failed", "red"), None: Cell("untold", "yellow")}


def print_ending(run: dict[str, Any]) -> None:
    """Print one line about a run, what it found, and what to do where something is lacking."""
    outcome = words.outcome(run)
    took = f" in {words.seconds(run['duration_s'])}" if run["duration_s"] is not None else ""
    _print_line(f"{words.job(run['job'])}: ", outcome, f"{took}{_what(run)}")
    for line in (run["message"] or "").splitlines():
        print_sentence(escaped(line), indent="  ")
    for line in (run["hint"] or "").splitlines():
        print_sentence(f"hint: {escaped(line)}", indent="  ")
    _print_findings(run["details"])


def _print_line(front: str, outcome: Cell, rest: str) -> None:
    """Print a sentence with one coloured word in it, broken at the edge of the terminal."""
    first, *more = lines([(f"{front}{outcome.text}{rest}",)], terminal_width())
    at = len(front)
    if first.startswith(outcome.text, at):
        first = front + outcome.shown + first[at + len(outcome.text) :]
    for line in (first, *more):
        fact(line)


def _what(run: dict[str, Any]) -> str:
    details = run["details"]
    match run["kind"]:
        case "expire" if "deleted" in details:
            return f", {details['deleted']} of {details['archives']} archives deleted"
        case "restore-test":
            return f", {_archive(run)}{_lost(details)}" if run["archive"] else ""
        case _:
            new = f", {words.size(run['bytes_new'])} new" if run["bytes_new"] is not None else ""
            of = f" of {words.size(run['bytes_total'])}" if new and run["bytes_total"] is not None else ""
            return (f", {_archive(run)}" if run["archive"] else "") + new + of


def _archive(run: dict[str, Any]) -> str:
    return f"archive {escaped(run['archive'])}"


def _lost(details: dict[str, Any]) -> str:
    age = details.get("data_age_s")
    return "" if age is None else f", its newest data {format_duration(timedelta(seconds=age))} older than it"


def _print_findings(details: dict[str, Any]) -> None:
    findings = details.get("findings") or []
    if findings:
        fact()
    rows = [
        (PASSED[item["passed"]], escaped(item["check"]), escaped(item["expected"]), escaped(item["seen"]))
        for item in findings
    ]
    print_table(("RESULT", "CHECK", "EXPECTED", "SEEN"), rows)
