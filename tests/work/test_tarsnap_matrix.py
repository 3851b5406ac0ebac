"""Whatever kills a creation or a deletion, and wherever: one writer, no archive lost, none believed that is
not there, the run caught up, the operator told.

Every point of the double's creations and deletions, times every way to die there, times what becomes of the
daemon meanwhile. The real daemon, the real adapter, real signals.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from snapd.deltas import Deltas
from snapd.history import History
from snapd.model import Archive
from snapd.retention import Floor, plan
from tests.fakes.daemons import Daemons
from tests.fakes.scene import until
from tests.fakes.tarsnap.account import Account
from tests.fakes.tarsnap.double.points import NAMES

CONFIG = """
[daemon]
timezone = "UTC"
[store.offsite]
engine = "tarsnap"
keyfile = "{root}/key"
cachedir = "{root}/cachedir"
[backup.mail]
store = "offsite"
schedule = "@yearly"
archive = "mail_%Y%m%d-%H%M%S"
paths = ["{root}/saved"]
[backup.mail.expire]
schedule = "@yearly"
deltas = ["1d", "2d"]
min_keep = 1
"""
POLICY = Deltas((timedelta(days=1), timedelta(days=2)))
EARLIER = 8
"""Archives before the run; few enough that no expiry of them asks for approval."""

SIGNALS = ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT")
VERSIONS = ("1.0.39", "1.0.40", "1.0.41")
GOES_ON = ""


@dataclass(frozen=True)
class Cell:
    """What happens: at a point (of one archive), the end that comes there, and the fate of the daemon."""

    point: str
    ending: str  # an action of the double, or nothing at all
    daemon: str  # lives, killed, stopped
    victim: int = 0  # the place of the archive among those to delete
    version: str = "1.0.41"

    def __str__(self) -> str:
        what = f"{self.point}-{self.victim}" if self.kind == "expire" else self.point
        return f"{what}: {self.ending or 'nothing'}, daemon {self.daemon}, {self.version}"

    @property
    def kind(self) -> str:
        return "expire" if self.point.startswith("delete.") else "backup"


def _cells(points: list[str], victims: tuple[int, ...]) -> Iterator[Cell]:
    for point in points:
        for victim in victims:
            for ending in (*SIGNALS, "network"):
                yield Cell(point, ending, "lives", victim)
            for ending in (*SIGNALS, "network", GOES_ON):
                yield Cell(point, ending, "killed", victim)
            yield Cell(point, GOES_ON, "stopped", victim)


def _with_versions(cells: Iterator[Cell]) -> list[Cell]:
    return [
        Cell(cell.point, cell.ending, cell.daemon, cell.victim, VERSIONS[number % len(VERSIONS)])
        for number, cell in enumerate(cells)
    ]


CREATIONS = _with_versions(_cells([name for name in NAMES if name.startswith("create.")], (0,)))
DELETIONS = _with_versions(_cells([name for name in NAMES if name.startswith("delete.")], (0, 3)))


class Machine:
    """A machine with a key, eight earlier archives, and a daemon."""

    def __init__(self, root: Path, version: str) -> None:
        self.root = root
        self.account = Account(root / "account", version)
        self.key = self.account.new_key(name="key").rename(root / "key")
        self.daemons = Daemons(root, path=self.account.path)
        (root / "saved").mkdir()
        for name, size in (("first", 10), ("second", 200_000), ("third", 10)):
            (root / "saved" / name).write_bytes(name.encode() + os.urandom(size))
        self.daemons.config.write_text(CONFIG.format(root=root))
        self.account.fill(self.key, root / "cachedir", self._earlier())
        self.before = set(self.names())

    def _earlier(self) -> dict[str, int]:
        now = datetime.now(UTC).replace(microsecond=0)
        made = [now - timedelta(hours=1 + number) for number in range(EARLIER)]
        return {f"mail_{at:%Y%m%d-%H%M%S}": int(at.timestamp()) for at in made}

    def names(self) -> list[str]:
        return self.account.names(self.key)

    def believed(self) -> dict[str, bool]:
        """Names that the history holds for archives that are there, and whether for complete ones."""
        history = History(self.daemons.folders.state, now=datetime.now(UTC))
        try:
            return {item.archive.name: item.archive.complete for item in history.known_archives("mail")}
        finally:
            history.close()

    def saved(self) -> set[str]:
        """Paths as an archive has them."""
        return {str(path).lstrip("/") for path in (self.root / "saved").iterdir()}

    def planned(self) -> list[str]:
        """What an expiry would delete, in its order."""
        stored = self.account.archives(self.key).values()
        archives = [Archive(each.name, datetime.fromtimestamp(each.created, UTC)) for each in stored]
        verdicts = plan(archives, POLICY, Floor(min_keep=1), datetime.now(UTC))
        return [verdict.archive.name for verdict in reversed(verdicts) if not verdict.keep]


@pytest.fixture
def machine(tmp_path: Path, cell: Cell) -> Iterator[Machine]:
    made = Machine(tmp_path, cell.version)
    try:
        yield made
    finally:
        made.account.go(cell.point, made.key)  # an engine that still pauses there
        made.daemons.stop()


def meets(machine: Machine, cell: Cell, point: dict[str, Any]) -> str:
    """Let the run meet its fate; returns its id. Afterwards a daemon runs, and no engine of the run's."""
    daemons, account, key = machine.daemons, machine.account, machine.key
    if cell.point == "create.checkpointed":
        account.switch(key=key, checkpoint_every=1)
    daemons.start()
    if cell.daemon == "lives":
        account.at(cell.point, cell.ending, key=key, **point)
        return daemons.run(cell.kind, "mail")
    account.at(cell.point, "pause", key=key, **point, **({"then": cell.ending} if cell.ending else {}))
    run = daemons.run(cell.kind, "mail")
    engine = account.wait_at(cell.point, key)
    if cell.daemon == "stopped":
        with daemons.stopping():
            if cell.kind == "expire":  # a deletion is let to its end; a creation gets a signal
                account.go(cell.point, key)
        daemons.start()
        return run
    daemons.kill()
    daemons.start()
    waits = until(daemons.said("lock-waiting"))
    assert waits[0]["kind"] == cell.kind
    assert _alive(engine)
    account.go(cell.point, key)
    return run


