"""How lights are drawn: a filled or an empty circle, plus and minus where the terminal has no circles."""

from __future__ import annotations

from snapd.cli.output import unicode_ok
from snapd.cli.table import Cell

LETTERS = {"fresh": "F", "proven": "P", "encrypted": "E", "off-site": "O", "key copied": "K"}
LEGEND = "  ".join(f"{letter} {label}" for label, letter in LETTERS.items())


def letters() -> str:
    """Return the head of a column of lights."""
    return " ".join(LETTERS.values())


def marks(*, on: bool) -> Cell:
    """Return the mark of one light."""
    shape = ("●" if on else "○") if unicode_ok() else ("+" if on else "-")
    return Cell(shape, "green" if on else "red")
