"""Retention by counts of calendar periods, with restic's words and rules. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby, islice
from operator import attrgetter, itemgetter
from zoneinfo import ZoneInfo

from snapd.model import Archive
from snapd.units import format_duration

_ZERO = timedelta(0)
_SECOND = timedelta(seconds=1)

# The calendar period that an instant of the wall clock lies in, as a number that differs from that of the
# period before. An ISO week begins on Monday, and so did the calendar of `toordinal`, with day 1.
_PERIODS: dict[str, Callable[[datetime], int]] = {
    "hourly": lambda local: local.toordinal() * 24 + local.hour,
    "daily": datetime.toordinal,
    "weekly": lambda local: (local.toordinal() - 1) // 7,
    "monthly": lambda local: local.year * 12 + local.month,
    "yearly": attrgetter("year"),
}
COUNTED = ("last", *_PERIODS)  # the rules that count, finest first


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """Rules with restic's meaning since 0.16; an archive is kept when any of them keeps it.

    `last` keeps the newest so many archives. `hourly` to `yearly` keep the newest archive of each of the
    newest so many periods that have one, by the wall clock of `timezone` (an IANA name), weeks being ISO
    weeks. While such a rule has count left, it keeps the oldest archive of all as well. The hour that the
    autumn night has twice is one hour. `within` keeps what is less than that older than the newest archive.

    0 is a rule that is not given. Raises ValueError for a negative one; an empty policy can be written down,
    but `plan` refuses it.
    """

    timezone: str
    last: int = 0
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0
    within: timedelta = _ZERO

    def __post_init__(self) -> None:
        if self.within < _ZERO or any(count < 0 for _, count in self._counts()):
            raise ValueError("a retention rule cannot be negative")

    @property
    def empty(self) -> bool:
        return not self.within and not any(count for _, count in self._counts())

    @property
    def text(self) -> str:
        """The policy as `fingerprint` records it; stable across releases."""
        return f"keep={self._rules(f'{self.within // _SECOND}s')}"

    @property
    def rules(self) -> str:
        """The rules in words for people: `daily 7, weekly 5, within 30d`."""
        return self._rules(format_duration(self.within))

    def kept(self, archives: Sequence[Archive]) -> Iterator[tuple[str, str]]:
        """Yield (name, reason) rule by rule. `archives` are newest first, not empty."""
        if self.within:
            yield from self._within(archives)
        if self.last:
            yield from _counted("last", self.last, archives, range(len(archives)))
        rules = [(word, count) for word, count in self._counts() if count and word in _PERIODS]
        if not rules:
            return
        zone = ZoneInfo(self.timezone)
        local = [archive.created.astimezone(zone) for archive in archives]
        for word, count in rules:
            yield from _counted(word, count, archives, map(_PERIODS[word], local))

    def _rules(self, within: str) -> str:
        rules = [f"{word} {count}" for word, count in self._counts() if count]
        return ", ".join([*rules, f"within {within}"] if self.within else rules)

    def _counts(self) -> Iterator[tuple[str, int]]:
        return ((word, getattr(self, word)) for word in COUNTED)

    def _within(self, archives: Sequence[Archive]) -> Iterator[tuple[str, str]]:
        newest, reason = archives[0].created, f"within {format_duration(self.within)}"
        for archive in archives:
            if newest - archive.created >= self.within:
                return
            yield archive.name, reason


def _counted(
    word: str, count: int, archives: Sequence[Archive], periods: Iterable[int]
) -> Iterator[tuple[str, str]]:
    """Yield the newest archive of each of the newest `count` periods, and the oldest if count is left."""
    groups = groupby(zip(archives, periods, strict=True), key=itemgetter(1))
    newest = [next(group)[0] for _, group in islice(groups, count)]
    for used, archive in enumerate(newest, 1):
        yield archive.name, f"{word} {used} of {count}"
    if len(newest) < count and newest[-1] is not archives[-1]:
        yield archives[-1].name, f"{word} {len(newest) + 1} of {count} (oldest)"
