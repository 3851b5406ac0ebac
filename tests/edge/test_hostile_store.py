"""What was once found by attacking the daemon, and must not come back."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from snapd.control import CONNECTIONS
from snapd.engines.borg_messages import Listener
from snapd.errors import RefusedError
from snapd.history import History
from snapd.schedule import AlarmClock
from tests.edge.test_hostile import EXPIRE, borg, lie
from tests.edge.test_hostile import place as place_fixture
from tests.fakes.place import DEADLINE_S, Place, until

place = place_fixture

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SOON_S = 5.0


def run(place: Place, kind: str) -> dict[str, str]:
    done: dict[str, str] = place.ask(op="run", kind=kind, set="mail", follow=True)["run"]
    return done


def test_a_name_that_is_no_utf8_passes_its_restore_test(place: Place) -> None:
    place.write("@yearly", '[backup.mail.restore_test]\nschedule = "@yearly"\n')
    (place.root / "saved" / os.fsdecode(b"caf\xe9.txt")).write_text("written on an old machine")
    place.start()
    assert run(place, "backup")["outcome"] == "ok"
    tested = run(place, "restore-test")
    assert tested["outcome"] == "ok", tested["message"]


@pytest.mark.parametrize(
    ("whole", "flipped"),
    [
        pytest.param(b"CREATE TABLE runs", b"CREATE \xd4ABLE runs", id="SQLite's complaint is no UTF-8"),
        pytest.param(b"details", b"eetails", id="a column has another name"),
    ],
)
def test_a_flipped_bit_in_the_schema_of_a_history_is_damage(
    tmp_path: Path, whole: bytes, flipped: bytes
) -> None:
    History(tmp_path, now=NOW).close()
    file = tmp_path / "history.sqlite"
    file.write_bytes(file.read_bytes().replace(whole, flipped))
    with contextlib.closing(History(tmp_path, now=NOW)) as opened:
        assert opened.rebuilt
        assert opened.rows() == ()


def test_a_folder_in_the_place_of_the_job_store_stops_no_clock(tmp_path: Path) -> None:
    (tmp_path / "jobs.sqlite").mkdir()
    clock = AlarmClock(tmp_path, lambda: None)
    clock.set({}, NOW)
    clock.stop()


def test_an_expiry_that_fails_for_want_of_room_leaves_the_reserve_as_it_was(place: Place) -> None:
    place.write("@yearly", EXPIRE)
    archive = f"{place.root}/borg::mail_20260101-000000"
    borg(place, "create", "--timestamp", "2026-01-01T00:00:00", archive, f"{place.root}/saved")
    full = {"type": "log_message", "levelname": "ERROR", "name": "x", "message": "no room"}
    said = json.dumps(full | {"msgid": "Repository.InsufficientFreeSpaceError"})
    (place.root / "said").write_text(said + "\n")
    lie(place, f"cat {place.root}/said >&2; exit 2", verb="delete")
    place.start()
    assert run(place, "backup")["outcome"] == "ok"
    place.ask(op="plan", set="mail", approve=True)
    assert run(place, "expire")["error_code"] == "space"
    assert borg(place, "config", f"{place.root}/borg", "additional_free_space").strip() == "2G"


def test_an_archive_of_a_set_whose_only_path_vanished_counts_for_nothing(place: Place) -> None:
    hold = place.hold()
    place.start()
    place.ask(op="run", kind="backup", set="mail", follow=False)
    until(place.creating)
    (place.root / "saved").rename(place.root / "away")
    hold.unlink()
    until(place.rows)
    assert place.rows()[0]["outcome"] == "failed"
    assert not place.status()["sets"][0]["lights"]["fresh"]["on"]


def test_a_message_of_an_engine_that_is_nested_too_deep_is_only_a_line() -> None:
    listener = Listener()
    listener.hear('{"type":' * 5000 + "1" + "}" * 5000)
    assert listener.words


def test_what_a_listener_remembers_of_unread_files_is_bounded() -> None:
    listener = Listener()
    line = json.dumps({"type": "file_status", "status": "E", "path": "a"})
    for _ in range(200_000):
        listener.hear(line)
    assert len(listener.unread) < 200_000


def test_listings_whose_clients_have_left_keep_nobody_out(place: Place) -> None:
    hold = place.hold()
    place.start()
    place.ask(op="run", kind="backup", set="mail", follow=False)
    until(place.creating)
    for _ in range(CONNECTIONS):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(place.root / "run" / "control"))
            client.sendall(b'{"op": "archives", "set": "mail", "refresh": true}\n')
            client.settimeout(DEADLINE_S)
            assert b"listing" in client.recv(4096)
    answered = False
    end = time.monotonic() + SOON_S
    while not answered and time.monotonic() < end:
        with contextlib.suppress(RefusedError):
            answered = bool(place.status())
    hold.unlink()
    assert answered
