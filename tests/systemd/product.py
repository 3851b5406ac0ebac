"""The installed service inside the box: its config, its store, its engine under watch."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.systemd.box import Box, wait_for

UNIT = "snapd-backup"
CONFIG = "/etc/snapd-backup/config.toml"
PASSPHRASE_FILE = "/etc/snapd-backup/passphrase"
PASSPHRASE = "correct horse battery staple"
REPOSITORY = "/srv/backup/borg"
EMPTY_REPOSITORY = "/var/lib/empty-borg"
STATE = "/var/lib/snapd-backup"
WATCH = "/srv/backup/watch"
DROP_IN = "/etc/systemd/system/snapd-backup.service.d/test.conf"
PYTHON = "/usr/local/lib/snapd-backup/bin/python"

# Before the real Borg in PATH. It takes a lock of its own that lives as long as Borg does, and writes a line
# when another Borg has it: two engines at once cannot go unseen. A file hold-COMMAND makes that command wait.
WATCHED_BORG = f"""#!/bin/sh
for word in "$@"; do
    case $word in create | delete | compact | extract | list | info | check | init | config) break ;; esac
done
case $word in --version) exec /usr/bin/borg "$@" ;; esac
exec 9>>{WATCH}/lock
flock -n 9 || echo "$word" >>{WATCH}/two-at-once
echo "$word" >>{WATCH}/begun
while [ -e "{WATCH}/hold-$word" ]; do sleep 0.05; done
exec /usr/bin/borg "$@"
"""

STORE = f"""
[daemon]
timezone = "UTC"

[store.local]
engine = "borg"
repository = "{REPOSITORY}"
passphrase = {{ file = "{PASSPHRASE_FILE}" }}
"""


def backup_set(name: str, path: str, *, schedule: str = "@daily", more: str = "") -> str:
    return f"""
