"""Facts to standard output, everything else to standard error. What comes from outside is escaped."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from snapd.errors import ConfigError, SnapdError


def escaped(text: object) -> str:
    """Return a text that cannot steer a terminal or forge a line: what is not printable becomes `\\x1b`."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in str(text)
    )


def fact(text: str = "") -> None:
    """Print one line of what was asked for."""
    click.echo(text)


def aside(text: str) -> None:
    """Print one line that is not what was asked for: progress, advice."""
    click.echo(text, err=True)


def print_json(value: Any) -> None:
    """Print one JSON value for programs; plain ASCII, so that nothing in it can steer a terminal."""
    click.echo(json.dumps(value, indent=2))


def print_json_line(value: Any) -> None:
    """Print one JSON value on one line, at once."""
    click.echo(json.dumps(value))


def coloured(text: str, colour: str) -> str:
    """Mark a text with a colour; it is taken off again where standard output is no terminal."""
    return click.style(text, fg=colour) if colour else text


def bold(text: str) -> str:
    return click.style(text, bold=True)


def unicode_ok() -> bool:
    """Whether standard output takes more than ASCII."""
    return (sys.stdout.encoding or "ascii").lower().replace("-", "").startswith("utf")


def complain(error: SnapdError) -> None:
    """Say on standard error what went wrong: one sentence, below it the problems and the hint."""
    aside(f"{click.style('snapd-backup:', fg='red')} {escaped(error.message)}")
    for line in (*_problems(error), *error.hint.splitlines()):
        aside(f"  {escaped(line)}")


def error_json(error: SnapdError) -> dict[str, Any]:
    """Return an error as programs see it."""
    return {
        "error": {
            "message": error.message,
            "hint": error.hint,
            "code": error.code,
            "problems": list(_problems(error)),
        }
    }


def _problems(error: SnapdError) -> tuple[str, ...]:
    return error.problems if isinstance(error, ConfigError) else ()
