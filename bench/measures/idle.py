"""What the daemon takes while nothing is due: resident memory, and processor time of all its threads."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

from bench.place import place
from bench.programs import put_stub_borg
from bench.results import Row, ours, part

MEMORY_MIB = 60.0
SHARE_PERCENT = 0.01
SETS = 50
SETTLE_S = 5.0
MORE = """
[backup.NAME.expire]
schedule = "@yearly"
deltas = ["1d", "7d", "30d", "365d"]
"""


def measure(quick: bool) -> list[Row]:
    window_s, windows = (10.0, 1) if quick else (60.0, 3)
    with place() as at:
        put_stub_borg(at.bin)
        at.pretend_store()
        at.configure(*(at.backup_set(f"set{number}", more=MORE) for number in range(SETS)))
        with at.daemon() as started:
            time.sleep(SETTLE_S)
            pid = started.process.pid
            shares = [share_percent(pid, window_s) for _ in range(windows)]
            resident = resident_mib(pid)
    return [
        Row(
            f"idle, {2 * SETS} jobs: resident memory",
            "MiB",
            ours([resident]),
            MEMORY_MIB,
            beside=(part("an interpreter that does nothing", [_bare_mib()]),),
        ),
        Row(
            f"idle, {2 * SETS} jobs: processor time, of one core",
            "%",
            ours(shares),
            SHARE_PERCENT,
            note=f"over {window_s:g} s; of borgmatic nothing runs between backups",
        ),
    ]


def share_percent(pid: int, window_s: float) -> float:
    """Return the processor time that a process takes in a window, as a share of one core."""
    began, before = time.monotonic(), processor_s(pid)
    time.sleep(window_s)
    return 100 * (processor_s(pid) - before) / (time.monotonic() - began)


def processor_s(pid: int) -> float:
    """Return the processor time of a process, all threads, to the nanosecond.

    /proc/PID/stat counts in hundredths of a second, as much as a minute's budget. The id of another process's
    clock is made as clock_getcpuclockid(3) makes it.
    """
    return time.clock_gettime((~pid << 3) | 2)


def resident_mib(pid: int) -> float:
    found = re.search(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024


def _bare_mib() -> float:
    argv = [sys.executable, "-c", "print(flush=True); input()"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = resident_mib(process.pid)
        process.communicate(b"\n")
        return found
