"""The command line with a real daemon and a real Borg store, and without any daemon."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from snapd.lock import Holder, SingleLock
from tests.cli.box import Box
from tests.cli.canned import NOW, FakeDaemon, backup_set, done, restore, status
from tests.cli.conftest import DEADLINE_S, Program, until
from tests.cli.test_look import ARCHIVES
from tests.cli.test_status import DETAILS
from tests.needs import needs_root

if shutil.which("borg") is None and not os.environ.get("CI"):
    pytest.skip("borg is not installed", allow_module_level=True)

NOBODY = 65534


@pytest.fixture
def box(program: Program) -> Box:
    return Box(program)


@pytest.fixture
def with_store(box: Box) -> Box:
    box("init")
    return box


def test_init_creates_each_store_once_and_asks_for_a_copy_of_the_key(box: Box) -> None:
    first = box("init")
    assert "store local: created\n" in first.out
    assert "borg key export" in first.out
    second = box("init", "local")
    assert second.out == "store local: is there already\n"


def test_init_says_how_to_make_a_folder_that_is_not_there(box: Box) -> None:
    (box.folder / "store").rmdir()
    ran = box("init", expect=1)
    assert f"the folder {box.folder}/store does not exist" in ran.err
    assert "install -d -o " in ran.err
    assert ran.err.rstrip().endswith(f"-m 0700 {box.folder}/store/borg")


def test_init_of_an_unknown_store_names_those_there_are(box: Box) -> None:
    assert "there is: local" in box("init", "elsewhere", expect=2).err


def test_without_a_daemon_the_command_does_the_work_itself(with_store: Box) -> None:
    ran = with_store("backup", "files")
    assert "no daemon answers; this command does the work itself\n" in ran.err
    assert ran.out.startswith("backup of files: ok in ")
    archives = with_store.json("archives", "files", "--refresh")["archives"]
    assert [item["complete"] for item in archives] == [True]
    tested = with_store("restore-test", "files")
    assert "passed  " in tested.out
    assert "1 to keep, 0 to delete." in with_store("expire", "files", "--plan").out


def test_without_a_daemon_an_archive_is_pinned_and_vouched_for_all_the_same(with_store: Box) -> None:
    with_store("backup", "files")
    (archive,) = with_store.json("archives", "files", "--refresh")["archives"]
    pinned = with_store("pin", archive["name"], "--reason", "the audit")
    assert pinned.out == f"pinned {archive['name']} of files\n"
    assert pinned.err == "no daemon answers; this command does the work itself\n"
    assert with_store.json("archives", "files", "--refresh")["archives"][0]["pinned"] is not None
    assert "is not pinned" in with_store("unpin", "files_20200101-000000", expect=2).err
    assert with_store("unpin", archive["name"]).out == f"unpinned {archive['name']} of files\n"
    assert with_store("accept", "files").out == "No archive of files is suspect.\n"


def test_after_a_damaged_history_a_yes_on_a_terminal_releases_the_expiry_without_a_daemon(
    with_store: Box,
) -> None:
    config = with_store.folder / "config.toml"
    config.write_text(config.read_text().replace('"1d", "7d"]', '"30d", "60d"]\nmin_keep = 1'))
    for _ in range(3):
        with_store("backup", "files")
    (with_store.folder / "state" / "history.sqlite").write_bytes(b"no database" * 1000)
    held = with_store("expire", "files", expect=3)
    assert "expiry is held: the history was rebuilt from nothing" in held.out
    exit_status, said = with_store.program.on_terminal("expire", "files", "--approve", typed="y\n")
    assert exit_status == 0, said
    assert "Approved for 7 days" in said
    assert "ending what runs" not in said
    done = with_store("expire", "files")
    assert " of 3 archives deleted" in done.out
    assert len(with_store.json("archives", "files", "--refresh")["archives"]) < 3


def test_without_a_daemon_json_is_the_same_events(with_store: Box) -> None:
    ran = with_store("backup", "shop", "--json")
    events = [json.loads(line) for line in ran.out.splitlines()]
    kinds = [event["event"] for event in events]
    assert kinds[:2] == ["foreground", "queued"]
    assert kinds[-1] == "done"
    assert events[-1]["run"]["outcome"] == "ok"
    assert ran.err == ""


def test_without_a_daemon_no_wait_sees_who_holds_the_lock(with_store: Box) -> None:
    with _locked(with_store):
        ran = with_store("backup", "files", "--no-wait", expect=75)
    assert "the lock is held by expiry of shop (run r1, process" in ran.err


@contextmanager
def _locked(box: Box) -> Iterator[None]:
    """Hold the single lock within the block, as another process would."""
    lock = SingleLock(box.folder / "state")
    since = datetime(2026, 11, 23, 12, tzinfo=UTC)
    assert lock.try_acquire(Holder(pid=os.getpid(), run_id="r1", job="expire:shop", since=since))
    try:
        yield
    finally:
        lock.release()


def _said(process: subprocess.Popen[bytes], words: bytes) -> bytes:
    """Return the line of standard error that has these words, as soon as it comes."""
    assert process.stderr is not None
    for line in process.stderr:
        if words in line:
            return line
    raise AssertionError(f"{words!r} was never said")


def test_ctrl_c_without_a_daemon_ends_the_run_itself(with_store: Box) -> None:
    with _locked(with_store):
        process = with_store.program.start("backup", "files")
        _said(process, b"waiting for the lock, held by ")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, out) == (130, b"")
    assert "ending what runs gently" in err.decode()
    assert "goes on" not in err.decode()
    assert "Traceback" not in err.decode()


def test_restore_without_a_daemon_waits_for_the_lock(with_store: Box) -> None:
    with_store("backup", "files")
    target = with_store.folder / "restored"
    with _locked(with_store):
        process = with_store.program.start("restore", "files", "--to", str(target))
        line = _said(process, b"waiting for the lock")
        assert b"expiry of shop (run r1, process" in line
        assert process.poll() is None
    out, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, err
    assert out.startswith(b"restored everything from archive files_")


def test_without_a_daemon_nothing_can_be_left_to_it(with_store: Box) -> None:
    assert "no daemon answers" in with_store("backup", "files", "--detach", expect=2).err


def test_a_run_that_fails_says_why_and_exits_1(with_store: Box) -> None:
    (with_store.folder / "shop.sqlite").unlink()
    ran = with_store("backup", "shop", expect=1)
    assert "backup of shop: failed in " in ran.out
    assert "shop.sqlite" in ran.out


def test_a_day_with_the_daemon(with_store: Box) -> None:
    with with_store.daemon():
        backup = with_store("backup", "files")
        assert backup.out.startswith("backup of files: ok in ")
        assert "foreground" not in backup.err
        assert "passed  " in with_store("restore-test", "files").out
        (archive,) = with_store.json("archives", "files")["archives"]
        assert archive["proven"] is not None
        assert archive.keys() == ARCHIVES[0].keys()
        plan = with_store("expire", "files", "--plan")
        assert f"  {archive['name']}  " in plan.out
        runs = with_store.json("history", "files")["runs"]
        assert [run["kind"] for run in runs] == ["restore-test", "backup"]
        told = with_store.json("status", "files", expect=3)
        _same_shape(told, {**DETAILS, "runs": []})
        lights = told["sets"][0]["lights"]
        assert {label for label, light in lights.items() if light["on"]} == {"fresh", "proven", "encrypted"}
        assert [run["run_id"] for run in told["runs"]] == [run["run_id"] for run in runs]
        assert "files is paused until " in with_store("pause", "files", "--for", "4h").out
        assert "paused, " in with_store("status", expect=3).out
        with_store("resume", "files")
        assert "off-site    files, shop" in with_store("check", expect=3).out
        assert "there is: files, shop" in with_store("backup", "nothing", expect=2).err


def _same_shape(real: dict[str, Any], canned: dict[str, Any]) -> None:
    """What the other tests pretend that a daemon says has the keys of what this one says."""
    assert real.keys() == canned.keys()
    assert real["config"].keys() == canned["config"].keys()
    assert real["history"].keys() == canned["history"].keys()
    (real_set,), (canned_set,) = real["sets"], canned["sets"]
    assert real_set.keys() == canned_set.keys()
    assert list(real_set["lights"]) == list(canned_set["lights"])
    assert real_set["newest"].keys() == canned_set["newest"].keys()
    real_job, canned_job = real_set["jobs"]["backup"], canned_set["jobs"]["backup"]
    assert real_job.keys() == canned_job.keys()
    assert real_job["last"].keys() == canned_job["last"].keys()


def test_reload_takes_a_good_file_and_refuses_a_bad_one(with_store: Box) -> None:
    with with_store.daemon():
        with_store.write_config('[backup.more]\nstore = "local"\npaths = ["/etc/hostname"]\n')
        assert with_store("reload").out == "reloaded: added more\n"
        with_store.write_config("[backup.more]\nfrobnicate = 1\n")
        refused = with_store("reload", expect=2)
        assert "frobnicate" in refused.err
        assert "the config in force stays as it was" in refused.err
        assert "more" in with_store("status", expect=3).out


def test_check_tells_the_file_from_the_machine(with_store: Box) -> None:
    assert "machine  ok" in with_store("check", "--connect").out
    (with_store.folder / "passphrase").chmod(0o644)
    wrong = with_store("check", expect=2)
    assert "machine  wrong\n  store local: " in wrong.out
    with_store.write_config("[backup.more]\nfrobnicate = 1\nmore = 2\n")
    bad = with_store("check", expect=2)
    assert "frobnicate" in bad.out
    assert "more" in bad.out
    assert "machine" not in bad.out
    found = with_store.json("check", expect=2)
    assert len(found["problems"]) >= 2
    assert found["machine"] is None


def test_check_says_when_the_daemon_runs_on_another_config(with_store: Box, daemon: FakeDaemon) -> None:
    refused = {"file": "c.toml", "accepted": NOW, "refused": ["c.toml:3: unknown key"]}
    daemon.answers["status"] = [done(status=status(backup_set(), config=refused))]
    ran = with_store("check", expect=3)
    assert "the daemon still runs on the last accepted one: snapd-backup reload" in ran.out
    daemon.answers["status"] = [done(status=status(backup_set()))]
    assert "lights   all on\n" in with_store("check").out


def restored(target: Path, box: Box) -> dict[str, str]:
    """Return what lies below a restore's target, paths below the saved folder."""
    root = target / box.member
    return {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}


