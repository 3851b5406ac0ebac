"""The double of the `tarsnap` client: what each mode needs, keys, and cachedirs that are made.

Numbers in brackets are those of the specification of an honest double; see `test_tarsnap_double.py`.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.fakes.tarsnap.machine import Machine, messages


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


# [2] What each mode needs, in order


def test_required_parts_are_missed_in_the_client_s_order(machine: Machine) -> None:
    """[2]: names, cachedir, its `directory`, the key, the permission."""
    account, nowhere = machine.account, machine.folder / "nowhere"
    reader = account.cut_key(machine.key, "read")
    plain = ("--no-default-config",)
    asked = [
        account.run(*plain, "-d"),
        account.run(*plain, "-d", "-f", "a"),
        account.run(*plain, "-d", "-f", "a", "--cachedir", nowhere),
        account.run(*plain, "-c", "-f", "a", "--cachedir", nowhere, "x"),
        account.run(*plain, "-c", "-f", "a", "--cachedir", nowhere, "--keyfile", reader, "x"),
    ]
    assert [messages(done) for done in asked] == [
        ["Archive name must be specified"],
        ["Cache directory must be specified for -d"],
        ["Cache directory must already exist for -d; check --cachedir and/or run --fsck"],
        ["Keys must be provided via --keyfile option"],
        ["The write key is required for -c but is not available"],
    ]
    assert {done.returncode for done in asked} == {1}


@pytest.mark.parametrize(
    ("permissions", "words", "key", "mode"),
    [
        (("write",), ("--list-archives",), "read", "--list-archives"),
        (("write",), ("-t", "-f", "a"), "read", "-t"),
        (("write",), ("-x", "-f", "a"), "read", "-x"),
        (("write",), ("-r", "-f", "a"), "read", "-r"),
        (("write",), ("--print-stats", "-f", "a"), "read", "--print-stats"),
        (("write",), ("--fsck",), "read", "--fsck"),
        (("read", "write"), ("-d", "-f", "a"), "delete authorization", "-d"),
        (("read", "write"), ("--fsck-prune",), "delete authorization", "--fsck-prune"),
        (("read", "write"), ("--nuke",), "delete authorization", "--nuke"),
        (("read",), ("--fsck",), "write or delete authorization", "--fsck"),
        (("read",), ("--recover",), "write or delete authorization", "--recover"),
        (("write",), ("-c", "-f", "b", "@@a"), "read", "-c"),
    ],
)
def test_a_cut_key_is_refused_before_the_network(
    machine: Machine, permissions: tuple[str, ...], words: tuple[str, ...], key: str, mode: str
) -> None:
    """[2]"""
    machine.create("a")
    machine.account.switch(network="no-name")
    cut = machine.account.cut_key(machine.key, *permissions)
    done = machine.account.run(*machine.words(*words, key=cut))
    assert messages(done) == [f"The {key} key is required for {mode} but is not available"]
    assert done.returncode == 1


def test_modes_that_need_no_permission_take_any_key(machine: Machine) -> None:
    """[2]"""
    machine.create("a")
    cut = machine.account.cut_key(machine.key, "write")
    assert machine.account.run(*machine.words("--print-stats", key=cut)).returncode == 0
    fresh = machine.folder / "fresh"
    assert (
        machine.account.run(*machine.words("--initialize-cachedir", key=cut, cachedir=fresh)).returncode == 0
    )
    assert (fresh / "directory").stat().st_size == 24


def test_names_of_archives_have_limits_in_bytes(machine: Machine) -> None:
    """[2]"""
    assert messages(machine.create("")) == ["Cannot create an archive with an empty name"]
    too_long = machine.create("ä" * 512)
    assert messages(too_long) == ["Cannot create an archive with a name > 1023 characters"]
    assert machine.create("x" * 1023).returncode == 0
    assert messages(machine.run("-c", "-f", "a", "-f", "b", machine.source)) == [
        "Option -f may only be specified once in mode -c"
    ]


@pytest.mark.parametrize("version", ["1.0.39", "1.0.40"])
def test_before_release_41_a_missing_directory_is_found_late(tmp_path: Path, version: str) -> None:
    """[2]: print-stats has a text of its own, a deletion goes to the server with an empty number."""
    machine = Machine(tmp_path, version)
    machine.create("a")
    lost = tmp_path / "lost"
    stats = machine.account.run(*machine.words("--print-stats", cachedir=lost))
    assert f"Error reading cache directory from {lost}" in stats.stderr
    deletion = machine.account.run(*machine.words("-d", "-f", "a", cachedir=lost))
    assert "Sequence number mismatch: Run --fsck" in deletion.stderr
    assert machine.names() == ["a"]


def test_key_files_fail_with_their_own_texts(machine: Machine) -> None:
    """[2]: empty, damaged, cut off, missing."""
    text = machine.key.read_text()
    lines = text.splitlines()
    damaged = {
        "empty": "",
        "line": text.replace(lines[2][:4], "!!!!"),
        "sum": text.replace(lines[2][:4], "AAAA"),
        "cut": "\n".join(lines[:3]),
    }
    seen = {}
    for name, content in damaged.items():
        path = machine.folder / name
        path.write_text(content)
        done = machine.account.run(*machine.words("--list-archives", key=path))
        assert messages(done)[-1] == f"Cannot read key file: {path}"
        assert done.returncode == 1
        seen[name] = messages(done)[0].replace(str(path), "F")
    assert seen == {
        "empty": "Key file has unreasonable size: F",
        "line": "Key file is corrupt on line 3: F",
        "sum": "Key file is corrupt: F",
        "cut": "Key file is corrupt or truncated: F",
    }
    missing = machine.folder / "missing"
    done = machine.account.run(*machine.words("--list-archives", key=missing))
    assert messages(done)[0] == f"fopen({missing}): No such file or directory"


def test_a_passphrase_comes_from_where_it_is_said_to_be(machine: Machine) -> None:
    """[2]"""
    key = machine.account.new_key(passphrase="correct horse")
    words = machine.words("--list-archives", key=key)
    (machine.folder / "phrase").write_text("correct horse\n")
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "PHRASE": "wrong"}
    run = machine.account.run
    assert run(*words, "--passphrase", f"file:{machine.folder / 'phrase'}").returncode == 0
    wrong = run(*words, "--passphrase", "env:PHRASE", env=environment)
    assert messages(wrong)[0] == "Passphrase is incorrect"
    assert messages(run(*words, "--passphrase", "env:NONE"))[0] == "Failed to read from ${NONE}"
    closed = run(*words, start_new_session=True)
    assert [line.rpartition(": ")[2] for line in messages(closed)][-3:-1] == [
        "EOF reading password",
        "Error reading passphrase",
    ]
    assert run(*words, "--passphrase", "dev:stdin-once", input="correct horse\n").returncode == 0
    machine.account.switch(key_needs="too much memory")
    short = run(*words, "--passphrase", f"file:{machine.folder / 'phrase'}")
    assert messages(short)[0] == "Decrypting file would require too much memory"


@pytest.mark.parametrize(
    ("options", "permissions"),
    [
        (("-r", "-w", "-d"), "reading, writing, and deleting"),
        (("-w",), "writing"),
        (("-r",), "reading"),
        (("-d",), "reading and deleting"),
        (("-r", "-w"), "reading and writing"),
        (("--nuke",), "nuking"),
        (("-w", "--nuke"), "writing and nuking"),
        ((), "nothing"),
    ],
)
def test_keymgmt_cuts_keys_and_tells_what_they_can_do(
    machine: Machine, options: tuple[str, ...], permissions: str
) -> None:
    """[2]: the number stays the same for every cut of a key."""
    tool, new = str(machine.account.bin / "tarsnap-keymgmt"), machine.folder / "new"

    def keymgmt(*words: str | Path) -> str:
        done = subprocess.run([tool, *map(str, words)], capture_output=True, text=True, check=True)
        return done.stdout

    keymgmt("--outkeyfile", new, *options, machine.key)
    assert keymgmt("--print-key-permissions", new) == f"This key has permissions for: {permissions}.\n"
    assert keymgmt("--print-key-id", new) == keymgmt("--print-key-id", machine.key)
    assert new.stat().st_mode & 0o777 == 0o600


def test_keygen_registers_a_machine_with_nothing_in_it(machine: Machine) -> None:
    """[2]"""
    new = machine.folder / "new"
    tool = str(machine.account.bin / "tarsnap-keygen")
    command = [tool, "--keyfile", str(new), "--user", "u@example.com", "--machine", "m"]

    def keygen() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, input="secret\n", capture_output=True, text=True, check=False)

    assert keygen().returncode == 0
    assert machine.account.names(new) == []
    again = keygen()
    assert (again.returncode, again.stderr) == (
        1,
        f"tarsnap-keygen: Key file already exists, not overwriting: {new}\n",
    )


# [3] A cachedir is made in every mode


def test_a_missing_cachedir_is_made_even_by_a_listing(machine: Machine) -> None:
    """[3]: parents too, for its owner only, told on stderr."""
    new = machine.folder / "un" / "mounted"
    done = machine.account.run(*machine.words("--list-archives", cachedir=new))
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.splitlines() == [
        f'Directory {new.parent} created for "--cachedir {new}"',
        f'Directory {new} created for "--cachedir {new}"',
    ]
    assert new.stat().st_mode & 0o777 == 0o700


def test_a_cachedir_that_cannot_be_made_is_fatal(machine: Machine) -> None:
    """[3]"""
    done = machine.account.run(*machine.words("--list-archives", cachedir=machine.source / "file" / "x"))
    assert messages(done)[-1] == "Failed to ensure that cachedir exists"
    assert done.returncode == 1
