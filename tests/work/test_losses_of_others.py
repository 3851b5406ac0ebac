"""How users of other programs lost archives to expiry, night by night with the real jobs: none of it here."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from snapd.config import BackupSet, Expire, SqliteDump
from snapd.errors import SnapdError
from snapd.facts import due_slot
from snapd.history import Run
from snapd.jobs import backup, expire, restore_test
from snapd.jobs.base import CLOCK_JUMPED, Work
from snapd.model import Cause, Kind, Outcome, Result
from tests.fakes.work import START, World, set_of, world

DAY, YEAR = timedelta(days=1), timedelta(days=365)
FIRST = START + timedelta(hours=2)
NIGHTLY = "0 2 * * *"
POLICY = {"schedule": "50 3 * * *", "deltas": ["1d", "7d"]}


@dataclass
class Server:
    """A machine with a database that is saved at two and expired at ten to four, every night."""

    scene: World
    path: Path
    nights: int = 0

    def backup_set(self, **expiry: object) -> BackupSet:
        dump = SqliteDump(engine="sqlite", path=self.path, name="shop")
        return set_of(dump=(dump,), schedule=NIGHTLY, expire=Expire.model_validate(POLICY | expiry))

    def has(self, sales: int) -> None:
        """Give the shop so many sales."""
        self.path.unlink(missing_ok=True)
        with closing(sqlite3.connect(self.path)) as shop:
            shop.execute("CREATE TABLE sales (what TEXT)")
            shop.executemany("INSERT INTO sales VALUES (?)", [("x" * 200,)] * sales)
            shop.commit()

    def work(self, at: datetime, backup_set: BackupSet) -> Work:
        self.scene.clock.at = at
        slot = due_slot(backup_set, "UTC", at)
        return replace(self.scene.work(backup_set), due_slot=slot)

    def night(self, *, clock_ahead: timedelta = timedelta(0), **expiry: object) -> Result:
        """Make the night's backup, however it ends, and return what its expiry came to."""
        at = FIRST + self.nights * DAY + clock_ahead
        self.nights += 1
        backup_set = self.backup_set(**expiry)
        try:
            result = backup.run(self.work(at, backup_set))
            outcome, code = result.outcome, result.error_code
        except SnapdError as error:
            outcome, code = Outcome.FAILED, error.code
        ended = {"slot": at, "started": at, "ended": at, "outcome": outcome, "error_code": code}
        row = Run(f"{at}", "backup:shop", Kind.BACKUP, "shop", cause=Cause.SCHEDULE, **ended)  # type: ignore[arg-type]
        self.scene.history.add([row])
        return expire.run(self.work(at + timedelta(minutes=110), backup_set))

    def left(self) -> list[str]:
        return self.scene.engine.names()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """After a month of good nights."""
    with world(tmp_path) as scene:
        made = Server(scene, tmp_path / "shop.db")
        made.has(500)
        assert {made.night().outcome for _ in range(12)} == {Outcome.OK}
        yield made


def test_dumps_that_shrank_for_a_month_push_no_good_archive_out(server: Server) -> None:
    good = server.left()
    server.has(3)
    for _ in range(20):
        held = server.night()
        assert (held.outcome, held.details["held_by"]) == (Outcome.WARNING, "suspect")
    assert set(good) <= set(server.left())


def test_even_beside_suspect_archives_the_good_ones_are_the_newest_that_count(server: Server) -> None:
    good = server.left()
    server.has(3)
    for _ in range(4):
        server.night()
    plan = expire.decide(
        server.work(server.scene.clock.at, server.backup_set()), server.scene.engine.archives()
    )
    assert set(good) <= {verdict.archive.name for verdict in plan.verdicts if verdict.keep}


def test_a_database_that_is_gone_or_of_no_bytes_makes_no_archive_and_holds_the_expiry(server: Server) -> None:
    good = server.left()
    for contents in (None, b""):
        server.path.unlink(missing_ok=True)
        if contents is not None:
            server.path.write_bytes(contents)
        for _ in range(3):
            held = server.night()
            assert (held.outcome, held.details["held_by"]) == (Outcome.WARNING, "backup-failed")
    assert server.left() == good


def test_a_suspect_archive_that_is_proven_lets_expiry_go_on_by_itself(server: Server) -> None:
    server.has(3)
    assert server.night().details["held_by"] == "suspect"
    at = server.scene.clock.at
    assert restore_test.run(server.work(at, server.backup_set())).outcome is Outcome.OK
    assert expire.run(server.work(at, server.backup_set())).outcome is Outcome.OK


def test_a_clock_that_is_a_year_ahead_and_comes_back_costs_no_archive_unseen(server: Server) -> None:
    """The daemon notes a jump of the clock, each time anew, as here."""
    for _ in range(4):
        server.night(deltas=["1d", "30d"])
    good = set(server.left())
    assert len(good) > 10
    server.scene.history.note(CLOCK_JUMPED, "ahead")
    held = server.night(clock_ahead=YEAR, deltas=["1d", "30d"])
    assert held.details["held_by"] == "clock-jumped"
    server.scene.history.note(CLOCK_JUMPED, "back")
    ahead = set(server.left()) - good
    back = server.night(deltas=["1d", "30d"])
    assert back.outcome is Outcome.OK
    assert good | ahead <= set(server.left())
    plan = expire.decide(
        server.work(server.scene.clock.at, server.backup_set()), server.scene.engine.archives()
    )
    assert [v.reasons for v in plan.verdicts if v.archive.name in ahead] == [("future",)]


def test_a_clock_that_is_a_year_behind_deletes_nothing(server: Server) -> None:
    good = set(server.left())
    server.scene.history.note(CLOCK_JUMPED, "behind")
    server.night(clock_ahead=-YEAR)
    assert good <= set(server.left())


def test_a_policy_that_was_mistyped_waits_for_a_yes(server: Server) -> None:
    for _ in range(3):
        server.night(deltas=["1d", "30d"])
    good = set(server.left())
    held = server.night(deltas=["1h", "2h"])
    assert held.details["held_by"] == "policy-changed"
    assert good <= set(server.left())


def test_nights_without_any_backup_expire_nothing(server: Server) -> None:
    good = server.left()
    for days in range(2, 400, 40):
        held = expire.run(server.work(server.scene.clock.at + days * DAY, server.backup_set()))
        assert held.details["held_by"] == "not-fresh"
    assert server.left() == good


def test_the_archives_of_others_in_the_same_store_are_no_business_of_ours(server: Server) -> None:
    theirs = ["shop2_20250101-020000", "shop_20250101-020000_db", "shopping_20250101-020000", "photos"]
    for name in theirs:
        server.scene.engine.plant(name, START - YEAR)
    assert {server.night().outcome for _ in range(12)} == {Outcome.OK}
    assert set(theirs) <= set(server.left())
