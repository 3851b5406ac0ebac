"""The clock of a box that sleeps at our command: hours pass for it, and nobody waits for them.

`clock.c` is preloaded into every program of the box by /etc/ld.so.preload, so that systemd, its journal, the
service, its engines and whatever a test types live at one time. No clock of the kernel is touched.
"""

from __future__ import annotations

import struct
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.systemd.box import Box

SOURCE = Path(__file__).with_name("clock.c")
LIBRARY = "/opt/clock/clock.so"
PLACE = "/opt/clock/slept"


class Clock:
    """What time it is in a box. Made before its boot, goes only forward, and goes on while it is down."""

    def __init__(self, box: Box, began: datetime) -> None:
        self._box = box
        self._slept_ns = 0
        library = box.path(LIBRARY)
        library.parent.mkdir(parents=True, mode=0o755)
        compiler = ["gcc", "-Wall", "-Wextra", "-Werror", "-O2", "-shared", "-fPIC", f'-DPLACE="{PLACE}"']
        subprocess.run([*compiler, "-o", str(library), str(SOURCE)], check=True)
        box.path(PLACE).write_bytes(bytes(8))
        box.path("/etc/ld.so.preload").write_text(f"{LIBRARY}\n")
        self.sleep_until(began)

    def now(self) -> datetime:
        return datetime.fromtimestamp((time.time_ns() + self._slept_ns) / 1e9, UTC)

    def sleep_until(self, moment: datetime) -> None:
        """Let the time up to `moment` have passed in sleep."""
        ahead = moment - self.now()
        assert ahead.total_seconds() >= 0, f"{moment} has passed"
        self._slept_ns += round(ahead.total_seconds() * 1e9)
        with self._box.path(PLACE).open("r+b", buffering=0) as file:  # not a new file: this one is mapped
            file.write(struct.pack("=q", self._slept_ns))
