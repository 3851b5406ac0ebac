"""Frozen values that every layer shares, and the names of archives."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property


class Kind(StrEnum):
    """What a job does. The order of definition is the order of the agenda."""

    BACKUP = "backup"
    RESTORE_TEST = "restore-test"
    EXPIRE = "expire"

    @property
    def rank(self) -> int:
        """Place in the agenda: 0 goes first."""
        return tuple(Kind).index(self)


class Outcome(StrEnum):
    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"
    MISSED = "missed"
    INTERRUPTED = "interrupted"

    @property
    def succeeded(self) -> bool:
        """True when the archive exists, the test passed or the expiry was carried out."""
        return self in (Outcome.OK, Outcome.WARNING)


class Cause(StrEnum):
    """Why a run is due."""

    SCHEDULE = "schedule"
    CATCH_UP = "catch-up"
    MANUAL = "manual"
    INTERRUPTED = "interrupted"
    SLICED = "sliced"


def job_id(kind: Kind, backup_set: str) -> str:
    """Return the id of a job in the APScheduler job store: `backup:mail`."""
    return f"{kind}:{backup_set}"


def split_job_id(job: str) -> tuple[Kind, str]:
    """Return kind and backup set of a job id; raises ValueError for anything else."""
    kind, separator, backup_set = job.partition(":")
    if not separator or not backup_set:
        raise ValueError(f"{job!r} is not a job id")
    return Kind(kind), backup_set


@dataclass(frozen=True, slots=True)
class Archive:
    """One archive as a store lists it. `created` is an aware instant in UTC, from the engine, not the name.

    `complete` is false for what a cut-off creation left (`.part`, `.checkpoint`). `suspect` is our own mark:
    a dump inside shrank by more than its limit and nothing has vouched for it since.
    """

    name: str
    created: datetime
    complete: bool = True
    suspect: bool = False


@dataclass(frozen=True, slots=True)
class Created:
    """What a creation reports. Sizes in bytes, None when the engine does not say.

    `omitted` are paths that the engine could not read; `warnings` what else it said, in its own words.
    `encrypted` is what the engine said of the store, None when it said nothing.
    """

    name: str
    bytes_total: int | None = None
    bytes_new: int | None = None
    files: int | None = None
    omitted: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    encrypted: bool | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a creation or an extraction is; sent to whoever follows the run."""

    files: int = 0
    bytes_read: int = 0
    bytes_total: int | None = None
    path: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong on the machine (not in the file): what, and what would be right.

    `backup_set` and `store` name whom it stops; exactly one of them is not empty. `passing`: it may pass
    without anybody changing anything wrong (a disk that is not mounted yet), so a run is tried again soon.
    """

    message: str
    hint: str = ""
    store: str = ""
    backup_set: str = ""
    passing: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """Expected against seen, for one check of a restore test. `passed` is None when it could not be told."""

    check: str
    expected: str
    seen: str
    passed: bool | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Keep or delete one archive, and why. `keep` is true exactly when `reasons` is not empty."""

    archive: Archive
    reasons: tuple[str, ...]

    @property
    def keep(self) -> bool:
        return bool(self.reasons)


@dataclass(frozen=True, slots=True)
class Result:
    """What a job returns to the runner: an outcome that is `ok` or `warning`, and the facts of the run.

    `notes` are sentences for the operator, most important first. `details` holds JSON values only.
    """

    outcome: Outcome
    archive: str = ""
    bytes_total: int | None = None
    bytes_new: int | None = None
    notes: tuple[str, ...] = ()
    hint: str = ""
    error_code: str = ""
    details: dict[str, object] = field(default_factory=dict)


_WIDTHS = {"Y": 4, "m": 2, "d": 2, "H": 2, "M": 2, "S": 2, "j": 3, "y": 2}  # digits of each date field
_PLAIN = ("Y", "m", "d", "H", "M", "S")  # the order of datetime's arguments
_PIECE = re.compile(r"%([YmdHMSjy%])|([^%]+)")
_ATTEMPT = r"(?:\.(?:[2-9]|[1-9][0-9]+))?"
_INCOMPLETE = re.compile(r"(?P<stem>.+?)\.(?:part|checkpoint(?:\.[0-9]+)?)", re.DOTALL)
_SAMPLE = datetime(2000, 1, 1, tzinfo=UTC)
_DIGIT = "any digit"
_DIGITS = "0123456789"


