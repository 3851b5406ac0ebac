"""`expire --approve`: show the plan of an expiry that waits for a yes, ask for it, and give it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import click

from snapd.cli import client
from snapd.cli.follow import follow
from snapd.cli.invocation import Invocation
from snapd.cli.output import escaped, fact
from snapd.cli.plan import print_hold, print_plan
from snapd.cli.table import print_sentence
from snapd.errors import UsageError

WARNING = 3
MOST_NAMES = 1000  # in one request, and
MOST_BYTES = 32 * 1024  # of their JSON: half of what a request may have


def approve(invocation: Invocation, backup_set: str, *, yes: bool, as_json: bool) -> int:
    """Return the exit status: 0 approved, or nothing to approve; 3 not approved, or no yes can release it."""
    if yes:
        return _unasked(invocation, backup_set, as_json=as_json)
    if as_json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(
            "--approve asks for a yes, and there is no terminal to ask on",
            hint=f"look at `snapd-backup expire {backup_set} --plan`, then add --yes",
        )
    plan = _planned(invocation, backup_set, approve=False, as_json=False)["plan"]
    _show(plan)
    if not _waits(plan):
        return WARNING if plan["hold"] else 0
    if not click.confirm(f"Approve the deletion of these {plan['delete']} archives?"):
        fact("Nothing is approved.")
        return WARNING
    for request in _requests(plan):
        client.last([*client.events(invocation, request)])  # to its end: one that is left early is cut off
    _say_approved(plan)
    return 0


def _unasked(invocation: Invocation, backup_set: str, *, as_json: bool) -> int:
    answer = _planned(invocation, backup_set, approve=True, as_json=as_json)
    plan = answer["plan"]
    if not as_json:
        _show(plan)
        if answer["approved"]:
            _say_approved(plan)
    return WARNING if plan["hold"] and not answer["approved"] else 0


def _planned(invocation: Invocation, backup_set: str, *, approve: bool, as_json: bool) -> dict[str, Any]:
    request = {"op": "plan", "set": backup_set, "approve": approve}
    return follow(client.events(invocation, request), as_json=as_json)


def _show(plan: dict[str, Any]) -> None:
    print_plan(plan, names=True)
    if _waits(plan):
        print_sentence(f"It waits for a yes: {escaped(plan['hold']['reason'])}.")
    elif plan["hold"]:
        print_hold(plan)
        fact("A yes does not release that.")
    else:
        fact("Nothing holds it: it needs no approval.")


def _waits(plan: dict[str, Any]) -> bool:
    return bool(plan["hold"] and plan["hold"]["approvable"])


def _say_approved(plan: dict[str, Any]) -> None:
    name = escaped(plan["backup_set"])
    print_sentence(
        f"Approved for 7 days: the {plan['delete']} names above. The next expiry deletes those that are "
        f"still planned then; now: snapd-backup expire {name}"
    )


def _requests(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield requests that approve exactly the names that were shown, in each as many as it may hold."""
    names = [item["name"] for item in plan["archives"] if not item["keep"]]
    further = False
    while names:
        fitting, size = 0, 0
        while fitting < min(len(names), MOST_NAMES) and (fitting == 0 or size < MOST_BYTES):
            size += len(json.dumps(names[fitting]))
            fitting += 1
        yield {
            "op": "approve",
            "set": plan["backup_set"],
            "policy": plan["policy"],
            "names": names[:fitting],
            "further": further,
        }
        names, further = names[fitting:], True
