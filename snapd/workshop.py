"""Makes what one run works with."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

from snapd import machine
from snapd.config import Folders, Store
from snapd.engines.base import Engine, Tools
from snapd.facts import due_slot
from snapd.followers import Followers
from snapd.history import History, Run
from snapd.jobs.base import Work, Yielding
from snapd.model import Kind, Progress
from snapd.proc import Launcher
from snapd.state_folder import Accepted
from snapd.views import progress_json

PROGRESS_S = 0.25

BuildEngine = Callable[[str, Store, Tools], Engine]


def new_run_id() -> str:
    """Twelve hex digits by chance."""
    return secrets.token_hex(6)


@dataclass
class Current:
    """A run in progress. Instants are seconds of the steady clock.

    `yields` while a backup that becomes due may interrupt its child; `aside` while it lets others go first,
    or is no run but a look at a store. `creating_since` is there while its creation may be cut into slices,
    and `sliced` once it was asked to make way. `reading` names the archive that it reads and that nothing
    deletes meanwhile; `beside` says that it gave the single lock away and goes on in the second lane.
    """

    run: Run
    launcher: Launcher
    since: float
    yields: bool = False
    aside: bool = False
    creating_since: float | None = None
    sliced: bool = False
    reading: str = ""
    beside: bool = False
    progress: Progress = field(default_factory=Progress)

    @property
    def lane(self) -> int | None:
        """1 with the single lock, 2 beside whoever has it, None while it lets others go first."""
        if self.beside:
            return 2
        return None if self.aside and self.run.running else 1

    def ran_longer_than(self, limit_s: float, now: float) -> bool:
        """Whether the run passed a limit; a creation has none but stall, which its launcher keeps."""
        return self.run.kind is not Kind.BACKUP and now - self.since > limit_s

    def created_longer_than(self, limit_s: float, now: float) -> bool:
        """Whether it is in a creation that may be sliced, and has been for so long."""
        return self.creating_since is not None and now - self.creating_since > limit_s

    def hangs(self) -> bool:
        """Whether a child that was killed is still there."""
        return self.launcher.overdue(time.monotonic())


class Workshop:
    """Builds the `Work` of runs; holds what they all share."""

    def __init__(
        self,
        history: History,
        folders: Folders,
        followers: Followers,
        *,
        clock: Callable[[], datetime],
        steady: Callable[[], float],
        build_engine: BuildEngine,
        in_use: Callable[[], frozenset[str]],
    ) -> None:
        self._history = history
        self._folders = folders
        self._followers = followers
        self._clock = clock
        self._steady = steady
        self._build_engine = build_engine
        self._in_use = in_use

    def work(
        self, current: Current, accepted: Accepted, yielding: Yielding, *, wall_s: float | None = None
    ) -> Work:
        """Return one run's whole world, with the config it keeps to its end.

        `wall_s` limits each engine call more narrowly than the config does.
        """
        run, config = current.run, accepted.config
        backup_set = config.backup[run.backup_set]
        progress = self._progress_of(current)
        return Work(
            run_id=run.run_id,
            backup_set=backup_set,
            config=config,
            config_text=accepted.text,
            folders=self._folders,
            engine=self._engine(current, accepted, progress, wall_s),
            launcher=current.launcher,
            history=self._history,
            yielding=yielding,
            now=self._clock,
            steady=self._steady,
            progress=progress,
            attempt=run.attempts,
            due_slot=due_slot(backup_set, config.daemon.timezone, self._clock()),
            in_use=self._in_use,
        )

    def _engine(
        self,
        current: Current,
        accepted: Accepted,
        progress: Callable[[Progress], None],
        wall_s: float | None,
    ) -> Engine:
        limits = machine.limits_of(accepted.config)
        store = accepted.config.backup[current.run.backup_set].store
        tools = Tools(
            launcher=current.launcher,
            cache=self._folders.cache / "stores" / store,
            progress=progress,
            now=self._clock,
            limits=limits if wall_s is None else replace(limits, wall_s=wall_s),
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
