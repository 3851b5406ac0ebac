"""`repair`: mend a store, after saying what that costs."""

from __future__ import annotations

import sys

import click

from snapd.cli import client
from snapd.cli.arguments import json_option, pass_invocation
from snapd.cli.follow import follow
from snapd.cli.invocation import Invocation
from snapd.cli.output import aside, escaped, fact
from snapd.control import Event, Request
from snapd.errors import UsageError


@click.command("repair")
@click.argument("store")
@click.option("--yes", is_flag=True, help="Do not ask: the costs are known.")
@json_option
@pass_invocation
def repair_command(invocation: Invocation, store: str, yes: bool, as_json: bool) -> int:
    """Mend the store STORE of the config, where its engine says that it must be; no archive is deleted.

    Ctrl-C stops following; the repair goes on.
    """
    request: Request = {"op": "repair", "store": store, "yes": False}
    if not yes:
        told = follow(client.events(invocation, request), as_json=False)
        if not _agrees(store, told):
            aside("nothing was done")
            return 1
    follow(
        client.events(invocation, {**request, "yes": True}),
        as_json=as_json,
        advice="`snapd-backup status` says who holds the lock, and the journal how it ends",
    )
    if not as_json:
        fact(f"store {escaped(store)}: repaired")
    return 0


def _agrees(store: str, told: Event) -> bool:
    """Ask for a yes on the terminal. Raises UsageError where there is none."""
    aside(f"A repair of {escaped(store)}: {escaped(told['costs'])}.")
    if not sys.stdin.isatty():
        raise UsageError("a repair wants a yes", hint=f"snapd-backup repair --yes {store}")
    return click.confirm("Repair it now?", err=True)