[backup.{name}]
store = "local"
schedule = "{schedule}"
paths = ["{path}"]
{more}
"""


class Product:
    def __init__(self, box: Box) -> None:
        self.box = box
        self._begun: list[subprocess.Popen[str]] = []

    # -- before and after -----------------------------------------------------------------------------

    def reset(self) -> None:
        """A service that never ran, an empty store, the watched engine, a new page of the journal."""
        box = self.box
        box.systemctl("kill", "--signal=KILL", UNIT, check=False)
        box.systemctl("stop", UNIT, check=False)
        box.systemctl("reset-failed", UNIT, check=False)
        box.run("rm", "-rf", STATE, "/var/cache/snapd-backup", "/run/snapd-backup")
        box.run("rm", "-rf", "/srv/backup", "/srv/live", "/srv/shop")
        box.run("rm", "-f", DROP_IN)
        box.systemctl("daemon-reload")
        box.run("systemd-tmpfiles", "--create", "snapd-backup.conf")
        box.run("install", "-d", "-o", "snapd-backup", "-g", "snapd-backup", WATCH)
        box.write("/usr/local/bin/borg", WATCHED_BORG, mode=0o755)
        box.write(PASSPHRASE_FILE, PASSPHRASE + "\n", owner="root:snapd-backup", mode=0o640)
        box.write("/srv/live/note", "worth keeping\n", mode=0o600)
        box.write(f"{WATCH}/passphrase", PASSPHRASE, owner="snapd-backup:snapd-backup", mode=0o600)
        if not box.exists(EMPTY_REPOSITORY):
            self.borg("init", "-e", "repokey", REPOSITORY)
            box.run("cp", "-a", REPOSITORY, EMPTY_REPOSITORY)
        box.run("cp", "-a", "--no-target-directory", EMPTY_REPOSITORY, REPOSITORY)
        box.run("rm", "-f", f"{WATCH}/begun")
        box.mark()

    def configure(self, *sets: str) -> None:
        self.box.write(CONFIG, STORE + "".join(sets), owner="root:snapd-backup", mode=0o640)

    def drop_in(self, text: str) -> None:
        self.box.write(DROP_IN, text)
        self.box.systemctl("daemon-reload")

    # -- the service ----------------------------------------------------------------------------------

    def start(self) -> None:
        self.box.systemctl("start", UNIT)

    def stop(self) -> None:
        self.box.systemctl("stop", UNIT)

    @property
    def pid(self) -> int:
        return int(self.box.show("MainPID"))

    def kill(self) -> int:
        """Kill the daemon alone, as the kernel might, and return the pid of the one that follows."""
        before = self.pid
        self.box.run("kill", "-KILL", str(before))
        return wait_for(lambda: self.active_as_another_than(before), what="the daemon to come back")

    def active_as_another_than(self, pid: int) -> int:
        """The pid of the active daemon, 0 while there is none or it is still this one."""
        now = self.pid
        return now if now != pid and self.box.show("ActiveState") == "active" else 0

    # -- what it says ---------------------------------------------------------------------------------

    def command(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.box.run("snapd-backup", *arguments, check=check)

    def begin(self, *arguments: str) -> None:
        """Ask for a run and go on: the command follows it in the background."""
        self._begun.append(self.box.start("snapd-backup", *arguments))

    def end(self) -> None:
        """Let go what is held, and leave no process behind."""
        self.box.run("rm", "-rf", WATCH)
        self.box.systemctl("kill", "--signal=KILL", UNIT, check=False)
        self.box.systemctl("stop", UNIT, check=False)
        for process in self._begun:
            process.communicate(timeout=60)

    def ask(self, *arguments: str) -> dict[str, Any]:
        """Return what a command prints with `--json`; a light that is off is no failure here."""
        done = self.command(*arguments, "--json", check=False)
        assert done.returncode in (0, 3), done.stdout + done.stderr
        value: dict[str, Any] = json.loads(done.stdout)
        return value

    def rows(self, name: str, kind: str = "backup") -> list[dict[str, Any]]:
        """Ended rows of a set, oldest first."""
        rows = self.ask("history", name)["runs"]
        return [row for row in reversed(rows) if row["kind"] == kind]

    def ended(self, name: str, kind: str = "backup", *, outcome: tuple[str, ...] = ("ok",)) -> dict[str, Any]:
        """Wait for the first row of this kind that ended so."""
        found = wait_for(
            lambda: [row for row in self.rows(name, kind) if row["outcome"] in outcome],
            seconds=60,
            what=f"{kind} of {name} to end {' or '.join(outcome)}",
        )
        return found[0]

    # -- the engine -----------------------------------------------------------------------------------

    def borg(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the real Borg as the service's user, beside the watch."""
        return self.box.run(
            *("runuser", "-u", "snapd-backup", "--", "env", f"BORG_PASSCOMMAND=cat {WATCH}/passphrase"),
            *("BORG_BASE_DIR=/srv/backup/watch", "BORG_HOST_ID=test", "/usr/bin/borg", *arguments),
        )

    def archives(self) -> list[str]:
        """Names of the complete archives in the store."""
        names = self.borg("list", "--short", REPOSITORY).stdout.split()
        return [name for name in names if ".checkpoint" not in name]

    def begun(self, command: str) -> int:
        """How often the service has begun this command of Borg."""
        done = self.box.run("cat", f"{WATCH}/begun", check=False)
        return done.stdout.split().count(command)

    @contextmanager
    def held(self, command: str) -> Iterator[None]:
        """Let this command of Borg wait at its beginning for as long as the block lasts."""
        self.box.run("touch", f"{WATCH}/hold-{command}")
        try:
            yield
        finally:
            self.box.run("rm", "-f", f"{WATCH}/hold-{command}")

    def watched_borg(self, *arguments: str) -> None:
        """Run Borg through the watch, in the background, as if the service had."""
        self._begun.append(
            self.box.start("runuser", "-u", "snapd-backup", "--", "/usr/local/bin/borg", *arguments)
        )

    def wait_until_reading(self) -> None:
        """Wait until a creation is under way in earnest: Borg reports what it has read."""

        def reading() -> bool:
            running = self.ask("status")["running"]
            return bool(running) and running[0]["progress"]["bytes"] > 0

        wait_for(reading, seconds=60, what="Borg to read")

    def two_at_once(self) -> bool:
        """True when two engines ever ran at one time."""
        return self.box.exists(f"{WATCH}/two-at-once")

    def engines(self) -> list[str]:
        """Command lines of every Borg that runs in the box now."""
        done = self.box.run("pgrep", "-a", "-f", "bin/borg ", check=False)
        return [line for line in done.stdout.splitlines() if "pgrep" not in line]
