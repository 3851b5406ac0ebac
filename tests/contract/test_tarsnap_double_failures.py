"""The double of the `tarsnap` client: failures and slowness on demand, and what a double must not get wrong.

Numbers in brackets are those of the specification of an honest double; see `test_tarsnap_double.py`.
"""

from __future__ import annotations

import fcntl
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.tarsnap.machine import DELAYED, Machine, messages

MONEY = "Please add more money to your tarsnap account"
CLOSING = {
    "-c": ["Error creating new archive"],
    "-d": ["Error deleting archive"],
    "--list-archives": ["Error listing archives"],
    "-t": ["Error reading archive metadata", "Error opening archive"],
    "-x": ["Error reading archive metadata", "Error opening archive"],
    "-r": ["Error reading archive metadata", "Error reading archive"],
    "--fsck": ["Error fscking archives"],
    "--recover": ["Error recovering archive"],
}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path)
    machine.create("a")
    return machine


def words_of(machine: Machine, mode: str) -> list[str | Path]:
    named: list[str | Path] = ["-f", "b" if mode == "-c" else "a"]
    return [mode, *(named if len(mode) == 2 else []), *([machine.source] if mode == "-c" else [])]


# [20] Failures


@pytest.mark.parametrize("mode", CLOSING)
def test_a_lookup_that_fails_ends_every_call_at_once(machine: Machine, mode: str) -> None:
    """[20]: cause first, closing lines last; --retry-forever does not help."""
    machine.account.switch(network="no-name")
    done = machine.run(*words_of(machine, mode), "--retry-forever") if mode != "-c" else machine.create("b")
    assert messages(done) == [
        "Error looking up v1-0-0-server.tarsnap.com: Temporary failure in name resolution",
        "Cannot obtain server address",
        *CLOSING[mode],
        DELAYED,
    ]
    assert (done.returncode, done.stdout) == (1, "")


@pytest.mark.parametrize("mode", CLOSING)
def test_a_connection_that_fails_is_given_up_after_a_while(machine: Machine, mode: str) -> None:
    """[20]"""
    machine.account.switch(network="no-connection", network_delay_s=0.01)
    done = machine.run(*words_of(machine, mode))
    assert messages(done) == ["Too many network failures", *CLOSING[mode], DELAYED]
    assert done.returncode == 1


def test_a_caller_that_retries_for_ever_waits_until_the_connection_is_back(machine: Machine) -> None:
    """[20]"""
    machine.account.switch(network="no-connection", network_delay_s=0.01)
    process = machine.start("--list-archives", "--retry-forever")
    while not any(call.pid == process.pid for call in machine.account.calls()):
        time.sleep(0.005)
    machine.account.switch(network="ok")
    assert process.communicate(timeout=60)[0] == "a\n"


def test_maintenance_of_the_server_stops_writes_only(machine: Machine) -> None:
    """[20]"""
    machine.account.switch(network="read-only", network_delay_s=0.01)
    assert machine.names() == ["a"]
    for mode in ("-c", "-d", "--fsck"):
        done = machine.run(*words_of(machine, mode))
        assert messages(done)[0] == "Too many network failures"
    machine.account.switch(network="ok")
    assert machine.names() == ["a"]


@pytest.mark.parametrize(
    ("mode", "text"),
    [
        ("-c", "Cannot start write transaction: Account balance is not positive"),
        ("--fsck", "Could not begin fsck: Account balance is not positive"),
        ("-t", "Cannot read data from tarsnap server: Account balance is not positive"),
        ("-x", "Cannot read data from tarsnap server: Account balance is not positive"),
        ("--list-archives", "Cannot read list of archive fragments: Account balance is not positive"),
    ],
)
def test_an_empty_account_refuses_creations_reads_lists_and_fsck(
    machine: Machine, mode: str, text: str
) -> None:
    """[20]"""
    machine.account.switch(balance="none")
    done = machine.run(*words_of(machine, mode))
    assert messages(done) == [text, MONEY, *CLOSING[mode], DELAYED]
    assert done.returncode == 1


