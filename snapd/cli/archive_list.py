"""A list of archives as text: a name, a tab and an instant on each line."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from zoneinfo import ZoneInfo

from snapd.cli.instants import read_instant
from snapd.errors import UsageError
from snapd.model import Archive

LARGEST = 64 * 2**20  # bytes


def read_list(file: str, zone: ZoneInfo) -> tuple[Archive, ...]:
    """Return the archives of a file, in its order; `-` is standard input. Raises `UsageError`.

    A name may hold tabs: the last one on the line ends it. Empty lines are passed over. Instants without an
    offset are read on the clocks of `zone`. A list that seems cut off is refused, see `_whole`.
    """
    lines = _text(file).split("\n")
    archives: dict[str, Archive] = {}
    for number, line in enumerate(lines, 1):
        if not (line := line.removesuffix("\r")):
            continue
        try:
            archive = _archive(line, zone)
        except ValueError as error:
            raise UsageError(f"{_called(file)}, line {number}: {error}") from None
        if archive.name in archives:
            shown = repr(archive.name[:80])
            raise UsageError(
                f"{_called(file)}, line {number}: the name {shown} stands on a line above already"
            )
        archives[archive.name] = archive
    if not _whole(lines):
        raise UsageError(
            f"{_called(file)}, line {len(lines)}: the list ends in the middle of a line",
            hint="If it is whole, end it with a line end.",
        )
    return tuple(archives.values())


def _archive(line: str, zone: ZoneInfo) -> Archive:
    if "\0" in line:
        raise ValueError("holds a NUL character")
    name, tab, instant = line.rpartition("\t")
    if not tab:
        raise ValueError("a name, a tab and an instant are meant, and there is no tab")
    if not name:
        raise ValueError("there is no name before the tab")
    return Archive(name, read_instant(instant, zone))


def _whole(lines: list[str]) -> bool:
    """Tell whether a list without a line end at its end still seems complete.

    Half an instant may read as another one, so the last must be written as the one before; one that stands
    alone must have an offset.
    """
    *before, last = lines
    if not last:
        return True
    above = next((line for line in reversed(before) if line), None)
    if above is not None:
        return _form(last) == _form(above)
    return re.search(r"(Z|[+-]\d\d:?\d\d)$", last) is not None


def _form(line: str) -> str:
    instant = line.removesuffix("\r").rpartition("\t")[2]
    return re.sub(r"\d", "9", re.sub(r"[.,]\d+", "", instant))


def _text(file: str) -> str:
    content = _content(file)
    if len(content) > LARGEST:
        raise UsageError(f"{_called(file)} is larger than {LARGEST // 2**20} MiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageError(
            f"{_called(file)}, line {line}: not UTF-8: found the byte 0x{content[error.start]:02x}"
        ) from None


def _content(file: str) -> bytes:
    try:
        if file == "-":
            return sys.stdin.buffer.read(LARGEST + 1)
        with Path(file).open("rb") as opened:
            return opened.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no file has such a name"
        raise UsageError(f"{_called(file)} cannot be read: {reason}") from error


def _called(file: str) -> str:
    return "the list on standard input" if file == "-" else f"the list {file}"
