"""The program as a whole: help, errors, pipes."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from snapd.cli.program import COMMANDS, run
from snapd.cli.program import program as group
from tests.cli.canned import FakeDaemon, backup_set, done, status
from tests.cli.canned import run as a_run
from tests.cli.conftest import DEADLINE_S, Program

CLI = Path(__file__).parents[2] / "snapd" / "cli"
HEAVY = ("pydantic", "sqlalchemy", "apscheduler", "structlog", "rich", "cronsim", "snapd.config", "shutil")


def imported(program: Program, *arguments: str) -> set[str]:
    """Return the modules that a run of the program imports, as the interpreter tells them."""
    argv = [sys.executable, "-X", "importtime", "-m", "snapd", *arguments]
    finished = subprocess.run(argv, env=program.environ, capture_output=True, text=True, check=False)
    return {
        line.rpartition("|")[2].strip() for line in finished.stderr.splitlines() if "import time:" in line
    }


def test_help_names_every_command_and_imports_none(program: Program) -> None:
    ran = program("--help")
    assert (ran.status, ran.err) == (0, "")
    assert all(f"  {name}  " in ran.out for name in COMMANDS)
    modules = {f"snapd.cli.{entry.module}" for entry in COMMANDS.values()}
    assert imported(program, "--help").isdisjoint({*modules, *HEAVY, "snapd.control"})


def test_status_imports_nothing_that_is_slow(program: Program, daemon: FakeDaemon) -> None:
    daemon.answers["status"] = [done(status=status(backup_set()))]
    assert imported(program, "status").isdisjoint(HEAVY)


def test_following_a_run_imports_nothing_that_is_slow_in_a_pipe(program: Program, daemon: FakeDaemon) -> None:
    daemon.answers["run"] = [done(run=a_run())]
    assert imported(program, "backup", "mail").isdisjoint(HEAVY)


def test_a_check_that_says_nothing_in_the_journal_imports_no_more_than_the_config_needs(
    program: Program,
) -> None:
    text = """
        store.local = { engine = "borg", repository = "/none", passphrase = { file = "/none" } }
        backup.etc = { store = "local", schedule = "@daily", paths = ["/etc"] }
    """
    (program.folder / "config.toml").write_text(text)
    found = imported(program, "check")
    assert "pydantic" in found
    assert found.isdisjoint({"sqlalchemy", "apscheduler", "structlog", "rich", "asyncio"})
    assert "snapd.engines.borg" in found
    assert "snapd.engines.tarsnap" not in found


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_the_help_that_the_map_promises(program: Program, name: str) -> None:
    ran = program(name, "--help")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith(f"Usage: snapd-backup {name}")


def test_modules_of_the_command_line_import_at_their_top_only() -> None:
    inner = [
        f"{path.name}:{node.lineno}"
        for path in CLI.glob("*.py")
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert inner == []


def test_without_a_command_it_shows_its_help_and_exits_2(program: Program) -> None:
    ran = program()
    assert ran.status == 2
    assert ran.out.startswith("Usage: snapd-backup")


def test_it_tells_its_version(program: Program) -> None:
    assert program("--version").out.startswith("snapd-backup, version ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["statsu"], "No such command 'statsu'"),
        (["status", "--frobnicate"], "No such option"),
        (["backup"], "Missing argument 'SET'"),
        (["history", "--kind", "prune"], "'prune' is not one of"),
        (["history", "--limit", "0"], "0 is not in the range"),
    ],
)
def test_misuse_is_one_sentence_a_hint_and_exit_2(program: Program, arguments: list[str], said: str) -> None:
    ran = program(*arguments)
    assert (ran.status, ran.out) == (2, "")
    sentence, hint = ran.err.splitlines()
    assert sentence.startswith("snapd-backup: ")
    assert said in sentence
    assert hint.startswith("  see snapd-backup")
    assert hint.endswith("--help")


@pytest.mark.parametrize("arguments", [["status", "--json"], ["archives", "--json"], ["nothing", "--json"]])
def test_with_json_an_error_is_json_too(program: Program, arguments: list[str]) -> None:
    ran = program(*arguments)
    assert (ran.status, ran.err) == (2, "")
    error = json.loads(ran.out)["error"]
    assert set(error) == {"message", "hint", "code", "problems"}
    assert error["code"] in ("no-daemon", "usage")


def test_what_should_not_happen_is_one_sentence_without_a_traceback(
    program: Program, daemon: FakeDaemon
) -> None:
    daemon.answers["status"] = [done(status={"unexpected": "shape"})]
    ran = program("status")
    assert ran.status == 1
    assert ran.err.splitlines()[0] == "snapd-backup: this should not happen: KeyError: 'now'"
    assert "Traceback" not in ran.err
    assert "Traceback" in program("--debug", "status").err


def test_a_reader_that_goes_away_ends_it_quietly(program: Program, daemon: FakeDaemon) -> None:
    daemon.answers["history"] = [done(runs=[a_run() for _ in range(2000)], restores=[])]
    process = program.start("history", "--limit", "2000")  # more than a pipe holds
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(DEADLINE_S) == 141
    process.stderr.close()


def test_a_full_disk_under_its_output_is_an_error(program: Program) -> None:
    with Path("/dev/full").open("wb") as full:
        finished = subprocess.run(
            program.argv("--help"), env=program.environ, stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert finished.returncode == 1
    assert finished.stderr.startswith(b"snapd-backup: No space left on device\n")
    assert b"Traceback" not in finished.stderr


def test_the_config_may_be_named_by_option_or_environment(program: Program) -> None:
    ran = program("--config", "no/such.toml", "check")
    assert ran.status == 2
    assert str(program.folder / "no/such.toml") in ran.out + ran.err
    program.environ["SNAPD_BACKUP_CONFIG"] = "/other/file.toml"
    ran = program("check")
    assert "/other/file.toml" in ran.out + ran.err


def test_it_can_be_called_in_process(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith(f"{group.name}, version ")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_each_shell(program: Program, shell: str) -> None:
    ran = program("completion", shell)
    assert (ran.status, ran.err) == (0, "")
    assert "_SNAPD_BACKUP_COMPLETE" in ran.out


def completed(program: Program, *words: str) -> list[str]:
    program.environ.update(
        _SNAPD_BACKUP_COMPLETE="bash_complete",
        COMP_WORDS=" ".join(["snapd-backup", *words]),
        COMP_CWORD=str(len(words)),
    )
    ran = program()
    assert ran.err == ""
    return [line.partition(",")[2] for line in ran.out.splitlines() if line]


def test_commands_complete(program: Program) -> None:
    assert completed(program, "re") == ["restore-test", "resume", "repair", "restore", "reload"]


def test_names_of_sets_complete_from_the_daemon(program: Program, daemon: FakeDaemon) -> None:
    daemon.answers["status"] = [done(status=status(backup_set("mail"), backup_set("shop")))]
    assert completed(program, "backup", "s") == ["shop"]


def test_names_of_sets_complete_from_the_config_without_a_daemon(program: Program) -> None:
    (program.folder / "config.toml").write_text("[backup.mail]\n[backup.shop]\nwrong = 1\n")
    assert completed(program, "restore-test", "m") == ["mail"]


def test_completion_without_daemon_and_config_is_silent(program: Program) -> None:
    assert completed(program, "backup", "m") == []
    os.mkfifo(program.runtime / "control")
    assert completed(program, "backup", "m") == []
