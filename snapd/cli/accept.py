"""`accept`: vouch for suspect archives."""

from __future__ import annotations

import click

from snapd.cli import client
from snapd.cli.arguments import json_option, pass_invocation, set_argument
from snapd.cli.follow import follow
from snapd.cli.invocation import Invocation
from snapd.cli.output import escaped, fact, print_json


@click.command("accept")
@set_argument()
@json_option
@pass_invocation
def accept_command(invocation: Invocation, backup_set: str, as_json: bool) -> int:
    """Vouch for the suspect archives of SET: a dump in them shrank, and that is as it should be.

    They count again as any other archive, and the expiry of SET goes on. Look at the database first.
    """
    answer = follow(client.events(invocation, {"op": "accept", "set": backup_set}), as_json=False)
    if as_json:
        print_json({"set": answer["set"], "accepted": answer["accepted"]})
    elif answer["accepted"]:
        for name in answer["accepted"]:
            fact(f"accepted {escaped(name)}")
    else:
        fact(f"No archive of {escaped(answer['set'])} is suspect.")
    return 0
