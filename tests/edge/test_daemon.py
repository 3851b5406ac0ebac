"""The daemon as a process of its own, on a real Borg store."""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapd.errors import NoDaemonError, RefusedError
from tests.fakes.place import BORG, CONFIG, DEADLINE_S, Place, places, until, works


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    yield from places(tmp_path)


def test_an_idle_daemon_stops_at_once_and_in_order(place: Place) -> None:
    daemon = place.start()
    daemon.terminate()
    assert daemon.wait(DEADLINE_S) == 0
    assert not (place.root / "run" / "control").exists()


def test_a_second_daemon_on_the_same_state_is_refused(place: Place) -> None:
    place.start()
    second = place.command("run")
    assert second.returncode == 1
    assert "already" in second.stderr
    assert place.status()["pid"] == place.daemons[0].pid


def test_the_status_line_follows_a_pause_and_its_end(place: Place) -> None:
    def told() -> str:
        return next(part for part in place.status_lines[-1].split("; ") if part.startswith("next "))

    place.write("every 1d")
    place.start()
    until(lambda: place.status_lines)
    before = told()
    place.ask(op="pause", set="mail", **{"for": "2d"})
    until(lambda: told() != before)
    place.ask(op="resume", set="mail")
    until(lambda: told() == before)


def test_slots_become_archives(place: Place) -> None:
    place.write("every 1s")
    place.start()
    until(lambda: len(place.ask(op="archives", set="mail")["archives"]) >= 2)


def test_without_any_accepted_config_a_bad_file_refuses_the_start(place: Place) -> None:
    place.config.write_text("[backup.mail]\nstore = 'nowhere'\n")
    refused = place.command("run")
    assert refused.returncode == 2
    assert "nowhere" in refused.stderr


def test_a_bad_file_at_start_runs_on_the_last_accepted_one_and_says_so(place: Place) -> None:
    place.start().terminate()
    place.daemons[0].wait(DEADLINE_S)
    place.config.write_text("schedul = 1")
    place.start()
    assert place.status()["config"]["refused"]
    assert [item["name"] for item in place.status()["sets"]] == ["mail"]
    assert place.command("status").returncode == 3
    assert (
        "config-fallback" in (place.root / "log1").read_text()
        or "last accepted" in (place.root / "log1").read_text()
    )


def test_a_reload_takes_a_good_file_and_tells_what_changed(place: Place) -> None:
    place.start()
    place.write(
        "@daily",
        CONFIG.format(root=place.root, schedule="@daily")
        .split("[backup.mail]")[1]
        .join(["[backup.web]", ""]),
    )
    told = place.ask(op="reload")
    assert (told["added"], told["changed"]) == (["web"], ["mail"])
    assert {item["name"] for item in place.status()["sets"]} == {"mail", "web"}


def test_a_reload_refuses_a_bad_file_with_all_problems_and_changes_nothing(place: Place) -> None:
    place.start()
    place.write("@yearly", "unknown_key = 1\nexclud = []\n")
    with pytest.raises(RefusedError) as refused:
        place.ask(op="reload")
    assert refused.value.exit_code == 2
    assert "unknown_key" in refused.value.hint
    assert "exclud" in refused.value.hint
    assert place.status()["config"]["refused"] == []
    command = place.command("reload")
    assert command.returncode == 2
    assert "unknown_key" in command.stderr


def test_sighup_reloads_too(place: Place) -> None:
    daemon = place.start()
    place.write("@daily")
    daemon.send_signal(signal.SIGHUP)
    until(lambda: place.status()["sets"][0]["jobs"]["backup"]["schedule"] == "@daily")


def test_a_stop_during_a_backup_interrupts_it_and_the_next_start_makes_it(place: Place) -> None:
    hold = place.hold()
    daemon = place.start()
    place.ask(op="run", kind="backup", set="mail", follow=False)
    until(place.creating)
    daemon.terminate()
    assert daemon.wait(DEADLINE_S) == 0
    hold.unlink()
    place.start()
    until(lambda: ("ok", "interrupted") in place.outcomes())
    assert ("interrupted", "manual") in place.outcomes()


def test_two_engines_never_run_at_once_after_the_daemon_was_killed(place: Place) -> None:
    hold = place.hold()
    daemon = place.start()
    place.ask(op="run", kind="backup", set="mail", follow=False)
    until(place.creating)
    orphan = int((place.root / "calls").read_text().splitlines()[-1].split()[0])
    daemon.kill()
    daemon.wait(DEADLINE_S)
    assert works(orphan), "the engine outlives a killed daemon"
    (place.root / "creating").unlink()
    place.start()
    assert place.status()["lock"]["job"] == "backup:mail"
    assert ("interrupted", "manual") in place.outcomes()
    assert not place.creating(), "the lock lives as long as the engine of the killed daemon"
    hold.unlink()
    until(lambda: ("ok", "interrupted") in place.outcomes())
    assert not works(orphan)


def test_a_run_that_kills_the_daemon_twice_is_given_up_until_its_next_slot(place: Place) -> None:
    for _ in range(2):
        place.hold()
        daemon = place.start()
        if not place.status()["running"]:
            with contextlib.suppress(RefusedError):
                place.ask(op="run", kind="backup", set="mail", follow=False)
        until(place.creating)
        daemon.kill()
        daemon.wait(DEADLINE_S)
        (place.root / "hold").unlink()
        until(place.lock_is_free)  # the engine that the daemon left behind has ended
    place.start()
    (last, *_others) = place.rows()
    assert (last["outcome"], last["error_code"]) == ("failed", "crash-loop")
    assert place.status()["sets"][0]["jobs"]["backup"]["unfinished"] is None


