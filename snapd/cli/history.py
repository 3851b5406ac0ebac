"""`history`: what happened."""

from __future__ import annotations

import click

from snapd.cli import client
from snapd.cli.arguments import json_option, pass_invocation, set_argument
from snapd.cli.invocation import Invocation
from snapd.cli.output import fact, print_json
from snapd.cli.runs import print_runs


@click.command("history")
@set_argument(required=False)
@click.option(
    "--kind", type=click.Choice(["backup", "restore-test", "expire"]), help="Runs of this kind only."
)
@click.option(
    "--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="At most so many."
)
@json_option
@pass_invocation
def history_command(
    invocation: Invocation, backup_set: str | None, kind: str | None, limit: int, as_json: bool
) -> int:
    """List ended runs, newest first; slots that were missed or skipped count as runs."""
    request = {"op": "history", "set": backup_set, "kind": kind, "limit": limit}
    runs = client.answer(invocation, request)["runs"]
    if as_json:
        print_json({"runs": runs})
    elif runs:
        print_runs(runs, with_set=backup_set is None)
    else:
        fact("No run has ended yet.")
    return 0
