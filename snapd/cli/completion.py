"""`completion`: the script that makes a shell complete commands, options and names of backup sets."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from snapd.cli import NAME
from snapd.cli.output import fact
from snapd.cli.program import COMPLETE, program


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion_command(shell: str) -> int:
    """Print the completion script of SHELL.

    bash: snapd-backup completion bash > /etc/bash_completion.d/snapd-backup
    """
    kind = get_completion_class(shell)
    assert kind is not None
    fact(kind(program, {}, NAME, COMPLETE).source())
    return 0
