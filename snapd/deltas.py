"""Retention by generations, as tarsnapper decides. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from operator import attrgetter

from snapd.model import Archive
from snapd.units import format_duration

_ZERO = timedelta(0)
_SECOND = timedelta(seconds=1)
_MICROSECOND = timedelta(microseconds=1)
_created = attrgetter("created")


@dataclass(frozen=True, slots=True)
class Deltas:
    """Generations as tarsnapper 0.5 means them: `1d 7d 30d` is one archive per day back to 7 days, and one
    per 7 days back to 30 days. Order does not matter. Raises ValueError for a single span, or one that is not
    longer than zero; an empty policy can be written down, but `plan` refuses it.
    """

    spans: tuple[timedelta, ...]

    def __post_init__(self) -> None:
        if len(self.spans) == 1:
            raise ValueError("at least two deltas are needed: a spacing and how far back it reaches")
        if any(span <= _ZERO for span in self.spans):
            raise ValueError("a delta must be longer than zero")

    @property
    def empty(self) -> bool:
        return not self.spans

    @property
    def text(self) -> str:
        """The policy as `fingerprint` records it; stable across releases."""
        return f"deltas={' '.join(f'{span // _SECOND}s' for span in sorted(self.spans))}"

    def generations(self) -> Iterator[tuple[timedelta, timedelta]]:
        """Yield (step, reach) of each generation, the finest first."""
        return pairwise(sorted(self.spans))

    def kept(self, archives: Sequence[Archive]) -> Iterator[tuple[str, str]]:
        """Yield (name, reason) generation by generation.

        `archives` are newest first, not empty. Of archives of one instant the first in order stands. The
        newest is kept too, though no generation may say so.
        """
        ascending = archives[::-1]
        for step, reach in self.generations():
            reason = f"delta {format_duration(step)}"
            yield from ((ascending[at].name, reason) for at in _generation(ascending, step, reach))


def as_written(spans: tuple[timedelta, ...]) -> Deltas:
    """Return the deltas that an operator wrote.

    Raises ValueError with one sentence for fewer than two of them, and for two equal ones: tarsnapper takes
    `1d 1d` and keeps two archives, which nobody means who writes it.
    """
    if len(spans) < 2:
        found = "one" if spans else "none"
        raise ValueError(f"needs at least two deltas, a spacing and how far back it reaches; found {found}")
    for span in spans:
        if spans.count(span) > 1:
            raise ValueError(f"two deltas are equal, {format_duration(span)}: each must be given once")
    return Deltas(spans)


def _generation(archives: Sequence[Archive], step: timedelta, reach: timedelta) -> Iterator[int]:
    """Walk one generation as tarsnapper does, oldest first, yielding the indices of what it keeps.

    `archives` are oldest first, not empty. A pointer starts at the newest less `reach`. Keep what is closest
    to it, a tie going to the newer, and look again `step` after that; while the same is found, move on by
    `step`. Here the walk jumps straight to the first pointer that finds the next one, finds the closest by
    bisection, and begins just before the oldest, which every earlier pointer finds.
    """
    newest = archives[-1].created
    back = min(reach, newest - archives[0].created + _MICROSECOND)  # of the pointer, from the newest
    at = -1
    while back > _ZERO:
        found = _closest(archives, newest - back)
        if found == at:
            following = newest - archives[at + 1].created
            short = 2 * back - (newest - archives[at].created) - following
            back -= -(-short // (2 * step)) * step
            continue
        at = found
        yield at
        back = newest - archives[at].created - step


def _closest(archives: Sequence[Archive], pointer: datetime) -> int:
    """Index of the archive closest to `pointer`; of two as close the later one. `archives` is not empty."""
    right = bisect_left(archives, pointer, key=_created)
    if right == len(archives):
        return right - 1
    if right and pointer - archives[right - 1].created < archives[right].created - pointer:
        return right - 1
    return bisect_right(archives, archives[right].created, lo=right, key=_created) - 1
