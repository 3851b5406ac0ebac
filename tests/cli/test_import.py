"""`import`: a crontab as it is typed, its exit status, and input that cannot be read."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from snapd.config import parse
from tests.cli.conftest import DEADLINE_S, Program, Ran
from tests.fakes.tarsnap.account import Account

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
    assert "`/nowhere/tarsnap.conf`" in ran.out


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


def test_a_file_of_tarsnapper_with_its_schedule_is_carried_over(program: Program, conf: str) -> None:
    (program.folder / "tarsnap.conf").write_text("keyfile /root/k\ncachedir /var/c\n")
    ran = program(
        "import", "tarsnapper", str(GOLDEN / "simple.yaml"), "--schedule", "@daily", "--tarsnap-conf", conf
    )
    assert (ran.status, ran.err) == (0, "")
    assert list(parse(ran.out, file="config.toml", system_timezone="UTC").backup) == ["www", "mail"]


def test_a_wrong_schedule_is_2(program: Program) -> None:
    ran = program("import", "tarsnapper", str(GOLDEN / "simple.yaml"), "--schedule", "sometimes")
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("snapd-backup: 'sometimes' has 1 fields")


# -- against the store ------------------------------------------------------------------------------------

NOW = datetime.now(UTC).replace(second=0, microsecond=0)  # the program has no clock but the real one


class Shop:
    """A Tarsnap account with two months of daily archives of a crontab line, and that crontab."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.account = Account(program.folder / "account")
        self.key = self.account.new_key()
        self.cachedir = program.folder / "cachedir"
        days = [NOW - timedelta(days=day) for day in range(60)]
        created = {f"mail_{day:%Y%m%d-%H%M}": int(day.timestamp()) for day in days}
        self.account.fill(self.key, self.cachedir, {**created, "mail_old_20200101-0000": 1577836800})
        program.environ["PATH"] = self.account.path
        self.crontab = program.folder / "crontab"
        self.crontab.write_text(
            f"0 */2 * * * tarsnap --keyfile {self.key} --cachedir {self.cachedir} "
            '-cf "mail_$(date -u +\\%Y\\%m\\%d-\\%H\\%M)" /srv/mail\n'
            "50 3 * * * tarsnapper --target 'mail_$date' --dateformat '\\%Y\\%m\\%d-\\%H\\%M' "
            "--deltas 1d 7d 30d - expire\n"
        )

    def __call__(self, *options: str) -> Ran:
        arguments = ("import", "crontab", str(self.crontab), "--tarsnap-conf", "/dev/null")
        return self.program(*arguments, "--check-against-store", *options)


@pytest.fixture
def shop(program: Program) -> Shop:
    return Shop(program)


def test_the_plan_for_the_archives_that_exist_stands_below_the_config_as_comments(shop: Shop) -> None:
    ran = shop()
    assert ran.status == 0
    assert parse(ran.out, file="config.toml", system_timezone="UTC").backup.keys() == {"mail"}
    below = ran.out[ran.out.index("# -- What this config would make") :]
    assert "# mail: 60 archives, 12 to keep, 48 to delete.\n" in below
    assert "An expiry would be held: first expiry of archives that were not made here" in below
    assert "1 archive of store offsite belongs to no set, and nothing deletes it:\n" in below
    assert "mail_old_20200101-0000" in below
    assert all(line == "" or line.startswith("#") for line in below.splitlines())


def test_the_plan_is_that_of_the_policy_and_names_what_goes(shop: Shop) -> None:
    answer = json.loads(shop("--json").out)
    (trial,) = answer["plans"]
    assert trial["strangers"] == ["mail_old_20200101-0000"]
    (mail,) = trial["sets"]
    kept = [item["name"] for item in mail["plan"]["archives"] if item["keep"]]
    ages = [(NOW - datetime.strptime(f"{name}+0000", "mail_%Y%m%d-%H%M%z")).days for name in kept]
    assert ages == [0, 1, 2, 3, 4, 5, 6, 7, 9, 16, 23, 30]  # as tarsnapper keeps of 60 daily ones
    assert mail["archives"] == 60


def test_a_check_against_the_store_deletes_nothing_and_leaves_nothing_behind(shop: Shop) -> None:
    before = shop.account.names(shop.key)
    calls = len(shop.account.calls())
    shop()
    assert shop.account.names(shop.key) == before
    modes = [call.argv[-3:] for call in shop.account.calls()[calls:] if "--version" not in call.argv]
    assert modes == [("--list-archives", "-v", "--null-output")]
    assert not (shop.program.folder / "state").exists()
    assert not (shop.program.folder / "cache").exists()


def test_a_store_that_gives_no_answer_is_1_and_the_config_is_there(shop: Shop) -> None:
    shop.account.switch(network="no-name")
    ran = shop()
    assert ran.status == 1
    assert parse(ran.out, file="config.toml", system_timezone="UTC").backup
    assert "# Store offsite was not listed:" in ran.out


def test_a_config_that_is_wrong_is_printed_and_not_tried(shop: Shop) -> None:
    shop.crontab.write_text('0 1 * * * tarsnapper --target "x_$date" --deltas 1d 2d - expire\n')
    ran = shop()
    assert ran.status == 2
    assert ran.out.startswith("# Made by snapd-backup import")
    assert "there is no backup set" in ran.err
