"""The double of the `tarsnap` client: its command line, keys and config files.

Numbers in brackets are those of the specification of an honest double: points 1 to 5 are here, the others in
`test_tarsnap_double_runs.py` (6 to 11, 17 to 19), `test_tarsnap_double_output.py` (12 to 16) and
`test_tarsnap_double_failures.py` (20, 21, and what a double must not get wrong).
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.fakes.tarsnap.machine import Machine, messages

VERSIONS = ("1.0.39", "1.0.40", "1.0.41")
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
