"""A temporary folder with a store, a config, a live shop and a daemon; nothing of it outlives the demo."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from screen import WIDTH, screen

HERE = Path(__file__).resolve().parent
LONGEST_SOCKET = 107  # bytes of a Unix socket's path (unix(7))
STOP_S = 60.0


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
            "PYTHONPATH": str(HERE.parent),
        }

    def set(self, config: str) -> None:
        """Write passphrase and config, and make the folders that systemd and an operator would.

        In `config` FOLDER stands for the folder, and TREE for its path inside an archive.
        """
        key = os.open(self.folder / "passphrase", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(key, "w") as file:
            file.write(secrets.token_urlsafe(24) + "\n")
        text = config.replace("FOLDER", str(self.folder)).replace("TREE", str(self.folder).lstrip("/"))
        self.config.write_text(text, encoding="utf-8")
        for name in ("store", "state", "cache", "run"):
            (self.folder / name).mkdir(mode=0o700)

    def command(self, *words: str) -> int:
        """Run one command as an operator would, in full view."""
        screen.prompt(words)
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
            screen.show(line.rstrip("\n"))


def end(process: subprocess.Popen[Any]) -> None:
    """Ask a process to end and wait for it; one that does not is killed."""
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_for(condition: Callable[[], object], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True