def test_an_empty_account_still_deletes(machine: Machine) -> None:
    """[20]: and lets fsck run with the delete key."""
    machine.account.switch(balance="none")
    reader = machine.account.cut_key(machine.key, "read", "delete")
    assert machine.account.run(*machine.words("--fsck", key=reader)).returncode == 0
    assert machine.delete("a").returncode == 0
    assert machine.account.names(machine.key) == []


def test_a_damaged_chunk_ends_an_extraction_that_has_written_a_part(machine: Machine) -> None:
    """[20]"""
    for name in ("one", "two"):
        (machine.source / name).write_text(name)
    machine.create("b", "-C", machine.source, "one", "two")
    machine.account.damage_chunks(machine.key, "b")
    out = machine.folder / "out"
    out.mkdir()
    done = machine.run("-x", "-f", "b", "-C", out)
    assert done.returncode == 1
    assert " is corrupt" in done.stderr
    assert (out / "one").read_text() == "one"
    assert (out / "two").read_text() == ""


def test_fsck_finds_a_lost_chunk_and_only_fsck_prune_deletes(machine: Machine) -> None:
    """[20]"""
    for chunk in (machine.account.server(machine.key) / "chunks").iterdir():
        chunk.unlink()
    done = machine.run("--fsck")
    assert messages(done) == [
        "Not pruning corrupted data; please run --fsck-prune",
        "Error fscking archives",
        DELAYED,
    ]
    assert machine.names() == ["a"]
    assert machine.run("--fsck-prune").returncode == 0
    assert machine.names() == []


def with_cache(machine: Machine) -> Path:
    old = 1_600_000_000
    os.utime(machine.source / "file", (old, old))
    machine.create("cached")
    return machine.cachedir / "cache"


def test_a_damaged_file_cache_is_a_warning_with_status_0(machine: Machine) -> None:
    """[20]"""
    cache = with_cache(machine)
    machine.account.damage_cache(machine.cachedir, "whole")
    done = machine.create("b")
    assert (done.returncode, messages(done)) == (
        0,
        [f"Cache file is corrupt: {cache}", "Error reading cache; continuing without it"],
    )


def test_a_damaged_trailer_fails_every_run_until_the_file_is_deleted(machine: Machine) -> None:
    """[20]"""
    cache = with_cache(machine)
    machine.account.damage_cache(machine.cachedir, "trailer")
    for name in ("b", "c"):
        done = machine.create(name)
        assert (done.returncode, messages(done)) == (
            1,
            ["Warning: cached trailer is corrupt", "Error writing cached archive entry"],
        )
    cache.unlink()
    assert machine.create("d").returncode == 0
    assert sorted(machine.names()) == ["a", "cached", "d"]


def test_a_file_cache_that_cannot_be_written_comes_after_the_commit(machine: Machine) -> None:
    """[20]"""
    (machine.cachedir / "cache").unlink(missing_ok=True)
    (machine.cachedir / "cache.new").mkdir()
    done = machine.create("b")
    assert done.returncode == 2
    assert "Error writing cache" in messages(done)
    assert sorted(machine.names()) == ["a", "b"]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"short", "on-disk directory is too small (5 bytes): "),
        (bytes(30), "on-disk directory is corrupt: "),
        (bytes(72), "on-disk directory is corrupt: "),
    ],
)
def test_a_damaged_directory_is_found_by_every_write_and_repaired_by_fsck(
    machine: Machine, content: bytes, text: str
) -> None:
    """[20]"""
    path = machine.cachedir / "directory"
    path.write_bytes(content)
    for done in (machine.create("b"), machine.delete("a"), machine.run("--print-stats")):
        assert messages(done)[0] == f"{text}{path}"
        assert done.returncode == 1
    assert machine.run("--fsck").returncode == 0
    assert machine.delete("a").returncode == 0


