"""About a minute of the real thing: the daemon, a live SQLite shop, a local encrypted Borg store.

python demo/demo.py [--keep] [--seconds N]

Everything happens in a temporary folder, which is removed at the end unless --keep is given. The exit status
is 0 only if a backup, an expiry that deleted something, and a restore test that read the newest row really
happened; that is judged from what the program tells programs (`--json`), not from its text.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
WIDTH = min(shutil.get_terminal_size().columns, 100)
LONGEST_SOCKET = 107  # bytes of a Unix socket's path (unix(7))
LIMIT_S = 120.0
STOP_S = 60.0
EXIT_NOT_DONE = 1
EXIT_NO_BORG = 2

CONFIG = """\
[store.local]
engine     = "borg"
repository = "{folder}/store"
passphrase = {{ file = "{folder}/passphrase" }}

[backup.shop]
store    = "local"
schedule = "every 5s"
paths    = ["{folder}/shop/receipts"]

[[backup.shop.dump]]
engine = "sqlite"
path   = "{folder}/shop/shop.sqlite"

[backup.shop.expire]
schedule = "every 9s"
deltas   = ["10s", "30s", "2m"]

[backup.shop.restore_test]
schedule = "every 20s"

[[backup.shop.restore_test.check]]
query      = "SELECT max(created) FROM orders"
newer_than = "10s"

[[backup.shop.restore_test.check]]
path      = "{receipts}"
min_files = 1

[[backup.shop.restore_test.check]]
command = ["sh", "-c", "grep -rq 'Thank you' \\"$RESTORED\\""]
"""

# -- on the screen ------------------------------------------------------------------------------------------

_LEVELS = {"INFO": "32", "WARNING": "33", "ERROR": "31", "CRITICAL": "31"}
_LINE = re.compile(r"(?P<time>\d\d:\d\d:\d\d) (?P<level>[A-Z]+) +(?P<rest>.*)", re.DOTALL)
_FACTS = re.compile(r"(?: [a-z_]+=(?:\"(?:[^\"\\]|\\.)*\"|[^\s\"]+))+$")
_COLOUR = sys.stdout.isatty() and "NO_COLOR" not in os.environ
_printing = threading.Lock()


def painted(text: str, colour: str) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m" if _COLOUR and text else text


def say(text: str) -> None:
    """Print the narrator's words: a paragraph of their own."""
    lines = textwrap.wrap(" ".join(text.split()), WIDTH - 2)
    with _printing:
        print("\n" + "\n".join(painted(line, "1") for line in lines), flush=True)


def show(line: str) -> None:
    """Print a line of the daemon, without the fields behind its sentence, wrapped below itself."""
    found = _LINE.fullmatch(line)
    stamp, level, rest = (found["time"], found["level"], found["rest"]) if found else ("", "", line)
    text = _FACTS.sub("", f" {rest}").strip() or rest
    first, *more = textwrap.wrap(text, WIDTH - 19) or [""]
    with _printing:
        print(
            f"  {painted(f'{stamp:8}', '2')} {painted(f'{level.lower():7}', _LEVELS.get(level, '0'))} {first}"
        )
        for part in more:
            print(" " * 19 + part)
        sys.stdout.flush()


