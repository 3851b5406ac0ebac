"""The runs in progress and their two lanes: who runs, who is asked to make way, who takes too long.

The first lane takes what is due, one run at a time, with the single lock held. It carries a run out in a
thread of its own and attends to it. When a backup is due, a restore test that only reads by now goes on in
the second lane, and the first one turns to the backup.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from snapd import reports
from snapd.config import Daemon
from snapd.history import Run
from snapd.turns import HEARTBEAT_S, Turns
from snapd.workshop import Current

WATCH_S = 0.2
"""How often a run is looked after, for what nobody notifies us of: time, and other processes."""

DEFECT_S = 1.0


class Lanes:
    """Threads that carry runs out. `limits` gives the section of the config that is in force.

    `look_after` and what follows from it happen whenever something changes, and every `WATCH_S`. While the
    first lane is `attending` to a run that gave way, nothing but backups can begin.
    """

    def __init__(
        self,
        turns: Turns,
        carry_out: Callable[[Run], None],
        *,
        steady: Callable[[], float],
        limits: Callable[[], Daemon],
    ) -> None:
        self._turns = turns
        self._carry_out = carry_out
        self._steady = steady
        self._limits = limits
        self._current: list[Current] = []
        self._first: threading.Thread | None = None
        self._courses: list[threading.Thread] = []
        self.attending = False

    # -- life -----------------------------------------------------------------------------------------

    def start(self) -> None:
        self._first = threading.Thread(target=self._turn, name="lane", daemon=True)
        self._first.start()

    def stop(self, limit_s: float) -> bool:
        """Start nothing more, end what runs gently; True when all of it ended within the limit."""
        until = time.monotonic() + limit_s
        with self._turns.changed:
            self._turns.stopping.set()
            for current in self._current:
                current.launcher.interrupt.request("stop")
            self._turns.changed.notify_all()
        if self._first is not None:
            self._first.join(limit_s)
        for course in self._courses:
            course.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in (self._first, *self._courses) if thread)

    def current(self) -> tuple[Current, ...]:
        """Runs in progress, the one that holds the lock last."""
        with self._turns.changed:
            return tuple(sorted(self._current, key=lambda current: not current.beside))

    @contextmanager
    def under_way(self, current: Current) -> Iterator[None]:
        """Look after a run, or a look at a store, within the block. Whoever finds `stopping` set in it must
        not begin: the stop may not have seen him.
        """
        with self._turns.changed:
            self._current.append(current)
        try:
            yield
        finally:
            with self._turns.changed:
                self._current.remove(current)

    # -- the first lane -------------------------------------------------------------------------------

    def _turn(self) -> None:
        while not self._turns.stopping.is_set():
            self._turns.turned = time.monotonic()
            try:
                self._take_one()
            except Exception:  # noqa: BLE001 - whatever it was (a lock file on a read-only disk), backups go on
                reports.lane_defect()
                self._turns.stopping.wait(DEFECT_S)

    def _take_one(self) -> None:
        run = self._turns.acquire_for_next()
        if run is None:
            self._turns.rest()
            return
        self.attending = True
        try:
            self._attend(run)
        finally:
            self.attending = False
            self._turns.turned = time.monotonic()
            if self._turns.lock.held:  # a run that stepped aside as the daemon stopped came back without it
                self._turns.lock.release()

    def _attend(self, run: Run) -> None:
        """Carry a run out, and return when it has ended or gave its lock away."""
        ended = threading.Event()
        course = threading.Thread(target=self._course, args=(run, ended), name=run.job, daemon=True)
        self._courses = [*(each for each in self._courses if each.is_alive()), course]
        course.start()
        while not ended.is_set() and not self._handed_over(run):
            self._turns.turned = time.monotonic()
            self.look_after()
            with self._turns.changed:
                if not ended.is_set():
                    self._turns.changed.wait(WATCH_S)

    def _course(self, run: Run, ended: threading.Event) -> None:
        try:
            self._carry_out(run)
        except Exception:  # noqa: BLE001 - of the history, or a defect of ours: the next run goes on
            reports.lane_defect()
            self._turns.stopping.wait(DEFECT_S)
        finally:
            with self._turns.changed:
                ended.set()
                self._turns.changed.notify_all()

    def _handed_over(self, run: Run) -> bool:
        """Let a run that only reads by now go on in the second lane, when a backup is due."""
        with self._turns.changed:
            reading = next((each for each in self._current if each.run.run_id == run.run_id), None)
            if reading is None or not reading.reading or not self._turns.backup_due():
                return False
            reading.beside = True
        reports.handed_over(run)
        return True

    # -- looking after runs ---------------------------------------------------------------------------

    def look_after(self) -> None:
        """Ask those to make way who keep a due backup waiting for too long, or should at once."""
        with self._turns.changed:
            if self._turns.backup_due():
                for current in self._current:
                    self._ask_for_way(current)

    def _ask_for_way(self, current: Current) -> None:
        if current.yields:
            current.launcher.interrupt.request("backup-due")
        now, max_hold_s = self._steady(), self._limits().max_hold.total_seconds()
        if not current.sliced and current.created_longer_than(max_hold_s, now):
            current.sliced = True
            reports.sliced(current.run, now - current.since)
            current.launcher.interrupt.request("sliced")

    def enforce_limits(self) -> None:
        """End runs that passed the run limit; a creation is limited by stall alone."""
        limit = self._limits().run_limit.total_seconds()
        for current in self._at_it():
            if current.ran_longer_than(limit, self._steady()):
                current.launcher.interrupt.request("limit")

    def at_work(self) -> bool:
        """Whether both lanes do their work: the first turns, and each run is inside its limit plus grace.

        A creation has no limit of its own, but a child of it that was killed must go.
        """
        if self._first is None or not self._first.is_alive():
            return False
        if time.monotonic() - self._turns.turned >= 6 * HEARTBEAT_S:
            return False
        limits = self._limits()
        patience = limits.run_limit.total_seconds() + limits.stop_limit.total_seconds()
        now = self._steady()
        return not any(current.hangs() or current.ran_longer_than(patience, now) for current in self._at_it())

    def _at_it(self) -> list[Current]:
        """Runs in progress, without those that stepped aside for another."""
        return [current for current in self.current() if not current.aside]
