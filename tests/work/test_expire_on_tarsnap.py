"""Expiry over the stand-in of the Tarsnap client, with a thousand archives of a crontab line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from snapd.config import Expire
from snapd.errors import EngineError
from snapd.history import Pin
from snapd.jobs import expire
from snapd.jobs.base import Work
from snapd.jobs.decision import policy_of
from snapd.model import ArchivePattern, Outcome
from tests.fakes.tarsnap_lab import TarsnapLab
from tests.fakes.work import World, set_of, world

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NEWEST = datetime(2026, 11, 20, 10, tzinfo=UTC)
MADE = ArchivePattern("mail_%Y%m%d-%H%M")
COUNT = 1000  # one every two hours: nearly three months
NAMES = [MADE.render(NEWEST - number * 2 * HOUR) for number in range(COUNT)]  # newest first
CUT_OFF = f"{MADE.render(NEWEST - 10 * DAY + HOUR)}.part"
STRANGERS = {"mail_old_20260101-0300", "photographs"}


@dataclass
class Mail:
    lab: TarsnapLab
    scene: World

    def work(self) -> Work:
        policy = {"schedule": "50 3 * * *", "deltas": ["1d", "7d", "30d", "365d"]}
        backup_set = set_of(name="mail", archive=MADE, expire=Expire.model_validate(policy))
        return replace(self.scene.work(backup_set), engine=self.lab.engine())

    def approve(self) -> expire.Decision:
        work = self.work()
        decision = expire.decide(work, work.engine.archives())
        expire.approve(work, decision)
        return decision

    def names(self) -> set[str]:
        return set(self.lab.account.names(self.lab.key))


def at_of(number: int) -> datetime:
    """When the archive of this number was made, counted back from the newest."""
    return NEWEST - number * 2 * HOUR


@pytest.fixture
def mail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mail]:
    lab = TarsnapLab(tmp_path, monkeypatch)
    made = {name: int(at_of(number).timestamp()) for number, name in enumerate(NAMES)}
    made |= {CUT_OFF: int((NEWEST - 10 * DAY + HOUR).timestamp())}
    made |= dict.fromkeys(STRANGERS, int((NEWEST - 300 * DAY).timestamp()))
    lab.account.fill(lab.key, lab.cachedir, made)
    with world(tmp_path) as scene:
        scene.clock.at = NEWEST + HOUR
        yield Mail(lab, scene)


def test_a_thousand_archives_are_thinned_out_after_a_yes_but_for_what_is_pinned(mail: Mail) -> None:
    before = mail.names()
    assert expire.run(mail.work()).details["held_by"] == "foreign"
    assert mail.names() == before
    decision = mail.approve()
    pinned = decision.planned[500]
    mail.scene.history.pin(Pin("local", pinned, "mail", NEWEST))

    done = expire.run(mail.work())
    assert (done.outcome, done.details["deleted"]) == (Outcome.OK, len(decision.planned) - 1)
    kept = {verdict.archive.name for verdict in decision.verdicts if verdict.keep}
    assert mail.names() == STRANGERS | kept | {pinned}
    assert len(kept) < 25
    assert CUT_OFF not in mail.names()
    calls = [call for call in mail.lab.account.calls() if "-d" in call.argv]
    assert len(calls) <= len(decision.planned) / 10 + 3  # the first batches are smaller
    assert mail.lab.account.overlaps(mail.lab.key) == []


def test_a_listing_that_breaks_off_deletes_nothing(mail: Mail) -> None:
    mail.approve()
    before = mail.names()
    mail.lab.account.switch(key=mail.lab.key, list_fails_at=700)
    with pytest.raises(EngineError):
        expire.run(mail.work())
    assert mail.names() == before


def test_a_deletion_that_dies_half_way_is_seen_and_made_up_for(mail: Mail) -> None:
    work = mail.work()
    few = expire.decide(work, work.engine.archives()).planned[:40]
    mail.scene.history.approve("mail", few, policy_of(work.backup_set, work.config), NEWEST)
    mail.lab.account.at("delete.before-commit", "SIGKILL", archive=few[3])
    with pytest.raises(EngineError):
        expire.run(mail.work())
    left = mail.names()
    assert set(few[:3]).isdisjoint(left)
    assert set(few[5:]) <= left
    known = {known.archive.name for known in mail.scene.history.known_archives("mail")}
    assert known == left - STRANGERS

    mail.lab.account.forget_points(mail.lab.key)
    expire.run(mail.work())
    assert mail.names() == {*NAMES, CUT_OFF, *STRANGERS} - set(few)
