"""What is due and what follows: pure decisions about rows of the history.

Slots that passed become rows; the rows that wait are put in order; the end of an attempt becomes an outcome
or a retry; what a dead daemon left running is settled. Nothing here reads a clock or writes a row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from snapd.cron import Passed
from snapd.errors import InterruptedRunError, SnapdError, TimeLimitError
from snapd.history import Run
from snapd.model import Cause, Kind, Outcome, Result, split_job_id

PROMPT = timedelta(seconds=90)
"""A slot noticed within this time was not missed: the minute's pass, and half a minute for a busy machine."""

RETRY_AFTER = (timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=15))
"""Waits between attempts; the last one repeats (DESIGN 5, Retry)."""

RETRY_BUSY = timedelta(minutes=1)
CRASHES = 2
"""Starts of one run that took the daemon down with them before it is given up until its next slot."""


_CUT_OFF = {
    "stop": "the daemon was stopped",
    "backup-due": "made way for a backup",
    "sliced": "made way for a backup of another set after max_hold, and goes on after it",
}


@dataclass(frozen=True, slots=True)
class Settled:
    """Rows to replace and rows to insert, in this order."""

    updated: tuple[Run, ...] = ()
    added: tuple[Run, ...] = ()


NewId = Callable[[], str]


def new_run(job: str, slot: datetime, cause: Cause, run_id: str) -> Run:
    """Return a due row."""
    kind, backup_set = split_job_id(job)
    return Run(run_id=run_id, job=job, kind=kind, backup_set=backup_set, slot=slot, cause=cause)


def settle_slots(
    job: str,
    passed: Passed,
    now: datetime,
    new_id: NewId,
    *,
    unfinished: Run | None,
    previous: Run | None,
    paused: bool,
    awake: bool = True,
) -> Settled:
    """Decide what the slots that passed since the last look become.

    `unfinished` is the job's due or running row, `previous` its last ended row, `awake` whether the daemon
    ran all the while. One slot, just now, is a due row; several, or one noticed late, are a `missed` row and
    one catch-up run. While the set is paused they are `skipped`, in one row for each stretch, and so they are
    while a row is unfinished; but what passed while no daemon ran was `missed`, and the row that waits makes
    up for it. A row that waits for its retry is taken over instead: it ends `failed`, and the new one starts
    at once and keeps the count of failures.
    """
    if paused:
        return _skip(job, passed, now, new_id, previous=previous, why="the set is paused")
    if unfinished is not None and _waits_for_retry(unfinished, now):
        *lost, due = _begin(job, passed, now, new_id, awake=awake)
        successor = replace(due, failures=unfinished.failures)
        return Settled(updated=(_give_up(unfinished, now),), added=(*lost, successor))
    if unfinished is not None and awake:
        state = "ran" if unfinished.running else "was due"
        why = f"the same job {state} (run {unfinished.run_id})"
        return _skip(job, passed, now, new_id, previous=previous, why=why)
    if unfinished is not None:
        return Settled(added=(_missed(job, passed, now, new_id),))
    return Settled(added=tuple(_begin(job, passed, now, new_id, awake=awake)))


def _begin(job: str, passed: Passed, now: datetime, new_id: NewId, *, awake: bool) -> list[Run]:
    """Return the row of the slots that no run was made for, if there are any, and then the due row."""
    due = new_run(job, passed.last, Cause.SCHEDULE, new_id())
    if passed.count == 1 and now - passed.last <= PROMPT:
        return [due]
    if awake and now - passed.first <= PROMPT:
        hasty = replace(_stretch(job, passed, now, new_id()), outcome=Outcome.SKIPPED, slots=passed.count - 1)
        return [replace(hasty, message="the next slot came at once"), due]
    return [_missed(job, passed, now, new_id), replace(due, cause=Cause.CATCH_UP)]


def _missed(job: str, passed: Passed, now: datetime, new_id: NewId) -> Run:
    row = _stretch(job, passed, now, new_id())
    return replace(row, outcome=Outcome.MISSED, message="the daemon did not run")


def _stretch(job: str, passed: Passed, now: datetime, run_id: str) -> Run:
    row = new_run(job, passed.first, Cause.SCHEDULE, run_id)
    return replace(row, last_slot=passed.last, slots=passed.count, ended=now)


def _skip(
    job: str, passed: Passed, now: datetime, new_id: NewId, *, previous: Run | None, why: str
) -> Settled:
    if previous is not None and previous.outcome is Outcome.SKIPPED and previous.message == why:
        longer = replace(previous, last_slot=passed.last, slots=previous.slots + passed.count, ended=now)
        return Settled(updated=(longer,))
    row = replace(_stretch(job, passed, now, new_id()), outcome=Outcome.SKIPPED, message=why)
    return Settled(added=(row,))


def _waits_for_retry(run: Run, now: datetime) -> bool:
    return not run.running and run.not_before is not None and run.not_before > now and run.attempts > 0


