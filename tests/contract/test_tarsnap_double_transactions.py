"""The double of the `tarsnap` client: locks, sequence numbers, transactions and die-points.

Numbers in brackets are those of the specification of an honest double; see `test_tarsnap_double.py`.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import struct
import time
from pathlib import Path

import pytest

from tests.fakes.tarsnap.machine import DELAYED, Machine, ended, messages

MISMATCH = "Sequence number mismatch: Run --fsck"
DEATHS = ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


# [6] The lock


@pytest.mark.parametrize(
    ("words", "closing"),
    [
        (("-c", "-f", "b", "SOURCE"), "Error creating new archive"),
        (("-c", "--dry-run", "SOURCE"), "Error creating new archive"),
        (("-d", "-f", "a"), "Error deleting archive"),
        (("--fsck",), "Error fscking archives"),
        (("--fsck-prune",), "Error fscking archives"),
    ],
)
def test_a_second_writer_fails_at_once_and_reads_go_on(
    machine: Machine, words: tuple[str, ...], closing: str
) -> None:
    """[6]"""
    machine.create("a")
    process = machine.hold("create.opened")
    done = machine.run(*[str(machine.source) if word == "SOURCE" else word for word in words])
    assert messages(done) == ["Transaction already in progress", closing, DELAYED]
    assert done.returncode == 1
    for reading in (("--list-archives",), ("-t", "-f", "a"), ("-x", "-f", "a", "-O"), ("--print-stats",)):
        assert machine.run(*reading).returncode == 0
    machine.account.go("create.opened", machine.key)
    assert ended(process)[0] == 0
    assert sorted(machine.names()) == ["a", "held"]


def test_the_lock_is_a_posix_record_lock_that_tells_its_holder(machine: Machine) -> None:
    """[6]: F_GETLK finds it; it is gone when the holder is, and its file stays."""
    process = machine.hold("create.opened")
    with (machine.cachedir / "lockf").open("r+b") as file:
        question = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        answer = struct.unpack("hhqqi4x", fcntl.fcntl(file, fcntl.F_GETLK, question))
        assert (answer[0], answer[4]) == (fcntl.F_WRLCK, process.pid)
        process.kill()
        ended(process)
        free = struct.unpack("hhqqi4x", fcntl.fcntl(file, fcntl.F_GETLK, question))
    assert free[0] == fcntl.F_UNLCK
    assert machine.create("b").returncode == 0


def test_a_flock_on_the_lock_file_stops_nobody(machine: Machine) -> None:
    """[6]"""
    machine.create("a")
    with (machine.cachedir / "lockf").open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert machine.create("b").returncode == 0


def test_a_deletion_of_several_frees_the_lock_between_two(machine: Machine) -> None:
    """[6]: another process can slip in, and the rest fails."""
    machine.account.fill(machine.key, machine.cachedir, {"a": 1, "b": 2})
    machine.account.at("delete.start", "pause", key=machine.key, archive="b")
    deletion = machine.start("-d", "-f", "a", "-f", "b")
    machine.account.wait_at("delete.start", machine.key)
    with (machine.cachedir / "lockf").open("r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        machine.account.go("delete.start", machine.key)
        status, told = ended(deletion)
    assert (status, "Transaction already in progress" in told) == (2, True)
    assert machine.names() == ["b"]


# [7] The order of a creation


def test_a_name_that_is_taken_is_found_before_any_file_is_read(machine: Machine) -> None:
    """[7]: with `.part` it is taken too."""
    machine.create("a")
    machine.create("b.part")
    assert messages(machine.create("a", "-v")) == [
        'An archive already exists with the name "a"',
        "Error creating new archive",
        DELAYED,
    ]
    assert messages(machine.create("b", "-v"))[0] == 'An archive already exists with the name "b.part"'


def test_the_table_comes_before_the_commit_and_proves_nothing(machine: Machine) -> None:
    """[7]"""
    machine.account.at("create.before-commit", "SIGKILL")
    done = machine.create("a", "--print-stats")
    assert done.returncode == -signal.SIGKILL
    assert "This archive" in done.stderr
    assert machine.names() == []


def test_the_lock_is_free_before_the_file_cache_is_written(machine: Machine) -> None:
    """[7]"""
    old = time.time() - 1000
    os.utime(machine.source / "file", (old, old))
    machine.account.at("create.after-commit", "SIGKILL")
    machine.create("a")
    assert not (machine.cachedir / "cache").exists()
    machine.create("b")
    assert (machine.cachedir / "cache").exists()


# [8] A cancelled owner


def copied_cachedir(machine: Machine) -> Path:
    other = machine.folder / "other"
    shutil.copytree(machine.cachedir, other, symlinks=True)
    return other


def test_the_newcomer_wins_and_the_victim_hears_of_it_at_its_next_write(machine: Machine) -> None:
    """[8]"""
    machine.create("a")
    machine.grow()
    other = copied_cachedir(machine)
    process = machine.hold("create.block")
    words = machine.words("-c", "-f", "b", machine.source, cachedir=other)
    assert machine.account.run(*words).returncode == 0
    machine.account.go("create.block", machine.key)
    status, told = ended(process)
    assert status == 1
    assert told.splitlines()[-2:] == ["tarsnap: Transaction interrupted", "tarsnap: Error writing archive"]
    assert sorted(machine.names()) == ["a", "b"]
    assert len(machine.account.overlaps(machine.key)) == 1


def test_a_cancelled_deletion_says_so_and_deletes_nothing(machine: Machine) -> None:
    """[8]"""
    machine.create("a")
    other = copied_cachedir(machine)
    machine.account.at("delete.middle", "pause", key=machine.key)
    process = machine.start("-d", "-f", "a")
    machine.account.wait_at("delete.middle", machine.key)
    machine.account.run(*machine.words("-c", "-f", "b", machine.source, cachedir=other))
    machine.account.go("delete.middle", machine.key)
    status, told = ended(process)
    assert status == 1
    assert "Delete transaction interrupted" in told
    assert sorted(machine.names()) == ["a", "b"]


# [9] Sequence numbers


def test_a_copied_cachedir_is_out_of_step_after_the_other_wrote(machine: Machine) -> None:
    """[9]: a mismatch cancels nothing; fsck repairs it, deletes `cache`, puts the other one out of step."""
    machine.create("a")
    other = copied_cachedir(machine)
    machine.create("b")
    words = machine.words("-c", "-f", "c", machine.source, cachedir=other)
    stale = machine.account.run(*words)
    assert messages(stale) == [MISMATCH, "Error creating new archive", DELAYED]
    assert stale.returncode == 1
    (other / "cache").write_text("{}")
    repair = machine.account.run(*machine.words("--fsck", cachedir=other))
    assert (repair.returncode, repair.stderr) == (0, "")
    assert repair.stdout.splitlines() == [
        "Phase 1: Verifying metadata validity",
        "Phase 2: Verifying metadata/metaindex consistency",
        "Phase 3: Reading chunk list",
        "Phase 4: Verifying archive completeness",
        "  Archive 1/2...",
        "  Archive 2/2...",
        "Phase 5: Identifying unreferenced chunks",
    ]
    assert not (other / "cache").exists()
    assert messages(machine.create("d"))[0] == MISMATCH
    assert machine.account.run(*words).returncode == 0


def test_a_stale_starter_leaves_the_open_transaction_alone(machine: Machine) -> None:
    """[9]"""
    other = machine.folder / "other"
    machine.create("a")
    process = machine.hold("create.opened")
    stale = machine.account.run(*machine.words("-c", "-f", "b", machine.source, cachedir=other))
    assert MISMATCH in stale.stderr
    machine.account.go("create.opened", machine.key)
    assert ended(process)[0] == 0


def test_fsck_cancels_whatever_is_open(machine: Machine) -> None:
    """[9]"""
    machine.create("a")
    machine.grow()
    process = machine.hold("create.block")
    other = machine.folder / "other"
    assert machine.account.run(*machine.words("--fsck", cachedir=other)).returncode == 0
    machine.account.go("create.block", machine.key)
    assert ended(process)[0] == 1


# [10] Die-points of a creation


@pytest.mark.parametrize("death", [*DEATHS, "network"])
@pytest.mark.parametrize(
    ("point", "after_the_next_write"),
    [
        ("create.before-transaction", ["next"]),
        ("create.block", ["next"]),
        ("create.checkpointed", ["held.part", "next"]),
        ("create.before-commit", ["held", "next"]),
        ("create.committed", ["held", "next"]),
    ],
)
def test_what_a_creation_leaves_where_it_dies(
    machine: Machine, point: str, after_the_next_write: list[str], death: str
) -> None:
    """[10]: nothing is listed before the next write, unless the server had committed."""
    machine.grow()
    machine.account.switch(checkpoint_every=2)
    machine.account.at(point, death)
    done = machine.create("held")
    if death == "network":
        assert done.returncode == 1
        assert "tarsnap: Too many network failures\n" in done.stderr
    else:
        assert done.returncode == -signal.Signals[death]
    assert machine.names() == (["held"] if point == "create.committed" else [])
    machine.account.forget_points(machine.key)
    assert machine.create("next").returncode == 0
    assert sorted(machine.names()) == after_the_next_write


def test_a_death_behind_the_commit_changes_nothing(machine: Machine) -> None:
    """[10]"""
    machine.account.at("create.after-commit", "SIGKILL")
    assert machine.create("a").returncode == -signal.SIGKILL
    assert machine.names() == ["a"]


@pytest.mark.parametrize("next_write", ["-d", "--fsck", "--fsck-prune", "--recover"])
def test_every_kind_of_write_commits_what_was_left_first(machine: Machine, next_write: str) -> None:
    """[10]"""
    machine.create("old")
    machine.account.at("create.before-commit", "SIGKILL", key=machine.key)
    machine.create("late")
    words = (next_write, "-f", "old") if next_write == "-d" else (next_write,)
    assert machine.run(*words).returncode == 0
    assert "late" in machine.names()


def test_fsck_and_recover_commit_a_checkpoint_of_another_host(machine: Machine) -> None:
    """[10]"""
    machine.account.at("create.before-commit", "SIGKILL", key=machine.key)
    machine.create("late")
    other = machine.folder / "other"
    assert machine.account.run(*machine.words("--fsck", cachedir=other)).returncode == 0
    assert machine.names() == ["late"]


def test_a_part_is_an_archive_of_whole_files_and_makes_the_next_run_cheap(machine: Machine) -> None:
    """[10]"""
    machine.grow()
    machine.account.switch(checkpoint_every=4)
    machine.account.at("create.checkpointed", "SIGKILL", key=machine.key)
    machine.create("a")
    machine.account.switch(checkpoint_every=None)
    done = machine.create("b", "--print-stats", machine.source)
    new = int(done.stderr.splitlines()[-1].split()[-2])
    assert new < 8 * 65536
    inside = machine.account.contents(machine.key, "a.part")
    for name, content in inside.items():
        assert Path(f"/{name}").read_bytes() == content
    assert 0 < len(inside) < 4


def test_the_last_checkpoint_of_a_run_wins_over_its_earlier_ones(machine: Machine) -> None:
    """[10]: with -v they are told, in the middle of a file's line too."""
    machine.grow()
    machine.account.switch(checkpoint_every=2)
    done = machine.create("a", "-v", machine.source)
    inside = str(machine.source).lstrip("/")
    assert f"a {inside}/big-0\ntarsnap: Creating checkpoint... done.\na {inside}/big-1" in done.stderr
    assert done.stderr.count("tarsnap: Creating checkpoint... done.") == 4
    assert machine.names() == ["a"]
    assert len(machine.account.contents(machine.key, "a")) == 4


