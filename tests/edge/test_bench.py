"""The benchmark's own logic: samples, rows, tables, the file of results. Nothing here asserts a time."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from bench import programs
from bench.measures import MEASURES
from bench.programs import calls, put_stub_borg, seconds_of
from bench.results import FILE, Results, Row, Taken, from_json, ours, part, rival, to_json
from bench.samples import alternate, percentile, summary
from bench.table import PAGE, cells, lines, quantity, verdict, written

BESIDE = (rival("borgmatic", [900, 1200, 900]), part("imports", [10]))
ROW = Row("our part", "ms", ours([40, 20, 30]), 50, beside=BESIDE)
RESULTS = Results({"memory": "1 GiB"}, {"run": Taken((ROW,), "2026-11-23T12:00+00:00", (0.5, 1.25), "abc")})
EMPTY = """head
<!-- results -->
<!-- end of results -->
between
<!-- machine -->
old
<!-- end of machine -->
foot
"""


def test_a_summary_has_median_span_and_count() -> None:
    found = summary([4, 1, 3, 2])
    assert (found.count, found.median, found.low, found.high, found.p99) == (4, 2.5, 1, 4, 4)


def test_nothing_measured_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing"):
        summary([])


@pytest.mark.parametrize(
    ("share", "value"), [(0.005, 1), (0.01, 2), (0.5, 100), (0.99, 198), (0.995, 199), (1.0, 200)]
)
def test_a_percentile_is_the_value_of_the_nearest_rank(share: float, value: int) -> None:
    assert percentile(list(reversed(range(1, 201))), share) == value


@pytest.mark.parametrize("share", [0.0, -1.0, 1.1])
def test_a_percentile_outside_of_all_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="percentile"):
        percentile([1.0], share)


def test_rounds_take_everybody_once_and_each_goes_first_in_turn() -> None:
    order: list[str] = []

    def taker(name: str) -> float:
        order.append(name)
        return len(order)

    taken = alternate(3, {"a": lambda: taker("a"), "b": lambda: taker("b")})
    assert "".join(order) == "abbaab"
    assert taken == {"a": [1, 4, 5], "b": [2, 3, 6]}


@pytest.mark.parametrize(
    ("row", "met"),
    [
        (ROW, True),
        (replace(ROW, budget=29), False),
        (replace(ROW, budget=30), True),
        (replace(ROW, judged_by="high"), True),
        (replace(ROW, judged_by="high", budget=39), False),
        (replace(ROW, judged_by="p99", budget=39), False),
        (replace(ROW, budget=None), None),
    ],
)
def test_a_budget_is_held_against_the_statistic_it_is_meant_for(row: Row, met: bool | None) -> None:
    assert row.met is met


def test_a_missed_budget_is_shown_as_missed() -> None:
    assert verdict(ROW) == "met"
    assert "missed" in verdict(replace(ROW, budget=1))
    assert "missed" in "\n".join(lines("run", replace(ROW, budget=1)))
    assert not verdict(replace(ROW, budget=None))


def test_a_rival_gets_a_ratio_and_a_part_of_ours_none() -> None:
    beside = cells("run", ROW)[-1]
    assert "borgmatic: 900 ms (900 to 1,200; n=3), ×30" in beside
    assert "imports: 10 ms" in beside
    assert beside.count("×") == 1


def test_a_cell_says_which_statistic_it_shows() -> None:
    assert cells("run", ROW)[3] == "30 ms (20 to 40; n=3)"
    judged = replace(ROW, judged_by="p99")
    assert cells("run", judged)[3] == "99th percentile 40 ms (median 30 ms, 20 to 40; n=3)"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0 ms"), (0.0123456, "0.0123 ms"), (12.345, "12.3 ms"), (99.96, "100 ms"), (1234.5, "1,234 ms")],
)
def test_a_quantity_has_three_digits_at_most_below_a_hundred(value: float, shown: str) -> None:
    assert quantity(value, "ms") == shown


def test_results_survive_their_file() -> None:
    assert from_json(to_json(RESULTS)) == RESULTS


def test_results_of_another_schema_are_refused() -> None:
    with pytest.raises(ValueError, match="schema 0"):
        from_json(to_json(RESULTS).replace('"schema": 1', '"schema": 0'))


def test_one_measure_taken_anew_leaves_the_others() -> None:
    other = Taken((replace(ROW, what="other"),), "2026-11-24T12:00+00:00", (0.0, 0.0))
    both = RESULTS.with_measure("start", other, {"memory": "2 GiB"})
    assert both.measures == {**RESULTS.measures, "start": other}
    assert RESULTS.with_measure("run", other, {}).measures == {"run": other}


def test_the_page_gets_both_tables_between_its_marks_and_keeps_the_rest() -> None:
    page = written(EMPTY, RESULTS)
    assert page.startswith("head\n<!-- results -->\n| measure |")
    assert page.endswith("<!-- end of machine -->\nfoot\n")
    assert "| `run` | our part | ≤ 50 ms | 30 ms (20 to 40; n=3) | met |" in page
    assert "commit abc, load 0.5 before and 1.2 after" in page
    assert "old" not in page
    assert written(page, RESULTS) == page


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="results"):
        written("no marks", RESULTS)


def test_the_page_shows_what_the_results_hold() -> None:
    results = from_json(FILE.read_text(encoding="utf-8"))
    page = PAGE.read_text(encoding="utf-8")
    assert written(page, results) == page
    assert set(results.measures) == set(MEASURES)


@pytest.fixture
def stub(tmp_path: Path) -> Path:
    (tmp_path / "archives").touch()
    put_stub_borg(tmp_path)
    return tmp_path


def borg(folder: Path, *words: str) -> str:
    environ = {"PATH": f"{folder}:{os.environ['PATH']}"}
    done = subprocess.run(["borg", *words], env=environ, capture_output=True, text=True, check=True)
    return done.stdout


def test_the_stub_lists_what_it_created_and_not_what_it_deleted(stub: Path) -> None:
    for name in ("one", "two", "three"):
        borg(stub, "--log-json", "create", "--json", "--", f"/store::{name}", "/srv")
    assert '"name": "two"' in borg(stub, "list", "--json", "--glob-archives=tw?", "--", "/store")
    borg(stub, "delete", "--", "/store", "one", "two")
    left = borg(stub, "list", "--json", "--", "/store")
    assert '"three"' in left
    assert '"one"' not in left
    assert '"two"' not in left


def test_the_calls_of_an_engine_are_read_back_with_begin_and_end(stub: Path) -> None:
    borg(stub, "create", "--dry-run", "/store::one", "/srv")
    borg(stub, "--version")
    first, second = calls(stub)
    assert first.words == ("create", "--dry-run", "/store::one", "/srv")
    assert first.status == 0
    assert first.began <= first.ended <= second.began
    assert first.seconds >= 0


def test_no_calls_is_an_empty_list(tmp_path: Path) -> None:
    assert calls(tmp_path) == []


def test_a_process_that_fails_ends_the_measure() -> None:
    with pytest.raises(RuntimeError, match="ended with 3"):
        seconds_of(["sh", "-c", "exit 3"], os.environ)
    assert seconds_of(["sh", "-c", "exit 3"], os.environ, good=(3,)) >= 0


def test_the_rivals_stay_out_of_our_own_environment() -> None:
    assert programs.RIVALS.parent.name == ".venv-bench"
