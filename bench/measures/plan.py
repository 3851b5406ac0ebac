"""The retention plan: how long it takes for many archives, by `deltas` and by `keep`, and how that grows.

tarsnapper plans the same lists. It sorts all archives anew for each step of a generation, about fifty here:
a finer delta makes it slower in proportion, and ours not. It knows no `keep`. The lists are in no order, as a
store may list them.
"""

from __future__ import annotations

import json
import math
import random
import subprocess
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.programs import bench_python
from bench.results import Row, ours, part, rival
from bench.samples import alternate
from snapd.deltas import Deltas
from snapd.keep import Keep
from snapd.model import Archive
from snapd.retention import Floor, Policy, plan

BUDGET_S = {1_000: None, 10_000: None, 100_000: 0.25}
DELTAS = (timedelta(hours=1), timedelta(days=1), timedelta(days=7), timedelta(days=30), timedelta(days=365))
KEEP = Keep(timezone="Europe/London", hourly=24, daily=7, weekly=5, monthly=12, yearly=10)
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
RIVAL = Path(__file__).with_name("tarsnapper_plan.py")


def measure(quick: bool) -> list[Row]:
    taken = {size: _taken(size, rounds=3 if quick else 15) for size in BUDGET_S}
    rows = [row for size in BUDGET_S for row in _rows(size, taken[size])]
    return [*rows, _growth(taken[10_000], taken[100_000])]


def _taken(size: int, *, rounds: int) -> dict[str, list[float]]:
    archives = _archives(size)
    asked = json.dumps(
        {
            "times": {archive.name: archive.created.timestamp() for archive in archives},
            "deltas": [delta.total_seconds() for delta in DELTAS],
        }
    )
    return alternate(
        rounds,
        {
            "deltas": lambda: _plan_s(archives, Deltas(DELTAS)),
            "keep": lambda: _plan_s(archives, KEEP),
            "tarsnapper": lambda: _tarsnapper_s(asked),
        },
    )


def _rows(size: int, taken: Mapping[str, Sequence[float]]) -> list[Row]:
    budget, beside = BUDGET_S[size], (rival("tarsnapper", taken["tarsnapper"]),)
    return [
        Row(f"plan for {size:,} archives, deltas", "s", ours(taken["deltas"]), budget, beside=beside),
        Row(f"plan for {size:,} archives, keep", "s", ours(taken["keep"]), budget),
    ]


def _growth(fewer: Mapping[str, Sequence[float]], more: Mapping[str, Sequence[float]]) -> Row:
    """Compare the growth from 10,000 to 100,000 with that of n log n, doubled for caches that overflow."""
    straight = 10 * math.log(100_000) / math.log(10_000)
    growth = {name: [min(more[name]) / min(fewer[name])] for name in fewer}
    return Row(
        "growth from 10,000 to 100,000 archives, deltas",
        "times",
        ours(growth["deltas"]),
        2 * straight,
        beside=(
            part("keep", growth["keep"]),
            rival("tarsnapper", growth["tarsnapper"]),
            part("n log n", [straight]),
            part("n²", [100.0]),
        ),
        note="of the shortest times; the budget allows twice n log n",
    )


def _archives(size: int) -> list[Archive]:
    made = [Archive(f"mail_{number:06}", NOW - number * timedelta(minutes=15)) for number in range(size)]
    random.Random(size).shuffle(made)
    return made


def _plan_s(archives: Sequence[Archive], policy: Policy) -> float:
    began = time.perf_counter()
    plan(archives, policy, Floor(min_keep=3), NOW)
    return time.perf_counter() - began


def _tarsnapper_s(asked: str) -> float:
    argv = [str(bench_python()), str(RIVAL)]
    done = subprocess.run(argv, input=asked, capture_output=True, text=True, check=True)
    return float(done.stdout)
