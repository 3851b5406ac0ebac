"""A daemon that is killed or stopped in an expiry or with two lanes at work, on a real Borg store."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from snapd.lock import SingleLock
from tests.edge.test_hostile import borg, names
from tests.fakes.place import BORG, DEADLINE_S, Place, places, until, works

MORE = """
[backup.mail.expire]
schedule = "@yearly"
min_keep = 1
deltas = ["1d", "2d"]
[backup.mail.restore_test]
schedule = "@yearly"
[backup.web]
store = "local"
schedule = "@yearly"
paths = ["{root}/saved"]
"""
WRAPPER = """#!/bin/sh
# The real Borg, but the Nth call of a command waits for as long as the file "hold-COMMAND.N" is there.
for word in "$@"; do case $word in create|extract|delete|compact) command=$word; break;; esac; done
[ -z "$command" ] && exec {borg} "$@"
echo "$command $$ $*" >> {root}/begun
number=$(grep -c "^$command " {root}/begun)
while [ -e {root}/hold-$command.$number ]; do sleep 0.02; done
exec {borg} "$@"
"""


class Held:
    """A daemon with two sets whose Borg can be held in any command."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.root = place.root
        (self.root / "bin" / "borg").write_text(WRAPPER.format(root=self.root, borg=BORG))
        (self.root / "begun").touch()
        place.write("@yearly", MORE.format(root=self.root))
        self.start()
        self.run("backup", "mail")

    def start(self) -> None:
        self.place.start()

    # -- Borg -----------------------------------------------------------------------------------------

    def begun(self, command: str) -> list[list[str]]:
        """Return the process id and the arguments of each call of a command."""
        calls = [line.split() for line in (self.root / "begun").read_text().splitlines()]
        return [words[1:] for words in calls if words[0] == command]

    def hold(self, command: str, *, after: int = 0) -> Path:
        """Hold the next call of a command, or one after it, until the file that is returned is removed."""
        held = self.root / f"hold-{command}.{len(self.begun(command)) + after + 1}"
        held.touch()
        return held

    def until_held(self, held: Path) -> int:
        """Wait until the call begins; return its process id."""
        command, number = held.name.removeprefix("hold-").split(".")
        until(lambda: len(self.begun(command)) >= int(number))
        return int(self.begun(command)[int(number) - 1][0])

    def asked_to_delete(self) -> list[str]:
        """Every archive that a call of `delete` named, as often as it was named."""
        return [word for words in self.begun("delete") for word in words if word.startswith("mail_")]

    # -- the daemon -----------------------------------------------------------------------------------

    def begin(self, kind: str, backup_set: str) -> None:
        self.place.ask(op="run", kind=kind, set=backup_set, follow=False)

    def run(self, kind: str, backup_set: str) -> None:
        assert self.place.ask(op="run", kind=kind, set=backup_set, follow=True)["run"]["outcome"] == "ok"

    def rows(self, kind: str, backup_set: str) -> list[tuple[str, str]]:
        """Outcome and cause of ended runs, newest first."""
        found = self.place.ask(op="history", set=backup_set, kind=kind)["runs"]
        return [(row["outcome"], row["cause"]) for row in found]

    def until_ok(self, kind: str, backup_set: str) -> None:
        """Wait until a run that was cut off is made up for."""
        until(lambda: ("ok", "interrupted") in self.rows(kind, backup_set))

    def lanes(self) -> dict[str, int | None]:
        return {run["job"]: run["lane"] for run in self.place.status()["running"]}

    def kill(self) -> None:
        self.place.daemons[-1].kill()
        self.place.daemons[-1].wait(DEADLINE_S)

    def scratch(self) -> list[Path]:
        return [path for path in (self.root / "state" / "scratch").rglob("*") if path.is_file()]

    def reader(self) -> bool:
        """Whether something reads beside other runs, be it a daemon's or what one left behind."""
        return SingleLock(self.root / "state", "reading").holder() is not None


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Held]:
    for place in places(tmp_path):
        made = Held(place)
        yield made
        for file in place.root.glob("hold-*"):
            file.unlink()


@pytest.fixture
def old(held: Held) -> list[str]:
    """Archives of `mail` that an expiry will delete: made by hand, from ten to fifteen days old."""
    made = [datetime.now(UTC) - timedelta(days=days) for days in range(10, 16)]
    found = [f"mail_{at:%Y%m%d-%H%M%S}" for at in made]
    for name, at in zip(found, made, strict=True):
        location = f"{held.root}/borg::{name}"
        borg(held.place, "create", f"--timestamp={at:%Y-%m-%dT%H:%M:%S}", location, str(held.root / "saved"))
    return found


