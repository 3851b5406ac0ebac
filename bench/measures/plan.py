"""The retention plan: how long it takes for many archives, and how that grows.

tarsnapper plans the same lists. It sorts all archives anew for each step of a generation, about fifty here:
a finer delta makes it slower in proportion, and ours not.
"""

from __future__ import annotations

import json
import math
import subprocess
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.programs import bench_python
from bench.results import Figure, Row, ours, part, rival
from snapd.model import Archive
from snapd.retention import Deltas, Floor, plan

BUDGET_S = {1_000: None, 10_000: None, 100_000: 0.25}
DELTAS = (timedelta(hours=1), timedelta(days=1), timedelta(days=7), timedelta(days=30), timedelta(days=365))
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
RIVAL = Path(__file__).with_name("tarsnapper_plan.py")


def measure(quick: bool) -> list[Row]:
    times = {size: [_plan_s(_archives(size)) for _ in range(3 if quick else 25)] for size in BUDGET_S}
    rows = [
        Row(
            f"plan for {size:,} archives",
            "s",
            ours(times[size]),
            BUDGET_S[size],
            beside=(_tarsnapper(size, 2 if quick else 7),),
        )
        for size in BUDGET_S
    ]
    return [*rows, _growth(times[10_000], times[100_000])]


def _growth(fewer: Sequence[float], more: Sequence[float]) -> Row:
    """Compare the growth from 10,000 to 100,000 with that of n log n, doubled for caches that overflow."""
    straight = 10 * math.log(100_000) / math.log(10_000)
    return Row(
        "growth from 10,000 to 100,000 archives",
        "times",
        ours([min(more) / min(fewer)]),
        2 * straight,
        beside=(part("n log n", [straight]), part("n²", [100.0])),
        note="of the shortest times; the budget allows twice n log n",
    )


def _archives(size: int) -> list[Archive]:
    return [Archive(f"mail_{number:06}", NOW - number * timedelta(minutes=15)) for number in range(size)]


def _plan_s(archives: Sequence[Archive]) -> float:
    began = time.perf_counter()
    plan(archives, Deltas(DELTAS), Floor(min_keep=3), NOW)
    return time.perf_counter() - began


def _tarsnapper(size: int, rounds: int) -> Figure:
    asked = {
        "times": {archive.name: archive.created.timestamp() for archive in _archives(size)},
        "deltas": [delta.total_seconds() for delta in DELTAS],
        "rounds": rounds,
    }
    argv = [str(bench_python()), str(RIVAL)]
    done = subprocess.run(argv, input=json.dumps(asked), capture_output=True, text=True, check=True)
    return rival("tarsnapper", json.loads(done.stdout))
