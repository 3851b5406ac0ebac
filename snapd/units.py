"""Durations and sizes as operators write them: `15m`, `7d`, `2G`."""

from __future__ import annotations

import re
from datetime import timedelta

_LONGEST_SPAN = timedelta(days=36525)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_BYTES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_DURATION = re.compile(r"([0-9]{1,15})\s*([smhdw])")
_SIZE = re.compile(r"([0-9]{1,15})\s*([kMGT]?)B?")


def parse_duration(text: str) -> timedelta:
    """Return `15m` and the like as a span; units s, m, h, d, w. Raises ValueError with one sentence."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(
            f"{_shown(text)} is no duration: a whole number and a unit, such as 30s, 15m, 2h, 7d or 1w"
        )
    try:
        return timedelta(seconds=int(match[1]) * _SECONDS[match[2]])
    except OverflowError:
        raise ValueError(f"{text!r} is longer than any archive will live") from None


def parse_span(text: str) -> timedelta:
    """Return a duration as an operator may write it: longer than zero, at most 100 years.

    Raises ValueError with one sentence that says what would be right.
    """
    if text.lstrip().startswith("-"):
        raise ValueError("a duration cannot be negative")
    if len(text) > 20:
        raise ValueError('must be a duration, such as "30s", "15m", "2h", "7d" or "1w"')
    span = parse_duration(text)
    if not span:
        raise ValueError("must be longer than zero")
    if span > _LONGEST_SPAN:
        raise ValueError("must not be longer than 100 years")
    return span


def format_duration(span: timedelta) -> str:
    """Return a span in its largest two units, rounded down to seconds: `2d 3h`, `45s`."""
    seconds = int(span.total_seconds())
    sign, seconds = ("-", -seconds) if seconds < 0 else ("", seconds)
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return sign + (" ".join(parts[:2]) or "0s")


def parse_size(text: str) -> int:
    """Return `500M` and the like in bytes; SI units k, M, G, T. Raises ValueError with one sentence."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{_shown(text)} is no size: a whole number and a unit, such as 500M, 2G or 1T")
    return int(match[1]) * _BYTES[match[2]]


def format_size(count: int) -> str:
    """Return bytes in SI units with three significant digits: `1.23 MB`, `999 B`."""
    if abs(count) < 1000:
        return f"{count} B"
    value = float(count)
    for unit in ("kB", "MB", "GB", "TB", "PB"):
        value /= 1000
        if abs(value) < 999.5 or unit == "PB":
            break
    digits = 2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0
    return f"{value:.{digits}f} {unit}"


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}…")
