"""What an expiry would do now, and what holds it: from a listing, the policy, and the history."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from snapd.config import BackupSet, Config, Expire
from snapd.errors import UsageError
from snapd.history import Run
from snapd.jobs import listings
from snapd.jobs.base import CLOCK_JUMPED, Work, clock_seen_key
from snapd.lights import fresh
from snapd.model import Archive, Kind, Outcome, Verdict, job_id
from snapd.retention import Circumstances, Floor, Guard, Hold, fingerprint, hold, plan


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


def decide(work: Work, listing: Iterable[Archive]) -> Decision:
    """Plan from a listing of the whole store, and say what holds the plan. Deletes nothing.

    What the listing says of this set is written to the history, which knows the suspect ones.
    Raises `UsageError` for a set without a policy.
    """
    section, now = expire_section(work.backup_set), work.now()
    archives = listings.record(work.history, work.backup_set, listing, now)
    policy, partial_after = section.policy(work.config.daemon.timezone), section.partial_after
    verdicts = plan(archives, policy, _floor(work, archives, now), now, partial_after=partial_after)
    policy_text = policy_of(work.backup_set, work.config)
    circumstances = _circumstances(work, verdicts, policy_text, now)
    return Decision(
        backup_set=work.backup_set.name,
        policy=policy_text,
        verdicts=verdicts,
        circumstances=circumstances,
        hold=hold(circumstances, max_share=section.max_share),
        approved=work.history.approved(work.backup_set.name, policy_text, now),
    )


def policy_of(backup_set: BackupSet, config: Config) -> str:
    """Return the fingerprint under which a set is expired. Raises `UsageError` for one without a policy."""
    section = expire_section(backup_set)
    return fingerprint(
        section.policy(config.daemon.timezone),
        backup_set.archive.text,
        config.daemon.timezone,
        min_keep=section.min_keep,
        adopted=[pattern.text for pattern in backup_set.adopt],
        partial_after=section.partial_after,
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
        "hold": _hold_json(decision, held) if held else None,
        "keep": len(decision.verdicts) - len(decision.planned),
        "delete": len(decision.planned),
        "approved": sorted(decision.approved.intersection(decision.planned)),
        "groups": [
            {
                "keep": group.keep,
                "reason": group.reason,
                "count": group.count,
                "oldest": group.oldest.isoformat(),
                "newest": group.newest.isoformat(),
            }
            for group in groups(decision.verdicts)
        ],
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


def _hold_json(decision: Decision, held: Hold) -> dict[str, object]:
    return {
        "guard": held.guard.value,
        "reason": held.reason,
        "approvable": held.approvable,
        "hint": advice(decision.backup_set, held),
    }


def advice(backup_set: str, held: Hold) -> str:
    """Say what an operator can do about a hold; one thing a line."""
    match held.guard:
        case Guard.SUSPECT:
            return (
                "a restore test that passes clears a suspect archive: "
                f"`snapd-backup restore-test {backup_set}`\n"
                f"so does your word that nothing is wrong with it: `snapd-backup accept {backup_set}`"
            )
        case Guard.BACKUP_FAILED | Guard.NOT_FRESH:
            return "expiry goes on after the next good backup"
        case Guard.REBUILT:
            return f"pins went with the old history: bring them back first\n{_approval(backup_set)}"
        case Guard.FOREIGN | Guard.POLICY_CHANGED | Guard.CLOCK_JUMPED:
            return _approval(backup_set)


def _approval(backup_set: str) -> str:
    name = f"snapd-backup expire {backup_set}"
    return f"look at `{name} --plan`; if it is what you want: `{name} --approve`"


# -- in groups, for a reader ----------------------------------------------------------------------------

_COUNTED = re.compile(r" [0-9]+ of [0-9]+( \(oldest\))?$")


@dataclass(frozen=True, slots=True)
class Group:
    """Archives that stay, or go, for one reason. One that stays for several is in several groups."""

    keep: bool
    reason: str
    count: int
    oldest: datetime
    newest: datetime


def groups(verdicts: Iterable[Verdict]) -> tuple[Group, ...]:
    """Sum verdicts, newest first, up by reason: what stays, then what goes. Pure."""
    created: dict[tuple[bool, str], list[datetime]] = {}
    for verdict in verdicts:
        for reason in dict.fromkeys(_labels(verdict)):
            created.setdefault((verdict.keep, reason), []).append(verdict.archive.created)
    kept_first = sorted(created.items(), key=lambda item: not item[0][0])
    return tuple(Group(keep, reason, len(at), at[-1], at[0]) for (keep, reason), at in kept_first)


def _labels(verdict: Verdict) -> Iterator[str]:
    """Yield the reasons without their counts: the third and the fourth week stay for the same."""
    yield from (_COUNTED.sub("", reason) for reason in verdict.reasons)
    if not verdict.keep:
        yield "no rule keeps it" if verdict.archive.complete else "incomplete, and no longer young"


# -- what is decided upon -------------------------------------------------------------------------------


def expire_section(backup_set: BackupSet) -> Expire:
    """Return what a set's config says of its expiry. Raises `UsageError` where it says nothing."""
    if backup_set.expire is None:
        name = backup_set.name
        raise UsageError(
            f"the backup set {name!r} has no retention policy",
            hint=f"add [backup.{name}.expire] with deltas or keep",
        )
    return backup_set.expire


def _floor(work: Work, archives: Sequence[Archive], now: datetime) -> Floor:
    proofs = {proof.archive for proof in work.history.proofs(work.backup_set.name)}
    proven = [archive for archive in archives if archive.name in proofs and archive.created <= now]
    newest = max(proven, key=lambda archive: (archive.created, archive.name), default=None)
    return Floor(
        min_keep=expire_section(work.backup_set).min_keep,
        proven=newest.name if newest else "",
        pinned=pinned(work),
        in_use=work.in_use(),
    )


def pinned(work: Work) -> frozenset[str]:
    """Names that operators pinned in the store of a set, or for the set."""
    store, name = work.backup_set.store, work.backup_set.name
    return frozenset(pin.archive for pin in work.history.pins(store, name))


def _circumstances(work: Work, verdicts: Sequence[Verdict], policy: str, now: datetime) -> Circumstances:
    name = work.backup_set.name
    archives = [verdict.archive for verdict in verdicts]
    light = fresh(archives, work.due_slot, now, scheduled=work.backup_set.schedule is not None)
    last = last_backup(work)
    completed = work.history.completed_policy(name)
    foreign = completed is None and _any_foreign(work, archives)
    return Circumstances(
        archives=len(archives),
        deletions=sum(not verdict.keep for verdict in verdicts),
        policy=policy,
        completed_policy=completed,
        not_fresh="" if light.on else light.why,
        last_outcome=(last.outcome or Outcome.FAILED) if last else None,
        last_error_code=last.error_code if last else "",
        suspects=sum(archive.suspect for archive in archives),
        rebuilt=foreign and work.history.noted("rebuilt") is not None,
        foreign=foreign,
        clock_stepped=_clock_stepped(work),
    )


def last_backup(work: Work) -> Run | None:
    """Return the set's last backup that was tried; one that waits for its retry has failed."""
    job = job_id(Kind.BACKUP, work.backup_set.name)
    waiting = next((run for run in work.history.unfinished() if run.job == job and run.failures), None)
    return waiting or work.history.last(job)


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
