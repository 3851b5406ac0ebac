"""The double of the `tarsnap` client: signals, exit statuses of the releases, deletions of several.

Numbers in brackets are those of the specification of an honest double; see `test_tarsnap_double.py`.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes.tarsnap.machine import DELAYED, MODIFIED, VERSIONS, Done, Machine, ended, messages


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


# [17] Signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_a_signal_that_kills_leaves_nothing_behind(machine: Machine, number: signal.Signals) -> None:
    """[17]: no message, no commit, no part."""
    machine.grow()
    process = machine.hold("create.block")
    process.send_signal(number)
    status, told = ended(process)
    assert status == -number
    assert told.splitlines()[1:] == ["tarsnap: Removing leading '/' from member names"]
    assert machine.create("next").returncode == 0
    assert machine.names() == ["next"]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_quit_signal_cuts_an_open_creation_short(tmp_path: Path, version: str) -> None:
    """[17]"""
    machine = Machine(tmp_path, version)
    machine.grow()
    machine.account.at("create.block", "pause", key=machine.key, at=5)
    process = machine.start("-c", "-f", "a", machine.source)
    machine.account.wait_at("create.block", machine.key)
    process.send_signal(signal.SIGQUIT)
    status, told = ended(process)
    assert status == (2 if version == "1.0.41" else 1)
    assert told.splitlines()[2:] == [
        "tarsnap: quit signal received or bandwidth limit reached; archive is being truncated",
        "tarsnap: Archive truncated",
        f"tarsnap: {DELAYED}",
        *([f"tarsnap: {MODIFIED}"] if version == "1.0.41" else []),
    ]
    assert machine.names() == ["a.part"]
    assert len(machine.account.contents(machine.key, "a.part")) == 1


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2])
@pytest.mark.parametrize("moment", ["create.before-transaction", "delete.middle", "list.record"])
def test_the_handled_signals_kill_at_the_wrong_moment(
    machine: Machine, number: signal.Signals, moment: str
) -> None:
    """[17]"""
    machine.create("a")
    machine.account.at(moment, number.name, key=machine.key)
    runs: dict[str, Callable[[], Done]] = {
        "create.before-transaction": lambda: machine.create("b"),
        "delete.middle": lambda: machine.delete("a"),
        "list.record": lambda: machine.run("--list-archives"),
    }
    assert runs[moment]().returncode == -number
    assert machine.names() == ["a"]


def test_usr1_tells_the_progress_of_a_creation_and_of_an_extraction(machine: Machine) -> None:
    """[17]"""
    machine.grow()
    machine.account.at("create.block", "SIGUSR1", key=machine.key, at=2)
    name = str(machine.source / "big-0").lstrip("/")
    done = machine.create("a")
    assert done.returncode == 0
    assert f"Processed 2 entries, 131072 bytes\nadding {name} (131072 / 196608 bytes)\n" in done.stderr
    machine.account.at("read.entry", "SIGUSR1", key=machine.key, at=2)
    assert f"extracting {name}\n" in machine.run("-x", "-O", "-f", "a").stderr


def test_usr2_makes_a_checkpoint(machine: Machine) -> None:
    """[17]"""
    machine.create("old")
    machine.grow()
    points = {
        "create.block": {"action": "SIGUSR2", "at": 5},
        "create.before-commit": {"action": "SIGKILL"},
        "create.checkpointed": {"action": "SIGKILL"},
    }
    machine.account.switch(points=points)
    assert machine.create("a").returncode == -signal.SIGKILL
    machine.account.forget_points(machine.key)
    machine.run("--recover")
    assert sorted(machine.names()) == ["a.part", "old"]


# [18] Releases and exit statuses


@pytest.mark.parametrize("version", VERSIONS)
def test_only_release_41_tells_with_2_that_something_was_committed(tmp_path: Path, version: str) -> None:
    """[18]"""
    machine = Machine(tmp_path, version)
    done = machine.create("a", "gone", machine.source, cwd=tmp_path)
    assert machine.names() == ["a"]
    if version == "1.0.41":
        assert (done.returncode, messages(done)[-2:]) == (2, [DELAYED, MODIFIED])
    else:
        assert (done.returncode, messages(done)[-1]) == (1, DELAYED)


def test_2_is_also_the_status_of_a_run_that_only_ended_a_former_one(machine: Machine) -> None:
    """[18]: any commit of the process counts."""
    machine.account.at("create.before-commit", "SIGKILL")
    machine.create("a")
    retry = machine.create("a")
    assert (retry.returncode, messages(retry)[0]) == (2, 'An archive already exists with the name "a"')
    assert machine.names() == ["a"]


def test_a_direct_exit_is_1_even_behind_a_commit(machine: Machine) -> None:
    """[18]"""
    machine.account.at("create.before-commit", "SIGKILL")
    machine.create("a")
    done = machine.run("-c", "-f", "b", "-C", "/nowhere", "x")
    assert (done.returncode, messages(done)) == (1, ["could not chdir to '/nowhere'"])
    assert machine.names() == ["a"]


# [19] Deletions of several


@pytest.mark.parametrize("version", VERSIONS)
def test_a_deletion_stops_at_the_first_that_is_missing(tmp_path: Path, version: str) -> None:
    """[19]"""
    machine = Machine(tmp_path, version)
    machine.account.fill(machine.key, machine.cachedir, {"a": 1, "c": 2})
    done = machine.run("-d", "-v", "-f", "a", "-f", "b", "-f", "c")
    assert messages(done)[:4] == [
        'Deleting archive "a"',
        'Deleting archive "b"',
        "Archive does not exist: b",
        "Error deleting archive",
    ]
    assert done.returncode == (2 if version == "1.0.41" else 1)
    assert machine.names() == ["c"]


def test_keep_going_skips_what_is_missing_with_status_0(machine: Machine) -> None:
    """[19]"""
    machine.account.fill(machine.key, machine.cachedir, {"a": 1, "c": 2})
    names = machine.folder / "names"
    names.write_text("b\n\nc\n")
    done = machine.run("-d", "--keep-going", "-f", "a", "--archive-names", names)
    assert (done.returncode, messages(done)) == (0, ["Archive does not exist: b"])
    assert machine.names() == []
