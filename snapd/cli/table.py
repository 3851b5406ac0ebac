"""Plain tables: columns as wide as their cells, the last one broken or cut at the edge of the terminal."""

from __future__ import annotations

import os
import sys
import textwrap
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from snapd.cli.output import bold, coloured, fact

GAP = "  "
_NARROWEST = 25  # columns of text that can be read
_BELOW = 4  # columns before a text that stands below its row


class Cell(NamedTuple):
    """One cell: escaped text without colour, and its colour.

    `drawn`, where given, is the same text with colours of its own; such a cell is not for the last column.
    """

    text: str
    colour: str = ""
    drawn: str = ""

    @property
    def shown(self) -> str:
        return self.drawn or coloured(self.text, self.colour)


Row = Sequence[str | Cell]


def terminal_width(environ: Mapping[str, str] = os.environ) -> int | None:
    """Return how wide a line may be, in columns; None when it may be any length, as in a pipe."""
    if sys.stdout.isatty():
        return os.get_terminal_size(sys.stdout.fileno()).columns or None
    columns = environ.get("COLUMNS", "")
    return int(columns) if columns.isdecimal() and int(columns) else None


def width_of(text: str) -> int:
    """Return how many columns a text takes: two for East Asian wide characters, none for combining ones."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )


def print_table(head: Row, rows: Sequence[Row], *, indent: str = "") -> None:
    """Print a head and rows of equally many cells. Nothing is printed for no rows."""
    if not rows:
        return
    for at, line in enumerate(lines([head, *rows], terminal_width(), indent=indent)):
        fact(bold(line) if at == 0 else line)


def print_rows(rows: Sequence[Row], *, indent: str = "") -> None:
    """Print rows without a head."""
    for line in lines(rows, terminal_width(), indent=indent):
        fact(line)


def print_sentence(text: str, *, indent: str = "") -> None:
    """Print an escaped sentence, broken at the edge of the terminal; further lines stand under the first."""
    print_rows([(text,)], indent=indent)


def lines(rows: Sequence[Row], width: int | None, *, indent: str = "") -> Iterator[str]:
    """Lay rows out; the last column is broken into more lines where it does not fit in `width` columns, and
    stands below its row where it would be too narrow to read.
    """
    cells = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in rows]
    if not cells:
        return
    widths = [max(width_of(row[at].text) for row in cells) for at in range(len(cells[0]) - 1)]
    margin = len(indent) + sum(w + len(GAP) for w in widths)
    for row in cells:
        front = indent + "".join(_padded(cell, w) + GAP for cell, w in zip(row, widths, strict=False))
        start = margin
        if width is not None and width_of(row[-1].text) > width - margin < _NARROWEST:
            yield front.rstrip()
            start = len(indent) + _BELOW
            front = " " * start
        parts = _broken(row[-1].text, width, start, cut=len(row) > 1)
        yield (front + coloured(parts[0], row[-1].colour)).rstrip()
        for part in parts[1:]:
            yield " " * start + coloured(part, row[-1].colour)


def _padded(cell: Cell, width: int) -> str:
    return cell.shown + " " * (width - width_of(cell.text))


def _broken(text: str, width: int | None, margin: int, *, cut: bool) -> list[str]:
    """Break a text between words; a word that is longer than a line is cut, or else left to the terminal."""
    if width is None or margin + width_of(text) <= width:
        return [text]
    room = max(width - margin, _BELOW)
    return textwrap.wrap(text, room, break_on_hyphens=False, break_long_words=cut) or [""]
