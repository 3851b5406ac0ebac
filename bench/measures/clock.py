"""From a slot to the engine's start, with 1,000 jobs in the job store.

One set is due every second, 999 once a year: slots of `every N` are anchored to the epoch, so two fast sets
would be due at one instant, and the second would wait for the first. The engine is a stub that is done within
milliseconds, so that the lock is free again long before the next slot.
"""

from __future__ import annotations

import time
from typing import Any

from bench.measures.start import until_engine
from bench.place import Place, instants, place, until
from bench.programs import Call, calls, put_stub_borg
from bench.results import Row, ours, rival

BUDGET_MS = 100.0
JOBS = 1000


def measure(quick: bool) -> list[Row]:
    wanted = 20 if quick else 200
    with place() as at:
        put_stub_borg(at.bin)
        at.pretend_store()
        at.configure(
            at.backup_set("fast", "every 1s"),
            *(at.backup_set(f"slow{number:03}") for number in range(JOBS - 1)),
        )
        at.configure_borgmatic(at.root / "store")
        other = [until_engine(at, "create") for _ in range(4 if quick else 10)]
        with at.daemon():
            until(lambda: len(_creations(at)) > 2)  # the first ones find cold caches
            before = len(_creations(at))
            until(lambda: len(_creations(at)) >= before + wanted, every_s=1.0)
            time.sleep(0.2)
            made = _creations(at)[before : before + wanted]
            rows = at.ask(op="history", set="fast", limit=10 * wanted)["runs"]
    return [
        Row(
            f"due time to engine exec, {JOBS:,} jobs stored, one due at a time",
            "ms",
            ours(_waits_ms(made, rows)),
            BUDGET_MS,
            judged_by="p99",
            beside=(rival("`borgmatic create`, start to exec; cron's own delay comes first", other),),
            note=f"{_skipped(rows, made)} slots came too late, were skipped and are in no percentile; "
            "the engine's process counts itself in, about 2 ms",
        )
    ]


def _creations(at: Place) -> list[Call]:
    return [
        call
        for call in calls(at.bin)
        if "create" in call.words and any("::fast_" in word for word in call.words)
    ]


def _waits_ms(made: list[Call], rows: list[dict[str, Any]]) -> list[float]:
    slots = {row["archive"]: instants(row, ["slot"])[0] for row in rows if row["cause"] == "schedule"}
    names = [next(word.split("::")[1] for word in call.words if "::" in word) for call in made]
    return [
        1000 * (call.began - slots[name]) for call, name in zip(made, names, strict=True) if name in slots
    ]


def _skipped(rows: list[dict[str, Any]], made: list[Call]) -> int:
    """Count the slots within the measure that no run was made for."""
    first, last = made[0].began, made[-1].ended
    lost = [row for row in rows if row["outcome"] in ("skipped", "missed")]
    return sum(row["slots"] for row in lost if first <= instants(row, ["slot"])[0] <= last)
