"""What tarsnapper 0.5 means by its words, on a command line and in its file."""

from __future__ import annotations

import re
from collections.abc import Sequence

DATEFORMAT = "%Y%m%d-%H%M%S"  # what tarsnapper writes when it is told nothing
_DELTA = re.compile(r"0*[1-9][0-9]{0,8}[shd]")


def valid_deltas(deltas: Sequence[str]) -> str:
    """Return what keeps deltas of tarsnapper from being ours, an empty text when nothing does."""
    if len(deltas) < 2:
        return "at least two deltas are needed, a spacing and how far back it reaches"
    if not all(_DELTA.fullmatch(delta) for delta in deltas):
        return "a delta is a whole number above zero and s, h or d"
    if len({_seconds(delta) for delta in deltas}) < len(deltas):
        return "two deltas are equal"
    return ""


def _seconds(delta: str) -> int:
    return int(delta[:-1]) * {"s": 1, "h": 3600, "d": 86400}[delta[-1]]
