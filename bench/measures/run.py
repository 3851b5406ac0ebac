"""Our part of a backup run: its wall time less the engine's own calls. borgmatic's is taken the same way."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from bench.place import Place, place
from bench.programs import Call, calls, put_counting, real_borg, seconds_of
from bench.results import Row, ours, part, rival
from bench.samples import alternate

BUDGET_MS = 50.0
MOST_CALLS = 2


class Overhead:
    """Takes what a run costs beside its engine, and remembers the calls and their time."""

    def __init__(self, at: Place, total_s: Callable[[], float]) -> None:
        self._at = at
        self._total_s = total_s
        self.calls: list[float] = []
        self.wall_ms: list[float] = []

    def take(self) -> float:
        before = len(calls(self._at.bin))
        wall_s = self._total_s()
        made: list[Call] = calls(self._at.bin)[before:]
        self.calls.append(len(made))
        self.wall_ms.append(1000 * wall_s)
        return 1000 * (wall_s - sum(call.seconds for call in made))


def measure(quick: bool) -> list[Row]:
    with place() as at:
        put_counting(at.bin, real_borg())
        at.make_repository()
        at.configure_borgmatic(at.make_repository("store-borgmatic"))
        plain = at.make_repository("store-plain")
        at.configure(at.backup_set("mail"))
        with at.daemon():
            return _rows(at, _plain_borg(at, str(plain)), rounds=4 if quick else 20)


def _rows(at: Place, plain: Callable[[], float], *, rounds: int) -> list[Row]:
    live = Overhead(at, lambda: float(at.run("backup", "mail")["duration_s"]))
    command = Overhead(at, lambda: seconds_of([at.program, "backup", "mail"], at.environ, good=(0, 3)))
    other = Overhead(at, lambda: seconds_of(at.borgmatic("create"), at.environ))
    takers = {"live": live.take, "command": command.take, "borgmatic": other.take, "plain": plain}
    alternate(1, takers)  # the first of each fills caches
    for overhead in (live, command, other):
        overhead.calls.clear()
        overhead.wall_ms.clear()
    taken = alternate(rounds, takers)
    return [
        Row(
            "our part of a backup run: its duration less the engine's calls",
            "ms",
            ours(taken["live"]),
            BUDGET_MS,
            beside=(
                part("`snapd-backup backup SET` as a whole process, less the same", taken["command"]),
                rival("`borgmatic create`, less its engine calls", taken["borgmatic"]),
            ),
        ),
        Row(
            "engine calls of a backup run",
            "calls",
            ours(live.calls),
            MOST_CALLS,
            judged_by="high",
            beside=(rival("borgmatic", other.calls),),
        ),
        Row(
            "a backup run as a whole, 200 small files",
            "ms",
            ours(live.wall_ms),
            beside=(
                rival("`borgmatic create`", other.wall_ms),
                rival("`borg create` alone", taken["plain"]),
            ),
            note="ours sees the archive in a listing afterwards, borgmatic asks for the version and tries a "
            "dry run before",
        ),
    ]


def _plain_borg(at: Place, repository: str) -> Callable[[], float]:
    numbers = itertools.count()

    def take() -> float:
        argv = [
            *(real_borg(), "create", "--compression=auto,zstd"),
            *(f"{repository}::plain-{next(numbers)}", str(at.root / "saved")),
        ]
        return 1000 * seconds_of(argv, at.environ)

    return take
