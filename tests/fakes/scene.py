"""A runner on a real history, with an engine in memory for every run."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from snapd.config import Folders, Store, parse
from snapd.engines.base import Engine, Tools
from snapd.history import History, Run
from snapd.jobs import expire
from snapd.jobs.base import Work
from snapd.runner import Runner
from snapd.state_folder import Accepted
from tests.fakes.engine import FakeEngine

DEADLINE_S = 20.0
START = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

CONFIG = """
[daemon]
timezone = "UTC"
[store.local]
engine = "borg"
repository = "{folder}/borg"
passphrase = {{ file = "{folder}/passphrase" }}
[backup.mail]
store = "local"
schedule = "*/15 * * * *"
paths = ["{folder}/saved"]
[backup.mail.expire]
schedule = "@daily"
deltas = ["1m", "2m"]
min_keep = 1
[backup.web]
store = "local"
schedule = "*/15 * * * *"
paths = ["{folder}/saved"]
"""

T = TypeVar("T")


class Clock:
    """A wall clock, and a steady one, that stand still until a test moves them."""

    def __init__(self) -> None:
        self.at = START

    def __call__(self) -> datetime:
        return self.at

    def steady(self) -> float:
        return (self.at - START).total_seconds()


class Scene:
    """A runner on a real history, with one engine in memory for every run."""

    def __init__(self, folder: Path, more: str = "") -> None:
        (folder / "saved").mkdir()
        (folder / "saved" / "letter").write_text("dear reader")
        self.folders = Folders(state=folder / "state", cache=folder / "cache", runtime=folder / "run")
        for path in (self.folders.state, self.folders.cache, self.folders.runtime):
            path.mkdir(mode=0o700)
        text = CONFIG.format(folder=folder) + more
        self.accepted = Accepted(parse(text, file="config.toml", system_timezone="UTC"), text)
        self.clock = Clock()
        self.history = History(self.folders.state, now=START)
        self.engine = FakeEngine(now=self.clock)
        self.runner = self.another()

    def another(
        self,
        *,
        only_asked: bool = False,
        in_use: Callable[[], frozenset[str]] = frozenset,
        changed: Callable[[], None] = lambda: None,
    ) -> Runner:
        return Runner(
            lambda: self.accepted,
            self.history,
            self.folders,
            clock=self.clock,
            steady=self.clock.steady,
            build_engine=self._build,
            in_use=in_use,
            only_asked=only_asked,
            changed=changed,
        )

    def _build(self, _name: str, _store: Store, tools: Tools) -> Engine:
        """Give each run an engine of its own on the one store, as a nested backup has beside an expiry."""
        self.engine.interrupt = tools.launcher.interrupt
        self.engine.progress = tools.progress
        return copy.copy(self.engine)

    def ask(self, job: str) -> Run:
        return self.runner.ask(job, self.clock())

    def ended(self, run: Run) -> Run:
        """Wait for the outcome of a run."""
        return until(lambda: _if_ended(self.history.run(run.run_id)))

    def created(self) -> list[str]:
        return [call.names[0] for call in self.engine.calls if call.method == "create"]


def _if_ended(run: Run | None) -> Run | None:
    return run if run is not None and run.outcome is not None else None


def until(probe: Callable[[], T | None]) -> T:
    """Poll until the probe gives something true."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        found = probe()
        if found:
            return found
        assert time.monotonic() < deadline
        time.sleep(0.005)


def backed_up_for_long(scene: Scene, count: int = 40) -> None:
    """Make a fresh set with many old archives, whose first expiry an operator has approved."""
    if not scene.runner.at_work():
        scene.runner.start()
    scene.ended(scene.ask("backup:mail"))
    for number in range(1, count):
        created = START - number * timedelta(seconds=10)
        scene.engine.plant(f"mail_{created:%Y%m%d-%H%M%S}", created)

    def approve(work: Work) -> None:
        expire.approve(work, expire.decide(work, work.engine.archives()))

    scene.runner.look("expire:mail", approve)
