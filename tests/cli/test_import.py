"""`import`: a crontab as it is typed, its exit status, and input that cannot be read."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from snapd.config import parse
from tests.cli.conftest import DEADLINE_S, Program, Ran

GOLDEN = Path(__file__).parents[1] / "golden" / "import"
TWO_LINES = GOLDEN / "two-lines.crontab"


@pytest.fixture
def conf(program: Program) -> str:
    """A tarsnap.conf of its own, so that this machine's does not count."""
    file = program.folder / "tarsnap.conf"
    file.write_text("print-stats\n")
    return str(file)


def piped(program: Program, content: bytes, *arguments: str) -> Ran:
    ran = subprocess.run(
        program.argv(*arguments),
        env=program.environ,
        cwd=program.folder,
        input=content,
        capture_output=True,
        timeout=DEADLINE_S,
        check=False,
    )
    return Ran(ran.returncode, ran.stdout.decode(), ran.stderr.decode())


def test_all_carried_over_is_0_and_says_nothing_more_than_the_config(program: Program, conf: str) -> None:
    ran = program("import", "crontab", str(TWO_LINES), "--tarsnap-conf", conf)
    assert (ran.status, ran.err) == (0, "")
    parsed = parse(ran.out, file="config.toml", system_timezone="UTC")
    assert list(parsed.backup) == ["mail"]
    assert "Everything was carried over." in ran.out


def test_something_left_is_3_and_is_counted_on_standard_error(program: Program, conf: str) -> None:
    ran = piped(
        program, b"MAILTO=me\n" + TWO_LINES.read_bytes(), "import", "crontab", "-", "--tarsnap-conf", conf
    )
    assert ran.status == 3
    assert ran.err == "1 thing needs a look: find NOT CARRIED OVER in the config\n"
    assert "# Made by snapd-backup import from standard input." in ran.out


def test_json_holds_the_config_and_the_account_of_every_part(program: Program, conf: str) -> None:
    ran = program("import", "crontab", str(GOLDEN / "small-team.crontab"), "--tarsnap-conf", conf, "--json")
    answer = json.loads(ran.out)
    assert ran.status == 3
    assert answer.keys() == {"config", "not_carried", "items", "plans"}
    assert parse(answer["config"], file="config.toml", system_timezone="UTC").backup
    fates = [item["fate"] for item in answer["items"]]
    assert set(fates) == {"carried", "changed", "not-needed", "not-carried"}
    assert fates.count("not-carried") == answer["not_carried"]
    assert all(item.keys() == {"where", "text", "fate", "says"} for item in answer["items"])
    assert answer["plans"] is None


def test_a_tarsnap_conf_that_is_missing_is_told_of_and_no_failure(program: Program) -> None:
    ran = program("import", "crontab", str(TWO_LINES), "--tarsnap-conf", "/nowhere/tarsnap.conf")
    assert ran.status == 3
    assert "`--tarsnap-conf /nowhere/tarsnap.conf`" in ran.out


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"0 1 * * * a\n0 2 * * * tarsnap -c 'x\n", "standard input:2: the quote '"),
        (b"0 1 * * * tarsnap\n\0\n", "standard input:2: found a byte 0"),
        (b"0 1 * * * tarsnap\n\xff\n", "standard input:2: not UTF-8, found the byte 0xff"),
        (b"# " * 2**20, "standard input is larger than 1 MiB"),
        (b"", "standard input has no job that looks like a backup"),
    ],
)
def test_input_that_cannot_be_read_is_2_with_one_sentence_and_its_line(
    program: Program, content: bytes, said: str
) -> None:
    ran = piped(program, content, "import", "crontab", "-")
    assert (ran.status, ran.out) == (2, "")
    first, *_hint = ran.err.splitlines()
    assert first.startswith(f"snapd-backup: {said}")
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("file", ["/nowhere/crontab", "/dev/zero", "/"])
def test_a_file_that_is_none_is_2(program: Program, file: str) -> None:
    ran = program("import", "crontab", file)
    assert (ran.status, ran.out) == (2, "")
    assert len(ran.err.splitlines()) <= 2


def test_a_file_of_options_that_is_a_device_is_told_of_and_not_read(program: Program, conf: str) -> None:
    job = rb'0 1 * * * tarsnap --keyfile /k --cachedir /c -X /dev/zero -cf "a_$(date -u +\%F)" /srv'
    ran = piped(program, job, "import", "crontab", "-", "--tarsnap-conf", conf)
    assert ran.status == 3
    assert "the file could not be read" in ran.out


def test_a_crontab_of_a_megabyte_is_read(program: Program, conf: str) -> None:
    job = b'0 1 * * * tarsnap --keyfile /k --cachedir /c -cf "a%d_$(date -u +\\%%F)" /srv/%d\n'
    content = b"".join(job % (number, number) for number in range(300)) + b" \n" * 450_000
    ran = piped(program, content, "import", "crontab", "-", "--tarsnap-conf", conf)
    assert ran.status == 0
    assert len(parse(ran.out, file="config.toml", system_timezone="UTC").backup) == 300
