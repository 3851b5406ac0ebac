"""An expiry: list, plan, ask whether it may be, delete in batches, give the space back, remember it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from snapd.config import Expire
from snapd.errors import EngineError, InterruptedRunError, UsageError
from snapd.jobs.base import CLOCK_JUMPED, Work, clock_seen_key, note_clock_seen
from snapd.jobs.batches import FIRST, next_size
from snapd.lights import fresh
from snapd.logger import log
from snapd.model import Archive, Kind, Outcome, Result, Verdict, job_id
from snapd.retention import Circumstances, Floor, Hold, fingerprint, hold, plan

RECLAIMS_INTERRUPTED_AT_MOST = 3


@dataclass(frozen=True, slots=True)
class Decision:
    """What an expiry would do now. `policy` is the fingerprint under which its names can be approved."""

    backup_set: str
    policy: str
    verdicts: tuple[Verdict, ...]
    circumstances: Circumstances
    hold: Hold | None
    approved: frozenset[str] = frozenset()

    @property
    def planned(self) -> tuple[str, ...]:
        """Names of what the policy no longer keeps, oldest first."""
        return tuple(verdict.archive.name for verdict in reversed(self.verdicts) if not verdict.keep)

    @property
    def deletable(self) -> tuple[str, ...]:
        """The planned names that may be deleted now: all, those approved, or none."""
        if self.hold is None:
            return self.planned
        return tuple(name for name in self.planned if self.hold.approvable and name in self.approved)

    @property
    def settled(self) -> bool:
        """True when the expiry is complete once the deletable names are gone.

        An approval that covers most of the plan stands for the whole: what joined since is time's doing.
        """
        left = len(self.planned) - len(self.deletable)
        return self.hold is None or len(self.deletable) > left


def run(work: Work) -> Result:
    """Delete what the retention policy no longer keeps, if nothing holds it.

    Raises `UsageError` for a set without a policy, `EngineError`, and `InterruptedRunError` when stopped.
    """
    decision = decide(work, work.engine.archives())
    _tell_lost_pins(work, decision)
    _log_plan(decision)
    if decision.hold and not decision.deletable:
        return _held(decision, deleted=0)
    deleted, decision = _delete(work, decision)
    _reclaim(work)
    if not decision.settled:
        return _held(decision, deleted=deleted)
    _remember(work, decision)
    return _result(decision, deleted)


def decide(work: Work, listing: Iterable[Archive]) -> Decision:
    """Plan from a listing of the whole store, and say what holds the plan. Deletes nothing.

    What the listing says of this set is written to the history, which knows the suspect ones.
    Raises `UsageError` for a set without a policy.
    """
    section, now = _section(work), work.now()
    mine = [archive for archive in listing if work.backup_set.owns(archive.name)]
    archives = work.history.record_listing(work.backup_set.store, work.backup_set.name, mine, now)
    policy, partial_after = section.policy(work.config.daemon.timezone), section.partial_after
    verdicts = plan(archives, policy, _floor(work, archives, now), now, partial_after=partial_after)
    policy_text = fingerprint(
        policy,
        work.backup_set.archive.text,
        work.config.daemon.timezone,
        min_keep=section.min_keep,
        adopted=[pattern.text for pattern in work.backup_set.adopt],
        partial_after=partial_after,
    )
    circumstances = _circumstances(work, verdicts, policy_text, now)
    return Decision(
        backup_set=work.backup_set.name,
        policy=policy_text,
        verdicts=verdicts,
        circumstances=circumstances,
        hold=hold(circumstances, max_share=section.max_share),
        approved=work.history.approved(work.backup_set.name, policy_text, now),
    )


def approve(work: Work, decision: Decision) -> None:
    """Remember that the operator wants the planned names deleted, under this policy."""
    work.history.approve(decision.backup_set, decision.planned, decision.policy, work.now())


def decision_json(decision: Decision) -> dict[str, object]:
    """What `expire --plan` shows, newest archive first; JSON values only, instants ISO 8601 in UTC."""
    held = decision.hold
    return {
        "backup_set": decision.backup_set,
        "policy": decision.policy,
        "hold": {"reason": held.reason, "approvable": held.approvable} if held else None,
        "keep": len(decision.verdicts) - len(decision.planned),
        "delete": len(decision.planned),
        "approved": sorted(decision.approved.intersection(decision.planned)),
        "archives": [
            {
                "name": verdict.archive.name,
                "created": verdict.archive.created.isoformat(),
                "complete": verdict.archive.complete,
                "suspect": verdict.archive.suspect,
                "keep": verdict.keep,
                "reasons": list(verdict.reasons),
            }
            for verdict in decision.verdicts
        ],
    }


# -- what is decided upon -------------------------------------------------------------------------------


def _section(work: Work) -> Expire:
    if work.backup_set.expire is None:
        name = work.backup_set.name
        raise UsageError(
            f"the backup set {name!r} has no retention policy",
            hint=f"add [backup.{name}.expire] with deltas or keep",
        )
    return work.backup_set.expire


def _floor(work: Work, archives: Sequence[Archive], now: datetime) -> Floor:
    proofs = {proof.archive for proof in work.history.proofs(work.backup_set.name)}
    proven = [archive for archive in archives if archive.name in proofs and archive.created <= now]
    newest = max(proven, key=lambda archive: (archive.created, archive.name), default=None)
    return Floor(
        min_keep=_section(work).min_keep,
        proven=newest.name if newest else "",
        pinned=_pinned(work),
        in_use=work.in_use(),
    )


def _pinned(work: Work) -> frozenset[str]:
    store, name = work.backup_set.store, work.backup_set.name
    return frozenset(pin.archive for pin in work.history.pins(store, name))


def _circumstances(work: Work, verdicts: Sequence[Verdict], policy: str, now: datetime) -> Circumstances:
    name = work.backup_set.name
    archives = [verdict.archive for verdict in verdicts]
    light = fresh(archives, work.due_slot, now, scheduled=work.backup_set.schedule is not None)
    last = work.history.last(job_id(Kind.BACKUP, name))
    completed = work.history.completed_policy(name)
    foreign = completed is None and _any_foreign(work, archives)
    return Circumstances(
        archives=len(archives),
        deletions=sum(not verdict.keep for verdict in verdicts),
        policy=policy,
        completed_policy=completed,
        not_fresh="" if light.on else light.why,
        last_outcome=last.outcome if last else None,
        last_error_code=last.error_code if last else "",
        suspects=sum(archive.suspect for archive in archives),
        rebuilt=foreign and work.history.noted("rebuilt") is not None,
        foreign=foreign,
        clock_stepped=_clock_stepped(work),
    )


def _any_foreign(work: Work, archives: Iterable[Archive]) -> bool:
    """Tell whether we never tried to create one of the archives, as far as the history reaches."""
    made = work.history.made_here(work.backup_set.name)
    return any(archive.complete and archive.name not in made for archive in archives)


def _clock_stepped(work: Work) -> bool:
    """Tell whether the clock jumped and no expiry of the set was completed since.

    Jumps are told apart by what the daemon noted of them, not by time: the clock may have been wrong.
    """
    jumped = work.history.noted(CLOCK_JUMPED)
    return jumped is not None and jumped != work.history.noted(clock_seen_key(work))


# -- deleting -------------------------------------------------------------------------------------------


def _delete(work: Work, decision: Decision) -> tuple[int, Decision]:
    """Delete in batches, stepping aside for due backups between two; return how many went.

    A backup of this set that ran meanwhile may have changed everything (it may have failed, or be suspect),
    so what is left is decided again; the last decision is returned.
    """
    deleted, size = 0, FIRST
    names, most = decision.deletable, work.engine.properties.largest_delete_batch
    while names := _still_free(work, names):
        _note_reclaim(work, due=True)
        began = work.steady()
        deleted += _delete_batch(work, names[:size])
        names, size = names[size:], next_size(size, work.steady() - began, most)
        if names and _backup_ran_aside(work):
            decision = decide(work, work.engine.archives())
            names = tuple(name for name in decision.deletable if name in names)
    return deleted, decision


def _still_free(work: Work, names: Sequence[str]) -> tuple[str, ...]:
    """Leave out what somebody began to read, or pinned, since it was planned."""
    kept = work.in_use() | _pinned(work)
    return tuple(name for name in names if name not in kept)


def _backup_ran_aside(work: Work) -> bool:
    before = work.history.last(job_id(Kind.BACKUP, work.backup_set.name))
    work.yielding.step_aside()
    return work.history.last(job_id(Kind.BACKUP, work.backup_set.name)) != before


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
    log.info("archives-deleted", backup_set=work.backup_set.name, count=len(names), archives=list(names))


def _reclaim(work: Work) -> None:
    """Give space back if this or an earlier expiry left some: gently interrupted thrice, then to its end.

    Never beside a reader, whose archive's pieces it may move.
    """
    if not work.engine.properties.needs_reclaim or not _reclaim_due(work):
        return
    for _ in range(RECLAIMS_INTERRUPTED_AT_MOST):
        work.yielding.wait_for_readers()
        try:
            with work.yielding.interruptible():
                work.engine.reclaim()
            break
        except InterruptedRunError as error:
            if error.cause != "backup-due":
                raise
        work.yielding.step_aside()
    else:
        work.yielding.wait_for_readers()
        work.engine.reclaim()
    _note_reclaim(work, due=False)


def _reclaim_due(work: Work) -> bool:
    return work.history.noted(_reclaim_key(work)) is not None


def _note_reclaim(work: Work, *, due: bool) -> None:
    if _reclaim_due(work) != due:
        work.history.note(_reclaim_key(work), work.run_id if due else None)


def _reclaim_key(work: Work) -> str:
    return f"reclaim-due:{work.backup_set.store}"


# -- what is told ---------------------------------------------------------------------------------------


def _log_plan(decision: Decision) -> None:
    planned = len(decision.planned)
    log.info(
        "expiry-planned",
        backup_set=decision.backup_set,
        keep=len(decision.verdicts) - planned,
        delete=planned,
    )


def _tell_lost_pins(work: Work, decision: Decision) -> None:
    there = {verdict.archive.name for verdict in decision.verdicts}
    lost = sorted(name for name in _pinned(work) - there if work.backup_set.owns(name))
    if lost:
        log.warning("pinned-lost", backup_set=decision.backup_set, count=len(lost), archives=lost)


def _remember(work: Work, decision: Decision) -> None:
    """Record a completed expiry, unless the history was rebuilt and nothing had to be approved yet."""
    if decision.circumstances.rebuilt and not decision.planned:
        return
    work.history.record_expiry(decision.backup_set, decision.policy, work.now())
    note_clock_seen(work)
    work.history.withdraw_approval(decision.backup_set)


def _held(decision: Decision, *, deleted: int) -> Result:
    assert decision.hold is not None
    reason, hint = decision.hold.reason, "; ".join(_advice(decision))
    log.warning("expiry-held", backup_set=decision.backup_set, reason=reason, hint=hint)
    return Result(
        outcome=Outcome.WARNING,
        notes=(f"expiry is held: {reason}",),
        hint=hint,
        error_code="held",
        details={**_counts(decision, deleted), "held": reason, "approvable": decision.hold.approvable},
    )


def _advice(decision: Decision) -> Iterator[str]:
    name = decision.backup_set
    if decision.hold is not None and decision.hold.approvable:
        yield f"read `snapd-backup expire {name} --plan`, then approve it with --approve"
    elif decision.circumstances.suspects:
        yield f"a restore test that passes clears a suspect archive: `snapd-backup restore-test {name}`"
        yield f"so does your word that nothing is wrong with it: `snapd-backup accept {name}`"
    else:
        yield "expiry goes on after the next good backup"


def _result(decision: Decision, deleted: int) -> Result:
    return Result(outcome=Outcome.OK, details={**_counts(decision, deleted), "completed": True})


def _counts(decision: Decision, deleted: int) -> dict[str, object]:
    return {"archives": len(decision.verdicts), "planned": len(decision.planned), "deleted": deleted}
