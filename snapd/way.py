"""How one run makes way for a due backup: what a job's `Yielding` does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from snapd.errors import BusyError
from snapd.history import Run
from snapd.model import Kind
from snapd.turns import Turns
from snapd.workshop import Current


class Way:
    """The `Yielding` of one run. `carry_out` carries out a backup for which it stepped aside; `changed` is
    called whenever it does that or comes back.

    A run that reads beside others makes no other way: whoever attends to it hands its lock over.
    """

    def __init__(
        self,
        current: Current,
        turns: Turns,
        carry_out: Callable[[Run], None],
        *,
        steady: Callable[[], float],
        changed: Callable[[], None],
    ) -> None:
        self._current = current
        self._turns = turns
        self._carry_out = carry_out
        self._steady = steady
        self._changed = changed

    def step_aside(self) -> None:
        self._turns.raise_if_stopping()
        if not self._current.reading and self._turns.backup_due():
            self._stand_aside(self._turns.wanted_elsewhere)

    def wait_for_readers(self) -> None:
        told = ""
        while reader := self._turns.reader():
            self._turns.raise_if_stopping()
            if told != reader:
                told = reader
                self._turns.tell_waiting(self._current.run, reader)
            self._stand_aside(lambda: bool(self._turns.reader()))

    def _stand_aside(self, longer: Callable[[], bool]) -> None:
        """Let every due backup run, and wait for as long as `longer` says; return with the lock held."""
        left = self._steady()
        self._current.aside = True
        self._current.launcher.lock_fd = None
        self._turns.lock.release()
        self._changed()
        try:
            self._run_backups()
            while longer() and not self._turns.stopping.is_set():
                self._turns.pause()
                self._run_backups()
            self._turns.retake(self._current.run)
            self._current.launcher.lock_fd = self._turns.lock.fd
        finally:
            self._current.aside = False
            self._current.since += self._steady() - left  # time aside does not count against its limit
            self._changed()

    def _run_backups(self) -> None:
        while (backup := self._turns.acquire_for_next([Kind.BACKUP])) is not None:
            try:
                self._carry_out(backup)
            finally:
                self._turns.lock.release()

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        current, changed = self._current, self._turns.changed
        with changed:
            current.yields = not current.reading
            if current.yields and self._turns.backup_due():
                current.launcher.interrupt.request("backup-due")
        try:
            yield
        finally:
            with changed:
                current.yields = False
                current.launcher.interrupt.withdraw("backup-due")

    @contextmanager
    def sliceable(self) -> Iterator[None]:
        """Counted from here, so that whatever came before each slice gets its whole `max_hold`."""
        current, changed = self._current, self._turns.changed
        with changed:
            current.creating_since = self._steady()
        try:
            yield
        finally:
            with changed:
                current.creating_since = None
                current.launcher.interrupt.withdraw("sliced")

    @contextmanager
    def reading(self, archive: str) -> Iterator[None]:
        """Children hold the lock `reading` from here on, which keeps reclaims and other tests away for as
        long as any of them lives, and no backup.
        """
        current, turns = self._current, self._turns
        with turns.changed:
            if not turns.reading.try_acquire(turns.holder(current.run.run_id, current.run.job)):
                raise BusyError(
                    f"an archive is being read by {turns.reader()}",
                    hint="see `snapd-backup status` for who that is",
                )
            current.launcher.lock_fd = turns.reading.fd
            current.reading = archive
            turns.changed.notify_all()  # a backup may be due already
        try:
            yield
        finally:
            with turns.changed:
                current.reading = ""
                current.launcher.lock_fd = None if current.beside else turns.lock.fd
                turns.reading.release()
                turns.changed.notify_all()
