"""Makes what one run works with."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from snapd import machine
from snapd.config import Folders, Store
from snapd.engines.base import Engine, Tools
from snapd.facts import due_slot
from snapd.followers import Followers
from snapd.history import History, Run
from snapd.jobs.base import Work, Yielding
from snapd.model import Progress
from snapd.proc import Launcher
from snapd.state_folder import Accepted
from snapd.views import progress_json

PROGRESS_S = 0.25

BuildEngine = Callable[[str, Store, Tools], Engine]


@dataclass
class Current:
    """A run in progress. `yields` while a backup that becomes due may interrupt its child."""

    run: Run
    launcher: Launcher
    since: float  # monotonic seconds
    yields: bool = False
    progress: Progress = field(default_factory=Progress)


class Workshop:
    """Builds the `Work` of runs; holds what they all share."""

    def __init__(
        self,
        history: History,
        folders: Folders,
        followers: Followers,
        *,
        clock: Callable[[], datetime],
        build_engine: BuildEngine,
        in_use: Callable[[], frozenset[str]],
    ) -> None:
        self._history = history
        self._folders = folders
        self._followers = followers
        self._clock = clock
        self._build_engine = build_engine
        self._in_use = in_use

    def work(self, current: Current, accepted: Accepted, yielding: Yielding) -> Work:
        """Return one run's whole world, with the config it keeps to its end."""
        run, config = current.run, accepted.config
        backup_set = config.backup[run.backup_set]
        progress = self._progress_of(current)
        return Work(
            run_id=run.run_id,
            backup_set=backup_set,
            config=config,
            config_text=accepted.text,
            folders=self._folders,
            engine=self._engine(backup_set.store, accepted, current, progress),
            launcher=current.launcher,
            history=self._history,
            yielding=yielding,
            now=self._clock,
            progress=progress,
            attempt=run.attempts,
            due_slot=due_slot(backup_set, config.daemon.timezone, self._clock()),
            in_use=self._in_use,
        )

    def _engine(
        self, store: str, accepted: Accepted, current: Current, progress: Callable[[Progress], None]
    ) -> Engine:
        tools = Tools(
            launcher=current.launcher,
            cache=self._folders.cache / "stores" / store,
            progress=progress,
            limits=machine.limits_of(accepted.config),
        )
        return self._build_engine(store, accepted.config.store[store], tools)

    def _progress_of(self, current: Current) -> Callable[[Progress], None]:
        told = 0.0

        def tell(progress: Progress) -> None:
            nonlocal told
            current.progress = progress
            if time.monotonic() - told >= PROGRESS_S:
                told = time.monotonic()
                self._followers.tell(current.run.run_id, {"event": "progress", **progress_json(progress)})

        return tell
