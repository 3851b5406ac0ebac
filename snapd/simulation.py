"""What a retention policy would leave over the years, if backups and expiry ran on time. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from snapd.cron import Schedule
from snapd.deltas import Deltas
from snapd.keep import Keep
from snapd.model import Archive, Verdict
from snapd.retention import Floor, Policy, plan

NIGHTLY = "50 3 * * *"
"""When the simulated expiry runs."""
MARKS = tuple(timedelta(days=days) for days in (1, 7, 30, 365))
ONLY_THE_NEWEST = Floor(min_keep=0)
"""The floor of a simulation: nothing is proven, pinned or in use, and there is no other minimum."""

_ZERO = timedelta(0)
_FURTHEST = timedelta(days=36525)  # that a generation reaches back
_EARLIEST = datetime.min.replace(tzinfo=UTC)
_NOMINAL = {
    "hourly": timedelta(hours=1),
    "daily": timedelta(days=1),
    "weekly": timedelta(days=7),
    "monthly": timedelta(days=31),
    "yearly": timedelta(days=366),
}


@dataclass(frozen=True, slots=True)
class Generation:
    """A stretch of ages in which a policy keeps archives at one spacing.

    Ages are larger than `newest` (the first generation begins with age zero) and at most `oldest`, None for
    the last one. `step` is the intended spacing, None where none is meant.
    """

    newest: timedelta
    oldest: timedelta | None
    step: timedelta | None

    def holds(self, age: timedelta) -> bool:
        return (age > self.newest or not self.newest) and (self.oldest is None or age <= self.oldest)


@dataclass(frozen=True, slots=True)
class Gap:
    """Two neighbours. It belongs to the generation that the older one is in."""

    older: datetime
    newer: datetime

    @property
    def length(self) -> timedelta:
        return self.newer - self.older


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of a generation: ages at the end, the largest gap then, and the largest of any night."""

    generation: Generation
    ages: tuple[timedelta, ...]
    gap: Gap | None
    worst: Gap | None


@dataclass(frozen=True, slots=True)
class Moment:
    """How things stand right after an expiry: archives made so far, archives left, the age of the oldest."""

    after: timedelta
    at: datetime
    made: int
    kept: int
    oldest_age: timedelta


@dataclass(frozen=True, slots=True)
class Projection:
    """`moments` in order of time, the last one at the end; `verdicts` of the archives left, newest first."""

    moments: tuple[Moment, ...]
    generations: tuple[Seen, ...]
    verdicts: tuple[Verdict, ...]


def generations(policy: Policy) -> tuple[Generation, ...]:
    """Return the stretches of ages that a policy means, the youngest first, and one for whatever is older.

    For `keep` they are nominal: a month is 31 days, a year 366, and `last` has no stretch of its own.
    """
    reaches = list(_reaches(policy))
    starts = [_ZERO, *(reach for _, reach in reaches)]
    bounded = [Generation(start, reach, step) for start, (step, reach) in zip(starts, reaches, strict=False)]
    return (*bounded, Generation(starts[-1], None, None))


def _reaches(policy: Policy) -> Iterator[tuple[timedelta | None, timedelta]]:
    """Yield (spacing, how far back) with growing reach; a rule that reaches no further adds nothing."""
    furthest = _ZERO
    for step, reach in _rules(policy):
        if reach > furthest:
            furthest = reach
            yield step, reach


def _rules(policy: Policy) -> Iterator[tuple[timedelta | None, timedelta]]:
    match policy:
        case Deltas():
            yield from ((step, min(reach, _FURTHEST)) for step, reach in policy.generations())
        case Keep():
            yield None, min(policy.within, _FURTHEST)
            for word, step in _NOMINAL.items():
                yield step, step * min(getattr(policy, word), _FURTHEST // step)


def project(
    backups: Schedule,
    policy: Policy,
    start: datetime,
    span: timedelta,
    *,
    told: Callable[[float], None] = lambda _: None,
) -> Projection:
    """Make a backup at each slot of (start, start + span], expire every night and once more at the end.

    Faithful: each night's plan sees what the nights before have left. `start` is aware; its year and that of
    the end lie between 1000 and 9000. `told` is called with the share that is done, from 0 to 1, after each
    night. Raises ValueError when no backup falls into the span.
    """
    end, found = start + span, generations(policy)
    marks = [mark for mark in MARKS if mark < span]
    worst: list[Gap | None] = [None] * len(found)
    gaps = worst
    moments: list[Moment] = []
    verdicts: tuple[Verdict, ...] = ()
    made = 0
    for night, slots in _days(backups, start, end):
        archives = [verdict.archive for verdict in verdicts]
        archives += [Archive(f"{made + n:09}", slot) for n, slot in enumerate(slots)]
        made += len(slots)
        verdicts = tuple([v for v in plan(archives, policy, ONLY_THE_NEWEST, night) if v.keep])
        gaps = _largest_gaps(found, verdicts, night)
        worst = [_larger(*pair) for pair in zip(worst, gaps, strict=True)]
        while marks and start + marks[0] <= night:
            moments.append(_moment(marks.pop(0), night, made, verdicts))
        told((night - start) / span)
    if not made:
        raise ValueError("no backup falls into that time")
    moments.append(_moment(span, end, made, verdicts))
    ages = [end - verdict.archive.created for verdict in verdicts]
    seen = tuple(
        Seen(generation, tuple(filter(generation.holds, ages)), gap, worst_gap)
        for generation, gap, worst_gap in zip(found, gaps, worst, strict=True)
    )
    return Projection(tuple(moments), seen, verdicts)


def _days(backups: Schedule, start: datetime, end: datetime) -> Iterator[tuple[datetime, Sequence[datetime]]]:
    """Yield each night with the slots since the one before, and the end with the rest."""
    nightly = Schedule.parse(NIGHTLY, backups.timezone)
    nights = [*(night for night in nightly.each(start, end) if night < end), end.astimezone(UTC)]
    for before, night in pairwise([start, *nights]):
        yield night, tuple(backups.each(before, night))


def _moment(after: timedelta, at: datetime, made: int, verdicts: Sequence[Verdict]) -> Moment:
    oldest_age = at - verdicts[-1].archive.created if verdicts else _ZERO
    return Moment(after, at, made, len(verdicts), oldest_age)


def _larger(one: Gap | None, other: Gap | None) -> Gap | None:
    return max(filter(None, (one, other)), key=lambda gap: gap.length, default=None)


def _largest_gaps(
    found: Sequence[Generation], verdicts: Sequence[Verdict], now: datetime
) -> list[Gap | None]:
    """Return the largest gap of each generation, in one walk: ages grow, and so do generations."""
    oldest = [now - each.oldest if each.oldest is not None else _EARLIEST for each in found]
    largest: list[Gap | None] = [None] * len(found)
    length, at = _ZERO, 0
    for newer, older in pairwise([verdict.archive.created for verdict in verdicts]):
        while older < oldest[at]:
            length, at = _ZERO, at + 1
        if newer - older > length or largest[at] is None:
            length, largest[at] = newer - older, Gap(older, newer)
    return largest
