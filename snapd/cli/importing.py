"""`import`: a crontab, or a tarsnapper file, as a config for this daemon. Runs nothing that it reads."""

from __future__ import annotations

import glob
import os
import pwd
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from snapd.cli.arguments import json_option, pass_invocation
from snapd.cli.invocation import Invocation
from snapd.cli.lazily import load
from snapd.cli.output import aside, fact, print_json
from snapd.errors import UsageError
from snapd.importing import crontab_import, tarsnapper_import
from snapd.importing.account import open_items
from snapd.importing.draft import Draft
from snapd.importing.finish import finished
from snapd.importing.toml_text import things
from snapd.local_zone import system_timezone

LARGEST_INPUT = 2**20  # bytes
_MOST_FILES = 100
FAILED = 1
WARNING = 3


@dataclass(frozen=True, slots=True)
class ThisMachine:
    """What an import asks of the machine that it runs on."""

    @property
    def hostname(self) -> str:
        return os.uname().nodename.partition(".")[0]

    def home(self, user: str) -> str:
        try:
            return pwd.getpwnam(user).pw_dir
        except KeyError:
            return f"/home/{user}"

    def text(self, path: str) -> str | None:
        if path == os.devnull:
            return ""
        try:
            content = _content(Path(path))
            return None if b"\0" in content else content.decode("utf-8")
        except (OSError, ValueError, UsageError):
            return None

    def is_hidden(self, path: str) -> bool:
        try:
            Path(path).stat()
        except PermissionError:
            return True
        except (OSError, ValueError):
            return False
        return not os.access(path, os.R_OK)

    def matching(self, pattern: str) -> tuple[str, ...]:
        found = sorted(glob.iglob(pattern))  # noqa: PTH207 - the pattern is a whole path
        return tuple(path for path in found if Path(path).is_file())[:_MOST_FILES]


conf_option = click.option(
    "--tarsnap-conf",
    metavar="FILE",
    help="Read this in place of root's ~/.tarsnaprc and /etc/tarsnap.conf and their like.",
)


trial_option = click.option(
    "--check-against-store",
    "trial",
    is_flag=True,
    help="List the archives that exist, and show what would go. Deletes nothing; needs the key.",
)


@click.group("import")
def import_command() -> None:
    """Turn what made backups until now into a config for this daemon, on standard output.

    Every part of the input is either in the config or in a comment of it.
    Exit status: 0 all of it was carried over, 3 something needs a look, 2 the input cannot be read, 1 a store
    could not be listed (with --check-against-store).
    """


@import_command.command("crontab", short_help="Read the jobs of a crontab.")
@click.argument("file", metavar="FILE|-")
@click.option("--system", is_flag=True, help="Each job names its user, as in /etc/crontab.")
@conf_option
@trial_option
@json_option
@pass_invocation
def crontab_command(
    invocation: Invocation, file: str, *, system: bool, tarsnap_conf: str | None, trial: bool, as_json: bool
) -> int:
    """Read the jobs of a crontab that call tarsnap or tarsnapper; - is standard input."""
    text, name = _input(file)
    draft = crontab_import.read(text, name, ThisMachine(), system=system, tarsnap_conf=tarsnap_conf)
    return _print(draft, invocation, trial=trial, as_json=as_json)


@import_command.command("tarsnapper", short_help="Read the jobs of a file of tarsnapper.")
@click.argument("file", metavar="FILE|-")
@click.option("--schedule", metavar="EXPR", help="When tarsnapper runs: that of its crontab line.")
@conf_option
@trial_option
@json_option
@pass_invocation
def tarsnapper_command(
    invocation: Invocation,
    file: str,
    *,
    schedule: str | None,
    tarsnap_conf: str | None,
    trial: bool,
    as_json: bool,
) -> int:
    """Read the jobs of a YAML file of tarsnapper; - is standard input."""
    text, name = _input(file)
    draft = tarsnapper_import.read(text, name, ThisMachine(), schedule=schedule, tarsnap_conf=tarsnap_conf)
    return _print(draft, invocation, trial=trial, as_json=as_json)


def _print(draft: Draft, invocation: Invocation, *, trial: bool, as_json: bool) -> int:
    config = finished(draft, system_timezone())
    count = len(open_items(item for _, item in draft.items()))
    if not as_json:
        click.echo(config, nl=False)
    plans = load("trial").trials(config, debug=invocation.debug) if trial else None
    if as_json:
        print_json(_as_json(draft, config, count, plans))
    elif plans is not None:
        for line in load("trial").lines(plans):
            fact(line)
    if count:
        aside(f"{things(count)} a look: find NOT CARRIED OVER in the config")
    if plans and any(plan["error"] for plan in plans):
        return FAILED
    return WARNING if count else 0


def _as_json(draft: Draft, config: str, count: int, plans: list[Any] | None) -> dict[str, Any]:
    return {
        "config": config,
        "not_carried": count,
        "items": [
            {"where": source.where, "text": item.text, "fate": item.fate.value, "says": item.says}
            for source, item in draft.items()
        ],
        "plans": plans,
    }


def _input(file: str) -> tuple[str, str]:
    """Return the text of the input and what to call it. Raises UsageError with one sentence."""
    name = "standard input" if file == "-" else file
    try:
        content = sys.stdin.buffer.read(LARGEST_INPUT + 1) if file == "-" else _content(Path(file))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no file has such a name"
        raise UsageError(f"{name} cannot be read: {reason}") from error
    if len(content) > LARGEST_INPUT:
        raise UsageError(f"{name} is larger than 1 MiB, which no crontab and no tarsnapper file is")
    return _decoded(content, name), name


def _decoded(content: bytes, name: str) -> str:
    if (at := content.find(b"\0")) >= 0:
        line = content.count(b"\n", 0, at) + 1
        raise UsageError(f"{name}:{line}: found a byte 0, so this is no text file")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageError(
            f"{name}:{line}: not UTF-8, found the byte 0x{content[error.start]:02x}", hint="save it as UTF-8"
        ) from None


def _content(path: Path) -> bytes:
    """Read a regular file, one byte beyond the largest at most; a device could keep us waiting."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise UsageError(f"{path} is no regular file", hint="Name a file, or - for standard input.")
    with path.open("rb") as opened:
        return opened.read(LARGEST_INPUT + 1)
