"""From config and history to facts of a backup set: those behind its lights, and how its expiry stands."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from snapd.config import BackupSet, Config
from snapd.cron import Schedule
from snapd.engines.base import Properties
from snapd.history import History, Run
from snapd.lights import Facts, Lights, grace, lights
from snapd.model import Kind, Outcome, job_id

INTERVALS_OF_PATIENCE = 3
SHORTEST_PATIENCE = timedelta(days=1)


def due_slot(backup_set: BackupSet, timezone: str, now: datetime) -> datetime | None:
    """Return the latest backup slot older than the fresh light's grace; None without a schedule."""
    if backup_set.schedule is None:
        return None
    schedule = Schedule.parse(backup_set.schedule, timezone)
    return schedule.latest(now - grace(schedule.interval(now)))


def lights_of(
    backup_set: BackupSet, config: Config, properties: Properties, history: History, now: datetime
) -> Lights:
    """Compute the lights of one set from what was last listed and proven; asks no engine."""
    known = history.known_archives(backup_set.name)
    proofs = history.proofs(backup_set.name)
    test = backup_set.restore_test
    told = next((item.encrypted for item in known if item.encrypted is not None), None)
    return lights(
        Facts(
            scheduled=backup_set.schedule is not None,
            due_slot=due_slot(backup_set, config.daemon.timezone, now),
            archives=tuple(item.archive for item in known),
            proven_at=proofs[0].passed if proofs else None,
            proven_within=test.proven_within if test else timedelta(days=90),
            encrypted=told if told is not None else properties.encrypted,
            off_site=properties.off_site,
        ),
        now,
    )


@dataclass(frozen=True, slots=True)
class ExpiryStanding:
    """When a set's expiry last came to its end, None: never as far as is known.

    `late` is how long ago that, or the first try, was, where that is too long and `why` is in its way.
    """

    completed: datetime | None
    late: timedelta | None = None
    why: str = ""


def expiry_standing(
    backup_set: BackupSet, timezone: str, history: History, now: datetime
) -> ExpiryStanding | None:
    """Say whether a set's expiry could not finish for more than a few of its intervals; None without one.

    What was held, failed or interrupted counts, and a run that is due and does not get its turn. A machine
    that was off does not: what it missed is caught up.
    """
    if backup_set.expire is None:
        return None
    job = job_id(Kind.EXPIRE, backup_set.name)
    waiting = next((run for run in history.unfinished() if run.job == job), None)
    completed = history.last_ok(job)
    since = completed or history.first_end(job) or (waiting.slot if waiting else now)
    interval = Schedule.parse(backup_set.expire.schedule, timezone).interval(now)
    patience = max(INTERVALS_OF_PATIENCE * interval, SHORTEST_PATIENCE)
    why = _in_its_way(history.last(job), waiting, now - patience)
    return ExpiryStanding(completed, now - since if why and now - since > patience else None, why)


def _in_its_way(last: Run | None, waiting: Run | None, long_ago: datetime) -> str:
    if waiting is not None and waiting.failures:
        return f"failed: {waiting.message}"
    if last is not None and last.outcome is not Outcome.OK:
        held = last.details.get("held")
        return f"held: {held}" if held else f"{last.outcome}: {last.message}"
    if waiting is not None and waiting.slot <= long_ago:
        return "it is due, and does not get its turn"
    return ""
