"""`reload`: let the daemon read its config again. systemd's ExecReload."""

from __future__ import annotations

from typing import Any

import click

from snapd.cli import client
from snapd.cli.arguments import json_option, pass_invocation
from snapd.cli.invocation import Invocation
from snapd.cli.output import coloured, escaped, fact, print_json


@click.command("reload")
@json_option
@pass_invocation
def reload_command(invocation: Invocation, as_json: bool) -> int:
    """Let the daemon read its config again. Runs in progress keep the old one.

    The exit status is the daemon's verdict: 0 accepted, 2 refused, and the config in force stays as it was.
    """
    answer = client.answer(invocation, {"op": "reload"})
    if as_json:
        print_json({key: value for key, value in answer.items() if key != "event"})
    else:
        _print(answer)
    return 0


def _print(answer: dict[str, Any]) -> None:
    change = [f"{word} {', '.join(answer[word])}" for word in ("added", "removed", "changed") if answer[word]]
    fact(escaped("reloaded: " + ("; ".join(change) or "no backup set changed")))
    for problem in answer["problems"]:
        fact(coloured(escaped(f"problem: {problem}"), "yellow"))
