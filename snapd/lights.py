"""The five lights of a backup set: fresh, proven, encrypted, off-site, key copied. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from snapd.model import Archive
from snapd.units import format_duration

KEY_CONFIRMED_WITHIN = timedelta(days=365)
_SHORTEST_GRACE = timedelta(hours=1)
_ZERO = timedelta(0)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a set. Instants are aware.

    `due_slot` is the latest slot of its backup job that is older than the grace, None when no slot is.
    `archives` are those listed when last looked, in any order. `proven_at` is when a restore test last
    passed. `encrypted` is None when neither config nor store has told. `key_confirmed` is when the operator
    last confirmed a copy of the key that the store has now.
    """

    scheduled: bool
    due_slot: datetime | None
    archives: tuple[Archive, ...]
    proven_at: datetime | None
    proven_within: timedelta
    encrypted: bool | None
    off_site: bool
    key_confirmed: datetime | None = None


@dataclass(frozen=True, slots=True)
class Light:
    """On or off, and why: a short clause for the operator, without a full stop."""

    on: bool
    why: str


@dataclass(frozen=True, slots=True)
class Lights:
    """All five, in the order in which they are shown. Iterates as (label, light)."""

    fresh: Light
    proven: Light
    encrypted: Light
    off_site: Light
    key_copied: Light

    def __iter__(self) -> Iterator[tuple[str, Light]]:
        yield "fresh", self.fresh
        yield "proven", self.proven
        yield "encrypted", self.encrypted
        yield "off-site", self.off_site
        yield "key copied", self.key_copied

    @property
    def off(self) -> tuple[str, ...]:
        """Labels of the lights that are off."""
        return tuple(label for label, light in self if not light.on)


def grace(interval: timedelta) -> timedelta:
    """How old a slot must be before an archive for it is missed: an hour, or a quarter of the interval."""
    return max(_SHORTEST_GRACE, interval / 4)


def lights(facts: Facts, now: datetime) -> Lights:
    """Summarise a set. Source of each rule: the table in DESIGN 1. What lies in the future does not count."""
    return Lights(
        fresh=fresh(facts.archives, facts.due_slot, now, scheduled=facts.scheduled),
        proven=_proven(facts, now),
        encrypted=_encrypted(facts.encrypted),
        off_site=_off_site(facts.off_site),
        key_copied=_key_copied(facts.key_confirmed, now),
    )


def fresh(archives: Sequence[Archive], due_slot: datetime | None, now: datetime, *, scheduled: bool) -> Light:
    """Judge freshness alone; arguments as in `Facts`.

    A set without a schedule is exempt, but what it has is said: an exemption is no success.
    """
    made = [a.created for a in archives if a.complete and not a.suspect and a.created <= now]
    latest = max(made, default=None)
    having = f"latest archive {_ago(now - latest)}" if latest else _nothing_usable(archives)
    if not scheduled:
        return Light(True, f"no schedule, so never due; {having}")
    if due_slot is None:
        return Light(latest is not None, f"no slot was due yet; {having}")
    if latest is not None and latest >= due_slot:
        return Light(True, having)
    return Light(False, f"no archive for the slot of {_instant(due_slot)}; {having}")


def _nothing_usable(archives: Sequence[Archive]) -> str:
    return "its archives are incomplete, suspect or from the future" if archives else "no archive at all"


def _proven(facts: Facts, now: datetime) -> Light:
    if facts.proven_at is None:
        return Light(False, "never restored")
    age = now - facts.proven_at
    if age < _ZERO:
        return Light(False, f"its restore test is dated {format_duration(-age)} ahead")
    if age > facts.proven_within:
        return Light(False, f"last restored {_ago(age)}, allowed are {format_duration(facts.proven_within)}")
    return Light(True, f"restored {_ago(age)}")


def _encrypted(encrypted: bool | None) -> Light:
    if encrypted is None:
        return Light(False, "the store has not told yet")
    return Light(encrypted, "encrypted by the engine" if encrypted else "the store is not encrypted")


def _off_site(off_site: bool) -> Light:
    return Light(off_site, "on another machine" if off_site else "the store is on this machine")


def _key_copied(confirmed: datetime | None, now: datetime) -> Light:
    if confirmed is None:
        return Light(False, "the key's copy was never confirmed")
    age = now - confirmed
    if age < _ZERO:
        return Light(False, f"the confirmation of the key's copy is dated {format_duration(-age)} ahead")
    if age > KEY_CONFIRMED_WITHIN:
        return Light(False, f"the key's copy was last confirmed {_ago(age)}")
    return Light(True, f"the key's copy was confirmed {_ago(age)}")


def _ago(age: timedelta) -> str:
    return f"{format_duration(age)} ago"


def _instant(instant: datetime) -> str:
    return instant.isoformat(sep=" ", timespec="minutes")
