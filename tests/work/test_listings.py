"""What a listing says of archives whose runs were not sure of them."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from snapd.config import BackupSet
from snapd.history import History
from snapd.jobs import listings
from snapd.model import Archive, ArchivePattern, Outcome
from tests.work.history_rows import MINUTE, NOW, due, ended

NAME = "mail_20260101-0000"
MAIL = BackupSet(
    name="mail", store="offsite", archive=ArchivePattern("mail_%Y%m%d-%H%M"), paths=(Path("/srv/mail"),)
)


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    opened = History(tmp_path, now=NOW)
    yield opened
    opened.close()


def failed(history: History, *, over: bool = True) -> str:
    """A run of the set that tried NAME, and whose end told nothing of it; returns its id."""
    run = replace(ended(due(), Outcome.FAILED), archive="") if over else due()
    history.add([run])
    history.record_name("offsite", "mail", NAME, NOW, run_id=run.run_id)
    return run.run_id


def listed(history: History, *names: str) -> list[MutableMapping[str, Any]]:
    """Take a listing over; return what was told of late archives."""
    with capture_logs() as logs:
        archives = [Archive(name, NOW + MINUTE, complete=not name.endswith(".part")) for name in names]
        listings.record(history, MAIL, archives, NOW + MINUTE)
    return [entry for entry in logs if entry["event"] == "archive-appeared"]


@pytest.mark.parametrize(("name", "complete"), [(NAME, True), (f"{NAME}.part", False)])
def test_an_archive_that_comes_late_is_told_once_and_named_by_the_run_that_made_it(
    history: History, name: str, complete: bool
) -> None:
    run_id = failed(history)
    assert listed(history) == []
    (told,) = listed(history, name)
    assert (told["archive"], told["complete"], told["run_id"]) == (name, complete, run_id)
    run = history.run(run_id)
    assert run is not None
    assert (run.archive, run.outcome) == (name, Outcome.FAILED)
    (known,) = history.known_archives("mail")
    assert known.archive.complete is complete
    assert listed(history, name) == []


def test_a_run_that_is_not_over_keeps_its_own_name_for_its_archive(history: History) -> None:
    run_id = failed(history, over=False)
    (told,) = listed(history, NAME)
    assert told["run_id"] == run_id
    run = history.run(run_id)
    assert run is not None
    assert run.archive == ""


def test_an_archive_that_was_seen_right_after_its_creation_is_not_late(history: History) -> None:
    run = ended(due())
    history.add([run])
    history.record_name("offsite", "mail", NAME, NOW, run_id=run.run_id)
    listings.record(history, MAIL, [Archive(NAME, NOW)], NOW)
    assert listed(history, NAME) == []


def test_archives_of_strangers_and_of_other_sets_are_not_the_sets(history: History) -> None:
    failed(history)
    assert listed(history, "theirs", f"{NAME}.2", "mail_2026") == []
    assert [known.archive.name for known in history.known_archives("mail")] == [f"{NAME}.2"]


def test_a_name_that_was_tried_before_runs_were_noted_with_it_is_not_told_of(history: History) -> None:
    history.record_name("offsite", "mail", NAME, NOW)
    assert listed(history, NAME) == []
