"""Does a process group still do anything? Read from /proc (proc(5)), where the kernel lets us."""

from __future__ import annotations

import contextlib
from pathlib import Path


class Activity:
    """Notices that a process group does nothing any more."""

    def __init__(self, group: int, stall: float | None, now: float) -> None:
        self._group = group
        self._stall = stall
        self._last = now
        self._mark: object = None
        self._period = max(0.05, min((stall or 0) / 10, 30.0))
        self.next_look = None if stall is None else now + self._period

    def seen(self, now: float) -> None:
        self._last = now

    def stalled(self, now: float) -> bool:
        if self._stall is None or self.next_look is None or now < self.next_look:
            return False
        self.next_look = now + self._period
        mark = _consumption(self._group)
        if mark != self._mark:
            self._mark = mark
            self._last = now
        return now - self._last >= self._stall


def _consumption(group: int) -> dict[int, tuple[int, int]]:
    """Processor ticks and bytes read and written so far, by process of the group (proc(5))."""
    used: dict[int, tuple[int, int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError, ValueError):
                fields = (folder / "stat").read_bytes().rpartition(b")")[2].split()
                if int(fields[2]) == group:
                    used[int(folder.name)] = (int(fields[11]) + int(fields[12]), _transferred(folder))
    return used


def _transferred(folder: Path) -> int:
    try:
        lines = (folder / "io").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines[:2])  # rchar, wchar
