"""What was measured, as `results.json` keeps it. One measure can be taken anew while the others stay."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from bench.samples import Summary, summary

FILE = Path(__file__).with_name("results.json")
SCHEMA = 1

Statistic = Literal["median", "p99", "high"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One sample: whose it is. `rival` is false for a part of ours, or something shown for scale."""

    who: str
    sample: Summary
    rival: bool = True


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `budget` has the unit of the row and is held against `judged_by` of ours."""

    what: str
    unit: str
    ours: Figure
    budget: float | None = None
    judged_by: Statistic = "median"
    beside: tuple[Figure, ...] = ()
    note: str = ""

    @property
    def told(self) -> float:
        return statistic(self.ours.sample, self.judged_by)

    @property
    def met(self) -> bool | None:
        """Whether the budget was kept; None where there is none."""
        return None if self.budget is None else self.told <= self.budget


@dataclass(frozen=True, slots=True)
class Taken:
    """The rows of one measure, when they were taken (ISO 8601, UTC), the load average before and after."""

    rows: tuple[Row, ...]
    at: str
    load: tuple[float, float]
    commit: str = ""


@dataclass(frozen=True, slots=True)
class Results:
    """Everything in the file: the machine, and the measures by name."""

    machine: Mapping[str, str]
    measures: Mapping[str, Taken] = field(default_factory=dict)

    def with_measure(self, name: str, taken: Taken, machine: Mapping[str, str]) -> Results:
        return replace(self, machine=machine, measures={**self.measures, name: taken})


def statistic(sample: Summary, name: Statistic) -> float:
    return {"median": sample.median, "p99": sample.p99, "high": sample.high}[name]


def ours(values: Sequence[float]) -> Figure:
    return Figure("snapd-backup", summary(values), rival=False)


def rival(who: str, values: Sequence[float]) -> Figure:
    return Figure(who, summary(values))


def part(who: str, values: Sequence[float]) -> Figure:
    """Return a figure that explains ours, or gives a scale; no ratio is made of it."""
    return Figure(who, summary(values), rival=False)


# -- as JSON --------------------------------------------------------------------------------------------


def to_json(results: Results) -> str:
    return json.dumps({"schema": SCHEMA, **_rounded(asdict(results))}, indent=1, ensure_ascii=False) + "\n"


def from_json(text: str) -> Results:
    """Read a file back. Raises ValueError for another schema, KeyError or TypeError for a damaged one."""
    found = json.loads(text)
    if found["schema"] != SCHEMA:
        raise ValueError(f"results of schema {found['schema']}, not {SCHEMA}: measure everything anew")
    return Results(found["machine"], {name: _taken(told) for name, told in found["measures"].items()})


def _rounded(value: Any) -> Any:
    """Five significant digits are more than any of it is worth."""
    match value:
        case float():
            return float(f"{value:.5g}")
        case dict():
            return {key: _rounded(item) for key, item in value.items()}
        case list() | tuple():
            return [_rounded(item) for item in value]
        case _:
            return value


def _taken(told: dict[str, Any]) -> Taken:
    before, after = told["load"]
    return Taken(tuple(_row(row) for row in told["rows"]), told["at"], (before, after), told["commit"])


def _row(told: dict[str, Any]) -> Row:
    figures = tuple(_figure(figure) for figure in told["beside"])
    return Row(**{**told, "ours": _figure(told["ours"]), "beside": figures})


def _figure(told: dict[str, Any]) -> Figure:
    return Figure(told["who"], Summary(**told["sample"]), told["rival"])