def test_restore_without_a_daemon_brings_everything_back(with_store: Box) -> None:
    with_store("backup", "files")
    target = with_store.folder / "deep" / "restored"
    ran = with_store("restore", "files", "--to", str(target))
    assert ran.out.startswith("restored everything from archive files_")
    assert ran.out.rstrip().endswith(f"into {target}")
    assert restored(target, with_store) == {"a.txt": "first", "below/b.txt": "second"}
    assert SingleLock(with_store.folder / "state").holder() is None


def in_another_second() -> None:
    """Return when the second is over: two archives of one second have one time."""
    now = int(time.time())
    until(lambda: int(time.time()) > now)


def test_restore_beside_the_daemon_chooses_by_time_name_and_path(with_store: Box) -> None:
    with with_store.daemon():
        with_store("backup", "files")
        (with_store.files / "a.txt").write_text("changed")
        in_another_second()
        with_store("backup", "files")
        newest, oldest = with_store.json("archives", "files")["archives"]
        targets = {name: with_store.folder / name for name in ("newest", "at", "named", "part")}
        with_store("restore", "files", "--to", str(targets["newest"]))
        at = with_store.json("restore", "files", "--at", oldest["created"], "--to", str(targets["at"]))
        named = with_store.json(
            "restore", "files", "--archive", newest["name"], "--to", str(targets["named"])
        )
        with_store("restore", "files", "--to", str(targets["part"]), str(with_store.files / "below"))
    assert restored(targets["newest"], with_store)["a.txt"] == "changed"
    assert at["restored"]["archive"] == oldest["name"]
    assert restored(targets["at"], with_store)["a.txt"] == "first"
    assert named["restored"]["archive"] == newest["name"]
    assert restored(targets["part"], with_store) == {"below/b.txt": "second"}