# -- the programs -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stage:
    """The temporary folder of the demo and everything in it."""

    folder: Path

    @property
    def shop(self) -> Path:
        return self.folder / "shop"

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    @property
    def environ(self) -> dict[str, str]:
        """What systemd would tell the daemon, pointing below the folder."""
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("BORG_")},
            "STATE_DIRECTORY": str(self.folder / "state"),
            "CACHE_DIRECTORY": str(self.folder / "cache"),
            "RUNTIME_DIRECTORY": str(self.folder / "run"),
            "SNAPD_BACKUP_CONFIG": str(self.config),
            "COLUMNS": str(WIDTH),
            "PYTHONUNBUFFERED": "1",
        }

    def set(self) -> None:
        """Write passphrase and config, and make the folders that systemd and an operator would."""
        key = os.open(self.folder / "passphrase", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(key, "w") as file:
            file.write(secrets.token_urlsafe(24) + "\n")
        receipts = str(self.shop / "receipts").lstrip("/")
        self.config.write_text(CONFIG.format(folder=self.folder, receipts=receipts), encoding="utf-8")
        for name in ("store", "state", "cache", "run"):
            (self.folder / name).mkdir(mode=0o700)

    def command(self, *words: str) -> int:
        """Run one command as an operator would, in full view."""
        print(f"\n{painted('$', '2')} {painted('snapd-backup ' + ' '.join(words), '36')}", flush=True)
        return subprocess.run([*program(), *words], env=self.environ, check=False).returncode

    def asked(self, *words: str) -> Any:
        """Run one command for its facts; None when it has none to give now."""
        told = subprocess.run(
            [*program(), *words, "--json"], env=self.environ, check=False, capture_output=True, text=True
        )
        try:
            return json.loads(told.stdout)
        except ValueError:
            return None


def program() -> list[str]:
    return [sys.executable, "-m", "snapd"]


@contextlib.contextmanager
def stage(*, keep: bool) -> Iterator[Stage]:
    """Yield a fresh temporary folder; everything is gone afterwards unless it is to be kept."""
    folder = Path(tempfile.mkdtemp(prefix="snapd-backup-demo-"))
    if len(os.fsencode(folder / "run" / "control")) > LONGEST_SOCKET:
        folder.rmdir()
        folder = Path(tempfile.mkdtemp(prefix="snapd-backup-demo-", dir="/tmp"))
    try:
        yield Stage(folder)
    finally:
        if keep:
            print(f"\nKept: {folder}")
        else:
            shutil.rmtree(folder)


@contextlib.contextmanager
def open_shop(at: Stage) -> Iterator[None]:
    """Within the block orders come in."""
    shop = subprocess.Popen([sys.executable, str(HERE / "shop.py"), str(at.shop)])
    try:
        wait_for(lambda: any(at.shop.glob("receipts/*")), 10.0)
        yield
    finally:
        end(shop)


@contextlib.contextmanager
def daemon(at: Stage) -> Iterator[subprocess.Popen[str]]:
    """Within the block the daemon runs, and its lines are shown as they come."""
    process = subprocess.Popen(
        [*program(), "run"], env=at.environ, stderr=subprocess.PIPE, text=True, errors="replace"
    )
    reader = threading.Thread(target=_show_lines, args=(process,))
    reader.start()
    try:
        yield process
    finally:
        end(process)
        reader.join()


def _show_lines(process: subprocess.Popen[str]) -> None:
    assert process.stderr is not None
    with process.stderr as lines:
        for line in lines:
            show(line.rstrip("\n"))


def end(process: subprocess.Popen[Any]) -> None:
    """Ask a process to end and wait for it; one that does not is killed."""
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_for(condition: Any, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


# -- what really happened -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Happened:
    """What the history and the list of archives say. `newest_row` is the row that a restore test read."""

    backups: int = 0
    archives: int = 0
    deleted: int = 0
    restore_tests: int = 0
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
        restore_tests=len(tests),
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
    say("The shop is open. It sells tea; its SQLite database gets an order five times a second.")
    at.set()
    with open_shop(at):
        say(
            "The operator creates the store, an encrypted Borg repository in a folder, "
            "and lets config and machine be checked."
        )
        at.command("init")
        at.command("check")
        say(
            "Now the daemon, as systemd would start it. A backup is due every 5 seconds, "
            "an expiry every 9, a restore test every 20. These are its own lines:"
        )
        print(flush=True)
        with daemon(at) as process:
            happened = _watch(at, process, seconds)
            say("That was the daemon at work. What it knows now:")
            for words in (["status"], ["status", "shop"], ["history", "--limit", "15"], ["archives", "shop"]):
                at.command(*words)
            happened = look(at)
            say("SIGTERM: it ends in order.")
            print(flush=True)
    if process.returncode != 0:
        say(f"The daemon ended with exit status {process.returncode}.")
        return Happened()
    return happened


def _watch(at: Stage, process: subprocess.Popen[str], seconds: float) -> Happened:
    """Let the daemon work for a while, and until everything happened or much time has passed."""
    started = time.monotonic()
    happened, told = Happened(), False
    while process.poll() is None and time.monotonic() - started < max(seconds, LIMIT_S):
        time.sleep(2)
        happened = look(at)
        if happened.restore_tests and not told:
            told = True
            say(
                "A restore test has just taken an archive apart: the database was restored, "
                "every page of it read, and its newest order found."
            )
            print(flush=True)
        if happened.everything and time.monotonic() - started > seconds:
            break
    return happened


def verdict(happened: Happened) -> int:
    rows = (
        (happened.backups, f"{happened.backups} backups were made; {happened.archives} archives are kept"),
        (happened.deleted, f"{happened.deleted} archives were deleted by expiry"),
        (happened.newest_row, f"a restore test read the newest order, of {happened.newest_row or '…'}"),
    )
    print()
    for fulfilled, text in rows:
        print(f"  {painted('yes', '32') if fulfilled else painted('NO ', '31')}  {text}")
    return 0 if happened.everything else EXIT_NOT_DONE


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--keep", action="store_true", help="keep the temporary folder")
    parser.add_argument("--seconds", type=float, default=45.0, help="how long the daemon works (45)")
    options = parser.parse_args(arguments)
    if shutil.which("borg") is None:
        print("Please install Borg first; on Debian and Ubuntu: apt-get install borgbackup", file=sys.stderr)
        return EXIT_NO_BORG
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        with stage(keep=options.keep) as at:
            return verdict(play(at, options.seconds))
    except KeyboardInterrupt:
        print("\nStopped.")
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
