"""Config changes while the service runs, and starts with a wrong file."""

from __future__ import annotations

import pytest

from tests.systemd.box import Box, wait_for
from tests.systemd.product import CONFIG, UNIT, Product, backup_set

pytestmark = [pytest.mark.systemd, pytest.mark.timeout(300)]


def schedule_of(product: Product, name: str = "mail") -> str:
    (found,) = product.ask("status", name)["sets"]
    return str(found["jobs"]["backup"]["schedule"])


def test_a_good_file_changes_schedules_and_loses_no_due_run(box: Box, product: Product) -> None:
    product.configure(backup_set("mail", "/srv/live"), backup_set("shop", "/srv/live"))
    product.start()
    pid = product.pid
    with product.held("create"):
        product.begin("backup", "mail")
        wait_for(lambda: product.begun("create"), what="a creation")
        product.begin("backup", "shop")  # due, and waits for the lock
        product.configure(
            backup_set("mail", "/srv/live", schedule="5 4 * * *"),
            backup_set("shop", "/srv/live", schedule="6 4 * * *"),
        )
        box.systemctl("reload", UNIT)
        assert schedule_of(product) == "5 4 * * *"
    product.ended("mail")
    product.ended("shop")
    assert product.pid == pid
    assert len(box.journal(event="config-accepted")) == 1


def test_a_reload_has_happened_when_systemctl_returns(box: Box, product: Product) -> None:
    product.configure(backup_set("mail", "/srv/live"))
    product.start()
    for minute in range(5):
        product.configure(backup_set("mail", "/srv/live", schedule=f"{minute} 4 * * *"))
        box.systemctl("reload", UNIT)
        assert box.show("ActiveState") == "active"
        assert schedule_of(product) == f"{minute} 4 * * *"


def test_a_bad_file_fails_the_reload_and_changes_nothing(box: Box, product: Product) -> None:
    product.configure(backup_set("mail", "/srv/live"))
    product.start()
    pid = product.pid
    product.configure(backup_set("mail", "/srv/live", schedule="61 * * * *"))
    assert box.run("systemctl", "reload", UNIT, check=False).returncode == 1
    assert box.show("ReloadResult") == "exit-code"
    assert (box.show("ActiveState"), product.pid) == ("active", pid)
    assert schedule_of(product) == "@daily"
    (entry,) = box.journal(event="config-rejected")
    assert "61 * * * *" in entry["PROBLEMS"]
    product.command("backup", "mail")


def test_a_hangup_reloads_too(box: Box, product: Product) -> None:
    product.configure(backup_set("mail", "/srv/live"))
    product.start()
    product.configure(backup_set("mail", "/srv/live", schedule="7 4 * * *"))
    box.systemctl("kill", "--signal=HUP", "--kill-whom=main", UNIT)
    wait_for(lambda: schedule_of(product) == "7 4 * * *", what="the new schedule")


def test_a_start_with_a_bad_file_runs_on_the_last_accepted_one(box: Box, product: Product) -> None:
    product.configure(backup_set("mail", "/srv/live"))
    product.start()
    product.stop()
    box.write(CONFIG, "nonsense = 1\n")
    product.start()
    product.command("backup", "mail")
    (entry,) = box.journal(event="config-fallback")
    assert "nonsense" in entry["PROBLEMS"]
    assert entry["PRIORITY"] == "3"
    assert "last accepted" in box.show("StatusText")
    assert product.command("status", check=False).returncode == 3
