"""The double of the `tarsnap` client: files that change or cannot be read, locales, and restores.

Numbers in brackets are those of the specification of an honest double; see `test_tarsnap_double.py`.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.fakes.tarsnap.machine import DELAYED, VERSIONS, Done, Machine, messages


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def environment(**more: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "TZ": "UTC", "LC_ALL": "C.UTF-8"} | more


# [15] Files that change or cannot be read


def without_privileges(machine: Machine, *words: str | Path) -> Done:
    """Call the double as somebody whom the modes of files concern: root without its capabilities."""
    command = [str(machine.account.bin / "tarsnap"), *machine.words(*words)]
    if os.geteuid() == 0:
        command = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *command]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment())


def test_a_file_that_cannot_be_opened_is_left_out_with_status_0(machine: Machine) -> None:
    """[15]: told by its bare name; with -v on the line of its path."""
    (machine.source / "secret").write_text("x")
    (machine.source / "secret").chmod(0)
    done = without_privileges(machine, "-c", "-f", "a", machine.source)
    assert (done.returncode, messages(done)) == (0, ["secret: could not open file: Permission denied"])
    inside = str(machine.source).lstrip("/")
    assert list(machine.account.contents(machine.key, "a")) == [f"{inside}/file"]
    verbose = without_privileges(machine, "-c", "-v", "-f", "b", machine.source)
    assert verbose.returncode == 0
    assert f"a {inside}/secret: Permission denied\n" in verbose.stderr
    assert "could not open file" not in verbose.stderr


def test_a_folder_that_cannot_be_read_is_stored_empty_and_counts_as_an_error(machine: Machine) -> None:
    """[15]"""
    folder = machine.source / "closed"
    folder.mkdir()
    folder.chmod(0)
    done = without_privileges(machine, "-c", "-f", "a", machine.source)
    assert done.returncode == 2
    assert f"{folder}: Couldn't visit directory: Permission denied" in messages(done)
    assert str(folder).lstrip("/") in machine.run("-t", "-f", "a").stdout.splitlines()


def test_a_file_that_shrinks_is_filled_with_zeros_without_a_word(machine: Machine) -> None:
    """[15]"""
    big = machine.source / "big"
    big.write_bytes(b"x" * 100_000)
    machine.account.at("create.file", "run", path=str(big), command=f"truncate -s 10 {big}")
    done = machine.create("a")
    assert (done.returncode, messages(done)) == (0, [])
    stored = machine.account.contents(machine.key, "a")[str(big).lstrip("/")]
    assert stored == b"x" * 10 + bytes(99_990)


@pytest.mark.parametrize("quiet", [False, True])
def test_a_file_that_grows_keeps_its_length_with_a_warning(machine: Machine, quiet: bool) -> None:
    """[15]"""
    growing = machine.source / "file"
    machine.account.at("create.file", "run", path=str(growing), command=f"echo more >> {growing}")
    done = machine.create("a", *(["--quiet"] if quiet else []), machine.source)
    name = str(growing).lstrip("/")
    warning = f"{name}: Truncated write; file may have grown while being archived."
    assert (done.returncode, messages(done)) == (0, [] if quiet else [warning])
    assert machine.account.contents(machine.key, "a")[name] == b"what matters\n"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_path_that_vanishes_during_the_walk_is_an_error_but_the_rest_is_stored(
    tmp_path: Path, version: str
) -> None:
    """[15]"""
    machine = Machine(tmp_path, version)
    gone = machine.source / "gone"
    gone.write_text("x")
    machine.account.at("create.entry", "run", path=str(machine.source / "file"), command=f"rm {gone}")
    done = machine.create("a")
    assert messages(done)[0] == f"{gone}: Cannot stat: No such file or directory"
    assert done.returncode == (2 if version == "1.0.41" else 1)
    assert list(machine.account.contents(machine.key, "a")) == [str(machine.source / "file").lstrip("/")]


def test_a_missing_source_gives_an_empty_archive(machine: Machine) -> None:
    """[15]"""
    done = machine.create("a", "/nowhere")
    assert done.returncode == 2
    assert messages(done)[:2] == [
        "/nowhere: Cannot stat: No such file or directory",
        "Warning: Archive contains no files",
    ]
    assert machine.names() == ["a"]
    assert machine.account.contents(machine.key, "a") == {}


def test_a_missing_folder_to_change_to_gives_no_archive(machine: Machine) -> None:
    """[15]"""
    done = machine.run("-c", "-f", "a", "-C", "/nowhere", "x")
    assert (done.returncode, messages(done)) == (1, ["could not chdir to '/nowhere'"])
    assert machine.names() == []


def test_exclusions_are_unanchored_and_inclusions_are_not(machine: Machine) -> None:
    """[15]: unless an exclusion starts with a star or a slash; exclusions win."""
    for name in ("a/x.tmp", "a/keep", "b/a/keep", "cache/z"):
        (machine.source / name).parent.mkdir(parents=True, exist_ok=True)
        (machine.source / name).write_text("x")
    inside = f"{str(machine.source).lstrip('/')}/"

    def stored(name: str, *words: str) -> list[str]:
        paths = ("a", "b", "cache", machine.source / "file")
        machine.run("-c", "-f", name, *words, "-C", machine.source, *paths)
        return [path.removeprefix(inside) for path in machine.account.contents(machine.key, name)]

    everything = ["a/keep", "a/x.tmp", "b/a/keep", "cache/z", "file"]
    assert stored("1") == everything
    assert stored("2", "--exclude", "*.tmp", "--exclude", "a/keep") == ["cache/z", "file"]
    assert stored("3", "--exclude", "/tmp/nothing", "--exclude", "ca*") == [*everything[:3], "file"]
    assert stored("4", "--exclude", str(machine.source / "f")) == everything
    assert stored("5", "--exclude", str(machine.source / "file")) == everything[:4]
    assert stored("6", "--include", "a") == ["a/keep", "a/x.tmp"]
    assert stored("7", "--include", "a", "--exclude", "x.*") == ["a/keep"]


def test_what_looks_unchanged_is_stored_with_its_old_content(machine: Machine) -> None:
    """[15]: size and mtime kept; after fsck the file is read again."""
    old = 1_600_000_000
    file = machine.source / "file"
    os.utime(file, (old, old))
    machine.create("a")
    file.write_bytes(b"other things\n")
    os.utime(file, (old, old))
    machine.create("b")
    name = str(file).lstrip("/")
    assert machine.account.contents(machine.key, "b")[name] == b"what matters\n"
    machine.run("--fsck")
    machine.create("c")
    assert machine.account.contents(machine.key, "c")[name] == b"other things\n"


def test_what_the_file_cache_knows_is_read_again_when_its_blocks_are_gone(machine: Machine) -> None:
    """[15]"""
    os.utime(machine.source / "file", (1_600_000_000, 1_600_000_000))
    machine.create("a")
    machine.delete("a")
    assert machine.create("b").returncode == 0
    assert machine.account.contents(machine.key, "b")[str(machine.source / "file").lstrip("/")]


def test_the_cachedir_never_gets_into_an_archive(machine: Machine) -> None:
    """[15]"""
    machine.cachedir = machine.source / "cache"
    done = machine.create("a")
    assert messages(done) == [f"Not adding cache directory to archive: {machine.cachedir}"]
    assert list(machine.account.contents(machine.key, "a")) == [str(machine.source / "file").lstrip("/")]


def test_names_to_store_may_come_from_a_file(machine: Machine) -> None:
    """[15]: with NUL between them they may be anything; a line -C is a change of folder."""
    odd = "new\nline"
    (machine.source / odd).write_text("x")
    names = machine.folder / "names"
    names.write_text(f"{odd}\0file\0")
    machine.run("-c", "-f", "a", "--null", "-C", machine.source, "-T", names)
    assert sorted(machine.account.contents(machine.key, "a")) == ["file", odd]
    names.write_text(f"-C\n{machine.source}\nfile\n")
    machine.run("-c", "-f", "b", "-T", names)
    assert list(machine.account.contents(machine.key, "b")) == ["file"]


# [16] Locale


def test_names_that_are_not_ascii_fail_in_the_c_locale(machine: Machine) -> None:
    """[16]: -t and -x go on, and exit 1."""
    (machine.source / "ä").write_text("x")
    assert machine.create("a").returncode == 0
    warning = "Pathname in pax header can't be converted to current locale."
    listing = machine.run("-t", "-f", "a", env=environment(LC_ALL="C"))
    assert (listing.returncode, messages(listing)) == (1, [warning, DELAYED])
    assert listing.stdout.splitlines()[-1].endswith("/\\303\\244")
    extraction = machine.run("-x", "-O", "-f", "a", env=environment(LC_ALL="POSIX"))
    assert (extraction.returncode, extraction.stdout) == (1, "what matters\nx")
    assert machine.run("-t", "-f", "a").stdout.splitlines()[-1].endswith("/ä")


def test_a_locale_that_does_not_exist_is_told_and_is_the_c_locale(machine: Machine) -> None:
    """[16]"""
    (machine.source / "ä").write_text("x")
    machine.create("a")
    done = machine.run("-t", "-f", "a", env=environment(LC_ALL="xx_YY.UTF-8"))
    assert (done.returncode, messages(done)[0]) == (1, "Failed to set default locale")


# Restoring, which no point names


def test_a_restore_brings_back_kinds_modes_times_and_links(machine: Machine) -> None:
    (machine.source / "sub").mkdir(mode=0o750)
    (machine.source / "sub" / "empty").touch()
    (machine.source / "hard").hardlink_to(machine.source / "file")
    (machine.source / "link").symlink_to("sub/empty")
    os.mkfifo(machine.source / "pipe")
    for name, mode, time in (("file", 0o640, 1_500_000_000), ("sub", 0o710, 7)):
        (machine.source / name).chmod(mode)
        os.utime(machine.source / name, (time, time))
    machine.create("a", "-C", machine.source, ".")
    out = machine.folder / "out"
    out.mkdir()
    assert machine.run("-x", "-f", "a", "-C", out).returncode == 0
    assert (out / "hard").samefile(out / "file")
    assert (out / "link").readlink() == Path("sub/empty")
    assert (out / "pipe").is_fifo()
    assert (out / "sub").stat().st_mtime == 7
    assert (out / "sub").stat().st_mode & 0o777 == 0o710
    assert (out / "file").stat().st_mtime == 1_500_000_000
    assert (out / "file").stat().st_mode & 0o777 == 0o640


def test_patterns_are_anchored_trees_and_each_must_match(machine: Machine) -> None:
    (machine.source / "sub").mkdir()
    (machine.source / "sub" / "x").write_text("x")
    machine.create("a", "-C", machine.source, "file", "sub")
    assert machine.run("-t", "-f", "a", "sub").stdout.splitlines() == ["sub", "sub/x"]
    missing = machine.run("-x", "-O", "-f", "a", "x", "file")
    assert (missing.returncode, missing.stdout) == (1, "what matters\n")
    assert messages(missing) == ["x: Not found in archive", DELAYED]
    fast = machine.run("-t", "--fast-read", "-f", "a", "sub")
    assert fast.stdout.splitlines() == ["sub"]


def test_the_cheap_question_for_one_archive_reads_nothing_of_it(machine: Machine) -> None:
    machine.create("a")
    there = machine.run("-t", "--fast-read", "-f", "a")
    assert (there.returncode, there.stdout, there.stderr) == (0, "", "")
    gone = machine.run("-t", "--fast-read", "-f", "b")
    assert (gone.returncode, messages(gone)) == (
        1,
        ["Archive does not exist: b", "Error reading archive metadata", "Error opening archive", DELAYED],
    )


def test_the_long_listing_has_iso_dates_and_numbers_on_demand(machine: Machine) -> None:
    os.utime(machine.source / "file", (1_500_000_000, 1_500_000_000))
    (machine.source / "file").chmod(0o640)
    machine.create("a", "-C", machine.source, "file")
    line = machine.run("-t", "-v", "--iso-dates", "--numeric-owner", "-f", "a").stdout
    uid, gid = os.getuid(), os.getgid()
    assert line.split() == ["-rw-r-----", "0", str(uid), str(gid), "13", "2017-07-14", "02:40:00", "file"]


def test_an_archive_comes_out_as_a_tar_stream(machine: Machine) -> None:
    machine.create("a", "-C", machine.source, "file")
    command = [str(machine.account.bin / "tarsnap"), *machine.words("-r", "-f", "a")]
    stream = subprocess.run(command, capture_output=True, check=True)
    listing = subprocess.run(["tar", "-xO"], input=stream.stdout, capture_output=True, check=True)
    assert listing.stdout == b"what matters\n"
