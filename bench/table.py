"""The results as Markdown, and into the page between its marks. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from bench.results import Figure, Results, Row, Statistic, statistic

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
STATISTICS: dict[Statistic, str] = {"median": "", "p99": "99th percentile ", "high": "longest "}


def written(page: str, results: Results) -> str:
    """Return the page with its tables as the results have them. Raises ValueError when a mark is missing."""
    page = _filled(page, "results", results_table(results))
    return _filled(page, "machine", machine_table(results))


def _filled(page: str, mark: str, text: str) -> str:
    before, begin, rest = page.partition(f"<!-- {mark} -->\n")
    _old, end, after = rest.partition(f"<!-- end of {mark} -->")
    if not begin or not end:
        raise ValueError(f"the page has no place for the {mark}")
    return f"{before}{begin}{text}\n{end}{after}"


def results_table(results: Results) -> str:
    rows = [cells(name, row) for name, taken in results.measures.items() for row in taken.rows]
    return _table(("measure", "what", "budget", "snapd-backup", "", "beside it"), rows)


def cells(name: str, row: Row) -> tuple[str, ...]:
    what = f"{row.what}<br>*{row.note}*" if row.note else row.what
    budget = "" if row.budget is None else f"≤ {quantity(row.budget, row.unit)}"
    beside = "<br>".join(_beside(figure, row) for figure in row.beside)
    return (f"`{name}`", what, budget, _told(row.ours, row), verdict(row), beside)


def verdict(row: Row) -> str:
    return {None: "", True: "met", False: "**missed**"}[row.met]


def quantity(value: float, unit: str) -> str:
    """Return a value for people: three significant digits at most, thousands apart."""
    if value and abs(value) < 100:
        return f"{float(f'{value:.3g}'):g} {unit}".replace("e-05", "·10⁻⁵")
    return f"{value:,.0f} {unit}"


def lines(name: str, row: Row) -> Iterator[str]:
    """Yield a row as a terminal shows it."""
    budget = "" if row.budget is None else f"   budget {quantity(row.budget, row.unit)}: {verdict(row)}"
    yield f"{name}: {row.what}{budget}"
    for figure in (row.ours, *row.beside):
        yield f"    {figure.who:<58} {_numbers(figure, row)}{_ratio(figure, row)}"


def machine_table(results: Results) -> str:
    facts = [(name, value) for name, value in results.machine.items()]
    for name, taken in results.measures.items():
        before, after = taken.load
        commit = f", commit {taken.commit}" if taken.commit else ""
        facts.append(
            (f"`{name}`", f"taken {taken.at}{commit}, load {before:.1f} before and {after:.1f} after")
        )
    return _table(("machine", ""), facts)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    every = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in every)


def _beside(figure: Figure, row: Row) -> str:
    return f"{figure.who}: {_numbers(figure, row)}{_ratio(figure, row)}"


def _told(figure: Figure, row: Row) -> str:
    return _numbers(figure, row)


def _numbers(figure: Figure, row: Row) -> str:
    """Return the number that is judged, then the span and how often it was measured."""
    sample = figure.sample
    told = f"{STATISTICS[row.judged_by]}{quantity(statistic(sample, row.judged_by), row.unit)}"
    if sample.count == 1:
        return told
    median = "" if row.judged_by == "median" else f"median {quantity(sample.median, row.unit)}, "
    span = f"{quantity(sample.low, '').strip()} to {quantity(sample.high, '').strip()}"
    return f"{told} ({median}{span}; n={sample.count})"


def _ratio(figure: Figure, row: Row) -> str:
    """Say how many times as much a rival takes."""
    if not figure.rival or row.told <= 0:
        return ""
    times = statistic(figure.sample, row.judged_by) / row.told
    return f", ×{quantity(times, '').strip()}"
