"""`pause` and `resume`: hold a backup set's jobs back for a while."""

from __future__ import annotations

import click

from snapd.cli import client, words
from snapd.cli.arguments import json_option, pass_invocation, set_argument
from snapd.cli.invocation import Invocation
from snapd.cli.output import escaped, fact, print_json


@click.command("pause")
@set_argument()
@click.option("--for", "span", required=True, metavar="SPAN", help="How long, such as 30m, 4h or 2d.")
@json_option
@pass_invocation
def pause_command(invocation: Invocation, backup_set: str, span: str, as_json: bool) -> int:
    """Pause the jobs of SET for a while. Slots that pass meanwhile are recorded as skipped."""
    answer = client.answer(invocation, {"op": "pause", "set": backup_set, "for": span})
    if as_json:
        print_json({"set": answer["set"], "paused_until": answer["paused_until"]})
    else:
        fact(f"{escaped(answer['set'])} is paused until {words.local(answer['paused_until'])}")
    return 0


@click.command("resume")
@set_argument()
@json_option
@pass_invocation
def resume_command(invocation: Invocation, backup_set: str, as_json: bool) -> int:
    """End the pause of SET."""
    answer = client.answer(invocation, {"op": "resume", "set": backup_set})
    if as_json:
        print_json({"set": answer["set"], "paused_until": None})
    else:
        fact(f"{escaped(answer['set'])} is resumed")
    return 0