def test_the_history_tells_of_restores_and_of_those_that_failed(with_store: Box) -> None:
    target = with_store.folder / "restored"
    with with_store.daemon():
        with_store("backup", "files")
        done = with_store.json("restore", "files", "--to", str(target), f"{with_store.member}/a.txt")
        failed = with_store("restore", "files", "--to", str(with_store.folder / "r"), "no/such", expect=1)
        rows = with_store("history", "files").out.splitlines()
        history = with_store.json("history", "files")
        only = with_store.json("history", "--kind", "restore")
    assert "did not take" not in failed.err
    assert [row.split()[2:4] for row in rows[1:]] == [
        ["restore", "failed"],
        ["restore", "ok"],
        ["backup", "ok"],
    ]
    assert f"{done['restored']['archive']} -> {target}" in rows[2]
    bad, good = history["restores"]
    assert good.keys() == restore().keys()
    assert (good["archive"], good["to"]) == (done["restored"]["archive"], str(target))
    assert good["paths"] == done["restored"]["paths"]
    assert (good["outcome"], good["error"], good["uid"]) == ("ok", None, os.geteuid())
    assert bad["outcome"] == "failed"
    assert "no/such" in bad["error"]
    assert only == {"runs": [], "restores": [bad, good]}
    log = (with_store.folder / "daemon.log").read_text()
    assert "restore of files ok in " in log
    assert "restore of files failed in " in log


