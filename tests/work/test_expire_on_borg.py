"""Expiry, pins and plans over a real Borg repository of thirty archives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from snapd.config import BackupSet, Expire
from snapd.history import Pin
from snapd.jobs import expire
from snapd.jobs.base import Work
from snapd.model import ArchivePattern, Outcome
from tests.fakes.borg import BorgLab, make_template, require_borg
from tests.fakes.work import World, set_of, world

DAY = timedelta(days=1)
COUNT = 30
STRANGERS = ["shop_old_20260101-030000", "photographs"]
KEPT = [0, 1, 2, 3, 4, 5, 6, 7, 8, 15, 22, 29]  # days, of deltas 1d 7d 30d


@dataclass
class Shop:
    """A repository with a month of daily archives that a crontab line made, and two of other people."""

    lab: BorgLab
    scene: World
    newest: datetime

    def name(self, days_ago: int) -> str:
        return self.set_of().archive.render(self.newest - days_ago * DAY)

    def set_of(self) -> BackupSet:
        return set_of(
            archive=ArchivePattern("shop_%Y%m%d-%H%M"),
            expire=Expire.model_validate({"schedule": "@daily", "deltas": ["1d", "7d", "30d"]}),
        )

    def work(self) -> Work:
        return replace(self.scene.work(self.set_of()), engine=self.lab.engine())

    def names(self) -> set[str]:
        return set(self.lab.borg("list", "--short", str(self.lab.repository)).split())


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the repository, made once."""
    require_borg()
    folder = tmp_path_factory.mktemp("month")
    lab = BorgLab(folder, template=make_template(tmp_path_factory.mktemp("template")))
    (folder / "letter").write_text("dear reader")
    newest = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=1)
    (folder / "newest").write_text(newest.isoformat())
    for days in range(COUNT):
        at = newest - days * DAY
        plant(lab, f"shop_{at:%Y%m%d-%H%M}", at)
    for name in STRANGERS:
        plant(lab, name, newest - 100 * DAY)
    return folder


def plant(lab: BorgLab, name: str, at: datetime) -> None:
    """Store an archive as a crontab line of that time did."""
    stamp = f"{at:%Y-%m-%dT%H:%M:%S}"
    lab.borg("create", "--timestamp", stamp, f"{lab.repository}::{name}", str(lab.folder / "letter"))


@pytest.fixture
def shop(month: Path, tmp_path: Path) -> Iterator[Shop]:
    lab = BorgLab(tmp_path, template=month / "repository")
    with world(tmp_path) as scene:
        scene.clock.at = datetime.now(UTC)
        yield Shop(lab, scene, datetime.fromisoformat((month / "newest").read_text()))


def test_a_month_of_a_crontab_line_is_thinned_out_after_a_yes_but_for_what_is_pinned(shop: Shop) -> None:
    before = shop.names()
    held = expire.run(shop.work())
    assert (held.outcome, held.details["held_by"]) == (Outcome.WARNING, "foreign")
    assert shop.names() == before

    expire.approve(shop.work(), expire.decide(shop.work(), shop.lab.engine().archives()))
    shop.scene.history.pin(Pin("local", shop.name(12), "shop", shop.newest, reason="the audit"))
    done = expire.run(shop.work())
    assert (done.outcome, done.details["deleted"]) == (Outcome.OK, COUNT - len(shop.names()) + len(STRANGERS))
    assert shop.names() == {*STRANGERS, *(shop.name(days) for days in sorted([*KEPT, 12]))}
    assert shop.scene.history.noted("reclaim-due:local") is None
    again = expire.run(shop.work())
    assert (again.outcome, again.details["deleted"]) == (Outcome.OK, 0)


def test_a_plan_of_borgs_archives_tells_what_it_will_do_and_does_nothing(shop: Shop) -> None:
    before = shop.names()
    shown = expire.decision_json(expire.decide(shop.work(), shop.lab.engine().archives()))
    assert (shown["keep"], shown["delete"]) == (len(KEPT), COUNT - len(KEPT))
    archives = shown["archives"]
    assert isinstance(archives, list)
    assert [item["name"] for item in archives] == [shop.name(days) for days in range(COUNT)]
    assert [days for days in range(COUNT) if archives[days]["keep"]] == KEPT
    assert datetime.fromisoformat(archives[0]["created"]) == shop.newest
    assert shop.names() == before
