"""Stops, kills, hangs and downtime of the installed service."""

from __future__ import annotations

import time
from functools import partial

import pytest

from tests.systemd.box import Box, wait_for
from tests.systemd.product import CONFIG, PYTHON, REPOSITORY, STATE, UNIT, Product, backup_set

pytestmark = [pytest.mark.systemd, pytest.mark.timeout(300)]

EXPIRE = '[backup.mail.expire]\nschedule = "@daily"\ndeltas = ["1s", "2s"]\nmin_keep = 1\n'
RESTORE_TEST = """
[backup.mail.restore_test]
schedule = "@daily"
[[backup.mail.restore_test.check]]
path = "srv/live/note"
"""
HOLD_JOB_STORE = f"""
import sqlite3, sys
store = sqlite3.connect("{STATE}/jobs.sqlite", isolation_level=None, timeout=60)
store.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


def _begun(product: Product, count: int) -> bool:
    return product.begun("create") == count


def test_the_watch_of_these_tests_sees_two_engines_at_once(product: Product) -> None:
    with product.held("list"):
        product.watched_borg("list")
        wait_for(lambda: product.begun("list") == 1, what="the first engine")
        assert not product.two_at_once()
        product.watched_borg("list")
        wait_for(product.two_at_once, what="the second engine to be seen")


def test_a_stopped_process_is_killed_by_the_watchdog_and_comes_back(box: Box, product: Product) -> None:
    product.configure(backup_set("mail", "/srv/live"))
    product.drop_in("[Service]\nWatchdogSec=4\n")
    product.start()
    before = product.pid
    box.run("kill", "-STOP", str(before))
    wait_for(lambda: product.active_as_another_than(before), seconds=40, what="another daemon")
    product.command("backup", "mail")
    assert box.run("journalctl", "-u", UNIT, "--grep", "Watchdog timeout", "-q").stdout


def test_the_watchdog_is_answered_while_a_backup_waits_for_its_engine(box: Box, product: Product) -> None:
    product.configure(backup_set("mail", "/srv/live"))
    product.drop_in("[Service]\nWatchdogSec=3\n")
    product.start()
    pid = product.pid
    with product.held("create"):
        product.begin("backup", "mail")
        wait_for(lambda: product.begun("create"), what="a creation")
        end = time.monotonic() + 7  # more than two limits
        wait_for(lambda: time.monotonic() > end, what="the watchdog's chance")
    product.ended("mail")
    assert product.pid == pid


def test_a_held_job_store_is_noticed_and_neither_runs_nor_slots_suffer(box: Box, product: Product) -> None:
    product.configure(backup_set("mail", "/srv/live", schedule="every 5s"), backup_set("shop", "/srv/live"))
    product.start()
    pid = product.pid
    product.ended("mail")
    with product.held("create"):
        product.begin("backup", "shop")
        begun = product.begun("create")
        wait_for(lambda: product.begun("create") > begun - 1, what="a creation")
        holder = box.start(PYTHON, "-c", HOLD_JOB_STORE)
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            noticed = ("scheduler-down", "scheduler-restarted")
            wait_for(
                lambda: any(box.journal(event=name) for name in noticed),
                seconds=90,
                what="the held job store to be noticed",
            )
            assert product.engines()
        finally:
            holder.communicate("")
    product.ended("shop")
    done = len(product.rows("mail"))
    wait_for(
        lambda: len([row for row in product.rows("mail") if row["outcome"] == "ok"]) > done,
        seconds=90,
        what="slots to follow",
    )
    assert product.pid == pid
    assert not product.two_at_once()


def test_a_stop_ends_a_running_backup_gently_and_in_time(box: Box, product: Product) -> None:
    box.run("truncate", "-s", "500G", "/srv/live/large")  # holes: costs no disk, takes Borg minutes
    product.configure(backup_set("mail", "/srv/live"))
    box.run("sed", "-i", 's/^timezone/stop_limit = "20s"\\n&/', CONFIG)
    product.start()
    product.begin("backup", "mail")
    product.wait_until_reading()
    product.stop()
    assert box.show("Result") == "success"
    assert product.engines() == []
    assert len(box.journal(event="daemon-stopped")) == 1
    box.run("rm", "/srv/live/large")
    assert product.archives() == []  # Borg answers: it left no lock behind
    stored = product.borg("list", "--short", "--consider-checkpoints", REPOSITORY).stdout
    assert ".checkpoint" in stored  # and kept what it had
    product.start()
    row = product.ended("mail")
    assert row["cause"] == "interrupted"
    assert [row["outcome"] for row in product.rows("mail")] == ["interrupted", "ok"]
    assert len(product.archives()) == 1


def test_a_daemon_killed_in_a_backup_makes_it_again_with_one_engine(box: Box, product: Product) -> None:
    box.run("truncate", "-s", "500G", "/srv/live/large")
    product.configure(backup_set("mail", "/srv/live"))
    product.start()
    product.begin("backup", "mail")
    product.wait_until_reading()
    box.run("rm", "/srv/live/large")
    product.kill()
    product.ended("mail")
    assert not product.two_at_once()
    assert len(product.archives()) == 1
    product.borg("check", REPOSITORY)
    assert box.journal(event="recovered")


def test_a_daemon_killed_in_an_expiry_deletes_the_rest_later(box: Box, product: Product) -> None:
    product.configure(backup_set("mail", "/srv/live", more=EXPIRE))
    product.start()
    for _ in range(4):
        product.command("backup", "mail")
    with product.held("delete"):
        product.begin("expire", "mail")
        wait_for(lambda: product.begun("delete"), what="a deletion")
        product.kill()
        wait_for(lambda: product.begun("delete") > 1, seconds=60, what="the expiry to be caught up")
        assert not product.two_at_once()
    product.ended("mail", "expire")
    assert not product.two_at_once()
    assert 0 < len(product.archives()) < 4
    product.borg("check", REPOSITORY)


def test_a_daemon_killed_in_a_restore_test_tests_again_and_leaves_no_scratch(
    box: Box, product: Product
) -> None:
    product.configure(backup_set("mail", "/srv/live", more=RESTORE_TEST))
    product.start()
    product.command("backup", "mail")
    with product.held("extract"):
        product.begin("restore-test", "mail")
        wait_for(lambda: product.begun("extract"), what="an extraction")
        product.kill()
        wait_for(lambda: product.begun("extract") > 1, seconds=60, what="the test to be caught up")
    product.ended("mail", "restore-test")
    assert not product.two_at_once()
    left = box.run("find", STATE, "/var/cache/snapd-backup", "-path", "*scratch*/*", "-type", "f").stdout
    assert left == ""


def test_a_backup_that_ends_the_daemon_twice_waits_for_its_slot_and_the_others_go_on(
    box: Box, product: Product
) -> None:
    product.configure(backup_set("mail", "/srv/live"), backup_set("shop", "/srv/live"))
    product.start()
    with product.held("create"):
        product.begin("backup", "mail")
        for count in (1, 2):
            wait_for(partial(_begun, product, count), what=f"creation {count}")
            product.kill()
    row = product.ended("mail", outcome=("failed",))
    assert row["error_code"] == "crash-loop"
    product.command("backup", "shop")
    assert product.begun("create") == 3


def test_downtime_over_several_slots_is_one_missed_row_and_one_catch_up_run(
    box: Box, product: Product
) -> None:
    product.configure(backup_set("mail", "/srv/live", schedule="every 3s"))
    product.start()
    product.ended("mail")
    product.stop()
    end = time.time() + 10
    wait_for(lambda: time.time() > end, what="three slots to pass")
    product.configure(backup_set("mail", "/srv/live", schedule="every 3s"), backup_set("b", "/srv/live"))
    product.start()
    missed = product.ended("mail", outcome=("missed",))
    assert missed["slots"] >= 3
    assert missed["slot"] < missed["last_slot"]
    caught_up = wait_for(lambda: [row for row in product.rows("mail") if row["cause"] == "catch-up"])
    assert len(caught_up) == 1
    assert len([row for row in product.rows("mail") if row["outcome"] == "missed"]) == 1
    (entry,) = box.journal(event="slots-missed")
    assert entry["SLOTS"] == str(missed["slots"])
