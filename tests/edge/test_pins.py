"""Pins, as an operator asks for them: which archive is meant, and what a pin does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from snapd.config import parse
from snapd.event_fields import FIELDS
from snapd.events import EVENTS
from snapd.followers import Event
from snapd.model import Outcome
from snapd.operations import Operations
from snapd.state_folder import Accepted
from tests.fakes.asking import answer, error, events, operations_on
from tests.fakes.scene import DEADLINE_S, START, Scene

NIGHT = "mail_20261120-030000"
OLD = "mail_20260101-030000"

SAME_NAMES = """
[store.copy]
engine = "borg"
repository = "/nowhere/copy"
passphrase = { file = "/nowhere/passphrase" }
[backup.mail-copy]
store = "copy"
paths = ["/srv/mail"]
archive = "mail_%Y%m%d-%H%M%S"
"""


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """A store with two archives of mail that nobody has listed yet, and one that is nobody's."""
    made = Scene(tmp_path)
    text = made.accepted.text + SAME_NAMES
    made.accepted = Accepted(parse(text, file="config.toml", system_timezone="UTC"), text)
    for name in (NIGHT, OLD, "letters"):
        made.engine.plant(name, START - timedelta(days=3))
    made.runner.start()
    yield made
    made.runner.stop(DEADLINE_S)
    made.history.close()


@pytest.fixture
def operations(scene: Scene) -> Operations:
    return operations_on(scene)


def pinned(operations: Operations) -> dict[str, str | None]:
    listed = answer(operations, op="archives", set="mail", refresh=True)
    return {item["name"]: item["pinned"] for item in listed["archives"]}


def test_a_pin_is_shown_and_said_and_taken_back(operations: Operations, scene: Scene) -> None:
    with capture_logs() as lines:
        told = answer(operations, op="pin", archive=NIGHT, set="mail", reason="the audit", peer_uid=7)
        assert pinned(operations) == {NIGHT: START.isoformat(), OLD: None}
        answer(operations, op="unpin", archive=NIGHT, peer_uid=7)
    assert told["pin"] == {
        "store": "local",
        "backup_set": "mail",
        "archive": NIGHT,
        "pinned": START.isoformat(),
        "uid": 7,
        "reason": "the audit",
    }
    assert told["expiring"] is False
    said = [line for line in lines if line["event"] in ("pinned", "unpinned")]
    assert [(line["event"], line["archive"], line["peer_uid"]) for line in said] == [
        ("pinned", NIGHT, 7),
        ("unpinned", NIGHT, 7),
    ]
    assert all(line["event"] in EVENTS and set(line) - {"event", "log_level"} <= set(FIELDS) for line in said)
    assert pinned(operations) == {NIGHT: None, OLD: None}
    assert scene.engine.count("delete") == 0


def test_an_archive_that_was_never_listed_is_looked_for_in_its_store(
    operations: Operations, scene: Scene
) -> None:
    for listings in (1, 1):  # the second time it is known
        told = events(operations, op="pin", archive=NIGHT, set="mail")
        assert told[-1]["event"] == "done"
        assert scene.engine.count("archives") == listings


def test_a_pinned_archive_survives_every_expiry_until_it_is_unpinned(
    operations: Operations, scene: Scene
) -> None:
    scene.ended(scene.ask("backup:mail"))
    answer(operations, op="pin", archive=OLD, set="mail")
    assert scene.ended(scene.ask("expire:mail")).outcome is Outcome.OK
    assert NIGHT not in scene.engine.names()
    assert OLD in scene.engine.names()
    plan = answer(operations, op="plan", set="mail", approve=False)["plan"]
    assert [item["reasons"] for item in plan["archives"] if item["name"] == OLD] == [["pinned"]]

    answer(operations, op="unpin", archive=OLD)
    assert scene.ended(scene.ask("expire:mail")).outcome is Outcome.OK
    assert OLD not in scene.engine.names()


def test_a_pin_that_comes_between_two_batches_counts(operations: Operations, scene: Scene) -> None:
    scene.ended(scene.ask("backup:mail"))
    told: list[Event] = []

    def pin_meanwhile(name: str) -> None:
        if not told:
            told.append(answer(operations, op="pin", archive=({NIGHT, OLD} - {name}).pop(), set="mail"))

    scene.engine.during["delete"] = pin_meanwhile
    answer(operations, op="archives", set="mail", refresh=True)
    assert scene.ended(scene.ask("expire:mail")).outcome is Outcome.OK
    assert told[0]["expiring"] is True
    assert len({NIGHT, OLD} & set(scene.engine.names())) == 1


def test_a_pinned_archive_that_is_gone_is_told_until_it_is_unpinned(
    operations: Operations, scene: Scene
) -> None:
    scene.ended(scene.ask("backup:mail"))
    answer(operations, op="pin", archive=OLD, set="mail")
    scene.engine.delete([OLD])
    listed = answer(operations, op="archives", set="mail", refresh=True)
    assert listed["pinned_lost"] == [OLD]
    with capture_logs() as lines:
        scene.ended(scene.ask("expire:mail"))
    (line,) = [line for line in lines if line["event"] == "pinned-lost"]
    assert (line["log_level"], line["archives"]) == ("warning", [OLD])
    (mail,) = answer(operations, op="status", set="mail")["status"]["sets"]
    assert mail["pinned_lost"] == [OLD]

    answer(operations, op="unpin", archive=OLD)
    (mail,) = answer(operations, op="status", set="mail")["status"]["sets"]
    assert mail["pinned_lost"] == []


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"archive": NIGHT}, f"'{NIGHT}' may be an archive of mail or of mail-copy"),
        ({"archive": NIGHT, "set": "nope"}, "there is no backup set 'nope'"),
        ({"archive": NIGHT, "set": "web"}, f"'{NIGHT}' is no archive of the backup set 'web'"),
        ({"archive": "letters"}, "'letters' is no archive of any backup set"),
        ({"archive": "web_20261120-030000"}, "store 'local' has no archive 'web_20261120-030000'"),
        ({"archive": NIGHT, "set": "mail", "reason": "x" * 501}, "at most 500 characters"),
        ({}, "malformed"),
    ],
)
def test_a_pin_that_is_not_clear_is_refused_in_one_sentence(
    operations: Operations, asked: Mapping[str, Any], said: str
) -> None:
    assert said in error(operations, op="pin", **asked)
    assert pinned(operations) == {NIGHT: None, OLD: None}


def test_what_is_not_pinned_or_pinned_in_two_stores_cannot_be_unpinned_just_so(
    operations: Operations, scene: Scene
) -> None:
    assert error(operations, op="unpin", archive=NIGHT) == f"'{NIGHT}' is not pinned"
    for name in ("mail", "mail-copy"):
        answer(operations, op="pin", archive=NIGHT, set=name)
    assert "may be an archive of mail-copy or of mail" in error(operations, op="unpin", archive=NIGHT)
    assert "not pinned in the backup set 'web'" in error(operations, op="unpin", archive=NIGHT, set="web")
    answer(operations, op="unpin", archive=NIGHT, set="mail-copy")
    assert [pin.store for pin in scene.history.pins_on(NIGHT)] == ["local"]


def test_a_pin_can_be_taken_back_when_its_set_has_left_the_config(
    operations: Operations, scene: Scene
) -> None:
    answer(operations, op="pin", archive=NIGHT, set="mail")
    (pin,) = scene.history.pins_on(NIGHT)
    scene.history.pin(replace(pin, backup_set="letters-of-old"))
    assert answer(operations, op="unpin", archive=NIGHT)["pin"]["backup_set"] == "letters-of-old"
