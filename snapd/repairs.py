"""Repairs of stores: asked for by an operator, told of their cost first, made under the lock."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from snapd import agenda
from snapd.config import Config
from snapd.engines.base import Properties
from snapd.errors import BusyError, DefectError, SnapdError, UsageError
from snapd.followers import FOLLOW_S, Answer
from snapd.history import Run
from snapd.logger import log
from snapd.model import Cause, Kind, job_id
from snapd.runner import Runner
from snapd.workshop import new_run_id


class Repairs:
    """Answers to `repair`. Safe to call from several threads; one repair at a time."""

    def __init__(
        self, config: Callable[[], Config], properties: Callable[[str], Properties], runner: Runner
    ) -> None:
        self._config = config
        self._properties = properties
        self._runner = runner
        self._one = threading.Lock()

    def repair(self, store: str, *, yes: bool, uid: int) -> Answer:
        """Repair a store and follow it; without `yes` only say what that costs.

        Who stops following does not stop the repair.
        """
        backup_set = self._a_set_of(store)
        costs = self._properties(store).repair_costs
        if yes:
            job = job_id(Kind.BACKUP, backup_set)
            asked = agenda.new_run(job, self._runner.clock(), Cause.MANUAL, new_run_id())
            yield from self._followed(asked, store, uid)
        yield {"event": "done", "store": store, "costs": costs, "repaired": yes}

    def _a_set_of(self, store: str) -> str:
        config = self._config()
        if store not in config.store:
            raise UsageError(f"there is no store {store!r}", hint=f"there is: {', '.join(config.store)}")
        for name, backup_set in config.backup.items():
            if backup_set.store == store:
                return name
        raise UsageError(f"no backup set uses the store {store!r}", hint="what nobody uses needs no repair")

    def _followed(self, asked: Run, store: str, uid: int) -> Answer:
        """Begin a repair and yield its progress to its end. Raises what it raised, and `BusyError` beside
        another, which may be at work though nobody follows it any more.
        """
        if not self._one.acquire(blocking=False):
            raise BusyError("a repair is at work already, or waits for the lock", hint="ask again later")
        ended: Future[None] = Future()

        def mend() -> None:
            failure: SnapdError | None = None
            try:
                self._mend(asked, store, uid)
            except SnapdError as error:
                failure = error
            except Exception as error:  # noqa: BLE001 - told to whoever follows
                failure = DefectError(error)
            self._one.release()  # before anybody is told, and may ask for the next one
            if failure is None:
                ended.set_result(None)
            else:
                ended.set_exception(failure)

        with self._runner.followers.follow(asked.run_id) as events:
            threading.Thread(target=mend, name="repair").start()
            yield {"event": "repairing", "store": store}
            while not ended.done() or not events.empty():
                try:
                    yield events.get(timeout=FOLLOW_S)
                except queue.Empty:
                    yield None
        ended.result()

    def _mend(self, asked: Run, store: str, uid: int) -> None:
        began = time.monotonic()
        log.info("repair-started", store=store, peer_uid=uid)
        try:
            self._runner.tend(asked, f"repair of {store}", lambda work: work.engine.repair())
        except SnapdError as error:
            log.error(
                "repair-failed",
                store=store,
                duration_s=time.monotonic() - began,
                error_code=error.code,
                reason=error.message,
                hint=error.hint or None,
            )
            raise
        log.info("repaired", store=store, duration_s=time.monotonic() - began)
