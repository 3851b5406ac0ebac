"""The check of the journal against its page fails for whatever the page does not promise."""

from __future__ import annotations

import pytest

from snapd.events import EVENTS
from tests.systemd.catalogue import Event, faults, read_page

STARTED = {
    "MESSAGE": "backup of mail started, attempt 1",
    "MESSAGE_ID": EVENTS["run-started"].message_id,
    "PRIORITY": "6",
    "SYSLOG_IDENTIFIER": "snapd-backup",
    "EVENT": "run-started",
    "RUN_ID": "5f0c2b7a91de",
    "BACKUP_SET": "mail",
    "_PID": "95",
    "__CURSOR": "s=1",
}


def test_the_page_is_read_as_it_was_written() -> None:
    assert read_page() == {
        name: Event(
            event.message_id,
            frozenset(str(priority) for priority in event.priorities),
            frozenset(field.upper() for field in event.fields),
        )
        for name, event in EVENTS.items()
    }


def test_an_entry_that_the_page_promises_has_no_fault() -> None:
    assert faults([STARTED], read_page()) == []


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"EVENT": "run-begun"}, "not in the catalogue"),
        ({"EVENT": None}, "not in the catalogue"),
        ({"MESSAGE_ID": EVENTS["run-ended"].message_id}, "another MESSAGE_ID"),
        ({"PRIORITY": "4"}, "another PRIORITY"),
        ({"OUTCOME": "ok"}, "has OUTCOME"),
        ({"SYSLOG_IDENTIFIER": None}, "without SYSLOG_IDENTIFIER"),
        ({"RUN_ID": ""}, "empty RUN_ID"),
        ({"MESSAGE": "two\nlines"}, "more than a line"),
    ],
)
def test_an_entry_that_differs_is_a_fault(changes: dict[str, str | None], fault: str) -> None:
    entry = {name: value for name, value in {**STARTED, **changes}.items() if value is not None}
    (said,) = faults([entry], read_page())
    assert said.startswith(f"{fault}: ")
