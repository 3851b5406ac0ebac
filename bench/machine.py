"""What the numbers were taken on."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sqlite3
import subprocess
from importlib.metadata import version
from pathlib import Path

from bench.programs import ROOT, bench_python


def description() -> dict[str, str]:
    """Describe the machine and the versions; what cannot be told is left out."""
    processor = _first("/proc/cpuinfo", r"model name\s*:\s*(.+)") or platform.machine()
    memory_kib = int(_first("/proc/meminfo", r"MemTotal:\s*(\d+)") or 0)
    system = _first("/etc/os-release", r'PRETTY_NAME="(.+)"')
    facts = {
        "processor": f"{processor}, {os.cpu_count()} cores",
        "memory": f"{memory_kib / 2**20:.1f} GiB",
        "system": f"{system}, Linux {platform.release()}",
        "virtual": _said("systemd-detect-virt"),
        "temporary folder on": _said("findmnt", "-no", "FSTYPE", "--target", "/tmp"),
        "Python": f"{platform.python_version()}, SQLite {sqlite3.sqlite_version}",
        "Borg": _said("borg", "--version").removeprefix("borg "),
        "borgmatic": _rival_version("borgmatic"),
        "tarsnapper": _rival_version("tarsnapper"),
        **{name: version(name) for name in ("APScheduler", "SQLAlchemy", "pydantic")},
    }
    return {name: value for name, value in facts.items() if value}


def commit() -> str:
    """Name the commit, `-dirty` when the program differs from it; empty outside a repository."""
    name = _said("git", "-C", str(ROOT), "rev-parse", "--short", "HEAD")
    changed = _said("git", "-C", str(ROOT), "status", "--porcelain", "--", "snapd")
    return f"{name}-dirty" if changed else name


def load() -> float:
    """Load average of the last minute."""
    return os.getloadavg()[0]


def _first(path: str, pattern: str) -> str:
    try:
        found = re.search(pattern, Path(path).read_text())
    except OSError:
        return ""
    return found[1].strip() if found else ""


def _said(*argv: str) -> str:
    if shutil.which(argv[0]) is None:
        return ""
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _rival_version(name: str) -> str:
    code = f"from importlib.metadata import version; print(version({name!r}))"
    return _said(str(bench_python()), "-c", code)
