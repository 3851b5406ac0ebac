"""Slow looks and long cleaning, beside the daemon's work: problems of the machine, leftovers, old rows."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from snapd import jobs, machine
from snapd.config import Folders
from snapd.errors import BusyError, InterruptedRunError
from snapd.facts import expiry_standing
from snapd.history import History
from snapd.logger import log
from snapd.model import Problem
from snapd.state_folder import Accepted

STALE_S = 60.0


class Upkeep:
    """Looks at the machine in threads of its own: a hung mount must hold nobody up but the one who looks."""

    def __init__(
        self,
        accepted: Callable[[], Accepted],
        history: History,
        folders: Folders,
        clock: Callable[[], datetime],
        *,
        alone: Callable[[str, Callable[[], None]], None],
    ) -> None:
        self._accepted = accepted
        self._history = history
        self._folders = folders
        self._clock = clock
        self._alone = alone
        self._looking = threading.Lock()
        self._looked_at: float | None = None
        self._problems: tuple[Problem, ...] = ()

    def problems(self) -> tuple[Problem, ...]:
        """What the last look found; starts another one when that is a minute old."""
        if self._looked_at is None or time.monotonic() - self._looked_at > STALE_S:
            self.look_soon()
        return self._problems

    def look(self) -> tuple[Problem, ...]:
        """Look at the machine now, and tell the journal what is new. One look at a time."""
        with self._looking:
            found = machine.problems(self._accepted().config, self._folders)
            for item in found:
                if item not in self._problems:
                    _tell(item)
            self._problems, self._looked_at = found, time.monotonic()
            return found

    def tidy(self) -> None:
        """Remove leftovers of dead runs, and turn old rows into sums, in the background.

        The engine of a daemon that was killed may still read what it staged: hence with the lock held.
        """
        threading.Thread(target=self._tidy, name="tidy", daemon=True).start()

    def look_soon(self) -> None:
        """Look at the machine in the background, unless somebody does."""
        if not self._looking.locked():
            threading.Thread(target=self.look, name="look", daemon=True).start()

    def _tidy(self) -> None:
        with suppress(BusyError):  # a long run: tomorrow, then
            try:
                self._alone("tidy", self._remove_leftovers)
            except InterruptedRunError:  # the daemon stops
                return
        self._history.compact(self._clock())
        self.tell_late_expiries()

    def tell_late_expiries(self) -> None:
        """Tell the journal of each set whose expiry could not finish for long."""
        config, now = self._accepted().config, self._clock()
        for name, backup_set in config.backup.items():
            standing = expiry_standing(backup_set, config.daemon.timezone, self._history, now)
            if standing is not None and standing.late is not None:
                log.warning(
                    "expiry-late",
                    backup_set=name,
                    seconds=round(standing.late.total_seconds()),
                    reason=standing.why,
                    completed=standing.completed and standing.completed.isoformat(),
                )

    def _remove_leftovers(self) -> None:
        alive = frozenset(run.run_id for run in self._history.unfinished() if run.running)
        removed = jobs.clean_leftovers(self._folders, alive)
        if removed:
            log.info("leftovers-removed", paths=[str(path) for path in removed])


def _tell(problem: Problem) -> None:
    log.error(
        "machine-problem",
        reason=problem.message,
        hint=problem.hint or None,
        store=problem.store or None,
        backup_set=problem.backup_set or None,
    )
