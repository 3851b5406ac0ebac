"""`run`: the daemon itself, in the foreground."""

from __future__ import annotations

import click

from snapd import daemon, log
from snapd.cli.arguments import pass_invocation
from snapd.cli.invocation import Invocation
from snapd.config import Folders


@click.command("run")
@pass_invocation
def run_command(invocation: Invocation) -> int:
    """Run the daemon in the foreground, until SIGTERM or Ctrl-C. systemd's ExecStart.

    Exit status: 0 stopped, 1 another daemon runs, 2 there is no config to run on.
    """
    log.configure(journal=log.stderr_is_journal(invocation.environ), debug=invocation.debug)
    return daemon.serve(invocation.file, Folders.from_environment(invocation.environ))
