"""Many measurements of one thing, in a few numbers. Pure, but for `alternate`, which takes them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Summary:
    """What is told of a sample; all values have the unit of the row."""

    count: int
    median: float
    low: float
    high: float
    p99: float


def summary(values: Sequence[float]) -> Summary:
    """Sum up measurements, in any order. Raises ValueError for none."""
    if not values:
        raise ValueError("nothing was measured")
    return Summary(len(values), median(values), min(values), max(values), percentile(values, 0.99))


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of all is not above (nearest rank)."""
    if not values or not 0 < share <= 1:
        raise ValueError("a percentile needs values, and a share in (0, 1]")
    return sorted(values)[math.ceil(share * len(values)) - 1]


def alternate(rounds: int, takers: Mapping[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Take one measurement of each in every round; who goes first moves on, so that noise hits all alike."""
    names = list(takers)
    taken: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in (*names[first:], *names[:first]):
            taken[name].append(takers[name]())
    return taken
