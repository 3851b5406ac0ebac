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
from bench.results import Row, ours, part, rival
from bench.samples import alternate
from snapd.deltas import Deltas
from snapd.model import Archive
from snapd.retention import Floor, plan

BUDGET_S = {1_000: None, 10_000: None, 100_000: 0.25}
DELTAS = (timedelta(hours=1), timedelta(days=1), timedelta(days=7), timedelta(days=30), timedelta(days=365))
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
RIVAL = Path(__file__).with_name("tarsnapper_plan.py")


def measure(quick: bool) -> list[Row]:
    taken = {size: _taken(size, rounds=3 if quick else 15) for size in BUDGET_S}
    rows = [
        Row(
            f"plan for {size:,} archives",
            "s",
            ours(taken[size]["ours"]),
            budget,
            beside=(rival("tarsnapper", taken[size]["tarsnapper"]),),
        )
        for size, budget in BUDGET_S.items()
    ]
    return [*rows, _growth(taken[10_000]["ours"], taken[100_000]["ours"])]


def _taken(size: int, *, rounds: int) -> dict[str, list[float]]:
    archives = _archives(size)
    asked = json.dumps(
        {
            "times": {archive.name: archive.created.timestamp() for archive in archives},
            "deltas": [delta.total_seconds() for delta in DELTAS],
        }
    )
    return alternate(rounds, {"ours": lambda: _plan_s(archives), "tarsnapper": lambda: _tarsnapper_s(asked)})


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


def _tarsnapper_s(asked: str) -> float:
    argv = [str(bench_python()), str(RIVAL)]
    done = subprocess.run(argv, input=asked, capture_output=True, text=True, check=True)
    return float(done.stdout)