def test_a_database_that_shrank_is_suspect_until_somebody_accepts_it(with_store: Box) -> None:
    with with_store.daemon():
        with sqlite3.connect(with_store.folder / "shop.sqlite") as shop:
            shop.execute("CREATE TABLE pictures (bytes BLOB)")
            shop.execute("INSERT INTO pictures VALUES (zeroblob(1000000))")
        with_store("backup", "shop")
        shop.execute("DROP TABLE pictures")
        shop.execute("VACUUM")
        shop.close()
        suspect = with_store("backup", "shop", expect=3)
        newest, _ = with_store.json("archives", "shop")["archives"]
        accepted = with_store("accept", "shop").out
        again = with_store("accept", "shop").out
        archives = with_store.json("archives", "shop")["archives"]
    assert "`snapd-backup accept shop`" in suspect.out
    assert newest["suspect"] is True
    assert accepted == f"accepted {newest['name']}\n"
    assert again == "No archive of shop is suspect.\n"
    assert not [item for item in archives if item["suspect"]]
    assert "1 suspect archive of shop accepted" in (with_store.folder / "daemon.log").read_text()


def test_restore_on_a_machine_without_any_state_works(with_store: Box) -> None:
    with_store("backup", "files")
    shutil.rmtree(with_store.folder / "state")
    shutil.rmtree(with_store.folder / "cache")
    target = with_store.folder / "restored"
    with_store("restore", "files", "--to", str(target), "--archive", _only_name(with_store))
    assert restored(target, with_store)["a.txt"] == "first"
    assert not (with_store.folder / "state").exists()


def _only_name(box: Box) -> str:
    """Ask Borg itself for the name of the only archive."""
    environ = {**os.environ, "BORG_PASSPHRASE": "correct horse", "BORG_BASE_DIR": str(box.folder / "own")}
    environ["BORG_RELOCATED_REPO_ACCESS_IS_OK"] = "yes"
    argv = ["borg", "list", "--short", str(box.folder / "store" / "borg")]
    return subprocess.run(argv, env=environ, capture_output=True, text=True, check=True).stdout.strip()


def test_restore_refuses_a_folder_with_something_in_it(with_store: Box) -> None:
    with_store("backup", "files")
    target = with_store.folder / "full"
    target.mkdir()
    (target / "mine").write_text("precious")
    ran = with_store("restore", "files", "--to", str(target), expect=2)
    assert f"the folder {target} is not empty" in ran.err
    with_store("restore", "files", "--to", str(target), "--overwrite")
    assert (target / "mine").read_text() == "precious"
    assert restored(target, with_store)["a.txt"] == "first"


def test_restore_of_a_path_that_is_not_there_says_so(with_store: Box) -> None:
    with_store("backup", "files")
    ran = with_store("restore", "files", "--to", str(with_store.folder / "r"), "no/such/path", expect=1)
    assert "no/such/path" in ran.err
    assert not (with_store.folder / "r").exists()


@needs_root
def test_root_leaves_no_file_of_its_own_behind(passable: Path) -> None:
    box = Box(Program(passable))
    ours = [box.folder / name for name in ("state", "cache", "store")]
    for folder in ours:
        os.chown(folder, NOBODY, NOBODY)
    secret = box.folder / "passphrase"
    os.chown(secret, NOBODY, NOBODY)
    box("init")
    (box.files / "root-only").write_text("root")
    (box.files / "root-only").chmod(0o600)
    box("backup", "files")
    box("archives", "files", "--refresh")
    box("restore-test", "files")
    box("expire", "files")
    strays = [path for folder in ours for path in folder.rglob("*") if path.lstat().st_uid != NOBODY]
    assert strays == []
    box("restore", "files", "--to", str(box.folder / "restored"))
    assert restored(box.folder / "restored", box)["root-only"] == "root"
