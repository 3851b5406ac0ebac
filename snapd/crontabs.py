"""Crontab lines that still call a program which a daemon has taken over. Reads, and changes nothing."""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

PLACES = (Path("/etc/crontab"), Path("/etc/cron.d"), Path("/var/spool/cron/crontabs"))
_LARGEST = 2**20  # bytes of a crontab
_CALL = re.compile(r"(?:^|[\s/;&|(`'\"=])(?P<program>tarsnap(?:per)?)(?=[\s;&|)`'\"]|$)")
_SETTINGS = (Path("/etc/tarsnap.conf"), Path("/usr/local/etc/tarsnap.conf"), Path("/root/.tarsnaprc"))


@dataclass(frozen=True, slots=True)
class CronCall:
    """A line of a crontab that calls tarsnap or tarsnapper. `keyfile` is None where the line names none."""

    file: Path
    line: int
    program: str
    keyfile: Path | None


@dataclass(frozen=True, slots=True)
class Found:
    """The calls in all crontabs, and the places that could not be read."""

    calls: tuple[CronCall, ...]
    unread: tuple[Path, ...]


def calls_of_tarsnap(places: Iterable[Path] = PLACES) -> Found:
    """Look through crontabs: files, and folders of them."""
    calls: list[CronCall] = []
    unread: list[Path] = []
    for place in places:
        for file, text in _texts(place):
            if text is None:
                unread.append(file)
            else:
                calls += calls_in(file, text)
    return Found(tuple(calls), tuple(unread))


def calls_in(file: Path, text: str) -> Iterator[CronCall]:
    """Yield the calls in one crontab. Comments and settings of variables are none."""
    for number, line in enumerate(text.splitlines(), start=1):
        command = line.strip()
        match = None if command.startswith("#") or re.match(r"\w+\s*=", command) else _CALL.search(command)
        if match is not None:
            yield CronCall(file, number, match["program"], _keyfile(command))


def default_keyfile(settings: Iterable[Path] = _SETTINGS) -> Path | None:
    """Return the key that tarsnap uses where nothing names one; None when its settings do not tell."""
    for file in settings:
        try:
            text = file.read_text(errors="replace")
        except OSError:
            continue
        match = re.search(r"^[ \t]*keyfile[ \t]+(\S+)", text, re.MULTILINE)
        if match is not None:
            named = Path(match[1])
            with contextlib.suppress(RuntimeError):  # of a user that is not there
                named = named.expanduser()
            return named
    return None


def _keyfile(command: str) -> Path | None:
    try:
        words = shlex.split(command)
    except ValueError:  # an open quote
        words = command.split()
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word == "--keyfile":
            return Path(following)
        if word.startswith("--keyfile="):
            return Path(word.partition("=")[2])
    return None


def _texts(place: Path) -> Iterator[tuple[Path, str | None]]:
    """Yield the files of a place with their texts, None for what cannot be read; nothing where nothing is."""
    try:
        files = sorted(place.iterdir()) if place.is_dir() else [place]
    except OSError:
        yield place, None
        return
    for file in files:
        try:
            if file.is_file():
                with file.open(errors="replace") as opened:
                    yield file, opened.read(_LARGEST)
        except OSError:
            yield file, None