def _alive(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def is_over(machine: Machine, cell: Cell, run: str) -> dict[str, Any]:
    """Wait until the job has nothing left to do, hurrying what waits for its retry; returns its last row."""
    if cell.daemon == "lives":
        until(lambda: machine.daemons.said("run-retry", run_id=run)() or _ended(machine, cell))
        machine.account.switch(key=machine.key, points=None)
        if _unfinished(machine, cell):
            assert machine.daemons.run(cell.kind, "mail") == run
    last: dict[str, Any] = until(lambda: _ended(machine, cell))
    return last


def _unfinished(machine: Machine, cell: Cell) -> bool:
    return machine.daemons.job(cell.kind, "mail")["unfinished"] is not None


def _ended(machine: Machine, cell: Cell) -> dict[str, Any] | None:
    job = machine.daemons.job(cell.kind, "mail")
    last: dict[str, Any] | None = job["last"]
    return None if job["unfinished"] else last


def story(machine: Machine, run: str) -> list[dict[str, Any]]:
    """What the journal says of a run, and of the restart that followed it, at warning and above."""
    loud = [line for line in machine.daemons.events() if line["level"] in ("warning", "error")]
    return [line for line in loud if line.get("run_id") == run or line["event"] == "recovered"]


@pytest.mark.parametrize("cell", CREATIONS, ids=str)
def test_a_creation_that_is_cut_off_is_caught_up_and_nothing_is_lost(machine: Machine, cell: Cell) -> None:
    run = meets(machine, cell, {})
    last = is_over(machine, cell, run)
    assert last["outcome"] in ("ok", "warning"), last
    machine.daemons.ask(op="archives", set="mail", refresh=True)
    names = set(machine.names())
    assert machine.account.overlaps(machine.key) == []
    assert machine.before <= names
    assert last["archive"] in names
    assert machine.account.contents(machine.key, last["archive"]).keys() >= machine.saved()
    assert machine.believed() == {name: not name.endswith(".part") for name in names}
    appeared = machine.daemons.said("archive-appeared", run_id=run)()
    assert {line["archive"] for line in appeared} == names - machine.before - {last["archive"]}
    assert story(machine, run) or (last["run_id"] == run and last["attempts"] == 1)


@pytest.mark.parametrize("cell", DELETIONS, ids=str)
def test_a_deletion_that_is_cut_off_is_caught_up_and_takes_nothing_else(machine: Machine, cell: Cell) -> None:
    planned = machine.planned()
    run = meets(machine, cell, {"archive": planned[cell.victim]})
    last = is_over(machine, cell, run)
    assert last["outcome"] == "ok", last
    assert machine.account.overlaps(machine.key) == []
    assert set(machine.names()) == machine.before - set(planned)
    assert machine.believed() == dict.fromkeys(machine.names(), True)
    assert story(machine, run) or (last["run_id"] == run and last["attempts"] == 1)
