"""The configs of the manual, night after night: the real expiry never has to ask, and keeps on."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from snapd.config import Config, parse
from snapd.cron import Schedule
from snapd.facts import due_slot
from snapd.history import Run
from snapd.jobs import expire
from snapd.jobs.base import Work
from snapd.model import Cause, Kind, Outcome, Result
from tests.fakes.work import World, world

SAMPLE = Path(__file__).parents[1] / "golden" / "config" / "good" / "mail-and-shop.toml"
NIGHTS = 120
FIRST = datetime(2026, 9, 1, tzinfo=UTC)  # the clock goes back in October
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
KEEP = "keep     = { last = 4, hourly = 24, daily = 7, weekly = 5, monthly = 12, yearly = 3 }"


def config_of(*, keep: bool) -> Config:
    """The two sets of the design; with `keep` under rules of restic's in place of deltas."""
    lines = SAMPLE.read_text(encoding="utf-8").splitlines()
    text = "\n".join(KEEP if keep and line.startswith("deltas") else line for line in lines)
    return parse(text, file="config.toml", system_timezone="UTC")


@dataclass
class Nights:
    """A set in its store, by its own schedules. Each backup is made a little after its slot."""

    scene: World
    config: Config
    name: str

    def run(self) -> Iterator[Result]:
        """Make every backup, carry out every expiry, and yield what each of those came to."""
        for slot, kind in heapq.merge(self._slots(Kind.BACKUP), self._slots(Kind.EXPIRE)):
            if kind == Kind.BACKUP:
                self._back_up(slot + timedelta(seconds=slot.minute % 7))
            else:
                self._write_down(slot)
                self.scene.clock.at = slot + timedelta(seconds=90)
                with capture_logs():
                    yield expire.run(self._work())

    def _slots(self, kind: Kind) -> Iterator[tuple[datetime, str]]:
        expression = self.config.backup[self.name].schedule_of(kind)
        assert expression is not None
        schedule = Schedule.parse(expression, self.config.daemon.timezone)
        return ((slot, kind.value) for slot in schedule.each(FIRST, FIRST + NIGHTS * DAY))

    def _back_up(self, at: datetime) -> None:
        pattern = self.config.backup[self.name].archive
        name = pattern.render(at, 2 if pattern.render(at) in self.scene.engine.stored else 1)
        if at < FIRST + DAY:  # who made an archive matters until an expiry was completed
            self.scene.history.record_name(self.config.backup[self.name].store, self.name, name, at)
        self.scene.engine.plant(name, at)

    def _write_down(self, at: datetime) -> None:
        """Write down that the last backup went well; earlier ones decide nothing."""
        ended = {"slot": at, "started": at, "ended": at, "outcome": Outcome.OK}
        job = f"backup:{self.name}"
        row = Run(f"{at}", job, Kind.BACKUP, self.name, cause=Cause.SCHEDULE, **ended)  # type: ignore[arg-type]
        self.scene.history.add([row])

    def _work(self) -> Work:
        backup_set, now = self.config.backup[self.name], self.scene.clock.at
        return replace(
            self.scene.work(backup_set),
            config=self.config,
            due_slot=due_slot(backup_set, self.config.daemon.timezone, now),
        )

    def left(self) -> list[datetime]:
        return sorted(stored.archive.created for stored in self.scene.engine.stored.values())


@pytest.mark.parametrize("keep", [False, True], ids=["deltas", "keep"])
@pytest.mark.parametrize("name", ["mail", "shop"])
def test_no_night_asks_for_approval_and_the_store_neither_grows_nor_forgets(
    tmp_path: Path, name: str, keep: bool
) -> None:
    with world(tmp_path) as scene:
        nights = Nights(scene, config_of(keep=keep), name)
        ended = list(nights.run())
        left = nights.left()
    assert len(ended) >= NIGHTS
    assert {result.outcome for result in ended} == {Outcome.OK}
    assert sum(int(str(result.details["deleted"])) for result in ended) > 1000
    assert len(left) < 150
    end = FIRST + NIGHTS * DAY
    gaps = [(end - later, later - earlier) for earlier, later in pairwise(left)]
    assert end - left[-1] <= 2 * HOUR
    assert left[0] - FIRST <= 31 * DAY
    assert max(gap for age, gap in gaps if age < 5 * DAY) <= 2 * DAY
    assert max(gap for age, gap in gaps if age < 28 * DAY) <= 14 * DAY
    assert max(gap for _, gap in gaps) <= 60 * DAY
