"""A machine that lives through a week: the installed service, a Tarsnap account, a clock to be moved on."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from snapd.control import ask
from snapd.errors import NoDaemonError
from tests.fakes.tarsnap.account import Account
from tests.systemd.box import Box, wait_for
from tests.systemd.clock import Clock
from tests.systemd.product import CONFIG, UNIT

DOCUMENT = Path(__file__).parents[2] / "docs/tarsnap.md"
KEY = "/etc/snapd-backup/tarsnap.key"
CACHEDIR = "/var/cache/snapd-backup/tarsnap"
RUNTIME = "/run/snapd-backup"
DROP_IN = "/etc/systemd/system/snapd-backup.service.d/week.conf"

# The double's server is a folder, where the client's is in the network. And the service looks at its clocks
# when it answers the watchdog: told so, ten times a second. systemd itself keeps to WatchdogSec=60.
CHANGED = """[Service]
ReadWritePaths={account}
Environment=WATCHDOG_USEC=200000
"""


@dataclass
class Week:
    """Instants are aware. `key` is the key file as the account knows it, outside the box."""

    box: Box
    clock: Clock
    account: Account
    key: Path

    # -- before ---------------------------------------------------------------------------------------

    def live_as_a_crontab(self, folder: str) -> str:
        """Let root's tarsnap make an archive, as the crontab did; return its name."""
        self.box.run("cp", "-a", f"{self.account.bin}/.", "/usr/local/bin/")
        self.box.write("/root/tarsnap.key", self.key.read_text(), mode=0o600)
        options = ("--keyfile", "/root/tarsnap.key", "--cachedir", "/usr/local/tarsnap-cache")
        self.box.run("tarsnap", "--initialize-cachedir", *options)
        name = f"mail_{self.clock.now():%Y%m%d-%H%M}"
        self.box.run("tarsnap", "-c", "-f", name, *options, folder)
        return name

    def move_over(self, config: str) -> None:
        """Type what docs/tarsnap.md says, and start the service."""
        box = self.box
        box.write(DROP_IN, CHANGED.format(account=self.account.folder))
        uid = int(box.run("id", "-u", "snapd-backup").stdout)
        for path in (self.account.folder, *self.account.folder.rglob("*")):
            os.chown(path, uid, 0)
        section = DOCUMENT.read_text(encoding="utf-8").split("\n## Move over\n", 1)[1].split("\n## ", 1)[0]
        _installing, _importing, key, cachedir, _looking = re.findall(
            r"^```sh\n(.*?)^```$", section, re.M | re.S
        )
        box.run("sh", "-e", text=key + cachedir)
        box.write(CONFIG, config, owner="root:snapd-backup", mode=0o640)
        checked = box.run("snapd-backup", "check", "--connect", check=False)
        assert checked.returncode == 0, checked.stdout + checked.stderr
        box.systemctl("daemon-reload")
        box.systemctl("enable", "--now", UNIT)

    def write(self, path: str, text: str) -> None:
        """Write a file that root alone may read, now by the clock of the box (the kernel's is another)."""
        file = self.box.path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o600)
        os.utime(file, (self.clock.now().timestamp(),) * 2)

    # -- time -----------------------------------------------------------------------------------------

    def pass_until(self, moment: datetime) -> None:
        """Let every slot and every retry before `moment` come and be dealt with, then sleep up to there."""
        while (coming := _coming(self.status())) < moment:
            self.come_to(coming)
            self.settle()
        self.clock.sleep_until(moment)

    def come_to(self, slot: datetime) -> None:
        """Wake up for a slot or a retry, and return when the daemon has found it due."""
        if self.clock.now() < slot:
            self.clock.sleep_until(slot)
        wait_for(lambda: _coming(self.status()) > slot, what=f"{slot} to be noticed")

    def settle(self) -> None:
        """Return when nothing runs, and nothing is due by now."""
        wait_for(self._idle, seconds=60, what="the runs to end")

    def reboot_until(self, moment: datetime) -> None:
        """Reboot, and be down until `moment`."""
        self.box.reboot(lambda: self.clock.sleep_until(moment))
        wait_for(self._answers, what="the service to take requests")

    def _answers(self) -> bool:
        try:
            return bool(self.status())
        except NoDaemonError:
            return False

    def _idle(self) -> bool:
        status = self.status()
        at_once = [run for run in waiting(status) if not run["not_before"]]
        return not status["running"] and not at_once and _coming(status) > self.clock.now()

    # -- what it says ---------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """What `snapd-backup status --json` prints, without the time that the command takes to start."""
        found: dict[str, Any] = self._ask({"op": "status", "set": None})["status"]
        return found

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        with closing(ask(self.box.path(RUNTIME), request)) as events:
            return list(events)[-1]

    def rows(self, job: str) -> list[dict[str, Any]]:
        """Ended rows of a job, oldest first."""
        kind, _, name = job.partition(":")
        found = self._ask({"op": "history", "set": name, "kind": kind, "limit": 1000})["runs"]
        return [row for row in reversed(found) if row["outcome"]]

    def journal(self, *more: str) -> list[dict[str, Any]]:
        """What the service's own processes wrote, in all boots, oldest first."""
        self.box.run("journalctl", "--sync")
        said = self.box.run("journalctl", "-q", "--all", "-o", "json", f"_SYSTEMD_UNIT={UNIT}.service", *more)
        return [json.loads(line) for line in said.stdout.splitlines()]

    # -- the store ------------------------------------------------------------------------------------

    def writings(self) -> list[tuple[datetime, str]]:
        """When each call of the client that changes the store began, and `create NAME` or `delete NAME …`."""
        calls = [(call.start, _writing(call.argv)) for call in self.account.calls()]
        return [(datetime.fromtimestamp(start, UTC), what) for start, what in calls if what]


def waiting(status: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Rows that have not ended: those that run, are due, or wait for their retry."""
    for backup_set in status["sets"]:
        for job in backup_set["jobs"].values():
            if job["unfinished"] is not None:
                yield job["unfinished"]


def _coming(status: dict[str, Any]) -> datetime:
    """The next slot of any job, or the next retry."""
    retries = [run["not_before"] for run in waiting(status) if run["not_before"]]
    return min(datetime.fromisoformat(text) for text in (status["next"]["slot"], *retries))


def _writing(argv: tuple[str, ...]) -> str:
    names = [after for word, after in pairwise(argv) if word == "-f"]
    mode = "create" if "-c" in argv else "delete" if "-d" in argv else ""
    return f"{mode} {' '.join(names)}" if mode else ""
