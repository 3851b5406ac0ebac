"""Which archives are a set's: what a crontab line left is taken over, a stranger's never touched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from snapd.config import BackupSet, Expire
from snapd.jobs import backup, expire, restore_test
from snapd.jobs.base import Work
from snapd.model import ArchivePattern, Outcome
from tests.fakes.work import START, World, set_of, world

DAY = timedelta(days=1)
TODAY = START + 1000 * DAY
YEARS = 800  # days of nightly archives that a crontab line made
BY_CRON = ArchivePattern("mail_%Y%m%d-%H%M")
STRANGERS = [
    "mail_old_20240101-0300",
    "mail_20240101-0300_old",
    "mail_20240101",
    "shop_20240101-0300",
    "mail_20240101-0300.1",
    "photographs of 2019",
]


def mail(**values: object) -> BackupSet:
    kept = Expire.model_validate({"schedule": "@daily", "deltas": ["1d", "7d", "30d", "365d"]})
    return set_of(**{"name": "mail", "archive": BY_CRON, "schedule": "0 3 * * *", "expire": kept} | values)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[World]:
    """What a crontab line left behind, its cut-off and second tries too, among the archives of others."""
    with world(tmp_path) as found:
        found.clock.at = TODAY + timedelta(hours=4)
        for days in range(YEARS):
            at = TODAY + timedelta(hours=3) - days * DAY
            found.engine.plant(BY_CRON.render(at), at)
        for days in (20, 400):
            at = TODAY + timedelta(hours=3, minutes=1) - days * DAY
            found.engine.plant(f"{BY_CRON.render(at)}.part", at)
            found.engine.plant(BY_CRON.render(at, 2), at)
        for name in STRANGERS:
            found.engine.plant(name, TODAY - 700 * DAY)
        yield found


def work_of(scene: World, backup_set: BackupSet) -> Work:
    return replace(scene.work(backup_set), due_slot=TODAY)


def approve_and_expire(scene: World, backup_set: BackupSet) -> None:
    work = work_of(scene, backup_set)
    assert expire.run(work).details["deleted"] == 0
    expire.approve(work, expire.decide(work, scene.engine.archives()))
    assert expire.run(work).outcome is Outcome.OK


def test_years_of_a_crontab_lines_archives_are_taken_over_and_thinned_out_after_one_yes(scene: World) -> None:
    approve_and_expire(scene, mail())
    left = set(scene.engine.names())
    assert set(STRANGERS) <= left
    assert 8 + 3 + 11 <= len(left - set(STRANGERS)) <= 30
    assert not [name for name in left if name.endswith(".part")]


def test_a_set_that_names_its_archives_otherwise_adopts_them(scene: World) -> None:
    adopting = mail(archive=ArchivePattern("letters_%Y%m%d-%H%M%S"), adopt=(BY_CRON,))
    approve_and_expire(scene, adopting)
    left = set(scene.engine.names())
    assert set(STRANGERS) <= left
    assert len(left - set(STRANGERS)) <= 30


def test_without_adopting_them_nothing_of_them_is_touched(scene: World) -> None:
    before = scene.engine.names()
    other = mail(archive=ArchivePattern("letters_%Y%m%d-%H%M%S"), schedule=None)
    assert expire.run(replace(scene.work(other), due_slot=None)).details["archives"] == 0
    assert scene.engine.names() == before


def test_an_adopted_archive_is_tested_as_the_sets_own(scene: World) -> None:
    newest = TODAY + timedelta(hours=3)
    scene.engine.plant(BY_CRON.render(newest), newest, files={"srv/mail/letter": b"dear reader"})
    adopting = mail(archive=ArchivePattern("letters_%Y%m%d"), adopt=(BY_CRON,))
    assert restore_test.run(work_of(scene, adopting)).archive == BY_CRON.render(newest)


def test_a_new_archive_of_the_same_minute_gets_another_name_than_the_crontab_lines(
    scene: World, tmp_path: Path
) -> None:
    (tmp_path / "saved").mkdir()
    scene.clock.at = TODAY + timedelta(hours=3)
    made = backup.run(work_of(scene, mail(paths=(tmp_path / "saved",))))
    assert made.archive == BY_CRON.render(scene.clock.at, 2)


def test_a_pattern_that_is_adopted_later_asks_for_approval_again(scene: World) -> None:
    own = mail(archive=ArchivePattern("letters_%Y%m%d-%H%M%S"))
    scene.engine.plant(own.archive.render(TODAY + timedelta(hours=3)), TODAY + timedelta(hours=3))
    assert expire.run(work_of(scene, own)).outcome is Outcome.OK
    held = expire.run(work_of(scene, own.model_copy(update={"adopt": (BY_CRON,)})))
    assert held.outcome is Outcome.WARNING
    assert "changed" in held.notes[0]
