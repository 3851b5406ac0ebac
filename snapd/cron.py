"""When a job is due: cron as Debian means it, `@daily` and its like, and `every 15m`. Pure.

Cron fields are read by cronsim, after a check that they are Debian's (crontab(5)); clock changes follow
cron(8): a job with a fixed minute and hour runs exactly once a day, at the end of the gap when its hour is
skipped in spring, in the first of two equal hours in autumn; a job whose minute or hour field starts with `*`
follows real time. Days that a zone skipped altogether (Apia, 30 December 2011) count as a gap.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property, lru_cache
from itertools import product
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from snapd.units import parse_duration

_LONGEST_TEXT = 250
_LONGEST_EVERY = timedelta(days=3653)
_ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_FIELDS = ("minute", "hour", "day of month", "month", "day of week")
_NAMES = {
    "month": "JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC",
    "day of week": "SUN|MON|TUE|WED|THU|FRI|SAT",
}
_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MIDNIGHT = time()
# Room for every zone's offset, and for the day before and after, at both ends of Python's calendar.
_FIRST_DATE, _LAST_DATE = date(1, 1, 5), date(9999, 12, 26)
_RARE = timedelta(days=15_000)  # 29 February on a given weekday comes again after 40 years at most


@dataclass(frozen=True, slots=True)
class Passed:
    """Slots that lie in a span: the first, the last, and how many. Instants are aware, UTC."""

    first: datetime
    last: datetime
    count: int


@dataclass(frozen=True)
class Schedule:
    """The slots of one job. Two texts are all there is to it, so it compares, hashes and stores as they do.

    `expression` is Debian's five cron fields, `@hourly`, `@daily`, `@midnight`, `@weekly`, `@monthly`,
    `@yearly`, `@annually`, or `every N` with a unit of s, m, h, d, w (anchored to the epoch in UTC).
    `timezone` is an IANA name. Raises ValueError with one sentence for anything else, and for a schedule
    that never fires. All instants given must be aware; all instants returned are in UTC.
    """

    expression: str
    timezone: str

    def __post_init__(self) -> None:
        if self.after(datetime(2030, 1, 1, tzinfo=UTC)) is None:
            raise ValueError(f"{self.expression!r} never fires")

    def __reduce__(self) -> tuple[type[Schedule], tuple[str, str]]:
        return Schedule, (self.expression, self.timezone)

    @classmethod
    def parse(cls, expression: str, timezone: str) -> Schedule:
        """Return the schedule, or raise ValueError with one sentence for the operator.

        Remembered: lights and job store ask for the same few again and again.
        """
        return _parsed(expression, timezone)

    @cached_property
    def _rule(self) -> _Every | _Calendar:
        return _read(self.expression, self.timezone)

    def after(self, instant: datetime) -> datetime | None:
        """Return the first slot later than `instant`; None when the calendar ends first."""
        return self._rule.after(_aware(instant))

    def latest(self, until: datetime) -> datetime | None:
        """Return the last slot at or before `until`; None when the calendar starts later."""
        before, _following = self._gap(_aware(until))
        return before

    def slots(self, after: datetime, until: datetime) -> Passed | None:
        """Return what lies later than `after` and not later than `until`; None when no slot does."""
        return self._rule.slots(_aware(after), _aware(until))

    def each(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """Yield every slot later than `after` and not later than `until`, in order of time."""
        return self._rule.each(_aware(after), _aware(until))

    def interval(self, at: datetime) -> timedelta:
        """Return the gap that `at` lies in: from the latest slot at or before it to the next one.

        So it is short by day and long by night for `0 9-17 * * *`. Zero at an end of the calendar.
        """
        before, following = self._gap(_aware(at))
        if before is None or following is None:
            return timedelta(0)
        return following - before

    @cached_property
    def _recent(self) -> list[tuple[datetime, datetime]]:
        """The last two gaps that were asked for: lights look at the same again until a slot passes."""
        return []

    def _gap(self, at: datetime) -> tuple[datetime | None, datetime | None]:
        """Return the latest slot at or before `at`, and the first one later."""
        for gap in tuple(self._recent):
            if gap[0] <= at < gap[1]:
                return gap
        before, following = self._rule.latest(at), self._rule.after(at)
        if before is not None and following is not None:
            self._recent[:] = [(before, following), *self._recent[:1]]
        return before, following


@lru_cache(maxsize=4096)
def _parsed(expression: str, timezone: str) -> Schedule:
    return Schedule(expression, timezone)


@dataclass(frozen=True, slots=True)
class _Every:
    period: timedelta

    def after(self, instant: datetime) -> datetime | None:
        return self._slot((instant - _EPOCH) // self.period + 1)

    def latest(self, until: datetime) -> datetime | None:
        return self._slot((until - _EPOCH) // self.period)

    def slots(self, after: datetime, until: datetime) -> Passed | None:
        first, last = self.after(after), self.latest(until)
        if first is None or last is None or last < first:
            return None
        return Passed(first, last, (last - first) // self.period + 1)

    def each(self, after: datetime, until: datetime) -> Iterator[datetime]:
        at = self.after(after)
        while at is not None and at <= until:
            yield at
            at = self.after(at)

    def _slot(self, number: int) -> datetime | None:
        try:
            return _EPOCH + number * self.period
        except OverflowError:
            return None


@dataclass(frozen=True, slots=True)
class _Day:
    """One day of a zone: real time from its first midnight to the next day's first midnight.

    These windows cover all instants once, also where clocks go back across midnight (St John's until 2011).
    `seconds` are the slots, counted from `start`, ascending.
    """

    start: datetime
    seconds: tuple[int, ...]

    def slot(self, index: int) -> datetime:
        return self.start + timedelta(seconds=self.seconds[index])

    def passed(self, instant: datetime) -> int:
        """How many slots of the day lie at or before an instant."""
        return bisect_right(self.seconds, (instant - self.start).total_seconds())


class _Calendar:
    """Five cron fields in a zone. Works by days: without a clock change a day is mere arithmetic."""

    def __init__(self, fields: str, zone: ZoneInfo) -> None:
        self._zone = zone
        self._cron = CronSim(fields, datetime(2000, 1, 1, tzinfo=UTC))
        minute, hour = fields.split()[:2]
        self._real_time = minute.startswith("*") or hour.startswith("*")
        self._seconds = tuple(
            h * 3600 + m * 60 for h, m in product(sorted(self._cron.hours), sorted(self._cron.minutes))
        )
        self._irregular = lru_cache(maxsize=16)(self._read_irregular)

    def after(self, instant: datetime) -> datetime | None:
        here = self._date(instant)
        for day in self._days(here - _DAY, _clamped(here, _RARE)):
            at = day.passed(instant)
            if at < len(day.seconds):
                return day.slot(at)
        return None

    def latest(self, until: datetime) -> datetime | None:
        here = self._date(until)
        for day in self._days(here + _DAY, _clamped(here, -_RARE)):
            at = day.passed(until)
            if at:
                return day.slot(at - 1)
        return None

    def slots(self, after: datetime, until: datetime) -> Passed | None:
        first = last = None
        count = 0
        for day in self._days(self._date(after) - _DAY, self._date(until) + _DAY):
            start, stop = day.passed(after), day.passed(until)
            if start < stop:
                first = first or day.slot(start)
                last = day.slot(stop - 1)
                count += stop - start
        return Passed(first, last, count) if first and last else None

    def each(self, after: datetime, until: datetime) -> Iterator[datetime]:
        for day in self._days(self._date(after) - _DAY, self._date(until) + _DAY):
            yield from map(day.slot, range(day.passed(after), day.passed(until)))

    def _date(self, instant: datetime) -> date:
        """The local date of an instant, kept where the days around it exist."""
        lowest = datetime.combine(_FIRST_DATE, _MIDNIGHT, UTC)
        highest = datetime.combine(_LAST_DATE, _MIDNIGHT, UTC)
        local = min(max(instant, lowest), highest).astimezone(self._zone).date()
        return min(max(local, _FIRST_DATE), _LAST_DATE)

    def _days(self, start: date, end: date) -> Iterator[_Day]:
        """Yield the days with slots from one date to another, both included, in either direction."""
        forward = start <= end
        at = start
        while at <= end if forward else at >= end:
            if self._matches(at) or self._matches(at - _DAY) or self._matches(at + _DAY):
                day = self._day(at)
                if day.seconds:
                    yield day
            elif (
                at.month not in self._cron.months
            ):  # nothing before its edge, whose neighbour is another month's
                last = monthrange(at.year, at.month)[1]
                at = at.replace(day=max(at.day, last - 1) if forward else min(at.day, 2))
            at += _DAY if forward else -_DAY

    def _matches(self, day: date) -> bool:
        return day.month in self._cron.months and self._cron.match_day(day)

    def _day(self, day: date) -> _Day:
        start = self._instant(datetime.combine(day, _MIDNIGHT))
        end = self._instant(datetime.combine(day + _DAY, _MIDNIGHT))
        if end - start == _DAY and self._offset(start - _SECOND) == self._offset(end - _SECOND):
            return _Day(start, self._seconds if self._matches(day) else ())
        return self._irregular(day, start, end)

    def _read_irregular(self, day: date, start: datetime, end: datetime) -> _Day:
        """Gather the slots of a day with a clock change near it: costly, so kept."""
        seconds = {
            round((slot - start).total_seconds())
            for near in (-1, 0, 1)
            for slot in self._slots_on(day + near * _DAY)
            if start <= slot < end
        }
        return _Day(start, tuple(sorted(seconds)))

    def _slots_on(self, day: date) -> Iterator[datetime]:
        """Yield the slots written on one page of the calendar, clock changes applied, in any order."""
        if not self._matches(day):
            return
        midnight = datetime.combine(day, _MIDNIGHT)
        for seconds in self._seconds:
            wall = midnight + timedelta(seconds=seconds)
            if self._real_time:
                yield from self._readings(wall)
            else:
                yield self._instant(wall)

    def _readings(self, wall: datetime) -> Iterator[datetime]:
        """Yield each instant at which clocks show `wall`: none in a gap, two when clocks go back."""
        for fold in (0, 1):
            instant = wall.replace(tzinfo=self._zone, fold=fold).astimezone(UTC)
            if instant.astimezone(self._zone).replace(tzinfo=None) == wall:
                yield instant

    def _instant(self, wall: datetime) -> datetime:
        """The first instant at which clocks show `wall`, or the end of the gap that swallows it."""
        for instant in self._readings(wall):
            return instant
        # PEP 495: in a gap, fold 1 reads with the later offset and so lies before the change, fold 0 after.
        before = wall.replace(tzinfo=self._zone, fold=1).astimezone(UTC)
        after = wall.replace(tzinfo=self._zone, fold=0).astimezone(UTC)
        changed = self._offset(after)
        span = range(round((after - before).total_seconds()))
        at = bisect_left(span, True, key=lambda s: self._offset(before + timedelta(seconds=s)) == changed)
        return before + timedelta(seconds=at)

    def _offset(self, instant: datetime) -> timedelta | None:
        return instant.astimezone(self._zone).utcoffset()


def _clamped(day: date, span: timedelta) -> date:
    try:
        return min(max(day + span, _FIRST_DATE), _LAST_DATE)
    except OverflowError:
        return _FIRST_DATE if span < timedelta(0) else _LAST_DATE


def _aware(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        raise ValueError("an instant without a time zone")
    return instant


def _read(expression: str, timezone: str) -> _Every | _Calendar:
    zone = zone_named(timezone)
    text = " ".join(expression.split())
    if not text or len(text) > _LONGEST_TEXT or not text.isprintable():
        raise ValueError(f"{expression[:40]!r} is no schedule: five cron fields, @daily, or every 15m")
    if text.startswith("every "):
        return _Every(_period(text.removeprefix("every ")))
    if text.startswith("@"):
        return _Calendar(_alias(text), zone)
    return _calendar(text, zone)


def zone_named(name: str) -> ZoneInfo:
    """Return an IANA time zone; raises ValueError with one sentence when there is none of this name."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name!r} is no time zone: an IANA name such as Europe/London is meant") from None