def _give_up(run: Run, now: datetime) -> Run:
    return replace(run, outcome=Outcome.FAILED, ended=now, not_before=None)


def in_order(unfinished: Iterable[Run]) -> list[Run]:
    """Sort rows as the agenda takes them: kind, then runs that were cut off after all others, then slot.

    A run that was sliced queues anew: behind what was due then, before what became due later, so that it
    neither starves the others nor is starved by them.
    """
    return sorted(
        unfinished, key=lambda run: (run.kind.rank, run.cause is Cause.INTERRUPTED, _queued(run), run.job)
    )


def _queued(run: Run) -> datetime:
    return run.not_before or run.slot if run.cause is Cause.SLICED else run.slot


def due_now(
    unfinished: Iterable[Run], now: datetime, *, kinds: Iterable[Kind] = tuple(Kind)
) -> Iterator[Run]:
    """Yield the rows that could start now, in the order of the agenda."""
    wanted = frozenset(kinds)
    ready = (
        run
        for run in unfinished
        if run.kind in wanted and not run.running and (run.not_before is None or run.not_before <= now)
    )
    yield from in_order(ready)


def next_wake(unfinished: Iterable[Run], now: datetime) -> datetime | None:
    """Return the earliest instant after `now` at which a waiting row becomes due, or None."""
    return min(
        (run.not_before for run in unfinished if run.not_before and run.not_before > now), default=None
    )


def started(run: Run, now: datetime) -> Run:
    """Return the row as it runs."""
    return replace(run, started=now, attempts=run.attempts + 1, not_before=None)


def succeeded(run: Run, result: Result, now: datetime) -> Run:
    """Return the ended row of a run whose job returned."""
    return replace(
        run,
        ended=now,
        outcome=result.outcome,
        archive=result.archive,
        bytes_total=result.bytes_total,
        bytes_new=result.bytes_new,
        error_code=result.error_code,
        message="; ".join(result.notes),
        hint=result.hint,
        details=result.details,
        failures=0,
    )


def after_error(run: Run, error: SnapdError, now: datetime, new_id: NewId) -> Settled:
    """Decide what follows an attempt that raised.

    Cut off on purpose: the row ends `interrupted` and another one is due. Transient: the same row waits.
    Anything else: `failed`.
    """
    if isinstance(error, InterruptedRunError) and error.cause == "limit":
        error = TimeLimitError("the run passed its time limit and was ended", hint="see daemon.run_limit")
    told = replace(
        run,
        error_code=error.code,
        message=_CUT_OFF.get(error.cause, error.message)
        if isinstance(error, InterruptedRunError)
        else error.message,
        hint=error.hint,
        details={**run.details, **getattr(error, "details", {})},
    )
    if isinstance(error, InterruptedRunError):
        ended = replace(told, ended=now, outcome=Outcome.INTERRUPTED)
        sliced = error.cause == "sliced"
        following = _next_slice(run, now, new_id()) if sliced else _another(run, Cause.INTERRUPTED, new_id())
        return Settled(updated=(ended,), added=(following,))
    failures = run.failures + 1
    if error.retryable:
        wait = RETRY_BUSY if error.code == "busy" else RETRY_AFTER[min(failures, len(RETRY_AFTER)) - 1]
        return Settled(updated=(replace(told, started=None, failures=failures, not_before=now + wait),))
    return Settled(updated=(replace(told, ended=now, outcome=Outcome.FAILED, failures=failures),))


def _next_slice(run: Run, now: datetime, run_id: str) -> Run:
    """Return the row that goes on: a slice that ended in order shows that nothing fails or crashes now."""
    return replace(_another(run, Cause.SLICED, run_id), not_before=now, failures=0, unclean=0)


def _another(run: Run, cause: Cause, run_id: str) -> Run:
    return replace(
        new_run(run.job, run.slot, cause, run_id),
        failures=run.failures,
        unclean=run.unclean,
        attempts=run.attempts,
    )


def recover(run: Run, now: datetime, new_id: NewId, *, clean_stop: bool) -> Settled:
    """Settle a row that a daemon which is gone left running: due again, or given up as a crash loop."""
    unclean = run.unclean if clean_stop else run.unclean + 1
    if unclean >= CRASHES:
        given_up = replace(
            run,
            ended=now,
            outcome=Outcome.FAILED,
            unclean=unclean,
            error_code="crash-loop",
            message=f"the daemon died {unclean} times in this run",
            hint="it is tried again at its next slot; look at the journal around the last start of the run",
        )
        return Settled(updated=(given_up,))
    cut = replace(
        run,
        ended=now,
        outcome=Outcome.INTERRUPTED,
        unclean=unclean,
        message="the daemon ended during this run",
    )
    return Settled(updated=(cut,), added=(_another(cut, Cause.INTERRUPTED, new_id()),))


def skipped(run: Run, now: datetime, why: str) -> Run:
    """Return a waiting row as it ends when nobody wants it any more."""
    return replace(run, ended=now, outcome=Outcome.SKIPPED, message=why, not_before=None)
