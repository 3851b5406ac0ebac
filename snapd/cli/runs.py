"""A table of runs, and of restores among them, for `history` and `status SET`."""

from __future__ import annotations

from typing import Any

from snapd.cli import words
from snapd.cli.output import escaped
from snapd.cli.table import Row, print_table


def print_history(items: list[dict[str, Any]], *, with_set: bool) -> None:
    """Print runs and restores in the order given."""
    head = ("ENDED", *(("SET",) if with_set else ()), "KIND", "OUTCOME", "TOOK", "NEW", "WHAT")
    print_table(head, [(_restore if "at" in item else _run)(item, with_set=with_set) for item in items])


def _run(run: dict[str, Any], *, with_set: bool) -> Row:
    took = words.seconds(run["duration_s"]) if run["duration_s"] is not None else ""
    return (
        words.local(run["ended"] or run["slot"]),
        *((escaped(run["backup_set"]),) if with_set else ()),
        words.kind(run["kind"]),
        words.outcome(run),
        took,
        words.size(run["bytes_new"]),
        _what(run),
    )


def _restore(restore: dict[str, Any], *, with_set: bool) -> Row:
    what = f"{restore['archive']} -> {restore['to']}"
    return (
        words.local(restore["at"]),
        *((escaped(restore["backup_set"]),) if with_set else ()),
        "restore",
        words.outcome(restore),
        words.seconds(restore["duration_s"]),
        "",
        escaped(f"{what}, {restore['error']}" if restore["error"] else what),
    )


def _what(run: dict[str, Any]) -> str:
    if run["slots"] > 1:
        return f"{run['slots']} slots, {words.stretch(run['slot'], run['last_slot'])}"
    if run["outcome"] in ("missed", "skipped"):
        return f"slot {words.local(run['slot'])}" + (f", {escaped(run['message'])}" if run["message"] else "")
    return escaped(run["message"] or run["archive"] or "")
