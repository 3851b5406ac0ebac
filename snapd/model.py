"""Frozen values that every layer shares, and the names of archives."""

from __future__ import annotations

import re
from collections.abc import Iterator
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

    `backup_set` and `store` name whom it stops; exactly one of them is not empty.
    """

    message: str
    hint: str = ""
    store: str = ""
    backup_set: str = ""


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


_FIELDS = {  # strftime directive -> (regular expression, characters of each position)
    "Y": r"\d{4}",
    "m": r"\d{2}",
    "d": r"\d{2}",
    "H": r"\d{2}",
    "M": r"\d{2}",
    "S": r"\d{2}",
    "j": r"\d{3}",
    "y": r"\d{2}",
}
_DIRECTIVE = re.compile(r"%(.)", re.DOTALL)
_INCOMPLETE = re.compile(r"(?P<stem>.+?)\.(?:part|checkpoint(?:\.\d+)?)", re.DOTALL)
_PRECISION = ("S", "M", "H", "d")


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
        seen = set(self._directives())
        unknown = sorted(seen - set(_FIELDS) - {"%"})
        if unknown or self.text.count("%") != 2 * self.text.count("%%") + sum(
            1 for d in self._directives() if d != "%"
        ):
            raise ValueError(f"unknown date field %{unknown[0] if unknown else ' at the end'}")
        if not seen & {"Y", "y"} or not ({"m", "d"} <= seen or "j" in seen):
            raise ValueError("the pattern needs a full date, such as %Y%m%d")
        if self.text != self.text.strip() or not self.text.isprintable():
            raise ValueError("the pattern has white space at an end, or an unprintable character")
        if "/" in self.text or "::" in self.text:
            raise ValueError("the pattern must not hold '/' or '::', which engines read as separators")
        if _INCOMPLETE.fullmatch(self.text):
            raise ValueError("the pattern ends like an incomplete archive (.part, .checkpoint)")

    def _directives(self) -> Iterator[str]:
        return (match.group(1) for match in _DIRECTIVE.finditer(self.text))

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        parts: list[str] = []
        at = 0
        seen: set[str] = set()
        for match in _DIRECTIVE.finditer(self.text):
            parts.append(re.escape(self.text[at : match.start()]))
            directive = match.group(1)
            if directive == "%":
                parts.append("%")
            elif directive in seen:
                parts.append(f"(?P=f_{directive})")
            else:
                seen.add(directive)
                parts.append(f"(?P<f_{directive}>{_FIELDS[directive]})")
            at = match.end()
        parts.append(re.escape(self.text[at:]))
        return re.compile("".join(parts) + r"(?:\.(?:[2-9]|[1-9]\d+))?", re.ASCII)

    def render(self, instant: datetime, attempt: int = 1) -> str:
        """Return the archive name for an aware instant; `attempt` 2 and later append `.2`, `.3` …"""
        name = instant.astimezone(UTC).strftime(self.text)
        return name if attempt == 1 else f"{name}.{attempt}"

    def parse(self, name: str) -> datetime | None:
        """Return the UTC instant in a name of this set (incomplete ones included), or None for a stranger."""
        incomplete = _INCOMPLETE.fullmatch(name)
        match = self._expression.fullmatch(incomplete["stem"] if incomplete else name)
        if match is None:
            return None
        values = {key.removeprefix("f_"): text for key, text in match.groupdict().items()}
        try:
            text = " ".join(values.values())
            return datetime.strptime(text, " ".join(f"%{key}" for key in values)).replace(tzinfo=UTC)
        except ValueError:  # digits that are no date: 20260231
            return None

    @property
    def spacing_s(self) -> int:
        """Seconds between two instants that can render to different names: 1, 60, 3600 or 86400."""
        seen = set(self._directives())
        finest = next((d for d in _PRECISION if d in seen), "d")
        return {"S": 1, "M": 60, "H": 3600, "d": 86400}[finest]

    def overlaps(self, other: ArchivePattern) -> bool:
        """Tell whether one name can be recognised by both patterns (a stranger's archive would be deleted)."""
        return any(_alike(a, b) for a in self._tokens() for b in other._tokens())

    def _tokens(self) -> Iterator[tuple[str, ...]]:
        """Yield the pattern as one token per character ('#' is any digit), without and with a retry suffix."""
        body: list[str] = []
        at = 0
        for match in _DIRECTIVE.finditer(self.text):
            body += self.text[at : match.start()]
            directive = match.group(1)
            width = {"Y": 4, "j": 3}.get(directive, 2)
            body += ["%"] if directive == "%" else [_DIGIT] * width
            at = match.end()
        body += self.text[at:]
        yield tuple(body)
        for digits in range(1, 4):
            yield (*body, ".", *[_DIGIT] * digits)


_DIGIT = "any digit"


def _alike(a: tuple[str, ...], b: tuple[str, ...]) -> bool:
    def meets(x: str, y: str) -> bool:
        return x == y or (x is _DIGIT and y.isdigit()) or (y is _DIGIT and x.isdigit())

    return len(a) == len(b) and all(meets(x, y) for x, y in zip(a, b, strict=True))


def is_incomplete_name(name: str) -> bool:
    """Tell whether a name carries the mark of a cut-off creation: `.part` (Tarsnap), `.checkpoint` (Borg)."""
    return _INCOMPLETE.fullmatch(name) is not None
