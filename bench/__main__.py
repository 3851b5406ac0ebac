"""Measure the budgets of DESIGN 8: `python -m bench [--quick] [NAME…]`."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from bench import machine
from bench.measures import MEASURES
from bench.programs import NotInstalledError, require
from bench.results import FILE, Results, Taken, from_json, to_json
from bench.table import PAGE, lines, written


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    try:
        require()
    except NotInstalledError as error:
        print(error, file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, _stop)
    results = from_json(FILE.read_text(encoding="utf-8")) if FILE.exists() else Results({})
    for name in options.names or MEASURES:
        taken = _take(name, quick=options.quick)
        results = results.with_measure(name, taken, machine.description())
        if not options.quick:
            _write(results)
    if options.quick:
        print("A quick run shows and writes nothing down.")
    return 0


def _stop(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt  # so that daemons are ended and folders removed


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[[], *MEASURES], help=", ".join(MEASURES))
    parser.add_argument("--quick", action="store_true", help="few samples, to see that it works")
    return parser


def _take(name: str, *, quick: bool) -> Taken:
    before = machine.load()
    rows = MEASURES[name](quick)
    for row in rows:
        print("\n".join(lines(name, row)), flush=True)
    at = datetime.now(UTC).isoformat(timespec="minutes")
    return Taken(tuple(rows), at, (before, machine.load()), machine.commit())


def _write(results: Results) -> None:
    """Keep the numbers, and draw them into the page; after each measure, so that a stopped run keeps some."""
    ordered = {name: results.measures[name] for name in MEASURES if name in results.measures}
    results = Results(results.machine, ordered)
    text = to_json(results)
    FILE.write_text(text, encoding="utf-8")
    kept = from_json(text)  # rounded: the page shows what the file holds
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), kept), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
