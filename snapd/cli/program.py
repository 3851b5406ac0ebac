"""The program: its global options, the map of its commands, and what becomes of an error."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple

import click
from click.exceptions import Exit

from snapd import __version__
from snapd.cli import DEFAULT_FILE, NAME
from snapd.cli.lazily import load
from snapd.cli.output import complain, error_json, print_json
from snapd.errors import SnapdError, UsageError

COMPLETE = "_SNAPD_BACKUP_COMPLETE"
INTERRUPTED = 130
CUT_PIPE = 141


class Entry(NamedTuple):
    """Where a command lives, and its line in `--help`, which imports no command."""

    module: str
    says: str


LOOK = {
    "status": Entry("status", "Show the five lights, what runs and what comes next."),
    "history": Entry("history", "List ended runs and restores, newest first."),
    "archives": Entry("archives", "List the archives of a backup set."),
    "check": Entry("check", "Check the config, this machine and the lights."),
    "next": Entry("next", "Show the coming instants of a schedule."),
    "simulate": Entry("simulate", "Show what a retention policy would keep."),
}
ACT = {
    "backup": Entry("jobs", "Make a backup now and follow it."),
    "expire": Entry("jobs", "Expire old archives now, show the plan or approve it."),
    "restore-test": Entry("jobs", "Test now that a backup can be restored."),
    "pause": Entry("pause", "Pause the jobs of a backup set for a while."),
    "resume": Entry("pause", "End the pause of a backup set."),
    "pin": Entry("pin", "Keep an archive, whatever the retention policy says."),
    "unpin": Entry("pin", "Let the retention policy decide about an archive again."),
    "accept": Entry("accept", "Vouch for the suspect archives of a backup set."),
    "repair": Entry("repair", "Mend a store whose engine asks for it."),
    "restore": Entry("restore", "Restore an archive, or parts of it, into a folder."),
}
SERVE = {
    "import": Entry("importing", "Make a config of a crontab or a tarsnapper file."),
    "init": Entry("init", "Create the stores of the config."),
    "run": Entry("run", "Run the daemon in the foreground (systemd does)."),
    "reload": Entry("reload", "Let the daemon read its config again."),
    "completion": Entry("completion", "Print the completion script of a shell."),
}
SECTIONS = {"Look": LOOK, "Act": ACT, "Set up and serve": SERVE}
COMMANDS: dict[str, Entry] = {**LOOK, **ACT, **SERVE}


class Program(click.Group):
    """A group that imports a command when it is called for, never before."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click calls it
        return list(COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click calls it
        cmd_name: str,
    ) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = load(COMMANDS[cmd_name].module)
        command: click.Command = getattr(module, cmd_name.replace("-", "_") + "_command")
        return command

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 - click calls it
        formatter: click.HelpFormatter,
    ) -> None:
        for title, entries in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, entry.says) for name, entry in entries.items()])


@click.command(
    cls=Program,
    name=NAME,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--config",
    "file",
    default=DEFAULT_FILE,
    envvar="SNAPD_BACKUP_CONFIG",
    show_default=True,
    metavar="FILE",
    help="The config file. Also $SNAPD_BACKUP_CONFIG.",
)
@click.option("--debug", is_flag=True, help="Show where in the program an error arose.")
@click.version_option(__version__, prog_name=NAME)
@click.pass_context
def program(context: click.Context, file: str, debug: bool) -> int:
    """Scheduled backups of files and databases, their expiry, and restore tests that prove them.

    Exit status: 0 ok, 1 failed, 2 usage or config, 3 done with warnings (for status and check: a light is
    off), 75 busy, only with --no-wait.
    """
    context.obj = load("invocation").invocation_of(file, debug=debug, environ=os.environ)
    if "NO_COLOR" in os.environ:
        context.color = False
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
        return UsageError.exit_code
    return 0


def run(arguments: Sequence[str]) -> int:
    """Carry one command line out and return its exit status. The only place that catches broadly."""
    _tolerate_any_text()
    if COMPLETE in os.environ:
        return _complete(os.environ[COMPLETE])
    try:
        with program.make_context(NAME, list(arguments), terminal_width=_help_width()) as context:
            status = program.invoke(context)
        sys.stdout.flush()
    except Exit as leaving:
        return leaving.exit_code
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        return _quiet_end()
    except Exception as error:  # noqa: BLE001 - the outermost line
        return _failed(error, arguments)
    return int(status or 0)


def _help_width() -> int:
    """Columns of `--help`; click would import an archiver or two to find that out."""
    try:
        columns = os.get_terminal_size(sys.stdout.fileno()).columns
    except (OSError, ValueError):
        columns = 0
    return min(columns or 80, 100) - 2


def _tolerate_any_text() -> None:
    """A character that the terminal's encoding lacks is shown escaped, and never ends a command."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _quiet_end() -> int:
    """Whoever read our output went away; what Python still has to flush goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return CUT_PIPE


def _failed(error: Exception, arguments: Sequence[str]) -> int:
    told = _as_ours(error)
    if "--debug" in arguments:
        sys.excepthook(type(error), error, error.__traceback__)
    try:
        if "--json" in arguments:
            print_json(error_json(told))
        else:
            complain(told)
        sys.stdout.flush()
    except BrokenPipeError:
        _quiet_end()
    except OSError:  # standard output takes nothing; the exit status is all there is left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return told.exit_code


def _as_ours(error: Exception) -> SnapdError:
    match error:
        case SnapdError():
            return error
        case click.ClickException():
            context = error.ctx if isinstance(error, click.UsageError) else None
            path = context.command_path if context else NAME
            return UsageError(error.format_message().rstrip("."), hint=f"see {path} --help")
        case OSError():
            where = f"{error.filename}: " if error.filename else ""
            return SnapdError(f"{where}{error.strerror or error}", hint="--debug shows where it happened")
        case _:
            told = SnapdError(
                f"this should not happen: {type(error).__name__}: {error}",
                hint=f"run again as {NAME} --debug … and report what it shows",
            )
            told.code = "internal"
            return told


def _complete(instruction: str) -> int:
    """Answer the shell; whatever goes wrong, the shell just gets no suggestion."""
    shell_completion = import_module("click.shell_completion")
    try:
        return int(shell_completion.shell_complete(program, {}, NAME, COMPLETE, instruction))
    except Exception:  # noqa: BLE001 - see above
        return 1