@dataclass(frozen=True)
class ArchivePattern:
    """The strftime pattern of a set's archive names, rendered in UTC.

    The same pattern recognises existing archives as the set's: the rendered name, optionally `.2`, `.3` …
    for a second try, optionally followed by the mark of an incomplete archive.
    Directives: %Y %m %d %H %M %S %j %y and %%; anything else raises ValueError, and so does a pattern without
    a date (`%Y%m%d`, `%Y%j` or with %y): all archives would have one name.
    """

    text: str

    def __post_init__(self) -> None:
        at = self._read_to()
        if at < len(self.text):
            raise ValueError(f"{self.text[at : at + 2]!r} is no date field; write %% for a percent sign")
        fields = self._fields
        if not fields & {"Y", "y"} or not ({"m", "d"} <= fields or "j" in fields):
            raise ValueError("the pattern needs a full date, such as %Y%m%d")
        if self.text != self.text.strip() or not self.text.isprintable():
            raise ValueError("the pattern has white space at an end, or an unprintable character")
        if "::" in self.text:
            raise ValueError("the pattern must not hold '::', which engines read as a separator")
        if _INCOMPLETE.fullmatch(self.render(_SAMPLE)):
            raise ValueError("the pattern ends like an incomplete archive (.part, .checkpoint)")

    def _read_to(self) -> int:
        """Where the first thing stands that is neither text nor a date field."""
        at = 0
        while match := _PIECE.match(self.text, at):
            at = match.end()
        return at

    @cached_property
    def _pieces(self) -> tuple[tuple[str, str], ...]:
        """The pattern as (date field, "") and ("", literal text)."""
        found = (match.groups(default="") for match in _PIECE.finditer(self.text))
        return tuple(("", "%") if field == "%" else (field, text) for field, text in found)

    @cached_property
    def _fields(self) -> frozenset[str]:
        return frozenset(field for field, _ in self._pieces if field)

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        digits = (
            rf"([0-9]{{{_WIDTHS[field]}}})" if field else re.escape(text) for field, text in self._pieces
        )
        return re.compile(f"(?P<first>{''.join(digits)}){_ATTEMPT}")

    def render(self, instant: datetime, attempt: int = 1) -> str:
        """Return the archive name for an aware instant; `attempt` 2 and later append `.2`, `.3` …"""
        at = instant.astimezone(UTC)
        name = "".join(
            at.strftime(f"%{field}").zfill(_WIDTHS[field]) if field else text for field, text in self._pieces
        )
        return name if attempt == 1 else f"{name}.{attempt}"

    def parse(self, name: str) -> datetime | None:
        """Return the UTC instant in a name of this set (incomplete ones included), or None for a stranger.

        Only what `render` could have written is the set's: two fields that contradict each other are not.
        """
        incomplete = _INCOMPLETE.fullmatch(name)
        match = self._expression.fullmatch(incomplete["stem"] if incomplete else name)
        if match is None:
            return None
        read = dict(zip(self._order, match.groups()[1:], strict=True))
        try:
            if self._is_plain:
                year, month, day, *time = [int(read[field]) for field in _PLAIN if field in read]
                return datetime(year, month, day, *time, tzinfo=UTC)  # type: ignore[arg-type, misc]
            form = " ".join(f"%{field}" for field in read)
            instant = datetime.strptime(" ".join(read.values()), form).replace(tzinfo=UTC)
        except ValueError:  # digits that are no date: 20260231
            return None
        return instant if self.render(instant) == match["first"] else None

    @cached_property
    def _order(self) -> tuple[str, ...]:
        """The date fields as they follow each other."""
        return tuple(field for field, _ in self._pieces if field)

    @cached_property
    def _is_plain(self) -> bool:
        """Whether the fields are a date and the larger parts of a time, each once: nothing can contradict.

        Nearly all patterns are, and a store may have very many names to read.
        """
        return sorted(self._order) == sorted(_PLAIN[: len(self._order)])

    def overlaps(self, other: ArchivePattern) -> bool:
        """Tell whether one name can be recognised by both patterns (a stranger's archive would be deleted).

        Errs to the safe side: any digits count as a date.
        """
        ours, theirs = self._characters, other._characters
        return _alike(ours, theirs) or _is_second_try(ours, of=theirs) or _is_second_try(theirs, of=ours)

    @cached_property
    def _characters(self) -> tuple[str, ...]:
        """What stands at each position of a name: one character, or any digit."""
        return tuple(
            character
            for field, text in self._pieces
            for character in ([_DIGIT] * _WIDTHS[field] if field else text)
        )


def _meets(a: str, b: str) -> bool:
    return a == b or (a is _DIGIT and b in _DIGITS) or (b is _DIGIT and a in _DIGITS)


def _alike(a: Sequence[str], b: Sequence[str]) -> bool:
    return len(a) == len(b) and all(map(_meets, a, b))


def _is_second_try(name: Sequence[str], *, of: Sequence[str]) -> bool:
    """Tell whether `name` can read as `of` with `.2`, `.3` … behind it."""
    suffix = name[len(of) :]
    if len(suffix) < 2 or not _alike(name[: len(of)], of):
        return False
    dot, first, rest = suffix[0], suffix[1], suffix[2:]
    lowest = "123456789" if rest else "23456789"
    return (
        dot == "."
        and (first is _DIGIT or first in lowest)
        and all(digit is _DIGIT or digit in _DIGITS for digit in rest)
    )


def whole_name(name: str) -> str:
    """Return the name that a creation was given: without the mark of an incomplete archive, if it has one."""
    match = _INCOMPLETE.fullmatch(name)
    return match["stem"] if match else name


def is_incomplete_name(name: str) -> bool:
    """Tell whether a name carries the mark of a cut-off creation: `.part` (Tarsnap), `.checkpoint` (Borg)."""
    return _INCOMPLETE.fullmatch(name) is not None
