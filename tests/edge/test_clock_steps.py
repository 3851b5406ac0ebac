"""A daemon whose wall clock is set while it runs: an injected one, for the machine's own is not ours to set.

APScheduler goes by the real clock meanwhile, so what is seen here is the daemon's own counting of slots.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.fakes.place import Place, places, until

DAY_S = 86400
DAEMON = """
import os, sys
from datetime import timedelta
from pathlib import Path
from snapd import daemon, log
from snapd.config import Folders
from snapd.runner import wall_clock

def clock():
    return wall_clock() + timedelta(seconds=int(Path(sys.argv[1]).read_text()))

log.configure(journal=False, debug=False)
file = Path(os.environ["SNAPD_BACKUP_CONFIG"])
sys.exit(daemon.serve(file, Folders.from_environment(os.environ), clock=clock))
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    yield from places(tmp_path)


def set_clock(place: Place, seconds: int) -> None:
    """Set the daemon's clock that far from the real one, in one stroke."""
    new = place.root / "offset.new"
    new.write_text(str(seconds))
    new.rename(place.root / "offset")


def start(place: Place) -> None:
    place.write("every 1h")
    set_clock(place, 0)
    place.start("-c", DAEMON, str(place.root / "offset"))


def until_next_slot(place: Place) -> timedelta:
    status = place.status()
    return datetime.fromisoformat(status["next"]["slot"]) - datetime.fromisoformat(status["now"])


def test_slots_that_a_clock_set_forward_jumped_over_are_told_and_one_backup_is_made(place: Place) -> None:
    start(place)
    set_clock(place, DAY_S)
    place.ask(op="reload")
    until(lambda: ("ok", "catch-up") in place.outcomes())
    (missed,) = [row for row in place.rows() if row["outcome"] == "missed"]
    assert missed["slots"] in (24, 25)  # the hour may change meanwhile
    assert "the clock jumped by 1d" in (place.root / "log0").read_text()


def test_a_clock_set_back_silences_no_job_until_it_has_caught_up(place: Place) -> None:
    start(place)
    set_clock(place, -DAY_S)
    place.ask(op="reload")
    assert until_next_slot(place) <= timedelta(hours=1)
    assert "the clock jumped by -1d" in (place.root / "log0").read_text()
