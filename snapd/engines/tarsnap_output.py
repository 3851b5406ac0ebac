"""What Tarsnap writes to standard output, read: lists of archives and of members, tables of sizes. Pure.

Every parser raises ValueError for what it does not know, and its caller makes that an error: a list that was
read wrongly is worse than none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from snapd.engines.base import Member
from snapd.engines.tarsnap_outcome import unescaped
from snapd.model import Archive, is_incomplete_name

_TIME = re.compile(r"\d{4,}-\d\d-\d\d \d\d:\d\d:\d\d")
_SIZES = re.compile(r"^(?P<label>.*?)\s+(?P<total>\d+)\s+(?P<compressed>\d+)\s*$")
_MEMBER = re.compile(
    r"(?P<mode>[-hdlbcps][rwxsStT-]{9}.?)\s+\d+ +\d+ +\d+ +(?:(?P<size>\d+)|\d+,\d+) "
    r"(?P<time>\d{4,}-\d\d-\d\d \d\d:\d\d:\d\d) (?P<rest>.+)"
)
_NO_TIME = datetime(9000, 1, 1, tzinfo=UTC)  # in the future, so that retention keeps it


@dataclass(frozen=True, slots=True)
class Sizes:
    """One row of a table of sizes, in bytes."""

    total: int
    compressed: int


def archives_of_records(text: str) -> tuple[Archive, ...]:
    """Read `--list-archives -v --null-output`: records end with one NUL, fields are two NULs apart."""
    if not text:
        return ()
    if not re.fullmatch(r"(?:[^\0]+\0\0?)*[^\0]+\0", text):
        raise ValueError("the list of archives is cut off")
    return tuple(_archive(*_fields(record)) for record in _records(text))


def _records(text: str) -> Iterator[list[str]]:
    """Yield the fields of each record. Names are never empty, so two NULs always stand between fields."""
    record: list[str] = []
    for piece in re.findall(r"([^\0]+)(\0\0?)", text):
        record.append(piece[0])
        if len(piece[1]) == 1:
            yield record
            record = []
    if record:
        raise ValueError("the list of archives is cut off")


def _fields(record: list[str]) -> tuple[str, str]:
    name, *rest = record
    if len(rest) > 1:
        raise ValueError(f"too many fields in a list of archives: {record!r}")
    return name, rest[0] if rest else ""


def archives_of_lines(text: str) -> tuple[Archive, ...]:
    """Read `--list-archives -v`: NAME, a tab, the time. The tab before the time is the last one.

    A name that holds a line end is put together again, as far as every record ends with a time.
    """
    if text and not text.endswith("\n"):
        raise ValueError("the list of archives is cut off")
    found: list[Archive] = []
    begun = ""
    for line in text.split("\n")[:-1]:
        begun += line
        name, tab, time = begun.rpartition("\t")
        if tab and _TIME.fullmatch(time):
            found.append(_archive(name, time))
            begun = ""
        else:
            begun += "\n"
    if begun:
        raise ValueError(f"no time in a list of archives: {begun!r}")
    return tuple(found)


def _archive(name: str, time: str) -> Archive:
    """Return one archive. Tarsnap leaves out a time that was never stored."""
    if not name:
        raise ValueError("a name is missing in the list of archives")
    created = datetime.fromisoformat(time).replace(tzinfo=UTC) if time else _NO_TIME
    return Archive(name, created, complete=not is_incomplete_name(name))


def sizes(lines: Iterable[str]) -> dict[str, Sizes]:
    """Read a table of sizes by its labels, leading white space taken off; other lines are passed over."""
    rows = (_SIZES.match(line) for line in lines)
    return {
        row["label"].strip(): Sizes(int(row["total"]), int(row["compressed"]))
        for row in rows
        if row is not None
    }


class Members:
    """Reads `-tv --iso-dates --numeric-owner` line by line: names are escaped, so each entry is one line."""

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}

    def read(self, line: str) -> Member:
        match = _MEMBER.fullmatch(line)
        if match is None:
            raise ValueError(f"no entry of an archive: {line!r}")
        kind = match["mode"][0]
        path, size = self._place(kind, match["rest"], int(match["size"] or 0))
        is_file = kind in "-h"
        if is_file:
            self._sizes[path] = size
        mtime = datetime.fromisoformat(match["time"]).replace(tzinfo=UTC)
        return Member(path, size if is_file else 0, is_file, mtime)

    def _place(self, kind: str, rest: str, size: int) -> tuple[str, int]:
        """Return path and size; a hard link has the size of the entry it leads to, and may name it."""
        if kind == "h":
            for match in re.finditer(" link to ", rest):
                target = _path(rest[match.end() :])
                if target in self._sizes:
                    return _path(rest[: match.start()]), self._sizes[target]
            return _path(rest.partition(" link to ")[0]), size
        if kind == "l":
            return _path(rest.partition(" -> ")[0]), 0
        return _path(rest), size


def _path(text: str) -> str:
    return unescaped(text).strip("/")
