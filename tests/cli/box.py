"""Something to save, a real store to save it in, and a real daemon."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from snapd.control import ask
from snapd.errors import NoDaemonError
from tests.cli.conftest import DEADLINE_S, Program, Ran, until

CONFIG = """
[store.local]
engine = "borg"
repository = "{folder}/store/borg"
passphrase = {{ file = "{folder}/passphrase" }}

[backup.files]
store = "local"
paths = ["{folder}/files"]

[backup.files.expire]
schedule = "@yearly"
deltas = ["1d", "7d"]

[backup.files.restore_test]
schedule = "@yearly"
[[backup.files.restore_test.check]]
path = "{member}/a.txt"

[backup.shop]
store = "local"
[[backup.shop.dump]]
engine = "sqlite"
path = "{folder}/shop.sqlite"
"""


class Box:
    """A machine's worth of folders: something to save, a passphrase, a config, a place for the store."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.folder = program.folder
        self.files = self.folder / "files"
        self.files.mkdir()
        (self.files / "a.txt").write_text("first")
        (self.files / "below").mkdir()
        (self.files / "below" / "b.txt").write_text("second")
        (self.folder / "store").mkdir()
        (self.folder / "state").mkdir(mode=0o700)
        (self.folder / "cache").mkdir(mode=0o700)
        passphrase = self.folder / "passphrase"
        passphrase.write_text("correct horse\n")
        passphrase.chmod(0o600)
        with sqlite3.connect(self.folder / "shop.sqlite") as shop:
            shop.execute("CREATE TABLE orders (id INTEGER)")
            shop.execute("INSERT INTO orders VALUES (1)")
        shop.close()
        self.write_config()

    @property
    def member(self) -> str:
        """The saved folder as an archive knows it."""
        return str(self.files).lstrip("/")

    def write_config(self, extra: str = "") -> None:
        text = CONFIG.format(folder=self.folder, member=self.member)
        (self.folder / "config.toml").write_text(text + extra)

    def __call__(self, *arguments: str, expect: int = 0) -> Ran:
        ran = self.program(*arguments)
        assert ran.status == expect, ran
        assert "Traceback" not in ran.err
        return ran

    def json(self, *arguments: str, expect: int = 0) -> Any:
        return json.loads(self(*arguments, "--json", expect=expect).out)

    @contextmanager
    def daemon(self) -> Iterator[None]:
        """Run the real daemon within the block."""
        with (self.folder / "daemon.log").open("wb") as log:
            process = subprocess.Popen(
                self.program.argv("run"), env=self.program.environ, stdout=log, stderr=log, cwd=self.folder
            )
        try:
            until(lambda: process.poll() is not None or self._answers())
            assert process.poll() is None, (self.folder / "daemon.log").read_text()
            yield
        finally:
            process.terminate()
            assert process.wait(DEADLINE_S) == 0, (self.folder / "daemon.log").read_text()

    def _answers(self) -> bool:
        try:
            next(ask(self.program.runtime, {"op": "status"}))
        except NoDaemonError:
            return False
        return True