def _period(text: str) -> timedelta:
    period = parse_duration(text)
    if not period:
        raise ValueError("'every' needs a span longer than zero, such as every 15m")
    if period > _LONGEST_EVERY:
        raise ValueError(f"every {text} is longer than ten years")
    return period


def _alias(text: str) -> str:
    if text == "@reboot":
        raise ValueError(
            "@reboot is no schedule: what was missed while the machine was off is caught up anyway"
        )
    try:
        return _ALIASES[text]
    except KeyError:
        raise ValueError(f"{text!r} is unknown: {', '.join(_ALIASES)} are meant") from None


def _calendar(text: str, zone: ZoneInfo) -> _Calendar:
    fields = text.split()
    if len(fields) != len(_FIELDS):
        raise ValueError(
            f"{text!r} has {len(fields)} fields, not cron's five: minute, hour, day, month, day of week"
        )
    for name, field in zip(_FIELDS, fields, strict=True):
        _check_field(name, field)
    try:
        return _Calendar(text, zone)
    except CronSimError as error:
        if "day-of-month" in str(error) and _is_day(fields[2]):
            raise ValueError(f"{text!r} never fires: its months have no such day") from None
        raise ValueError(f"{text!r} is no cron schedule: {str(error).lower()}") from None


def _is_day(field: str) -> bool:
    try:
        CronSim(f"0 0 {field} * *", _EPOCH)
    except CronSimError:
        return False
    return True


def _check_field(name: str, field: str) -> None:
    """Refuse what cronsim reads beyond Debian's cron: L, W, #, and a step without a range (`5/15`)."""
    value = f"(?:[0-9]+|{_NAMES[name]})" if name in _NAMES else "[0-9]+"
    term = rf"(?:(?:\*|{value}-{value})(?:/[0-9]+)?|{value})"
    if re.fullmatch(rf"{term}(?:,{term})*", field, re.IGNORECASE) is None:
        raise ValueError(f"{field!r} is no {name} of cron: it takes numbers, *, a-b, a,b, */n and a-b/n")
