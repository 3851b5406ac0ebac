"""`backup`, `expire`, `restore-test`: make a run due now and follow it, or look at an expiry's plan."""

from __future__ import annotations

import click

from snapd.cli import client, words
from snapd.cli.arguments import F, json_option, pass_invocation, set_argument
from snapd.cli.ending import print_ending
from snapd.cli.follow import follow
from snapd.cli.invocation import Invocation
from snapd.cli.lazily import load
from snapd.cli.output import aside, escaped, fact, print_json
from snapd.cli.plan import print_hold, print_plan
from snapd.control import Request
from snapd.errors import BusyError, NoDaemonError, UsageError

WARNING = 3


def run_options(command: F) -> F:
    """The options of every command that makes a run."""
    for option in (
        json_option,
        click.option("--no-wait", is_flag=True, help="Do not wait for the lock: exit 75 if it is held."),
        click.option(
            "--no-follow", "--detach", "detach", is_flag=True, help="Ask for the run and do not follow it."
        ),
    ):
        command = option(command)
    return command


@click.command("backup")
@set_argument()
@run_options
@pass_invocation
def backup_command(
    invocation: Invocation, backup_set: str, detach: bool, no_wait: bool, as_json: bool
) -> int:
    """Make a backup of SET now and follow it.

    Ctrl-C stops following; the run goes on.
    Exit status: 0 ok, 3 with warnings, 1 failed or interrupted, 75 the lock is held (with --no-wait).
    """
    return _run(invocation, _request("backup", backup_set, detach), no_wait=no_wait, as_json=as_json)


@click.command("restore-test")
@set_argument()
@run_options
@pass_invocation
def restore_test_command(
    invocation: Invocation, backup_set: str, detach: bool, no_wait: bool, as_json: bool
) -> int:
    """Restore an archive of SET into a scratch folder now, run the checks and show what was found.

    Ctrl-C stops following; the run goes on.
    Exit status: 0 passed, 3 inconclusive, 1 failed or interrupted, 75 the lock is held (with --no-wait).
    """
    return _run(invocation, _request("restore-test", backup_set, detach), no_wait=no_wait, as_json=as_json)


@click.command("expire")
@set_argument()
@click.option("--plan", is_flag=True, help="Show what would be kept and deleted, and why; delete nothing.")
@click.option(
    "--all", "everything", is_flag=True, help="With --plan: every archive and why, not groups only."
)
@click.option("--approve", is_flag=True, help="Show the plan, ask, and approve the deletion of its names.")
@click.option("--yes", is_flag=True, help="With --approve: do not ask.")
@run_options
@pass_invocation
def expire_command(  # noqa: PLR0917 - click calls it by keyword
    invocation: Invocation,
    backup_set: str,
    plan: bool,
    everything: bool,
    approve: bool,
    yes: bool,
    detach: bool,
    no_wait: bool,
    as_json: bool,
) -> int:
    """Delete the archives of SET that its retention policy no longer keeps.

    An approval holds for the names shown, for 7 days, and lapses with a change of the policy. It is for plans
    that wait for one; nothing else is released by it.
    Exit status: 0 ok, 3 held back, 1 failed or interrupted, 75 the lock is held (with --no-wait).
    """
    if plan and approve:
        raise UsageError("--plan and --approve exclude each other", hint="--approve shows the plan too")
    if everything and not plan:
        raise UsageError("--all goes with --plan", hint="--approve shows every name that would go")
    if yes and not approve:
        raise UsageError("--yes goes with --approve", hint="without --approve nothing is asked")
    if approve:
        status: int = load("approve").approve(invocation, backup_set, yes=yes, as_json=as_json)
        return status
    if plan:
        return _plan(invocation, backup_set, everything=everything, as_json=as_json)
    return _run(invocation, _request("expire", backup_set, detach), no_wait=no_wait, as_json=as_json)


def _request(kind: str, backup_set: str, detach: bool) -> Request:
    return {"op": "run", "kind": kind, "set": backup_set, "follow": not detach}


def _run(invocation: Invocation, request: Request, *, no_wait: bool, as_json: bool) -> int:
    if no_wait:
        _refuse_if_held(invocation)
    if not request["follow"]:
        return _ask_only(invocation, request, as_json=as_json)
    run = follow(client.events(invocation, request), as_json=as_json, advice=_advice(request))["run"]
    if not as_json:
        print_ending(run)
    return words.EXIT_OF_OUTCOME.get(run["outcome"], words.FAILED)


def _refuse_if_held(invocation: Invocation) -> None:
    """Raise BusyError that says who holds the lock."""
    try:
        holder = client.status(invocation)["lock"]
    except NoDaemonError:
        holder = load("stand_in").lock_holder(invocation)
    if holder is not None:
        raise BusyError(
            f"the lock is held by {words.holder(holder)}", hint="without --no-wait the run waits for it"
        )


def _ask_only(invocation: Invocation, request: Request, *, as_json: bool) -> int:
    """Ask the daemon for the run and leave it to it; without a daemon there is nobody to leave it to."""
    answer = client.answer(invocation, request)
    if as_json:
        print_json(answer)
        return 0
    run = answer["run"]
    fact(f"{words.job(run['job'])}: {words.outcome(run).text} (run {escaped(run['run_id'])})")
    aside(f"see it with `snapd-backup status {escaped(request['set'])}`")
    return 0


def _advice(request: Request) -> str:
    name = escaped(request["set"])
    again = f"snapd-backup {request['kind']} {name}"
    return f"see it with `snapd-backup status {name}`, follow it again with `{again}`"


def _plan(invocation: Invocation, backup_set: str, *, everything: bool, as_json: bool) -> int:
    request = {"op": "plan", "set": backup_set, "approve": False}
    plan = follow(client.events(invocation, request), as_json=as_json)["plan"]
    if not as_json:
        print_plan(plan, everything=everything)
        print_hold(plan)
    return WARNING if plan["hold"] else 0