# -- in an expiry ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dies", [True, False], ids=["and its engine dies", "and its engine goes on"])
def test_a_daemon_killed_inside_a_batch_lists_again_and_deletes_what_is_left(
    held: Held, old: list[str], dies: bool
) -> None:
    second = held.hold("delete", after=1)
    held.begin("expire", "mail")
    engine = held.until_held(second)
    held.kill()
    if dies:
        os.kill(engine, signal.SIGKILL)
    held.start()
    if not dies:
        assert held.place.status()["lock"]["job"] == "expire:mail", "what is left of it has the lock"
        assert len(held.begun("delete")) == 2
    second.unlink()
    held.until_ok("expire", "mail")
    assert held.rows("expire", "mail")[1] == ("interrupted", "manual")
    assert names(held.place) == {name for name in names(held.place) if name not in old}
    assert len(names(held.place)) == 1
    asked = held.asked_to_delete()
    assert set(asked) == set(old)
    assert len(asked) - len(old) == (4 if dies else 0), "only the batch that was not carried out, again"
    borg(held.place, "check", f"{held.root}/borg")


def test_a_daemon_killed_between_two_batches_deletes_nothing_twice(held: Held, old: list[str]) -> None:
    first, creation = held.hold("delete"), held.hold("create")
    held.begin("expire", "mail")
    held.until_held(first)
    held.begin("backup", "web")
    first.unlink()
    engine = held.until_held(creation)
    assert held.lanes() == {"expire:mail": None, "backup:web": 1}
    held.kill()
    os.kill(engine, signal.SIGKILL)
    creation.unlink()
    held.start()
    held.until_ok("backup", "web")
    held.until_ok("expire", "mail")
    assert sorted(held.asked_to_delete()) == sorted(old)
    assert not set(old) & names(held.place)


# -- with two lanes at work -----------------------------------------------------------------------------


def in_two_lanes(held: Held) -> tuple[int, int]:
    """Have a restore test read beside a creation; return the process ids of both engines."""
    extraction, creation = held.hold("extract"), held.hold("create")
    held.begin("restore-test", "mail")
    reader = held.until_held(extraction)
    held.begin("backup", "web")
    creator = held.until_held(creation)
    assert held.lanes() == {"restore-test:mail": 2, "backup:web": 1}
    return reader, creator


def let_go(held: Held) -> None:
    for file in held.root.glob("hold-*"):
        file.unlink()


def test_a_restore_test_beside_a_backup_proves_the_archive(held: Held) -> None:
    in_two_lanes(held)
    let_go(held)
    until(lambda: held.rows("restore-test", "mail") == [("ok", "manual")])
    until(lambda: held.rows("backup", "web") == [("ok", "manual")])
    assert held.place.status()["sets"][0]["lights"]["proven"]["on"]
    assert held.scratch() == []


def test_a_stop_ends_both_lanes_and_the_next_start_takes_both_up_again(held: Held) -> None:
    in_two_lanes(held)
    daemon = held.place.daemons[-1]
    daemon.terminate()
    assert daemon.wait(DEADLINE_S) == 0
    assert held.scratch() == []
    assert not held.reader()
    let_go(held)
    held.start()
    held.until_ok("backup", "web")
    held.until_ok("restore-test", "mail")
    assert "crash-loop" not in str(held.place.rows())


def test_a_daemon_killed_in_both_lanes_settles_both_and_waits_for_what_it_left_reading(held: Held) -> None:
    reader, creator = in_two_lanes(held)
    held.kill()
    os.kill(creator, signal.SIGKILL)
    (held.root / "hold-create.2").unlink()
    held.start()
    held.until_ok("backup", "web")  # beside the reader that is left
    assert works(reader)
    assert held.rows("restore-test", "mail") == [("interrupted", "manual")]
    assert held.place.status()["reading"]["job"] == "restore-test:mail"
    assert len(held.begun("extract")) == 1, "another test waits"
    let_go(held)
    held.until_ok("restore-test", "mail")
    until(lambda: held.scratch() == [])
    assert not works(reader)


def test_what_a_killed_daemon_left_reading_keeps_no_command_waiting_either(held: Held) -> None:
    reader, creator = in_two_lanes(held)
    held.kill()
    os.kill(creator, signal.SIGKILL)
    (held.root / "hold-create.2").unlink()
    ran = held.place.command("backup", "mail")
    assert ran.returncode == 0, ran.stderr
    assert works(reader)


def test_space_is_given_back_only_when_nobody_is_left_reading(held: Held, old: list[str]) -> None:
    reader, creator = in_two_lanes(held)
    held.kill()
    os.kill(creator, signal.SIGKILL)
    (held.root / "hold-create.2").unlink()
    held.start()
    held.begin("expire", "mail")
    until(lambda: held.lanes() == {"expire:mail": None})
    assert not set(old) & names(held.place)
    assert held.begun("compact") == []
    assert works(reader)
    let_go(held)
    until(lambda: held.rows("expire", "mail") == [("ok", "manual")])
    assert len(held.begun("compact")) == 1
