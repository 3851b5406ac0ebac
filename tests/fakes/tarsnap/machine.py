"""One machine that uses the double by hand: a key, a cachedir, something to save."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from tests.fakes.tarsnap.account import Account

Done = subprocess.CompletedProcess[str]
VERSIONS = ("1.0.39", "1.0.40", "1.0.41")
DELAYED = "Error exit delayed from previous errors."
MODIFIED = "Data on server was modified, but it might notbe exactly what you requested"


class Machine:
    """Calls of `tarsnap` with the options that every careful caller gives. All below `folder`."""

    def __init__(self, folder: Path, version: str = "1.0.41") -> None:
        self.folder = folder
        self.account = Account(folder / "account", version)
        self.key = self.account.new_key()
        self.cachedir = folder / "cache"
        self.source = folder / "source"
        self.source.mkdir()
        (self.source / "file").write_bytes(b"what matters\n")

    def words(self, *words: str | Path, key: Path | None = None, cachedir: Path | None = None) -> list[str]:
        common = (
            "--no-default-config",
            "--keyfile",
            key or self.key,
            "--cachedir",
            cachedir or self.cachedir,
        )
        return [str(word) for word in (*common, *words)]

    def run(self, *words: str | Path, **more: Any) -> Done:
        return self.account.run(*self.words(*words), **more)

    def create(self, name: str, *words: str | Path, **more: Any) -> Done:
        """Store the folder `source`; `words` are options, or paths in place of it."""
        paths = () if any(not str(word).startswith("-") for word in words[-1:]) else (self.source,)
        return self.run("-c", "-f", name, *words, *paths, **more)

    def delete(self, *names: str) -> Done:
        return self.run("-d", *(word for name in names for word in ("-f", name)))

    def names(self) -> list[str]:
        """List the archives as the client does, in its order."""
        done = self.run("--list-archives")
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    def start(self, *words: str | Path, **more: Any) -> subprocess.Popen[str]:
        return self.account.start(*self.words(*words), **more)

    def hold(self, point: str, name: str = "held") -> subprocess.Popen[str]:
        """Start a creation and wait until it pauses at a point."""
        self.account.at(point, "pause", key=self.key, archive=name)
        process = self.start("-c", "-f", name, self.source)
        self.account.wait_at(point, self.key)
        return process

    def grow(self) -> None:
        """Put three files of three blocks each beside the small one."""
        for number in range(3):
            (self.source / f"big-{number}").write_bytes(os.urandom(3 * 65536))


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for a process; gives its wait status and what it told."""
    told = process.communicate(timeout=60)[1]
    return process.returncode, told


def messages(done: Done) -> list[str]:
    """The lines of stderr without the program's name, and without the note about a new cachedir."""
    return [
        line.removeprefix("tarsnap: ")
        for line in done.stderr.splitlines()
        if not line.startswith("Directory ") and "Removing leading" not in line
    ]
