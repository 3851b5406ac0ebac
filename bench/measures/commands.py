"""Commands as whole processes: `status` over a long history, `--help`, `check` without engine calls."""

from __future__ import annotations

import contextlib
import sqlite3
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from bench.place import Place, place
from bench.programs import calls, put_stub_borg, real_borg, seconds_of
from bench.results import Row, ours, part, rival
from bench.samples import alternate
from snapd.history import History, KnownArchive, Run
from snapd.history.rows import put_run
from snapd.model import Archive, Cause, Kind, Outcome, job_id

RUNS = 100_000
SETS = 10
STATUS_MS, HELP_MS, CHECK_MS = 150.0, 100.0, 400.0
LIGHT_OFF = 3
MORE = """
[backup.NAME.expire]
schedule = "@yearly"
deltas = ["1d", "7d", "30d", "365d"]
[backup.NAME.restore_test]
schedule = "@yearly"
"""


def measure(quick: bool) -> list[Row]:
    with place() as at:
        put_stub_borg(at.bin)
        at.pretend_store()
        at.configure(*(at.backup_set(f"set{number}", more=MORE) for number in range(SETS)))
        at.configure_borgmatic(at.root / "store")
        _fill_history(at)
        with at.daemon():
            before = len(calls(at.bin))
            taken = _take(at, 5 if quick else 25)
            asked = len(calls(at.bin)) - before
    if asked:
        raise RuntimeError(f"these commands called the engine {asked} times")
    return _rows(taken)


def _take(at: Place, rounds: int) -> dict[str, list[float]]:
    def timed(*argv: str) -> float:
        return 1000 * seconds_of(argv, at.environ, good=(0, LIGHT_OFF))

    return alternate(
        rounds,
        {
            "status": lambda: timed(at.program, "status"),
            "help": lambda: timed(at.program, "--help"),
            "check": lambda: timed(at.program, "check"),
            "borgmatic --help": lambda: timed(at.borgmatic()[0], "--help"),
            "borgmatic validate": lambda: timed(*at.borgmatic("config", "validate")),
            "borg": lambda: timed(real_borg(), "--version"),
            "python": lambda: timed(sys.executable, "-c", "pass"),
        },
    )


def _rows(taken: dict[str, list[float]]) -> list[Row]:
    scale = (part("`borg --version`", taken["borg"]), part("`python -c pass`", taken["python"]))
    return [
        Row(f"`status`, {RUNS:,} runs in the history", "ms", ours(taken["status"]), STATUS_MS, beside=scale),
        Row(
            "`--help`",
            "ms",
            ours(taken["help"]),
            HELP_MS,
            beside=(rival("`borgmatic --help`", taken["borgmatic --help"]), *scale),
        ),
        Row(
            f"`check` without engine calls, {SETS} sets",
            "ms",
            ours(taken["check"]),
            CHECK_MS,
            beside=(rival("`borgmatic config validate`", taken["borgmatic validate"]),),
        ),
    ]


def _fill_history(at: Place) -> None:
    """Write the runs straight into the file, and a hundred archives of each set."""
    now = datetime.now(UTC)
    history = History(at.root / "state", now=now)
    for number in range(SETS):
        name = f"set{number}"
        for back in range(100):
            made = now - timedelta(hours=1 + back)
            archive = Archive(f"{name}_{made:%Y%m%d-%H%M%S}", made)
            history.record_archive(KnownArchive(archive, "local", name, now, encrypted=True))
    history.close()
    with contextlib.closing(sqlite3.connect(at.root / "state" / "history.sqlite")) as connection, connection:
        connection.execute("BEGIN")
        for run in _runs(now):
            connection.execute(*put_run(run))


def _runs(now: datetime) -> Iterator[Run]:
    """Yield runs of a year, every five minutes one, all jobs in turn."""
    jobs = [(kind, f"set{number}") for number in range(SETS) for kind in Kind]
    for number in range(RUNS):
        kind, backup_set = jobs[number % len(jobs)]
        slot = now - timedelta(minutes=5 * (RUNS - number))
        yield Run(
            run_id=f"{number:012x}",
            job=job_id(kind, backup_set),
            kind=kind,
            backup_set=backup_set,
            slot=slot,
            cause=Cause.SCHEDULE,
            started=slot,
            ended=slot + timedelta(seconds=40),
            outcome=Outcome.OK,
            archive=f"{backup_set}_{slot:%Y%m%d-%H%M%S}",
            bytes_total=10**9,
            bytes_new=10**6,
            details={"files": 1000, "dumps": {}, "omitted": [], "omitted_count": 0},
        )
