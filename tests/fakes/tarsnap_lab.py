"""The real engine over the stand-in client: one account, one key, one cachedir, below a temporary folder."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from snapd.config import TarsnapStore
from snapd.engines.base import RunLimits, Tools
from snapd.engines.tarsnap import TarsnapEngine
from snapd.model import Progress
from snapd.proc import Interrupt, Launcher
from tests.fakes.tarsnap.account import Account

VERSIONS = ("1.0.39", "1.0.40", "1.0.41")


class TarsnapLab:
    """`engine` builds an engine of the store "offsite"; its cachedir was begun by `init`, unless `new`."""

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, version: str = "1.0.41", *, new: bool = False
    ) -> None:
        self.folder = folder
        self.version = version
        self.account = Account(folder / "account", version)
        self.key = self.account.new_key()
        self.cachedir = folder / "cachedir"
        self.interrupt = Interrupt()
        self._monkeypatch = monkeypatch
        monkeypatch.setenv("PATH", self.account.path)
        if not new:
            self.engine().init()

    def store(self, **changes: object) -> TarsnapStore:
        store = TarsnapStore(engine="tarsnap", keyfile=self.key, cachedir=self.cachedir)
        return store.model_copy(update=changes)

    def engine(
        self,
        *,
        progress: Callable[[Progress], None] = lambda _progress: None,
        limits: RunLimits = RunLimits(),  # noqa: B008 - frozen
        cache: str = "cache",
        lock_fd: int | None = None,
        **changes: object,
    ) -> TarsnapEngine:
        tools = Tools(
            Launcher(lock_fd=lock_fd, interrupt=self.interrupt),
            self.folder / cache,
            limits=limits,
            progress=progress,
            now=lambda: datetime.now(UTC),
        )
        return TarsnapEngine("offsite", self.store(**changes), tools)

    def tarsnap(self, *words: str | Path) -> str:
        """Run the client by hand, as a stranger with the same key and cachedir would."""
        common = ("--no-default-config", "--keyfile", self.key, "--cachedir", self.cachedir)
        done = self.account.run(*common, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextmanager
    def interrupted_at(self, point: str) -> Iterator[None]:
        """Ask the run to stop once the client pauses at a point."""

        def stop() -> None:
            self.account.wait_at(point, self.key)
            self.interrupt.request("stop")

        asker = threading.Thread(target=stop)
        asker.start()
        try:
            yield
        finally:
            asker.join()
            self.interrupt.withdraw("stop")

    def drop_rights_of_root(self) -> None:
        """Run the client without the right to read everything, which root has."""
        shim = self.folder / "bin" / "tarsnap"
        shim.parent.mkdir()
        lost = "--bounding-set=-dac_override,-dac_read_search"
        shim.write_text(f'#!/bin/sh\nPATH=${{PATH#*:}}\nexec setpriv {lost} tarsnap "$@"\n')
        shim.chmod(0o755)
        self._monkeypatch.setenv("PATH", f"{shim.parent}:{self.account.path}")
