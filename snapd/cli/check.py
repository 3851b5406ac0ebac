"""`check`: is the config right, can this machine do what it says, and are the lights on?"""

from __future__ import annotations

import os
from typing import Any

import click

from snapd import machine
from snapd.cli import client, credentials
from snapd.cli.arguments import json_option, pass_invocation
from snapd.cli.attention import lights_off, print_off, problem_of
from snapd.cli.invocation import Invocation
from snapd.cli.lazily import load
from snapd.cli.output import aside, coloured, escaped, fact, print_json
from snapd.cli.table import print_sentence
from snapd.config import Config, Folders
from snapd.errors import ConfigError, NoDaemonError, SnapdError
from snapd.state_folder import read
from snapd.views import problem_json

WRONG = 2
WARNED = 3

Found = dict[str, Any]


@click.command("check")
@click.option("--connect", is_flag=True, help="Ask the stores too; that may take a while.")
@json_option
@pass_invocation
def check_command(invocation: Invocation, connect: bool, as_json: bool) -> int:
    """Check the config, then this machine, then the lights of the daemon if one answers.

    Exit status: 0 all is well, 2 the config or something on this machine is wrong, 3 a light is off or
    something should not stay as it is.
    """
    found = _look(invocation, connect=connect)
    if as_json:
        print_json(found)
    else:
        _print(found)
    if found["problems"] or found["machine"]:
        return WRONG
    status = found["status"]
    if status is not None and (lights_off(status) or status["config"]["refused"]):
        return WARNED
    return WARNED if found["warnings"] else 0


def _look(invocation: Invocation, *, connect: bool) -> Found:
    """Look at one thing after the other; what cannot be judged is None."""
    found: Found = {
        "file": str(invocation.file),
        "problems": [],
        "machine": None,
        "warnings": [],
        "status": None,
    }
    try:
        config = read(invocation.file).config
    except ConfigError as error:
        found["problems"] = list(error.problems) or [error.message]
        return found
    folders = Folders.from_environment(invocation.environ)
    found["machine"] = _machine(config, folders, invocation, connect=connect)
    found["warnings"] = _warnings(config)
    found["status"] = _status(invocation)
    return found


def _machine(config: Config, folders: Folders, invocation: Invocation, *, connect: bool) -> list[Found]:
    if connect:
        aside("asking the stores")
        load("stand_in").log_quietly(debug=invocation.debug)  # an engine that is asked has things to say
    if os.geteuid() == 0:
        credentials.provide_here(folders.runtime, invocation.environ)
    return [problem_json(item) for item in machine.problems(config, folders, connect=connect)]


def _warnings(config: Config) -> list[Found]:
    items, unread = machine.warnings(config)
    for path in unread:
        aside(escaped(f"not looked at, because it may not be read: {path}; try again as root"))
    return [problem_json(item) for item in items]


def _status(invocation: Invocation) -> Found | None:
    """Ask the daemon; that there is none, or that we may not talk to it, is no fault of what is checked."""
    try:
        return client.status(invocation)
    except NoDaemonError:
        return None
    except SnapdError as error:
        aside(escaped(f"the lights were not looked at: {error.message}"))
        return None


def _print(found: Found) -> None:
    _print_part("config", [escaped(line) for line in found["problems"]], found["file"])
    if found["machine"] is None:
        return
    _print_part("machine", [line for item in found["machine"] for line in _sentences(item)], "")
    if found["warnings"]:
        _say("warning", "it works, and should not stay so", "yellow")
        _print_sentences([line for item in found["warnings"] for line in _sentences(item)])
    status = found["status"]
    if status is None:
        fact("lights   not looked at: no daemon answers")
        return
    if status["config"]["refused"]:
        _say("config", "the daemon still runs on the last accepted one: snapd-backup reload", "yellow")
    off = lights_off(status)
    _say("lights", f"{len(off)} off" if off else "all on", "red" if off else "green")
    print_off(off)


def _print_part(title: str, wrong: list[str], note: str) -> None:
    told = f"ok  {escaped(note)}" if note else "ok"
    _say(title, "wrong" if wrong else told.strip(), "red" if wrong else "green")
    _print_sentences(wrong)


def _print_sentences(lines: list[str]) -> None:
    for line in lines:
        print_sentence(line.lstrip(), indent="    " if line.startswith(" ") else "  ")


def _say(title: str, text: str, colour: str) -> None:
    fact(f"{title:<9}{coloured(text, colour)}")


def _sentences(problem: Found) -> list[str]:
    hints = [f"  {escaped(line)}" for line in problem["hint"].splitlines()]
    return [escaped(f"{problem_of(problem)}: {problem['message']}"), *hints]
