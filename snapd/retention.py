"""What to keep and what to delete, and when an expiry must not act by itself. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from operator import attrgetter

from snapd.deltas import Deltas
from snapd.errors import EmptyPolicyError
from snapd.keep import Keep
from snapd.model import Archive, Outcome, Verdict
from snapd.units import format_duration

PARTIAL_AFTER = timedelta(days=7)
"""The age from which an incomplete archive is deleted, where the config does not say."""

FEW = 10
"""So few archives an operator has under their eyes: a policy may be tried on them without asking."""

Policy = Deltas | Keep

_created, _name = attrgetter("created"), attrgetter("name")


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """What no policy may delete: the newest `min_keep` archives that count, and these names.

    `proven` is the newest archive that passed a restore test, or empty; `in_use` are being read now.
    """

    min_keep: int
    proven: str = ""
    pinned: frozenset[str] = frozenset()
    in_use: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What decides whether a plan may be carried out without anybody looking.

    `not_fresh` says why the fresh light is off, empty when it is on. `last_outcome` and `last_error_code` are
    those of the last backup run that ended, None when there was none. `suspects` counts suspect archives.
    `foreign`: no expiry was ever completed, and there are archives that we did not make; `rebuilt`: so it is
    because the history was started from nothing. `policy` and `completed_policy` are fingerprints, the latter
    of the last completed expiry (None: there was none). `clock_stepped`: the clock jumped since then.
    `archives` counts the set's archives, `deletions` those to be deleted.
    """

    archives: int
    deletions: int
    policy: str
    completed_policy: str | None
    not_fresh: str = ""
    last_outcome: Outcome | None = None
    last_error_code: str = ""
    suspects: int = 0
    rebuilt: bool = False
    foreign: bool = False
    clock_stepped: bool = False


class Guard(StrEnum):
    """What can hold an expiry back; each has its own event in the journal."""

    SUSPECT = "suspect"
    BACKUP_FAILED = "backup-failed"
    NOT_FRESH = "not-fresh"
    REBUILT = "rebuilt"
    FOREIGN = "foreign"
    POLICY_CHANGED = "policy-changed"
    CLOCK_JUMPED = "clock-jumped"

    @property
    def approvable(self) -> bool:
        """Whether an operator's yes to the plan releases what it holds."""
        return self not in (Guard.SUSPECT, Guard.BACKUP_FAILED, Guard.NOT_FRESH)


@dataclass(frozen=True, slots=True)
class Hold:
    """Why an expiry does nothing now: which guard holds it, and its reason in words."""

    guard: Guard
    reason: str

    @property
    def approvable(self) -> bool:
        return self.guard.approvable


def plan(
    archives: Iterable[Archive],
    policy: Policy,
    floor: Floor,
    now: datetime,
    *,
    partial_after: timedelta = PARTIAL_AFTER,
) -> tuple[Verdict, ...]:
    """Decide which archives of one set to keep, and say why.

    Pure: reads no clock and no disk, logs nothing, leaves `archives` unchanged. Takes n log n time.

    `archives`: every archive of ONE set in ONE store, any order, may be empty; names unique; `created` an
    aware instant in UTC. `now`: aware; later archives are kept, with the reason "future", and never anchor
    the policy. Suspect archives are kept, incomplete ones until they are older than `partial_after` (and
    longer while there is nothing better); neither counts as newest, for `min_keep` or for the policy.

    Returns one verdict per archive, newest first, ties by name descending; `keep` is true exactly when
    `reasons` is not empty. Raises `EmptyPolicyError` when the policy would keep nothing.

    Guarantees: the newest archive that counts is kept; same input, same output. A larger floor, a delta
    added at either end, a larger count and another rule of `keep` never delete more (a delta added between
    two others may). Planning again for what was kept, at the same `now`, deletes nothing more.
    """
    if policy.empty:
        raise EmptyPolicyError(
            "the retention policy is empty", hint='Write what to keep, such as deltas = ["1d", "7d", "30d"].'
        )
    ordered = sorted(archives, key=_name, reverse=True)
    ordered.sort(key=_created, reverse=True)  # which leaves equal times as they are
    reasons: dict[str, tuple[str, ...]] = {}
    for name, reason in _reasons(ordered, policy, floor, now, partial_after):
        reasons[name] = (*reasons.get(name, ()), reason)
    return tuple([Verdict(archive, reasons.get(archive.name, ())) for archive in ordered])


