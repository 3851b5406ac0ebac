"""`history`: what happened."""

from __future__ import annotations

from typing import Any

import click

from snapd.cli import client, words
from snapd.cli.arguments import json_option, pass_invocation, set_argument
from snapd.cli.invocation import Invocation
from snapd.cli.output import fact, print_json
from snapd.cli.runs import print_history

KINDS = ["backup", "restore-test", "expire", "restore"]


@click.command("history")
@set_argument(required=False)
@click.option("--kind", type=click.Choice(KINDS), help="Runs of this kind only; restore: restores by hand.")
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="At most so many."
)
@json_option
@pass_invocation
def history_command(
    invocation: Invocation, backup_set: str | None, kind: str | None, limit: int, as_json: bool
) -> int:
    """List ended runs and restores, newest first; slots that were missed or skipped count as runs."""
    request = {"op": "history", "set": backup_set, "kind": kind, "limit": limit}
    found = _newest(client.answer(invocation, request), limit)
    if as_json:
        print_json({key: [item for of, item in found if of == key] for key in ("runs", "restores")})
    elif found:
        print_history([item for _, item in found], with_set=backup_set is None)
    else:
        fact("Nothing was restored yet." if kind == "restore" else "No run has ended yet.")
    return 0


def _newest(answer: dict[str, Any], limit: int) -> list[tuple[str, dict[str, Any]]]:
    """Return the newest items of both lists together, each with the name of its list."""
    items = [(key, item) for key in ("runs", "restores") for item in answer[key]]
    return sorted(items, key=lambda pair: words.instant(_end_of(pair[1])), reverse=True)[:limit]


def _end_of(item: dict[str, Any]) -> str:
    end: str = item["at"] if "at" in item else item["ended"] or item["last_slot"] or item["slot"]
    return end
