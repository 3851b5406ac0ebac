"""Archive names: what `date` and Python's strftime would have written, as our archive patterns."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from string import Template

from snapd.importing.words import Kind, Piece, ShellError, Word, tokens
from snapd.model import ArchivePattern

_PLAIN = frozenset("YmdHMSjy")
_SHORT = {"F": "%Y-%m-%d", "T": "%H:%M:%S", "R": "%H:%M", "%": "%%"}
_DIRECTIVE = re.compile(r"%([-_0^#]*.?)", re.DOTALL)
_UTC = ("-u", "--utc", "--universal")
_ISO = {"-I": "%Y-%m-%d", "-Idate": "%Y-%m-%d", "--iso-8601": "%Y-%m-%d", "--iso-8601=date": "%Y-%m-%d"}
_HOSTNAME = ("hostname", "hostname -s", "uname -n", "hostname --short", "cat /etc/hostname")
DEFAULT_DATE = "%Y%m%d-%H%M%S"  # of a set without a pattern of its own
_LONGEST = 150  # characters of a pattern, as the config takes it


class SeriesError(ValueError):
    """The name is none that a pattern of ours can say. One sentence."""


@dataclass(frozen=True, slots=True)
class Series:
    """The names of a series of archives.

    `pattern` is the text of an `ArchivePattern`. `local`: the date in old names is local time, not UTC.
    `hostname`: the machine's name was put in where the command asked for it.
    """

    pattern: str
    local: bool = False
    hostname: bool = False

    @property
    def ends(self) -> tuple[str, str]:
        """What stands before the first and behind the last date field, as `ArchivePattern` writes text."""
        return ends(self.pattern)


def ends(pattern: str) -> tuple[str, str]:
    """Return what stands before the first and behind the last date field of a pattern."""
    fields = list(re.finditer(r"%%|%[YmdHMSjy]", pattern))
    dates = [match for match in fields if match[0] != "%%"]
    if not dates:
        return pattern, ""
    return pattern[: dates[0].start()], pattern[dates[-1].end() :]


def series(word: Word, *, hostname: str) -> Series:
    """Return the series that the name of a `tarsnap -c` makes. Raises SeriesError."""
    found = Series("")
    for piece in word.pieces:
        match piece.kind:
            case Kind.TEXT:
                found = replace(found, pattern=found.pattern + piece.text.replace("%", "%%"))
            case Kind.COMMAND if " ".join(piece.text.split()) in _HOSTNAME:
                found = replace(found, pattern=found.pattern + hostname.replace("%", "%%"), hostname=True)
            case Kind.VARIABLE if piece.text == "HOSTNAME":
                found = replace(found, pattern=found.pattern + hostname.replace("%", "%%"), hostname=True)
            case Kind.COMMAND:
                pattern, utc = _date(piece.text)
                found = replace(found, pattern=found.pattern + pattern, local=found.local or not utc)
            case _:
                raise SeriesError(f"{_source(piece)} is only known when the command runs")
    return _checked(found)


def template(target: str, *, name: str, dateformat: str) -> Series:
    """Return the series of a tarsnapper target, `$name` and `$date` filled in; its dates are UTC.

    Raises SeriesError.
    """
    pattern = _filled(target, name, strftime_pattern(dateformat))
    return _checked(Series(pattern))


def template_ends(target: str, *, name: str) -> tuple[str, str]:
    """Return what stands before and behind `$date` in a target, as in a pattern. Raises SeriesError."""
    mark = "\0"
    before, found, behind = _filled(target, name, mark).partition(mark)
    if not found or mark in behind:
        raise SeriesError("a target has $date exactly once")
    return before, behind


def strftime_pattern(form: str) -> str:
    """Return a date format in the directives of our patterns; raises SeriesError for what they cannot say."""
    return _DIRECTIVE.sub(_directive, form)


def valid(pattern: str) -> str:
    """Return what is wrong with a pattern, an empty text when nothing is."""
    if len(pattern) > _LONGEST:
        return f"a pattern has at most {_LONGEST} characters"
    if pattern.startswith("-"):
        return "a pattern must not begin with -"
    try:
        ArchivePattern(pattern)
    except ValueError as error:
        return str(error)
    return ""


def _checked(found: Series) -> Series:
    if wrong := valid(found.pattern):
        raise SeriesError(wrong)
    return found


def _filled(target: str, name: str, date: str) -> str:
    try:
        return Template(target.replace("%", "%%")).substitute(name=name.replace("%", "%%"), date=date)
    except (KeyError, ValueError):
        raise SeriesError("a target knows $name and $date only; $$ is a dollar") from None


def _directive(match: re.Match[str]) -> str:
    directive = match[1]
    if directive in _PLAIN:
        return match[0]
    if directive in _SHORT:
        return _SHORT[directive]
    raise SeriesError(f"{match[0]} is no date field of an archive pattern")


def _date(command: str) -> tuple[str, bool]:
    """Return the pattern that a `date` command prints, and whether it is in UTC."""
    words = _words(command)
    utc = False
    while words and (match := re.fullmatch(r"TZ=(.*)", words[0])):
        utc = match[1] in ("UTC", "UTC0", "GMT", "Etc/UTC")
        words.pop(0)
    if not words or words[0] not in ("date", "/bin/date", "/usr/bin/date", "gdate"):
        raise SeriesError(f"$({command}) is only known when the command runs")
    form = ""
    for word in words[1:]:
        if word in _UTC:
            utc = True
        elif word.startswith("+"):
            form = strftime_pattern(word[1:])
        elif word in _ISO:
            form = _ISO[word]
        else:
            raise SeriesError(f"{word!r} of date(1) is not followed")
    if not form:
        raise SeriesError("date without a format writes words of the locale")
    return form, utc


def _words(command: str) -> list[str]:
    try:
        found = [token for token in tokens(command) if isinstance(token, Word)]
    except ShellError as error:
        raise SeriesError(str(error)) from None
    literals = [word.literal for word in found]
    if None in literals or len(found) != len(tokens(command)):
        raise SeriesError(f"$({command}) is only known when the command runs")
    return [text for text in literals if text is not None]


def _source(piece: Piece) -> str:
    return f"${piece.text}" if piece.kind is Kind.VARIABLE else piece.text