# [11] Die-points of a deletion


@pytest.mark.parametrize("death", [*DEATHS, "network"])
@pytest.mark.parametrize(
    ("point", "at_once", "later"),
    [
        ("delete.before-transaction", ["b", "c"], ["b", "c", "next"]),
        ("delete.middle", ["b", "c"], ["b", "c", "next"]),
        ("delete.before-commit", ["b", "c"], ["c", "next"]),
        ("delete.committed", ["c"], ["c", "next"]),
    ],
)
def test_what_a_deletion_leaves_where_it_dies(
    machine: Machine, point: str, death: str, at_once: list[str], later: list[str]
) -> None:
    """[11]: of a, b and c it dies in b; a is gone, and b goes perhaps later."""
    machine.account.fill(machine.key, machine.cachedir, {"a": 1, "b": 2, "c": 3})
    machine.account.at(point, death, archive="b")
    done = machine.delete("a", "b", "c")
    assert done.returncode == (2 if death == "network" else -signal.Signals[death])
    assert sorted(machine.names()) == at_once
    machine.account.forget_points(machine.key)
    assert machine.create("next").returncode == 0
    assert sorted(machine.names()) == later


def test_a_deletion_that_dies_behind_the_commit_is_done(machine: Machine) -> None:
    """[11]"""
    machine.account.fill(machine.key, machine.cachedir, {"a": 1, "b": 2})
    machine.account.at("delete.after-commit", "SIGKILL", archive="a")
    assert machine.delete("a", "b").returncode == -signal.SIGKILL
    assert machine.names() == ["b"]
