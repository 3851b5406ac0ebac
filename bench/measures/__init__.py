"""The measures by name, in the order of DESIGN 8. Each returns its rows; `quick` takes few samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bench.measures import clock, commands, idle, plan, run, start, tarsnap, waiting
from bench.results import Row

Measure = Callable[[bool], list[Row]]

MEASURES: Mapping[str, Measure] = {
    "run": run.measure,
    "start": start.measure,
    "idle": idle.measure,
    "clock": clock.measure,
    "waiting": waiting.measure,
    "plan": plan.measure,
    "commands": commands.measure,
    "tarsnap": tarsnap.measure,
}