def _reasons(
    ordered: Sequence[Archive], policy: Policy, floor: Floor, now: datetime, partial_after: timedelta
) -> Iterator[tuple[str, str]]:
    """Yield (name, reason) for all that is kept, names of the floor that are not there included."""
    past = ordered[bisect_left(ordered, True, key=lambda archive: archive.created <= now) :]
    counting = [archive for archive in past if archive.complete and not archive.suspect]
    if counting:
        yield counting[0].name, "newest"
        yield from policy.kept(counting)
    yield from ((archive.name, "min_keep") for archive in counting[: max(floor.min_keep, 0)])
    yield floor.proven, "proven"
    yield from ((name, "pinned") for name in floor.pinned)
    yield from ((name, "in use") for name in floor.in_use)
    yield from ((archive.name, "future") for archive in ordered[: len(ordered) - len(past)])
    yield from ((archive.name, "suspect") for archive in ordered if archive.suspect)
    for archive in past:
        if not archive.complete and now - archive.created <= partial_after:
            yield archive.name, f"incomplete, younger than {_days(partial_after)}"
        elif not archive.complete and not counting:
            yield archive.name, "incomplete, nothing better yet"


def _days(span: timedelta) -> str:
    return f"{span.days} days" if span.days > 1 else format_duration(span)


def fingerprint(
    policy: Policy,
    pattern: str,
    timezone: str,
    *,
    min_keep: int,
    adopted: Iterable[str] = (),
    partial_after: timedelta = PARTIAL_AFTER,
) -> str:
    """Return one text for everything that decides a plan besides the archives and time.

    Stable across releases: it is compared with what an older one recorded. The order of the deltas is
    immaterial, and so is that of the adopted patterns.
    """
    text = f"{policy.text}; min_keep={min_keep}; archive={pattern}; timezone={timezone}"
    further = "::".join(sorted(adopted))  # which no pattern holds
    text += f"; adopt={further}" if further else ""
    late = f"; partial_after={partial_after // timedelta(seconds=1)}s"
    return text if partial_after == PARTIAL_AFTER else text + late


def hold(circumstances: Circumstances, *, max_share: float = 0.5) -> Hold | None:
    """Say why a plan must not be carried out now, or None when it may.

    Source of the rule: DESIGN 6, Retention. Nobody can release the first kind: the set is not fresh, its last
    backup failed, a suspect archive waits. A backup that failed for want of space holds nothing, and neither
    does the staleness that follows from it: otherwise a full store would stay full for ever.

    The second kind asks for approval where time alone does not explain the plan: always after the history was
    rebuilt from nothing; else only for more than `max_share` of the archives: after a clock step, since a
    backup made by a wrong clock would be what the policy counts from; and, of more than ten, at the first
    expiry of archives that we did not make, or under a policy that differs from the last completed one.
    """
    held = _doubtful(circumstances)
    if held is not None or circumstances.deletions == 0:
        return held
    unexplained = _unexplained(circumstances, max_share)
    if unexplained is None:
        return None
    return Hold(unexplained.guard, f"{unexplained.reason}: {_share(circumstances)}")


def _doubtful(seen: Circumstances) -> Hold | None:
    failed = seen.last_outcome is Outcome.FAILED
    full = failed and seen.last_error_code == "space"
    if seen.suspects:
        waiting = "archive waits" if seen.suspects == 1 else "archives wait"
        return Hold(Guard.SUSPECT, f"{seen.suspects} suspect {waiting}")
    if failed and not full:
        return Hold(Guard.BACKUP_FAILED, f"the last backup failed ({seen.last_error_code or 'failed'})")
    if seen.not_fresh and not full:
        return Hold(Guard.NOT_FRESH, f"the set is not fresh: {seen.not_fresh}")
    return None


def _unexplained(seen: Circumstances, max_share: float) -> Hold | None:
    if seen.rebuilt:
        return Hold(Guard.REBUILT, "the history was rebuilt from nothing")
    if seen.deletions <= max_share * seen.archives:
        return None
    if seen.archives > FEW and seen.completed_policy is None and seen.foreign:
        return Hold(Guard.FOREIGN, "first expiry of archives that were not made here")
    if seen.archives > FEW and seen.completed_policy not in (None, seen.policy):
        return Hold(Guard.POLICY_CHANGED, "the retention policy, pattern or zone changed")
    if seen.clock_stepped:
        return Hold(Guard.CLOCK_JUMPED, "the clock jumped")
    return None


def _share(seen: Circumstances) -> str:
    return f"{seen.deletions} of {seen.archives} archives would be deleted"
