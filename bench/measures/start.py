"""From the start of the process to READY=1, with ten backup sets."""

from __future__ import annotations

import subprocess
import sys
import time

from bench.place import Place, place
from bench.programs import ROOT, calls, put_stub_borg, seconds_of
from bench.results import Row, ours, part, rival
from bench.samples import alternate

BUDGET_MS = 700.0
SETS = 10
MORE = """
[backup.NAME.expire]
schedule = "@yearly"
deltas = ["1d", "7d", "30d", "365d"]
[backup.NAME.restore_test]
schedule = "@yearly"
"""
IMPORTS = "import time; began = time.perf_counter(); import snapd.cli.run; print(time.perf_counter() - began)"


def measure(quick: bool) -> list[Row]:
    with place() as at:
        put_stub_borg(at.bin)
        at.pretend_store()
        at.configure(*(at.backup_set(f"set{number}", more=MORE) for number in range(SETS)))
        at.configure_borgmatic(at.root / "store")
        first_s = _start(at)
        takers = {
            "ours": lambda: _start(at),
            "imports": lambda: _imports(at),
            "borgmatic": lambda: until_engine(at),
            "python": lambda: 1000 * seconds_of([sys.executable, "-c", "pass"], at.environ),
        }
        taken = alternate(5 if quick else 20, takers)
    return [
        Row(
            f"start to READY=1, {SETS} sets with {3 * SETS} jobs",
            "ms",
            ours(taken["ours"]),
            BUDGET_MS,
            beside=(
                part("of it, the imports", taken["imports"]),
                part("the very first start, which makes history and job store", [first_s]),
                part("an interpreter that does nothing", taken["python"]),
                rival("`borgmatic create`, start to its first engine call", taken["borgmatic"]),
            ),
            note="borgmatic has no daemon: it pays this at every backup",
        )
    ]


def until_engine(at: Place, word: str = "") -> float:
    """Start `borgmatic create`; return the milliseconds until it called `borg` (with that word)."""
    before, began = len(calls(at.bin)), time.time()
    seconds_of(at.borgmatic("create"), at.environ)
    call = next(call for call in calls(at.bin)[before:] if not word or word in call.words)
    return 1000 * (call.began - began)


def _start(at: Place) -> float:
    with at.daemon() as started:
        return 1000 * started.ready_s


def _imports(at: Place) -> float:
    argv = [sys.executable, "-c", IMPORTS]
    done = subprocess.run(argv, env=at.environ, cwd=ROOT, check=True, capture_output=True, text=True)
    return 1000 * float(done.stdout)
