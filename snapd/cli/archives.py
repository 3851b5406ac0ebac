"""`archives`: what there is of a backup set."""

from __future__ import annotations

from typing import Any

import click

from snapd.cli import client, words
from snapd.cli.arguments import json_option, pass_invocation, set_argument
from snapd.cli.attention import print_lost
from snapd.cli.follow import follow
from snapd.cli.invocation import Invocation
from snapd.cli.output import escaped, fact, print_json
from snapd.cli.table import Cell, Row, print_table
from snapd.errors import NoDaemonError


@click.command("archives")
@set_argument()
@click.option("--refresh", is_flag=True, help="List the store first; without it, what was last seen.")
@json_option
@pass_invocation
def archives_command(invocation: Invocation, backup_set: str, refresh: bool, as_json: bool) -> int:
    """List the archives of SET, newest first, and which of them were proven by a restore test."""
    request = {"op": "archives", "set": backup_set, "refresh": refresh}
    if refresh:
        answer = follow(client.events(invocation, request), as_json=False)
    else:
        answer = _as_last_seen(invocation, request)
    archives = answer["archives"]
    if as_json:
        print_json({"archives": archives, "pinned_lost": answer["pinned_lost"]})
        return 0
    if archives:
        print_table(("ARCHIVE", "CREATED", "STATE", "PROVEN"), [_row(item) for item in archives])
    else:
        fact(f"No archive of {escaped(backup_set)} is known.")
    if answer["pinned_lost"]:
        fact()
        print_lost(answer["pinned_lost"])
    return 0


def _as_last_seen(invocation: Invocation, request: dict[str, Any]) -> dict[str, Any]:
    try:
        return client.answer(invocation, request)
    except NoDaemonError as error:
        name = request["set"]
        raise NoDaemonError(
            error.message,
            hint=f"{error.hint}; or ask the store itself: snapd-backup archives {name} --refresh",
        ) from error


def _row(item: dict[str, Any]) -> Row:
    proven = item["proven"]
    return (
        escaped(item["name"]),
        words.local(item["created"]),
        state_of(item),
        words.local(proven) or "never",
    )


def state_of(item: dict[str, Any]) -> Cell:
    """Say whether an archive counts, and whether it is pinned."""
    pinned = ", pinned" if item["pinned"] else ""
    if not item["complete"]:
        return Cell(f"incomplete{pinned}", "yellow")
    return Cell(f"suspect{pinned}", "red") if item["suspect"] else Cell(f"complete{pinned}", "green")
