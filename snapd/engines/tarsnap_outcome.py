"""What a creation came to, from how Tarsnap ended and what it said. Pure.

Exit status 0 does not mean that every file is in the archive, and another one does not mean that there is no
archive. From 1.0.41 on status 2 means that something was committed, which may have been an earlier run's.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from functools import cache

from snapd.engines.tarsnap_messages import CHATTER, CLOSING

Version = tuple[int, ...]
TELLS_COMMITS = (1, 0, 41)  # the first version with exit status 2

_MOST_WARNINGS = 100
_BREAKING_OFF = ("Error closing archive", "Error writing archive", "Too many network failures")
_FAILED = "could not open file|Cannot stat|Couldn't visit directory|Cannot open"
_STATS = re.compile(r"^(?:[^\n]*\S)?\s+(?:\d+\s+\d+|Total size\s+Compressed size)\s*$")
_ESCAPE = re.compile(rb"\\(?:([0-7]{3})|(.))", re.DOTALL)
_LETTERS = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}


class Made(Enum):
    """Whether there is an archive now."""

    WHOLE = "whole"  # under its name; single files may be missing
    TRUNCATED = "truncated"  # as NAME.part
    NOTHING = "nothing"  # and none of this run will appear
    UNKNOWN = "unknown"  # a later write may commit it, whole or as NAME.part: a listing after that tells


@dataclass(frozen=True, slots=True)
class Omissions:
    """What is missing in an archive: paths from the root, and everything else that was said, as it was."""

    paths: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def verdict(returncode: int, lines: Iterable[str], version: Version) -> Made:
    """Tell what a creation made. `returncode` is negative for a signal; `lines` is its standard error.

    File names are among the lines, and may be made to look like messages: so nothing that is said makes an
    archive of no archive, and what says that there is none counts only before the first entry.
    """
    said = "\n".join(lines)
    if returncode == 0:
        return Made.WHOLE
    if "Error creating new archive" in said and not _had_begun(said):
        return Made.NOTHING
    if returncode < 0 or any(text in said for text in _BREAKING_OFF):
        return Made.UNKNOWN
    if "Archive truncated" in said:
        return Made.TRUNCATED
    return Made.WHOLE if returncode == 2 else _of_status_one(said, version)


def _of_status_one(said: str, version: Version) -> Made:
    """Judge the status that says least: only one that came to its regular end may have made an archive."""
    if "Error exit delayed" in said:
        return Made.UNKNOWN if version >= TELLS_COMMITS else Made.WHOLE
    return Made.UNKNOWN if _had_begun(said) else Made.NOTHING


def _had_begun(said: str) -> bool:
    """Tell whether the archive was open: a checkpoint of it may be committed by a later write."""
    return re.search(r"^(?:a |tarsnap: Removing leading|Processed \d)", said, re.MULTILINE) is not None


def causes(lines: Iterable[str]) -> tuple[str, ...]:
    """Return the messages of a creation that failed, without what is said of single files and folders."""
    return tuple(
        text for line in lines for text in _apart(line) if not text.startswith("a ") and _unread(text) is None
    )


def omissions(lines: Iterable[str]) -> Omissions:
    """Return what a creation said it left out, and what else it warned of."""
    paths: dict[str, None] = {}
    warnings: list[str] = []
    for line in lines:
        for text in _apart(line):
            path = _unread(text)
            if path is not None:
                paths[path] = None
            elif not _is_harmless(text):
                warnings.append(text.removeprefix("tarsnap: "))
    if len(warnings) > _MOST_WARNINGS:
        warnings[_MOST_WARNINGS:] = [f"and {len(warnings) - _MOST_WARNINGS} more warnings"]
    return Omissions(tuple(paths), tuple(warnings))


def _apart(line: str) -> list[str]:
    """Take glued messages apart: each begins with the name of the program."""
    at = line.find("tarsnap: ", 1)
    return [line[:at], *_apart(line[at:])] if at > 0 else [line]


@cache
def _unread_lines() -> tuple[re.Pattern[str], ...]:
    """Return what a line about a path that could not be read looks like: by any error of the system."""
    reasons = "|".join(re.escape(reason) for reason in {os.strerror(number) for number in errno.errorcode})
    return (
        re.compile(rf"a (?P<path>.+): (?:{reasons})"),
        re.compile(rf"(?:tarsnap: )?(?P<raw>.+): (?:{_FAILED}): (?:{reasons})"),
    )


def _unread(text: str) -> str | None:
    """Return the path that could not be read; with -v without the leading slash, and escaped."""
    for expression in _unread_lines():
        match = expression.fullmatch(text)
        if match is not None:
            found = match.groupdict()
            return f"/{unescaped(found['path'])}" if "path" in found else found["raw"]
    return None


def _is_harmless(text: str) -> bool:
    return (
        not text.strip()
        or text.startswith("a ")
        or bool(CHATTER.search(text) or CLOSING.search(text) or _STATS.match(text))
    )


def unescaped(text: str) -> str:
    """Return a member name as it is; Tarsnap writes what is not printable, and a backslash, as C does.

    Bytes that are no UTF-8 become surrogates, as in every path of Python.
    """
    if "\\" not in text:
        return text
    content = _ESCAPE.sub(_byte, text.encode("utf-8", "surrogateescape"))
    return content.decode("utf-8", "surrogateescape")


def _byte(match: re.Match[bytes]) -> bytes:
    octal, letter = match.groups()
    return bytes([int(octal, 8) & 0xFF]) if octal else _LETTERS.get(letter, letter)
