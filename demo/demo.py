"""About a minute of the real thing: the daemon, a live SQLite shop, a local encrypted Borg store.

python demo/demo.py [--keep] [--seconds N]

Everything happens in a temporary folder, which is removed at the end unless --keep is given. The exit status
is 0 only if a backup, an expiry that deleted something, and a restore test that read the newest row really
happened; that is judged from what the program tells programs (`--json`), not from its text.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from screen import painted, screen
from stage import Stage, daemon, open_shop, stage

LIMIT_S = 150.0
READY = (0, 3)  # 3: a light is off, which is right before the first backup
EXIT_NOT_DONE = 1
EXIT_NO_BORG = 2

CONFIG = r"""
[store.local]
engine     = "borg"
repository = "FOLDER/store"
passphrase = { file = "FOLDER/passphrase" }

[backup.shop]
store    = "local"
schedule = "every 10s"
paths    = ["FOLDER/shop/receipts"]

[[backup.shop.dump]]
engine = "sqlite"
path   = "FOLDER/shop/shop.sqlite"

[backup.shop.expire]
schedule = "every 20s"
deltas   = ["25s", "5m"]
min_keep = 2

[backup.shop.restore_test]
schedule = "every 30s"

[[backup.shop.restore_test.check]]
query      = "SELECT max(created) FROM orders"
newer_than = "15s"

[[backup.shop.restore_test.check]]
path      = "TREE/shop/receipts"
min_files = 1

[[backup.shop.restore_test.check]]
command = ["sh", "-c", "grep -rq 'Thank you' \"$RESTORED\""]
"""

# -- what really happened -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Happened:
    """What the history and the list of archives say. `newest_row` is the row that a restore test read."""

    backups: int = 0
    archives: int = 0
    deleted: int = 0
    interrupted: int = 0
    newest_row: str = ""

    @property
    def everything(self) -> bool:
        return bool(self.backups and self.archives and self.deleted and self.newest_row)


def look(at: Stage) -> Happened:
    told, archives = at.asked("history", "shop", "--limit", "1000"), at.asked("archives", "shop")
    runs = _listed(told, "runs")
    good = [run for run in runs if run["outcome"] == "ok"]
    tests = [run for run in good if run["kind"] == "restore-test"]
    return Happened(
        backups=sum(run["kind"] == "backup" and bool(run["archive"]) for run in good),
        archives=sum(archive["complete"] for archive in _listed(archives, "archives")),
        deleted=sum(run["details"].get("deleted", 0) for run in good if run["kind"] == "expire"),
        interrupted=sum(run["outcome"] == "interrupted" for run in runs),
        newest_row=next((row for run in tests if (row := _row_read(run)) and _was_sold(at, row)), ""),
    )


def _listed(told: Any, key: str) -> list[dict[str, Any]]:
    found = told.get(key) if isinstance(told, dict) else told
    return found if isinstance(found, list) else []


def _row_read(run: dict[str, Any]) -> str:
    """Return the instant that a test's query read out of the restored database."""
    for finding in run["details"].get("findings", ()):
        if finding["check"].startswith("query") and finding["passed"]:
            found = re.search(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00", finding["seen"])
            return found[0] if found else ""
    return ""


def _was_sold(at: Stage, created: str) -> bool:
    """Tell whether the live shop has an order of that instant."""
    with contextlib.closing(sqlite3.connect(at.shop / "shop.sqlite", timeout=10)) as connection:
        return bool(connection.execute("SELECT 1 FROM orders WHERE created = ?", (created,)).fetchone())


# -- the story ----------------------------------------------------------------------------------------------


def play(at: Stage, seconds: float) -> Happened:
    screen.say("The shop is open. It sells tea; its SQLite database gets an order five times a second.")
    at.set(CONFIG)
    with open_shop(at):
        screen.say(
            "The operator creates the store, an encrypted Borg repository in a folder, "
            "and lets config and machine be checked."
        )
        if at.command("init") != 0 or at.command("check") not in READY:
            return Happened()
        screen.say(
            "Now the daemon, as systemd would start it. A backup is due every 10 seconds, "
            "an expiry every 20, a restore test every 30. These are its own lines:"
        )
        with daemon(at) as process:
            happened = _watch(at, process, seconds)
            screen.say("That was the daemon at work. What it knows now:")
            with screen.lock:  # the daemon's lines wait meanwhile
                for words in ("status", "status shop", "history --limit 12", "archives shop"):
                    at.command(*words.split())
            happened = look(at)
            screen.say("SIGTERM: it ends in order.")
    if process.returncode != 0:
        screen.say(f"The daemon ended with exit status {process.returncode}.")
        return Happened()
    return happened


def _watch(at: Stage, process: subprocess.Popen[str], seconds: float) -> Happened:
    """Let the daemon work for a while, and until everything happened or much time has passed."""
    started = time.monotonic()
    happened = Happened()
    while process.poll() is None and time.monotonic() - started < seconds + LIMIT_S:
        time.sleep(2)
        before, happened = happened, look(at)
        _narrate(before, happened)
        if happened.everything and time.monotonic() - started > seconds:
            break
    return happened


def _narrate(before: Happened, now: Happened) -> None:
    if now.interrupted and not before.interrupted:
        screen.say(
            "A backup came due in the middle of a run that can wait, which was interrupted gently. "
            "It begins again after the backup."
        )
    if now.newest_row and not before.newest_row:
        screen.say(
            "A restore test has just taken an archive apart: the database was restored, "
            "every page of it read, and its newest order found."
        )
    if now.deleted and not before.deleted:
        screen.say("Expiry has thinned the archives for the first time.")


def verdict(happened: Happened) -> int:
    rows = (
        (happened.backups, f"{happened.backups} backups were made; {happened.archives} archives are kept"),
        (happened.deleted, f"{happened.deleted} archives were deleted by expiry"),
        (happened.newest_row, f"a restore test read the newest order, of {happened.newest_row or '…'}"),
    )
    screen.space()
    for fulfilled, text in rows:
        print(f"  {painted('yes', '32') if fulfilled else painted('NO ', '31')}  {text}")
    return 0 if happened.everything else EXIT_NOT_DONE


def _stop(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--keep", action="store_true", help="keep the temporary folder")
    parser.add_argument("--seconds", type=float, default=45.0, help="how long the daemon works (45)")
    options = parser.parse_args(arguments)
    if shutil.which("borg") is None:
        print("Please install Borg first; on Debian and Ubuntu: apt-get install borgbackup", file=sys.stderr)
        return EXIT_NO_BORG
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    try:
        with stage(keep=options.keep) as at:
            return verdict(play(at, options.seconds))
    except KeyboardInterrupt:
        print("\nStopped.")
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
