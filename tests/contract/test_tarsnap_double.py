"""The double of the `tarsnap` client: its command line, config files and directives.

Numbers in brackets are those of the specification of an honest double. Where its points are tested:
1, 4, 5 here; 2, 3 `_needs`; 6 to 11 `_transactions`; 12 to 14 `_output`; 15, 16 `_files`; 17 to 19
`_signals`; 20, 21, and what a double must not get wrong (`test_trap_…`) `_failures`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.fakes.tarsnap.machine import VERSIONS, Machine, messages

NO_MODE = (
    "Must specify one of -c, -d, -r, -t, -x, --list-archives, --print-stats, --fsck, --fsck-prune, or --nuke"
)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


# [1] One mode, options before paths, left-over words


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            (),
            NO_MODE,
        ),
        (("-c", "-d"), "Can't specify both -d and -c"),
        (("--fsck", "--list-archives"), "Can't specify both --list-archives and --fsck"),
        (("-d", "-f", "a", "--one-file-system"), "Option --one-file-system is not permitted in mode -d"),
        (("-t", "-f", "a", "--lowmem"), "Option --lowmem is not permitted in mode -t"),
        (("-d", "-f", "a", "--null"), "Option --null is not permitted in mode -d"),
        (("-d", "-f", "a", "--dry-run"), "Option --dry-run is not permitted in mode -d"),
        (
            ("-c", "-f", "a", "--checkpoint-bytes", "999999", "x"),
            "checkpoint-bytes value must be at least 1M",
        ),
        (("-c", "-f", "a", "--maxbw-rate", "7999", "x"), "Invalid bandwidth rate limit: 7999"),
        (
            ("-d", "--archive-names", "/dev/null", "--archive-names", "/dev/null"),
            "Two --archive-names options given.",
        ),
        (("-c", "-f", "a"), "no files or directories specified"),
        (("-c", "-f", "a", "--creationtime", "0", "x"), "Invalid --creationtime argument: 0"),
    ],
)
def test_a_wrong_combination_is_told_in_one_line_with_status_1(
    machine: Machine, words: tuple[str, ...], message: str
) -> None:
    """[1]"""
    machine.run("--initialize-cachedir")
    done = machine.run(*words)
    assert (done.returncode, done.stdout, messages(done)) == (1, "", [message])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--frob",), "Option --frob is not supported"),
        (("--no-c",), "Ambiguous option --no-c (matches --no-config-include and --no-config-exclude)"),
        (("--list-archives", "--keyfile"), "Option --keyfile requires an argument"),
        (("-c", "-f"), "Option -f requires an argument"),
        (("--list-archives=yes",), "Option --list-archives does not allow an argument"),
    ],
)
def test_an_option_that_cannot_be_understood_gives_the_usage(
    machine: Machine, words: tuple[str, ...], message: str
) -> None:
    """[1]"""
    done = machine.account.run(*words)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"tarsnap: {message}\nUsage:\n  List:          tarsnap ")


def test_an_option_of_one_value_that_is_given_twice_gives_the_usage(machine: Machine) -> None:
    """[1]"""
    done = machine.run("--list-archives", "--keyfile", machine.key)
    assert (done.returncode, done.stderr.splitlines()[0]) == (1, "Usage:")


def test_options_after_a_path_are_paths(machine: Machine) -> None:
    """[1]"""
    done = machine.create("a", machine.source, "--quiet")
    told = "List of objects to archive includes '--quiet'.  This might not be what you intended."
    assert told in done.stderr
    assert "--quiet: Cannot stat: No such file or directory" in done.stderr
    assert machine.names() == ["a"]


def test_a_unique_prefix_of_a_long_option_will_do(machine: Machine) -> None:
    """[1]"""
    machine.create("a")
    assert machine.run("--list").stdout == "a\n"


def test_the_word_after_f_is_a_name_whatever_it_looks_like(machine: Machine) -> None:
    """[1]"""
    assert machine.create("--list-archives").returncode == 0
    assert machine.names() == ["--list-archives"]


@pytest.mark.parametrize("version", VERSIONS)
def test_left_over_words_are_refused_only_since_release_40(tmp_path: Path, version: str) -> None:
    """[1]: before, `-d -f a b` deleted only a, without a word."""
    machine = Machine(tmp_path, version)
    machine.create("a")
    done = machine.run("-d", "-f", "a", "b")
    if version == "1.0.39":
        assert (done.returncode, done.stderr, machine.names()) == (0, "", [])
    else:
        assert messages(done) == ["Cannot have unused command-line args in this mode."]
        assert (done.returncode, machine.names()) == (1, ["a"])


@pytest.mark.parametrize("version", VERSIONS)
def test_version_goes_to_stdout_and_the_key_tools_to_stderr(tmp_path: Path, version: str) -> None:
    """[1]"""
    machine = Machine(tmp_path, version)
    done = machine.account.run("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"tarsnap {version}\n", "")
    tool = [str(machine.account.bin / "tarsnap-keymgmt"), "--version"]
    other = subprocess.run(tool, capture_output=True, text=True, check=False)
    assert (other.stdout, other.stderr) == ("", f"tarsnap-keymgmt {version}\n")


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("1.0.39", ("--list-archives", "--passphrase", "env:X")),
        ("1.0.39", ("--list-archives", "--dump-config")),
        ("1.0.39", ("-x", "-f", "a", "--resume-extract")),
        ("1.0.40", ("--list-archives", "--null-output")),
        ("1.0.40", ("--list-archives", "--hashes")),
        ("1.0.40", ("-c", "-f", "a", "--dry-run-metadata", "x")),
    ],
)
def test_a_release_lacks_the_options_of_later_ones(
    tmp_path: Path, version: str, words: tuple[str, ...]
) -> None:
    """[1]"""
    done = Machine(tmp_path, version).run(*words)
    assert done.returncode == 1
    assert "is not supported\nUsage:" in done.stderr


# [4] Config files


def test_a_config_option_that_the_mode_forbids_is_ignored_in_a_file(machine: Machine) -> None:
    """[4]: on the command line it is fatal, see above."""
    machine.create("a")
    config = machine.folder / "config"
    config.write_text(f"# comment\n\nlowmem\nkeyfile {machine.folder / 'other'}\nprint-stats\n")
    assert machine.run("--list-archives", "--configfile", config).stdout == "a\n"
    assert "This archive" in machine.create("b", "--configfile", config, machine.source).stderr
    quiet = machine.create("c", "--configfile", config, "--no-print-stats", machine.source)
    assert "This archive" not in quiet.stderr


def test_default_config_files_are_read_unless_told_not_to(machine: Machine) -> None:
    """[4]"""
    etc = machine.folder / "etc"
    etc.mkdir()
    (etc / "tarsnap.conf").write_text(f"keyfile {machine.key}\ncachedir {machine.cachedir}\nexclude file\n")
    machine.account.switch(sysconfdir=str(etc))
    assert machine.account.run("-c", "-f", "a", machine.source).returncode == 0
    assert machine.account.contents(machine.key, "a") == {}
    done = machine.account.run("--no-default-config", "--list-archives")
    assert messages(done) == ["Keys must be provided via --keyfile option"]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_config_folder_of_the_desktop_is_read_since_release_41(tmp_path: Path, version: str) -> None:
    """[4]"""
    machine = Machine(tmp_path, version)
    (tmp_path / "xdg" / "tarsnap").mkdir(parents=True)
    (tmp_path / "xdg" / "tarsnap" / "tarsnap.conf").write_text(f"keyfile {machine.key}\n")
    environment = {"PATH": os.environ["PATH"], "XDG_CONFIG_HOME": str(tmp_path / "xdg")}
    machine.account.switch(sysconfdir=str(tmp_path))
    done = machine.account.run("--list-archives", env=environment)
    assert done.returncode == (0 if version == "1.0.41" else 1)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("frob", 'Unrecognized configuration file option: "frob"'),
        ("keyfile", "Argument required for configuration file option: keyfile"),
    ],
)
def test_a_wrong_line_of_a_config_file_is_fatal(machine: Machine, line: str, message: str) -> None:
    """[4]"""
    config = machine.folder / "config"
    config.write_text(f"{line}\n")
    done = machine.account.run("--no-default-config", "--verify-config", "--configfile", config)
    assert (done.returncode, messages(done)) == (1, [message])
    config.write_text("lowmem\n")
    done = machine.account.run("--no-default-config", "--verify-config", "--configfile", config)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_was_configured_can_be_shown(machine: Machine) -> None:
    """[4]"""
    config = machine.folder / "config"
    config.write_text("lowmem\n")
    told = messages(machine.run("--list-archives", "--dump-config", "--configfile", config))
    assert told[1] == f"{config}: lowmem"
    assert told[0].endswith(f"--list-archives --dump-config --configfile {config}")


def test_a_missing_config_file_is_fatal(machine: Machine) -> None:
    """[4]"""
    done = machine.run("--list-archives", "--configfile", "/nowhere")
    assert messages(done) == ["Cannot read config file: /nowhere: No such file or directory"]


# [5] Directives


def test_a_path_that_starts_like_the_option_changes_folder_even_behind_the_dashes(machine: Machine) -> None:
    """[5]: alone, it stores an empty archive with status 0."""
    (machine.folder / "foo").mkdir()
    done = machine.run("-c", "-f", "a", "--", "-Cfoo", cwd=machine.folder)
    assert done.returncode == 0
    assert machine.account.contents(machine.key, "a") == {}


def test_a_path_that_starts_with_an_at_sign_is_an_archive_even_behind_the_dashes(machine: Machine) -> None:
    """[5]"""
    machine.create("a")
    subprocess.run(["tar", "-cf", "other.tar", "source/file"], cwd=machine.folder, check=True)
    done = machine.run("-c", "-f", "b", "--", "@other.tar", "@@a", cwd=machine.folder)
    assert done.returncode == 0
    stored = machine.account.contents(machine.key, "b")
    inside = str(machine.source / "file").lstrip("/")
    assert stored == {"source/file": b"what matters\n", inside: b"what matters\n"}
    lost = machine.run("-c", "-f", "c", "--", "@nothing.tar", cwd=machine.folder)
    assert lost.returncode == 2
    assert "Failed to open 'nothing.tar'" in lost.stderr


# The programs themselves


def test_the_programs_may_be_copied_and_need_nothing_but_an_interpreter(machine: Machine) -> None:
    """A container has neither this repository nor its packages."""
    copy = machine.folder / "elsewhere" / "bin"
    shutil.copytree(machine.account.bin, copy)
    shutil.rmtree(machine.account.bin)
    command = ["env", "-i", str(copy / "tarsnap"), *machine.words("-c", "-f", "a", machine.source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert machine.account.names(machine.key) == ["a"]
    with (copy / "tarsnap").open() as file:
        assert file.readline().endswith(" -IS\n")


def test_a_switch_that_does_not_exist_is_an_error_of_the_test(machine: Machine) -> None:
    machine.account.switch(netwrk="ok")
    done = machine.run("--list-archives")
    assert (done.returncode, done.stderr) == (1, "tarsnap double: no such switch: netwrk = 'ok'\n")
