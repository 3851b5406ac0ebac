"""The command line over the stand-in for Tarsnap, with a daemon and without: from a new key to a repair."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.box import Box
from tests.cli.conftest import Program
from tests.fakes.tarsnap.account import Account

CONFIG = """
[store.offsite]
engine = "tarsnap"
keyfile = "{key}"
cachedir = "{folder}/cachedir"

[backup.files]
store = "offsite"
paths = ["{folder}/files"]

[backup.files.restore_test]
schedule = "@yearly"
[[backup.files.restore_test.check]]
path = "{member}/a.txt"
"""
EXPIRE = '[backup.files.expire]\nschedule = "@yearly"\ndeltas = ["1d", "7d"]\n'
ANOTHER = """
[store.again]
engine = "tarsnap"
keyfile = "{key}"
cachedir = "{folder}/another"
[backup.more]
store = "again"
paths = ["{folder}/files"]
"""


class TarsnapBox(Box):
    """A box whose store is at Tarsnap's, as the stand-in has it."""

    def __init__(self, program: Program) -> None:
        self.account = Account(program.folder / "account")
        self.key = self.account.new_key()
        program.environ["PATH"] = self.account.path
        super().__init__(program)

    def write_config(self, extra: str = EXPIRE, *, key: Path | None = None) -> None:
        text = CONFIG.format(folder=self.folder, member=self.member, key=key or self.key)
        (self.folder / "config.toml").write_text(text + extra)


@pytest.fixture
def box(program: Program) -> TarsnapBox:
    return TarsnapBox(program)


@pytest.fixture
def begun(box: TarsnapBox) -> TarsnapBox:
    """A box whose key has its record."""
    box("init")
    return box


def test_a_new_key_gets_its_record_and_its_owner_the_advice_to_keep_it(box: TarsnapBox) -> None:
    first = box("init")
    assert "store offsite: created\n" in first.out
    assert "copy of the key file on another machine" in first.out
    assert "borg" not in first.out
    assert box("init").out == "store offsite: is there already\n"


def test_backups_are_made_listed_proven_planned_and_restored(begun: TarsnapBox) -> None:
    assert begun("backup", "files").out.startswith("backup of files: ok in ")
    (archive,) = begun.json("archives", "files", "--refresh")["archives"]
    assert begun.account.names(begun.key) == [archive["name"]]
    assert "passed  " in begun("restore-test", "files").out
    assert "1 to keep, 0 to delete." in begun("expire", "files", "--plan").out
    begun("restore", "files", "--to", str(begun.folder / "out"))
    assert (begun.folder / "out" / begun.member / "a.txt").read_text() == "first"
    assert begun.account.overlaps(begun.key) == []


def test_a_lost_cachedir_is_told_with_the_commands_and_a_repair_brings_it_back(begun: TarsnapBox) -> None:
    begun("backup", "files")
    cachedir = begun.folder / "cachedir"
    shutil.rmtree(cachedir)
    wrong = begun("check", expect=2)
    assert f"there is no cachedir {cachedir}" in wrong.out
    assert "snapd-backup repair offsite" in wrong.out.replace("\n    ", " ")
    assert "the key has archives" in begun("init", expect=1).err
    assert not cachedir.exists()
    cachedir.mkdir(mode=0o700)
    with begun.daemon():
        failed = begun("backup", "files", expect=1)
        assert "Sequence number mismatch" in failed.out
        asked = begun("repair", "offsite", expect=2)
        assert "out of step afterwards" in asked.err.replace("\n", " ")
        assert "snapd-backup repair --yes offsite" in asked.err
        assert begun("repair", "--yes", "offsite").out == "store offsite: repaired\n"
        begun("backup", "files")
    assert len(begun.account.names(begun.key)) == 2


@pytest.mark.parametrize(
    ("typed", "status", "said"), [("y\n", 0, "repaired"), ("n\n", 1, "nothing was done")]
)
def test_on_a_terminal_a_repair_asks_for_a_yes(begun: TarsnapBox, typed: str, status: int, said: str) -> None:
    ended, shown = begun.program.on_terminal("repair", "offsite", typed=typed)
    assert ended == status
    assert "Repair it now? [y/N]" in shown
    assert said in shown
    assert any("--fsck" in call.argv for call in begun.account.calls()) is (status == 0)


def test_two_cuts_of_one_key_are_wrong_and_a_key_that_may_not_delete_is_for_an_expiry(
    begun: TarsnapBox,
) -> None:
    cut = begun.account.cut_key(begun.key, "read", "write")
    begun.write_config(EXPIRE + ANOTHER.format(folder=begun.folder, key=cut))
    (begun.folder / "another").mkdir()
    wrong = begun.json("check", expect=2)
    assert [item["store"] for item in wrong["machine"]] == ["again"]
    assert "its key is the key of store offsite" in wrong["machine"][0]["message"]
    begun.write_config(EXPIRE, key=cut)
    (item,) = begun.json("check", expect=2)["machine"]
    assert "does not allow deleting" in item["message"]


def test_what_the_client_says_to_a_check_that_asks_it_is_no_part_of_the_answer(begun: TarsnapBox) -> None:
    asked = begun("check", "--connect")
    assert asked.out.startswith("config   ok  ")
    assert "engine-output" not in asked.out + asked.err


def test_a_key_that_can_delete_though_nothing_expires_is_a_warning(begun: TarsnapBox) -> None:
    begun.write_config("")
    ran = begun("check", expect=3)
    assert "machine  ok" in ran.out
    assert "warning  it works, and should not stay so\n" in ran.out
    assert "can delete and nuke all archives" in ran.out.replace("\n", " ")
    (warning,) = begun.json("check", expect=3)["warnings"]
    assert warning["store"] == "offsite"
    begun.write_config("", key=begun.account.cut_key(begun.key, "read", "write"))
    assert begun.json("check")["warnings"] == []
