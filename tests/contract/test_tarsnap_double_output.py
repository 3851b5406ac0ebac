"""The double of the `tarsnap` client: what it prints.

Numbers in brackets are those of the specification of an honest double; see `test_tarsnap_double.py`.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.fakes.tarsnap.machine import DELAYED, Machine, messages

HEADER = f"{'':32}  {'Total size':>15}  {'Compressed size':>15}"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def environment(**more: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "TZ": "UTC", "LC_ALL": "C.UTF-8"} | more


# [12] Listings


def test_archives_are_listed_in_an_order_of_the_key_s_own(machine: Machine) -> None:
    """[12]: stable, ascending by the hash of the name, so unrelated to name and time."""
    names = [f"archive-{number:02}" for number in range(30)]
    machine.account.fill(machine.key, machine.cachedir, dict.fromkeys(names, 1000))
    listed = machine.names()
    assert listed == machine.names() != names
    assert sorted(listed) == names
    assert listed == sorted(names, key=machine.account.key(machine.key).name_hash)
    other = machine.account.new_key()
    machine.account.fill(other, machine.folder / "other", dict.fromkeys(names, 1000))
    done = machine.account.run(*machine.words("--list-archives", key=other))
    assert done.stdout.splitlines() != listed


def test_a_listing_shows_the_local_time_without_its_zone_and_the_bare_words(machine: Machine) -> None:
    """[12]: two instants of a repeated hour look the same."""
    summer, winter = 1792886400, 1792890000  # 2026-10-25 00:00 and 01:00 UTC: 02:00 in Berlin, twice
    for name, seconds in (("a b", summer), ("c", winter)):
        machine.create(name, "--creationtime", str(seconds), machine.source)
    berlin = machine.run("--list-archives", "-v", env=environment(TZ="Europe/Berlin"))
    assert sorted(berlin.stdout.splitlines()) == ["a b\t2026-10-25 02:00:00", "c\t2026-10-25 02:00:00"]
    utc = machine.run("--list-archives", "-v")
    assert sorted(utc.stdout.splitlines()) == ["a b\t2026-10-25 00:00:00", "c\t2026-10-25 01:00:00"]
    full = machine.run("--list-archives", "-vv").stdout
    words = f"--cachedir {machine.cachedir} -c -f a b --creationtime {summer} {machine.source}\n"
    assert f"a b\t2026-10-25 00:00:00\ttarsnap --no-default-config --keyfile {machine.key} {words}" in full


def test_names_are_printed_raw_and_only_nul_is_safe(machine: Machine) -> None:
    """[12]"""
    odd = "new\nline\ttab"
    machine.create(odd, "--creationtime", "100", machine.source)
    assert machine.run("--list-archives").stdout == f"{odd}\n"
    assert machine.run("--list-archives", "--null-output").stdout == f"{odd}\0"
    full = machine.run("--list-archives", "-vv", "--null-output").stdout
    name, time, words = full.removesuffix("\0").replace("\0\0\0", "|").split("\0\0")
    assert (name, time) == (odd, "1970-01-01 00:01:40")
    assert words.split("|")[-6:] == ["-c", "-f", odd, "--creationtime", "100", str(machine.source)]


def test_hashes_are_printed_alone_or_before_the_fields(machine: Machine) -> None:
    """[12]"""
    machine.create("a", "--creationtime", "100", machine.source)
    digest = machine.account.key(machine.key).name_hash("a")
    assert machine.run("--list-archives", "--hashes").stdout == f"{digest}\n"
    shown = machine.run("--list-archives", "--hashes", "-v", "-f", digest).stdout
    assert shown == f"{digest}\ta\t1970-01-01 00:01:40\n"
    refused = machine.run("--list-archives", "-f", "a")
    assert messages(refused)[:2] == [
        "--list-archives: can only use -f with --hashes",
        "Error listing archives",
    ]


def test_a_listing_that_fails_has_printed_a_part(machine: Machine) -> None:
    """[12]"""
    machine.account.fill(machine.key, machine.cachedir, dict.fromkeys("abcd", 1))
    whole = machine.names()
    machine.account.switch(list_fails_at=3)
    done = machine.run("--list-archives")
    assert done.stdout.splitlines() == whole[:2]
    assert messages(done) == ["Too many network failures", "Error listing archives", DELAYED]
    assert done.returncode == 1


def test_an_account_without_archives_prints_nothing_with_status_0(machine: Machine) -> None:
    """[12]"""
    done = machine.run("--list-archives")
    assert (done.returncode, done.stdout) == (0, "")


def test_an_archive_deleted_during_the_listing_makes_it_fail(machine: Machine) -> None:
    """[12]"""
    machine.account.fill(machine.key, machine.cachedir, dict.fromkeys("ab", 1))
    last = machine.names()[-1]
    command = " ".join([str(machine.account.bin / "tarsnap"), *machine.words("-d", "-f", last)])
    machine.account.at("list.record", "run", command=command)
    done = machine.run("--list-archives")
    assert done.returncode == 1
    assert messages(done)[:2] == ["Cannot read archive metadata file", "Error listing archives"]


# [13] Statistics


def rows(text: str) -> dict[str, tuple[int, int]]:
    lines = text.splitlines()
    table = lines[lines.index(HEADER) + 1 :]
    return {
        line[:-34].rstrip(): (int(line.split()[-2]), int(line.split()[-1]))
        for line in table
        if line[32:34] == "  "
    }


def test_the_numbers_of_creations_and_deletions_add_up(machine: Machine) -> None:
    """[13]: widths of 32, 15, 15; on stderr; what the deletion frees is what the creation added."""
    (machine.source / "big").write_bytes(os.urandom(200_000))
    first = machine.create("first", "--print-stats", machine.source)
    assert first.stdout == ""
    start = rows(first.stderr)
    assert list(start) == ["All archives", "  (unique data)", "This archive", "New data"]
    assert start["This archive"] == start["New data"] == start["All archives"]
    assert 200_000 < start["New data"][0] < 203_000
    (machine.source / "other").write_bytes(os.urandom(50_000))
    second = rows(machine.create("second", "--print-stats", machine.source).stderr)
    assert second["This archive"][0] > 250_000 > second["New data"][0] > 50_000
    assert second["All archives"][0] == start["All archives"][0] + second["This archive"][0]
    assert second["  (unique data)"][0] == start["  (unique data)"][0] + second["New data"][0]
    shown = machine.run("--print-stats")
    assert shown.stderr == ""
    assert rows(shown.stdout) == {name: second[name] for name in ("All archives", "  (unique data)")}
    gone = rows(machine.run("-d", "--print-stats", "-f", "second").stderr)
    assert gone["This archive"] == second["This archive"]
    assert gone["Deleted data"] == second["New data"]
    assert gone["All archives"] == start["All archives"]
    assert gone["  (unique data)"] == start["  (unique data)"]


def test_the_table_has_the_exact_layout(machine: Machine) -> None:
    """[13]"""
    machine.run("--initialize-cachedir")
    assert machine.run("--print-stats").stdout == (
        "                                       Total size  Compressed size\n"
        "All archives                                    0                0\n"
        "  (unique data)                                 0                0\n"
    )


def test_the_statistics_of_archives_come_behind_the_global_ones(machine: Machine) -> None:
    """[13]: also for all; a missing archive leaves the global rows on stdout."""
    for name in ("a", "b"):
        machine.create(name)
    lines = machine.run("--print-stats", "-f", "a").stdout.splitlines()
    assert [line[:32].rstrip() for line in lines[1:]] == [
        "All archives",
        "  (unique data)",
        "a",
        "  (unique data)",
    ]
    everything = machine.run("--print-stats", "-f", "*").stdout.splitlines()
    assert {line[:32].rstrip() for line in everything[1:]} == {"All archives", "  (unique data)", "a", "b"}
    missing = machine.run("--print-stats", "-f", "x")
    assert len(missing.stdout.splitlines()) == 3
    assert messages(missing) == [
        "Archive does not exist: x",
        "Error reading archive metadata",
        "Error generating archive statistics",
        DELAYED,
    ]


def test_csv_files_are_started_anew_by_global_rows_and_by_each_deletion(machine: Machine) -> None:
    """[13]"""
    table = machine.folder / "table.csv"
    header = "Archive name,Total size,Compressed size"
    for name in ("a", "b"):
        machine.create(name, "--print-stats", "--csv-file", table, machine.source)
        assert table.read_text().splitlines()[0] == header
    machine.run("--print-stats", "--csv-file", table, "-f", "a", "-f", "b")
    assert [line.split(",")[0] for line in table.read_text().splitlines()] == [
        *(header.split(",", maxsplit=1)[0], "All archives", "  (unique data)"),
        *("a", "  (unique data)", "b", "  (unique data)"),
    ]
    done = machine.run("-d", "--print-stats", "--csv-file", table, "-f", "a", "-f", "b")
    assert "All archives" not in done.stderr
    assert [line.split(",")[0] for line in table.read_text().splitlines()][3:] == ["b", "Deleted data"]


def test_numbers_for_people_are_rounded_down(machine: Machine) -> None:
    """[13]"""
    (machine.source / "big").write_bytes(bytes(1_299_999))
    done = machine.create("a", "--print-stats", "--humanize-numbers", machine.source)
    line = next(line for line in done.stderr.splitlines() if line.startswith("This archive"))
    assert line.split()[2:4] == ["1.3", "MB"]
    (machine.source / "big").write_bytes(bytes(1_290_000))
    done = machine.create("b", "--print-stats", "--humanize-numbers", machine.source)
    line = next(line for line in done.stderr.splitlines() if line.startswith("This archive"))
    assert line.split()[2:4] == ["1.2", "MB"]


# [14] Messages


def test_messages_begin_with_the_name_that_the_program_was_called_by(machine: Machine) -> None:
    """[14]"""
    other = machine.account.bin / "backup-client"
    other.symlink_to("tarsnap")
    done = subprocess.run([str(other), "--frob"], capture_output=True, text=True, check=False)
    assert done.stderr.startswith("backup-client: Option --frob is not supported\nUsage:")
    assert "  Help:    backup-client --help\n" in done.stderr


def test_some_warnings_glue_the_next_message_to_their_line(machine: Machine) -> None:
    """[14]: `: TEXT`, without the program's name and without a newline."""
    (machine.source / "äther").write_text("x")
    (machine.source / "zu-spät").symlink_to("x")
    done = machine.run("-c", "-f", "a", machine.source, "gone", env=environment(LC_ALL="C"))
    inside = str(machine.source).lstrip("/")
    assert done.stderr.endswith(
        f": Can't translate pathname '{inside}/zu-spät' to UTF-8"
        f": Can't translate pathname '{inside}/äther' to UTF-8"
        f"tarsnap: gone: Cannot stat: No such file or directory\n"
        f"tarsnap: {DELAYED}\n"
        "tarsnap: Data on server was modified, but it might notbe exactly what you requested\n"
    )
