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

from snapd.cli.arguments import json_option
from snapd.cli.output import aside, print_json
from snapd.errors import UsageError
from snapd.importing import crontab_import
from snapd.importing.account import open_items
from snapd.importing.draft import Draft
from snapd.importing.finish import finished
from snapd.importing.toml_text import things
from snapd.local_zone import system_timezone

LARGEST_INPUT = 2**20  # bytes
_MOST_FILES = 100
_SOMETHING_LEFT = 3


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
        try:
            content = _content(Path(path))
            return None if b"\0" in content else content.decode("utf-8")
        except (OSError, ValueError, UsageError):
            return None

    def matching(self, pattern: str) -> tuple[str, ...]:
        found = sorted(glob.iglob(pattern))  # noqa: PTH207 - the pattern is a whole path
        return tuple(path for path in found if Path(path).is_file())[:_MOST_FILES]


conf_option = click.option(
    "--tarsnap-conf",
    metavar="FILE",
    help="Read this in place of root's ~/.tarsnaprc and /etc/tarsnap.conf and their like.",
)


@click.group("import")
def import_command() -> None:
    """Turn what made backups until now into a config for this daemon, on standard output.

    Every part of the input is either in the config or in a comment of it.
    Exit status: 0 all of it was carried over, 3 something needs a look, 2 the input cannot be read.
    """


@import_command.command("crontab")
@click.argument("file", metavar="FILE|-")
@click.option("--system", is_flag=True, help="Each job names its user, as in /etc/crontab.")
@conf_option
@json_option
def crontab_command(file: str, system: bool, tarsnap_conf: str | None, as_json: bool) -> int:
    """Read the jobs of a crontab that call tarsnap or tarsnapper; - is standard input."""
    text, name = _input(file)
    draft = crontab_import.read(text, name, ThisMachine(), system=system, tarsnap_conf=tarsnap_conf)
    return _print(draft, as_json=as_json)


def _print(draft: Draft, *, as_json: bool) -> int:
    config = finished(draft, system_timezone())
    items = [item for _, item in draft.items()]
    count = len(open_items(items))
    if as_json:
        print_json(_as_json(draft, config, count))
    else:
        click.echo(config, nl=False)
    if count:
        aside(f"{things(count)} a look: find NOT CARRIED OVER in the config")
    return _SOMETHING_LEFT if count else 0


def _as_json(draft: Draft, config: str, count: int) -> dict[str, Any]:
    return {
        "config": config,
        "not_carried": count,
        "items": [
            {"where": source.where, "text": item.text, "fate": item.fate.value, "says": item.says}
            for source, item in draft.items()
        ],
        "plans": None,
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
