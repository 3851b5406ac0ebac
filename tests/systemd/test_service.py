"""The installed service under a real systemd: start, status, privileges, journal, secrets."""

from __future__ import annotations

import pytest

from snapd.events import EVENTS
from tests.systemd.box import Box, wait_for
from tests.systemd.product import (
    CONFIG,
    PASSPHRASE,
    PASSPHRASE_FILE,
    PYTHON,
    REPOSITORY,
    UNIT,
    Product,
    backup_set,
)

pytestmark = [pytest.mark.systemd, pytest.mark.timeout(300)]


def test_the_service_is_active_only_when_it_takes_requests(box: Box, product: Product) -> None:
    product.configure(backup_set("mail", "/srv/live"))
    box.systemctl("start", "--no-block", UNIT)
    seen = set()

    def active() -> bool:
        seen.add(box.show("ActiveState"))
        return "active" in seen

    wait_for(active, what="the service to be active")
    assert product.ask("status")["pid"] == product.pid
    assert seen <= {"inactive", "activating", "active"}
    assert box.show("NotifyAccess") == "main"


def test_status_shows_what_comes_next_and_which_lights_are_off(box: Box, product: Product) -> None:
    product.configure(backup_set("mail", "/srv/live"))
    product.start()
    line = wait_for(lambda: box.show("StatusText"), what="a status line")
    assert "next backup:mail" in line
    assert "lights off: fresh (mail), proven (mail)" in line
    assert line in box.systemctl("status", UNIT)


def test_a_file_that_only_root_may_read_is_backed_up_by_the_unprivileged_service(
    box: Box, product: Product
) -> None:
    box.write("/srv/live/secret", "root's alone\n", mode=0o600)
    product.configure(backup_set("mail", "/srv/live"))
    product.start()
    product.command("backup", "mail")
    (row,) = product.rows("mail")
    kept = product.borg("extract", "--stdout", f"{REPOSITORY}::{row['archive']}", "srv/live/secret")
    assert kept.stdout == "root's alone\n"
    assert box.run("stat", "-c", "%U", f"/proc/{product.pid}").stdout.strip() == "snapd-backup"
    strangers = box.run("find", REPOSITORY, "/var/lib/snapd-backup", "!", "-user", "snapd-backup").stdout
    assert strangers == ""


def test_the_journal_has_native_fields_to_ask_for(box: Box, product: Product) -> None:
    product.configure(backup_set("mail", "/srv/live"), backup_set("shop", "/srv/live"))
    product.start()
    product.command("backup", "mail")
    product.command("backup", "shop")
    (row,) = product.rows("shop")
    (entry,) = box.journal(backup_set="shop", event="run-ended")
    assert entry["MESSAGE_ID"] == EVENTS["run-ended"].message_id
    assert entry["SYSLOG_IDENTIFIER"] == "snapd-backup"
    assert entry["PRIORITY"] == "6"
    assert (entry["KIND"], entry["OUTCOME"]) == ("backup", "ok")
    assert (entry["RUN_ID"], entry["ARCHIVE"]) == (row["run_id"], row["archive"])
    assert float(entry["DURATION_S"]) > 0
    assert int(entry["BYTES_NEW"]) > 0
    assert entry["MESSAGE"].startswith("backup of shop ok in ")
    assert {item["BACKUP_SET"] for item in box.journal(run_id=row["run_id"])} == {"shop"}


def test_the_passphrase_is_in_no_command_line_and_not_in_the_journal(box: Box, product: Product) -> None:
    product.configure(backup_set("mail", "/srv/live"))
    product.start()
    with product.held("create"):
        product.begin("backup", "mail")
        wait_for(lambda: product.begun("create"), what="a creation")
        lines = box.run("sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '").stdout
    assert "borg" in lines
    assert PASSPHRASE not in lines
    product.ended("mail")
    assert PASSPHRASE not in box.run("journalctl", "-o", "export", "--all").stdout


def test_a_passphrase_can_be_a_credential_of_systemd(box: Box, product: Product) -> None:
    product.configure(backup_set("mail", "/srv/live"))
    box.run("sed", "-i", 's|{ file = ".*" }|{ credential = "borg" }|', CONFIG)
    box.run("chmod", "0600", PASSPHRASE_FILE)
    box.run("chown", "root:root", PASSPHRASE_FILE)
    product.drop_in(f"[Service]\nLoadCredential=borg:{PASSPHRASE_FILE}\n")
    product.start()
    product.command("backup", "mail")
    assert len(product.archives()) == 1


MAKE_SHOP = """
import sqlite3
shop = sqlite3.connect("/srv/shop/shop.db")
shop.execute("PRAGMA journal_mode=wal")
shop.execute("CREATE TABLE sales (id INTEGER)")
shop.commit()
shop.close()
"""


def test_a_closed_wal_database_needs_its_folder_writable_and_the_run_says_how(
    box: Box, product: Product
) -> None:
    shared = ("-o", "root", "-g", "snapd-backup", "-m", "2770")
    box.run("install", "-d", *shared, "/srv/shop")
    box.run(PYTHON, "-c", MAKE_SHOP)
    box.run("chmod", "0660", "/srv/shop/shop.db")
    dump = '[[backup.shop.dump]]\nengine = "sqlite"\npath = "/srv/shop/shop.db"\n'
    product.configure(backup_set("shop", "/srv/live", more=dump))
    product.start()
    assert product.command("backup", "shop", check=False).returncode == 1
    (row,) = product.rows("shop")
    assert "read-only to the service" in row["message"]
    assert "ReadWritePaths=" in row["hint"]

    product.stop()
    product.drop_in("[Service]\nReadWritePaths=-/srv/shop\n")
    product.start()
    product.command("backup", "shop")
    assert len(product.archives()) == 1


def test_what_is_wrong_on_the_machine_stops_only_the_runs_it_concerns(box: Box, product: Product) -> None:
    other = '[store.other]\nengine = "borg"\nrepository = "/srv/backup/other"\n'
    other += 'passphrase = { file = "/etc/snapd-backup/none" }\n'
    broken = backup_set("shop", "/srv/live").replace('"local"', '"other"')
    product.configure(other, backup_set("mail", "/srv/live"), broken)
    product.start()
    alarms = wait_for(lambda: box.journal(event="machine-problem"), what="an alarm")
    assert {entry["STORE"] for entry in alarms} == {"other"}
    assert {entry["PRIORITY"] for entry in alarms} == {"3"}
    product.command("backup", "mail")
    product.begin("backup", "shop")
    waiting = wait_for(lambda: box.journal(event="run-retry"), what="the run to be put off")
    assert {entry["BACKUP_SET"] for entry in waiting} == {"shop"}
    assert {entry["ERROR_CODE"] for entry in waiting} == {"usage"}


def test_without_an_accepted_config_the_start_is_refused_and_not_repeated(box: Box, product: Product) -> None:
    box.write(CONFIG, "nonsense = 1\n")
    assert box.run("systemctl", "start", UNIT, check=False).returncode != 0
    wait_for(lambda: box.show("ActiveState") == "failed", what="the failed state")
    assert box.show("ExecMainStatus") == "2"
    assert box.show("NRestarts") == "0"
    said = "\n".join(str(entry["MESSAGE"]) for entry in box.journal())
    assert "nonsense" in said


def test_a_stranger_on_the_control_socket_is_refused(box: Box, product: Product) -> None:
    product.configure(backup_set("mail", "/srv/live"))
    product.start()
    done = box.run("runuser", "-u", "nobody", "--", "snapd-backup", "status", check=False)
    assert done.returncode == 2
    assert product.ask("status")["pid"] == product.pid
