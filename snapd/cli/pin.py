"""`pin` and `unpin`: keep an archive, whatever the retention policy says."""

from __future__ import annotations

import click

from snapd.cli import client
from snapd.cli.arguments import F, SetName, json_option, pass_invocation
from snapd.cli.follow import follow
from snapd.cli.invocation import Invocation
from snapd.cli.output import escaped, fact, print_json
from snapd.cli.table import print_sentence
from snapd.control import Event, Request


def archive_options(command: F) -> F:
    """The archive, its set where the name does not tell, and `--json`."""
    for option in (
        json_option,
        click.option(
            "--set", "backup_set", metavar="SET", type=SetName(), help="Its set, where two may own the name."
        ),
        click.argument("archive", metavar="ARCHIVE"),
    ):
        command = option(command)
    return command


@click.command("pin")
@archive_options
@click.option("--reason", default="", metavar="TEXT", help="Why, for whoever wonders later.")
@pass_invocation
def pin_command(
    invocation: Invocation, archive: str, backup_set: str | None, reason: str, as_json: bool
) -> int:
    """Keep ARCHIVE from expiry until it is unpinned, whatever the retention policy says.

    Pins are in the history, and a copy is in every archive that is made later.
    """
    request = {"op": "pin", "archive": archive, "set": backup_set, "reason": reason}
    answer = _ask(invocation, request)
    if as_json:
        print_json({"pin": answer["pin"], "expiring": answer["expiring"]})
        return 0
    pin = answer["pin"]
    fact(f"pinned {escaped(pin['archive'])} of {escaped(pin['backup_set'])}")
    if answer["expiring"]:
        name = escaped(pin["backup_set"])
        print_sentence(
            "An expiry is deleting at this moment, and what its batch holds is not stopped: see whether the "
            f"archive is still there with: snapd-backup archives {name} --refresh"
        )
    return 0


@click.command("unpin")
@archive_options
@pass_invocation
def unpin_command(invocation: Invocation, archive: str, backup_set: str | None, as_json: bool) -> int:
    """Take the pin of ARCHIVE back: the retention policy decides about it again."""
    answer = _ask(invocation, {"op": "unpin", "archive": archive, "set": backup_set})
    if as_json:
        print_json({"pin": answer["pin"]})
    else:
        fact(f"unpinned {escaped(answer['pin']['archive'])} of {escaped(answer['pin']['backup_set'])}")
    return 0


def _ask(invocation: Invocation, request: Request) -> Event:
    return follow(client.events(invocation, request), as_json=False)
