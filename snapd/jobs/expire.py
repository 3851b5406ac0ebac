"""An expiry: list, plan, ask whether it may be, delete in batches, give the space back, remember it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from snapd.errors import EngineError
from snapd.jobs.base import Work, making_way, note_clock_seen
from snapd.jobs.batches import FIRST, next_size
from snapd.jobs.decision import (
    Decision,
    advice,
    approve,
    decide,
    decision_json,
    groups,
    last_backup,
    pinned,
    policy_of,
)
from snapd.logger import log
from snapd.model import Outcome, Result
from snapd.retention import Guard, Hold

__all__ = ["Decision", "approve", "decide", "decision_json", "policy_of", "run"]


def run(work: Work) -> Result:
    """Delete what the retention policy no longer keeps, if nothing holds it.

    Raises `UsageError` for a set without a policy, `EngineError`, and `InterruptedRunError` when stopped.
    """
    decision = decide(work, making_way(work, work.engine.archives))
    _tell_lost_pins(work, decision)
    _log_plan(work, decision)
    if decision.hold and not decision.deletable:
        return _held(work, decision, deleted=0)
    deleted, decision = _delete(work, decision)
    _reclaim(work)
    if not decision.settled:
        return _held(work, decision, deleted=deleted)
    _remember(work, decision)
    return _result(decision, deleted)


# -- deleting -------------------------------------------------------------------------------------------


def _delete(work: Work, decision: Decision) -> tuple[int, Decision]:
    """Delete in batches, stepping aside for due backups before each; return how many went.

    A backup of this set that ran meanwhile may have changed everything (it may have failed, or be suspect),
    so what is left is decided again; the last decision is returned.
    """
    deleted, size = 0, FIRST
    names, most = decision.deletable, work.engine.properties.largest_delete_batch
    while names:
        while _backup_ran_aside(work):
            decision = decide(work, making_way(work, work.engine.archives))
            names = tuple(name for name in decision.deletable if name in names)
        names = _still_free(work, names)
        if not names:
            break
        _note_reclaim(work, due=True)
        began = work.steady()
        deleted += _delete_batch(work, names[:size])
        names, size = names[size:], next_size(size, work.steady() - began, most)
    return deleted, decision


def _still_free(work: Work, names: Sequence[str]) -> tuple[str, ...]:
    """Leave out what somebody began to read, or pinned, since it was planned."""
    kept = work.in_use() | pinned(work)
    return tuple(name for name in names if name not in kept)


def _backup_ran_aside(work: Work) -> bool:
    before = last_backup(work)
    work.yielding.step_aside()
    return last_backup(work) != before


def _delete_batch(work: Work, names: Sequence[str]) -> int:
    """Delete one batch and remember it. After an unclear error the store is asked what is gone."""
    try:
        work.engine.delete(names)
    except EngineError:
        left = {archive.name for archive in work.engine.archives()}
        _record_deleted(work, [name for name in names if name not in left])
        if not left.isdisjoint(names):
            raise
    else:
        _record_deleted(work, names)
    return len(names)


def _record_deleted(work: Work, names: Sequence[str]) -> None:
    if not names:
        return
    work.history.record_deleted(work.backup_set.store, names, work.now())
    log.info("archives-deleted", **_whose(work), count=len(names), archives=list(names))


def _reclaim(work: Work) -> None:
    """Give space back if this or an earlier expiry left some: gently interrupted thrice, then to its end.

    Never beside a reader, whose archive's pieces it may move.
    """
    if not work.engine.properties.needs_reclaim or not _reclaim_due(work):
        return
    making_way(work, work.engine.reclaim, first=work.yielding.wait_for_readers)
    _note_reclaim(work, due=False)


def _reclaim_due(work: Work) -> bool:
    return work.history.noted(_reclaim_key(work)) is not None


def _note_reclaim(work: Work, *, due: bool) -> None:
    if _reclaim_due(work) != due:
        work.history.note(_reclaim_key(work), work.run_id if due else None)


def _reclaim_key(work: Work) -> str:
    return f"reclaim-due:{work.backup_set.store}"


# -- what is told ---------------------------------------------------------------------------------------


def _whose(work: Work) -> dict[str, str]:
    return {"run_id": work.run_id, "backup_set": work.backup_set.name}


def _log_plan(work: Work, decision: Decision) -> None:
    planned = decision.planned
    log.info(
        "expiry-planned",
        **_whose(work),
        keep=len(decision.verdicts) - len(planned),
        delete=len(planned),
        reasons=list(_reasons(decision)),
        archives=list(planned),
    )


def _reasons(decision: Decision) -> Iterator[str]:
    for group in groups(decision.verdicts):
        verdict = "keep" if group.keep else "delete"
        span = f"{group.oldest:%Y-%m-%dT%H:%M:%SZ} to {group.newest:%Y-%m-%dT%H:%M:%SZ}"
        yield f"{verdict} {group.count}: {group.reason}, {span}"


def _tell_lost_pins(work: Work, decision: Decision) -> None:
    there = {verdict.archive.name for verdict in decision.verdicts}
    lost = sorted(name for name in pinned(work) - there if work.backup_set.owns(name))
    if lost:
        log.warning("pinned-lost", **_whose(work), count=len(lost), archives=lost)


def _remember(work: Work, decision: Decision) -> None:
    """Record a completed expiry, unless the history was rebuilt and nothing had to be approved yet."""
    if decision.circumstances.rebuilt and not decision.planned:
        return
    work.history.record_expiry(decision.backup_set, decision.policy, work.now())
    note_clock_seen(work)
    work.history.withdraw_approval(decision.backup_set)


def _held(work: Work, decision: Decision, *, deleted: int) -> Result:
    held = decision.hold
    assert held is not None
    hint = advice(decision.backup_set, held)
    _tell_held(work, held, hint)
    return Result(
        outcome=Outcome.WARNING,
        notes=(f"expiry is held: {held.reason}",),
        hint=hint,
        error_code="held",
        details={
            **_counts(decision, deleted),
            "held": held.reason,
            "held_by": held.guard.value,
            "approvable": held.approvable,
        },
    )


def _tell_held(work: Work, held: Hold, hint: str) -> None:
    facts = {**_whose(work), "reason": held.reason, "hint": hint}
    match held.guard:
        case Guard.SUSPECT:
            log.warning("expiry-held-suspect", **facts)
        case Guard.BACKUP_FAILED:
            log.warning("expiry-held-backup-failed", **facts)
        case Guard.NOT_FRESH:
            log.warning("expiry-held-not-fresh", **facts)
        case Guard.REBUILT:
            log.warning("expiry-held-rebuilt", **facts)
        case Guard.FOREIGN:
            log.warning("expiry-held-foreign", **facts)
        case Guard.POLICY_CHANGED:
            log.warning("expiry-held-policy-changed", **facts)
        case Guard.CLOCK_JUMPED:
            log.warning("expiry-held-clock-jumped", **facts)


def _result(decision: Decision, deleted: int) -> Result:
    return Result(outcome=Outcome.OK, details={**_counts(decision, deleted), "completed": True})


def _counts(decision: Decision, deleted: int) -> dict[str, object]:
    return {"archives": len(decision.verdicts), "planned": len(decision.planned), "deleted": deleted}