def test_a_damaged_history_is_set_aside_and_every_backup_is_made(place: Place) -> None:
    place.start().terminate()
    place.daemons[0].wait(DEADLINE_S)
    (place.root / "state" / "history.sqlite").write_bytes(b"rubbish" * 1000)
    place.start()
    until(lambda: ("ok", "catch-up") in place.outcomes())
    assert list((place.root / "state").glob("history.sqlite.damaged-*"))
    assert place.status()["history"]["rebuilt"]


def test_a_history_of_a_newer_program_refuses_the_start_and_stays_untouched(place: Place) -> None:
    place.start().terminate()
    place.daemons[0].wait(DEADLINE_S)
    path = place.root / "state" / "history.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as history:
        history.execute("PRAGMA user_version = 999")
    before = path.read_bytes()
    refused = place.command("run")
    assert refused.returncode == 2
    assert "newer" in refused.stderr
    assert path.read_bytes() == before


def test_slots_follow_while_somebody_holds_the_job_store(place: Place) -> None:
    place.write("every 1s")
    place.start()
    holder = sqlite3.connect(place.root / "state" / "jobs.sqlite", isolation_level=None)
    until(lambda: _locked(holder))
    count = len(place.rows())
    until(lambda: sum(outcome == "ok" for outcome, _cause in place.outcomes()) >= count + 2)
    holder.execute("ROLLBACK")
    holder.close()
    until(lambda: "scheduler" in (place.root / "log0").read_text())


def _locked(connection: sqlite3.Connection) -> bool:
    try:
        connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError:
        return False
    return True


def test_a_key_that_others_can_read_stops_its_store_with_an_alarm_and_nothing_else(place: Place) -> None:
    (place.root / "passphrase").chmod(0o644)
    place.start()
    assert until(lambda: any("passphrase" in item["message"] for item in place.status()["problems"]))
    done = place.ask(op="run", kind="backup", set="mail", follow=True)["run"]
    assert done["outcome"] == "failed"
    assert place.command("check").returncode == 2


def test_a_key_that_is_not_there_yet_is_waited_for(place: Place) -> None:
    key = place.root / "passphrase"
    away = key.rename(place.root / "unmounted")
    place.start()
    place.ask(op="run", kind="backup", set="mail", follow=False)

    def waiting() -> bool:
        rows = [job["unfinished"] for found in place.status()["sets"] for job in found["jobs"].values()]
        return any(row and row["not_before"] and "does not exist" in row["message"] for row in rows)

    until(waiting)
    away.rename(key)
    done = place.ask(op="run", kind="backup", set="mail", follow=True)["run"]
    assert (done["outcome"], done["attempts"]) == ("ok", 2)


def test_without_a_daemon_the_command_runs_the_backup_itself(place: Place) -> None:
    ran = place.command("backup", "mail", "--json")
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout.splitlines()[-1])
    with pytest.raises(NoDaemonError):
        place.status()
    place.start()
    assert ("ok", "manual") in place.outcomes()


def test_an_engine_heeds_its_gentle_signal_when_a_script_backs_up_in_the_background(place: Place) -> None:
    """A shell lets what it starts with `&` ignore these two, which is inherited."""
    told = f"grep SigIgn /proc/self/status > {place.root}/ignored\nexec {BORG}"
    borg = place.root / "bin" / "borg"
    borg.write_text(borg.read_text().replace(f"exec {BORG}", told))
    deaf = ("sh", "-c", """trap '' INT QUIT; exec "$@\"""", "sh")
    argv = [*deaf, sys.executable, "-m", "snapd", "backup", "mail"]
    subprocess.run(argv, env=place.environ, capture_output=True, timeout=DEADLINE_S, check=True)
    ignored = int((place.root / "ignored").read_text().split()[1], 16)
    assert not ignored & (1 << signal.SIGINT - 1 | 1 << signal.SIGQUIT - 1)


def test_the_passphrase_is_in_no_command_line_and_in_no_log(place: Place) -> None:
    hold = place.hold()
    place.start()
    place.ask(op="run", kind="backup", set="mail", follow=False)
    until(place.creating)
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            assert b"a secret" not in command.read_bytes()
    hold.unlink()
    until(place.outcomes)
    assert "a secret" not in (place.root / "log0").read_text()
    assert "a secret" not in (place.root / "calls").read_text()


def test_a_daemon_that_was_away_for_long_makes_a_large_expiry_ask(place: Place) -> None:
    """Nobody can tell a machine that was away from a clock that is wrong."""
    place.start().terminate()
    place.daemons[0].wait(DEADLINE_S)
    with contextlib.closing(sqlite3.connect(place.root / "state" / "history.sqlite")) as history, history:
        history.execute("UPDATE notes SET value = '2020-01-01T00:00:00+00:00' WHERE key = 'awake'")
    place.start()
    with contextlib.closing(sqlite3.connect(place.root / "state" / "history.sqlite")) as history:
        assert history.execute("SELECT value FROM notes WHERE key = 'clock-jumped'").fetchone()
    assert "last sign of life" in (place.root / "log1").read_text()
