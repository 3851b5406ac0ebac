"""What of the daemon's status needs somebody's attention: for `status` and `check`."""

from __future__ import annotations

from typing import Any

from snapd.cli.output import escaped, fact
from snapd.cli.table import Cell, print_rows


def needs_attention(status: dict[str, Any]) -> bool:
    """Whether a light is off, another file than the one on disk is in force, or the machine has a fault."""
    history = status["history"]
    return bool(
        lights_off(status)
        or status["config"]["refused"]
        or status["problems"]
        or history["unwritten"]
        or history["rebuilt"]
    )


def lights_off(status: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return set, light and why of every light that is off."""
    return [
        (item["name"], label, light["why"])
        for item in status["sets"]
        for label, light in item["lights"].items()
        if not light["on"]
    ]


def print_off(off: list[tuple[str, str, str]]) -> None:
    """Print why lights are off, sets with the same reason together."""
    sets_of: dict[tuple[str, str], list[str]] = {}
    for backup_set, label, why in off:
        sets_of.setdefault((label, why), []).append(escaped(backup_set))
    if not off:
        return
    fact()
    fact("Off")
    rows = [
        (Cell(label, "red"), f"{escaped(why)}: {', '.join(sets)}") for (label, why), sets in sets_of.items()
    ]
    print_rows(rows, indent="  ")


def problem_of(problem: dict[str, Any]) -> str:
    """Say whom a problem of the machine stops."""
    return f"store {problem['store']}" if problem["store"] else f"backup set {problem['backup_set']}"
