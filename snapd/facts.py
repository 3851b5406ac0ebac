"""From config and history to the facts behind the five lights of a backup set."""

from __future__ import annotations

from datetime import datetime, timedelta

from snapd.config import BackupSet, Config
from snapd.cron import Schedule
from snapd.engines.base import Properties
from snapd.history import History
from snapd.lights import Facts, Lights, grace, lights


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
