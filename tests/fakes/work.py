"""One run's world around a fake engine: real history, real folders, real processes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from snapd.config import BackupSet, BorgStore, Config, Daemon, Folders, Secret
from snapd.history import History
from snapd.jobs.base import Work
from snapd.model import ArchivePattern
from snapd.proc import Launcher
from tests.fakes.engine import FakeEngine, Ticking

START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Patient:
    """A `Yielding` that counts, and may do something in its place."""

    asides: int = 0
    blocks: int = 0
    slices: int = 0
    waits: int = 0
    read: list[str] = field(default_factory=list)
    aside: Callable[[], None] = field(default=lambda: None)

    def step_aside(self) -> None:
        self.asides += 1
        self.aside()

    @contextlib.contextmanager
    def _block(self) -> Iterator[None]:
        self.blocks += 1
        yield

    def interruptible(self) -> AbstractContextManager[None]:
        return self._block()

    @contextlib.contextmanager
    def sliceable(self) -> Iterator[None]:
        self.slices += 1
        yield

    @contextlib.contextmanager
    def reading(self, archive: str) -> Iterator[None]:
        self.read.append(archive)
        yield

    def wait_for_readers(self) -> None:
        self.waits += 1


@dataclass
class World:
    """Everything that runs of one set share; `work` makes one run of it."""

    folders: Folders
    history: History
    engine: FakeEngine
    clock: Ticking
    yielding: Patient = field(default_factory=Patient)
    launcher: Launcher = field(default_factory=Launcher)
    repository: Path = Path("/nowhere/borg")

    def work(self, backup_set: BackupSet, *, run_id: str = "run1", attempt: int = 1) -> Work:
        store = BorgStore(
            engine="borg", repository=str(self.repository), passphrase=Secret(credential="borg")
        )
        config = Config(
            daemon=Daemon(timezone="UTC"),
            store={backup_set.store: store},
            backup={backup_set.name: backup_set},
        )
        return Work(
            run_id=run_id,
            backup_set=backup_set,
            config=config,
            config_text="[store.local]\n",
            folders=self.folders,
            engine=self.engine,
            launcher=self.launcher,
            history=self.history,
            yielding=self.yielding,
            now=self.clock,
            progress=lambda _progress: None,
            attempt=attempt,
        )


@contextlib.contextmanager
def world(folder: Path) -> Iterator[World]:
    """A world below `folder`, with empty state, cache and runtime folders."""
    folders = Folders(state=folder / "state", cache=folder / "cache", runtime=folder / "runtime")
    for path in (folders.state, folders.cache, folders.runtime):
        path.mkdir(exist_ok=True)
    clock = Ticking(START)
    with contextlib.closing(History(folders.state, now=START)) as history:
        yield World(folders, history, FakeEngine(now=clock), clock, repository=folder / "borg")


def set_of(**values: object) -> BackupSet:
    """A backup set `shop` in the store `local` with these values."""
    given = {"name": "shop", "store": "local", "archive": ArchivePattern("shop_%Y%m%d-%H%M%S")}
    return BackupSet.model_validate(given | values)
