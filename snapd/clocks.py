"""Tells a step of the wall clock from sleep: both look the same to a thread that waits."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Reading:
    """The wall clock beside two that nobody can set: seconds since boot, with and without sleep."""

    wall: datetime
    boot_s: float
    awake_s: float

    def stepped_since(self, before: Reading) -> float:
        """Seconds by which somebody moved the wall clock."""
        return (self.wall - before.wall).total_seconds() - (self.boot_s - before.boot_s)

    def slept_since(self, before: Reading) -> float:
        """Seconds of suspension."""
        return (self.boot_s - before.boot_s) - (self.awake_s - before.awake_s)


def read_clocks(wall: datetime) -> Reading:
    """Read the other two clocks beside a reading of the wall clock."""
    return Reading(wall, time.clock_gettime(time.CLOCK_BOOTTIME), time.monotonic())
