"""Run by the interpreter that has tarsnapper: a list and deltas in, seconds out, as JSON."""

from __future__ import annotations

import json
import sys
import time
from datetime import datetime, timedelta

from tarsnapper.expire import expire  # it lives in .venv-bench

asked = json.load(sys.stdin)
backups = {name: datetime.fromtimestamp(at) for name, at in asked["times"].items()}  # noqa: DTZ006
deltas = [timedelta(seconds=span) for span in asked["deltas"]]
began = time.perf_counter()
expire(backups, deltas)
print(time.perf_counter() - began)