def test_a_damaged_sequence_number_has_its_own_texts(machine: Machine) -> None:
    """[20]"""
    link = machine.cachedir / "cseq"
    for target, text in (
        ("ab", f"Link is incorrect length: {link}"),
        ("x" * 64, f"Cannot parse link as hexadecimal: {link} -> {'x' * 64}"),
    ):
        link.unlink()
        link.symlink_to(target)
        assert messages(machine.create("b")) == [text, "Error creating new archive", DELAYED]


def test_a_deletion_with_a_directory_that_lost_a_chunk_says_so(machine: Machine) -> None:
    """[20]"""
    path = machine.cachedir / "directory"
    path.write_bytes(path.read_bytes()[:24])
    assert messages(machine.delete("a"))[0] == "Chunk is missing or directory is corrupt"
    assert machine.names() == ["a"]


@pytest.mark.parametrize(
    ("point", "words", "closing"),
    [
        ("create.opened", ("-c", "-f", "b", "SOURCE"), ["Error writing archive"]),
        ("create.before-commit", ("-c", "-f", "b", "SOURCE"), ["Error closing archive", DELAYED]),
        ("delete.middle", ("-d", "-f", "a"), ["Error deleting archive", DELAYED]),
        ("fsck.middle", ("--fsck",), ["Error fscking archives", DELAYED]),
        ("list.record", ("--list-archives",), ["Error listing archives", DELAYED]),
    ],
)
def test_a_failure_in_the_middle_can_have_any_text(
    machine: Machine, point: str, words: tuple[str, ...], closing: list[str]
) -> None:
    """[20]: in the middle of a creation it is a direct exit."""
    machine.account.at(point, "fail", text="Cannot allocate memory")
    done = machine.run(*[machine.source if word == "SOURCE" else word for word in words])
    assert messages(done) == ["Cannot allocate memory", *closing]
    assert done.returncode == 1


def test_what_is_told_of_a_bad_connection_is_no_error(machine: Machine) -> None:
    """[20]"""
    text = "Connection lost, waiting 30 seconds before reconnecting"
    machine.grow()
    machine.account.at("create.block", "say", text=text)
    done = machine.create("b")
    assert (done.returncode, messages(done)) == (0, [text])


# [21] Slowness


@pytest.mark.parametrize(
    ("switch", "words", "times"),
    [
        ("list_delay_s", ("--list-archives",), 3),
        ("delete_delay_s", ("-d", "-f", "a", "-f", "b", "-f", "c"), 3),
        ("create_delay_s", ("-c", "-f", "d", "--verylowmem", "SOURCE"), 3),
        ("read_delay_s", ("-x", "-O", "-f", "a"), 2),
        ("start_delay_s", ("--list-archives",), 1),
    ],
)
def test_slowness_is_settable_for_each_archive_and_each_block(
    machine: Machine, switch: str, words: tuple[str, ...], times: int
) -> None:
    """[21]: the log tells how often a delay was slept."""
    for name in ("b", "c"):
        machine.create(name)
    switches: dict[str, Any] = {switch: 0.001}
    machine.account.switch(**switches)
    done = machine.run(*[machine.source if word == "SOURCE" else word for word in words])
    assert done.returncode == 0
    assert machine.account.calls()[-1].waits == {switch: times}


def test_a_creation_can_be_held_in_the_middle_for_as_long_as_a_test_likes(machine: Machine) -> None:
    """[21]"""
    machine.grow()
    machine.account.at("create.block", "pause", key=machine.key)
    process = machine.start("-c", "-f", "b", machine.source)
    assert machine.account.wait_at("create.block", machine.key) == process.pid
    assert machine.names() == ["a"]
    machine.account.go("create.block", machine.key)
    process.communicate(timeout=60)
    assert sorted(machine.names()) == ["a", "b"]


