"""What of the daemon's status needs somebody's attention: for `status` and `check`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from snapd.cli import words
from snapd.cli.marks import LETTERS
from snapd.cli.output import escaped, fact
from snapd.cli.table import Cell, print_rows, print_sentence


def needs_attention(status: dict[str, Any]) -> bool:
    """Whether a light is off, a pinned archive is gone, an expiry is late, another file than the one on disk
    is in force, or the machine has a fault.
    """
    history = status["history"]
    return bool(
        lights_off(status)
        or any(item["pinned_lost"] or is_late(item) for item in status["sets"])
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
    """Print why lights are off, in the order of the lights, sets with the same reason together."""
    if not off:
        return
    sets_of: dict[tuple[str, str], list[str]] = {}
    rank = {label: at for at, label in enumerate(LETTERS)}
    for backup_set, label, why in sorted(off, key=lambda item: rank.get(item[1], len(rank))):
        sets_of.setdefault((label, why), []).append(escaped(backup_set))
    fact()
    fact("Off")
    print_rows(
        [
            (Cell(escaped(label), "red"), f"{', '.join(names)}: {escaped(why)}")
            for (label, why), names in sets_of.items()
        ],
        indent="  ",
    )


def is_late(item: dict[str, Any]) -> bool:
    """Whether the expiry of a set could not finish for long."""
    return item["expiry"] is not None and item["expiry"]["late_s"] is not None


def print_late(item: dict[str, Any], now: datetime) -> None:
    """Say since when the expiry of a set could not finish, and why."""
    expiry = item["expiry"]
    completed = expiry["completed"]
    last = f"was last completed {words.ago(completed, now)}" if completed else "was never completed"
    print_sentence(f"Expiry of {escaped(item['name'])} {last}: {escaped(expiry['why'])}")


def print_lost(names: list[str]) -> None:
    """Say which archives are pinned and gone all the same."""
    for name in names:
        print_sentence(
            f"{escaped(name)} is pinned, and not in its store any more; to forget the pin: "
            f"snapd-backup unpin {escaped(name)}"
        )


def problem_of(problem: dict[str, Any]) -> str:
    """Say whom a problem of the machine stops."""
    return f"store {problem['store']}" if problem["store"] else f"backup set {problem['backup_set']}"