# Faithfulness: what would make bad code pass


def test_trap_lists_are_not_sorted(machine: Machine) -> None:
    names = [f"n{number:02}" for number in range(20)]
    machine.account.fill(machine.key, machine.cachedir, {name: at for at, name in enumerate(names)})
    listed = machine.names()
    assert listed not in (sorted(listed), sorted(listed, reverse=True), names)


def test_trap_reads_take_no_lock_and_writers_do_not_wait_for_it(machine: Machine) -> None:
    """A shared lock, a flock, or waiting would hide a second scheduler."""
    with (machine.cachedir / "lockf").open("r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        assert machine.names() == ["a"]
        assert machine.create("b").returncode == 1
    with (machine.cachedir / "lockf").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        assert machine.create("b").returncode == 0


def test_trap_status_1_does_not_mean_that_there_is_no_archive(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "1.0.40")
    assert machine.create("b", machine.source, "/nowhere").returncode == 1
    assert machine.names() == ["b"]


def test_trap_status_0_does_not_mean_that_all_files_are_in_it(machine: Machine) -> None:
    gone = machine.source / "gone"
    gone.write_text("x")
    machine.account.at("create.file", "run", path=str(gone), command=f"rm {gone}")
    done = machine.create("b")
    assert (done.returncode, messages(done)) == (0, ["gone: could not open file: No such file or directory"])
    assert str(gone).lstrip("/") not in machine.account.contents(machine.key, "b")


def test_trap_sigterm_leaves_no_part(machine: Machine) -> None:
    machine.grow()
    machine.account.at("create.block", "SIGTERM")
    assert machine.create("b").returncode == -signal.SIGTERM
    machine.create("next")
    assert sorted(machine.names()) == ["a", "next"]


def test_trap_a_deletion_of_several_is_not_atomic(machine: Machine) -> None:
    machine.create("c")
    assert machine.delete("a", "b", "c").returncode == 2
    assert machine.names() == ["c"]


def test_trap_keep_going_ends_with_0(machine: Machine) -> None:
    assert machine.run("-d", "--keep-going", "-f", "b", "-f", "a").returncode == 0


def test_trap_a_retry_under_the_same_name_fails_for_ever_after_one_crash(machine: Machine) -> None:
    machine.account.switch(checkpoint_every=1)
    (machine.source / "big").write_bytes(os.urandom(200_000))
    machine.account.at("create.checkpointed", "SIGKILL")
    machine.create("b")
    for _ in range(2):
        done = machine.create("b")
        assert messages(done)[0] == 'An archive already exists with the name "b.part"'
        assert done.returncode != 0
    assert machine.create("b.2").returncode == 0


def test_trap_a_fresh_cachedir_is_out_of_step_with_a_key_that_has_a_history(machine: Machine) -> None:
    fresh = machine.folder / "fresh"
    done = machine.account.run(*machine.words("-c", "-f", "b", machine.source, cachedir=fresh))
    assert messages(done)[0] == "Sequence number mismatch: Run --fsck"
    assert done.returncode == 1


# The log of calls


def test_the_log_tells_each_call_its_end_and_writers_that_met(machine: Machine) -> None:
    machine.account.at("create.opened", "pause", key=machine.key)
    process = machine.start("-c", "-f", "b", machine.source)
    machine.account.wait_at("create.opened", machine.key)
    machine.delete("a")
    process.kill()
    process.communicate()
    machine.names()
    first, killed, refused, listing = machine.account.calls()
    assert [call.status for call in (first, killed, refused, listing)] == [0, None, 1, 0]
    assert killed.pid == process.pid
    assert killed.end is None
    assert refused.argv[-3:] == ("-d", "-f", "a")
    assert refused.program == "tarsnap"
    (overlap,) = machine.account.overlaps(machine.key)
    assert overlap["pid"] == refused.pid
    assert str(killed.pid) in overlap["beside"]
