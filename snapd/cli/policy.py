"""A retention policy as two options give it: one argument each, separated by commas or spaces."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import click

from snapd.deltas import as_written
from snapd.errors import UsageError
from snapd.keep import COUNTED, Keep
from snapd.retention import Policy
from snapd.units import parse_span

F = TypeVar("F", bound=Callable[..., Any])
_MOST = 10**9
_SHOWN = 40  # characters of a word that is not understood


def policy_options(command: F) -> F:
    """The options --deltas and --keep."""
    keep = click.option("--keep", metavar="RULES", help='As restic: "daily=7,weekly=5", also within=30d.')
    deltas = click.option("--deltas", metavar="DELTAS", help='As tarsnapper: "1d 7d 30d 365d".')
    return deltas(keep(command))


def policy_of(deltas: str | None, keep: str | None, timezone: str) -> Policy:
    """Return the policy of the two options. Raises `UsageError` unless exactly one is given and sound."""
    if deltas is not None and keep is not None:
        raise UsageError("--deltas and --keep both say what to keep", hint="leave out one of the two")
    try:
        if deltas is not None:
            return as_written(tuple(_span(word) for word in _words(deltas)))
        if keep is not None:
            return _keep(keep, timezone)
    except ValueError as error:
        raise UsageError(f"{'--keep' if deltas is None else '--deltas'}: {error}") from error
    raise UsageError(
        "what is to be kept is not said", hint='give --deltas "1d 7d 30d", or --keep "daily=7,weekly=5"'
    )


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[,\s]+", text) if word]


def _span(text: str) -> timedelta:
    try:
        return parse_span(text)
    except ValueError as error:
        shown = repr(text[:_SHOWN])
        raise ValueError(str(error) if shown in str(error) else f"{error}; found {shown}") from None


def _keep(text: str, timezone: str) -> Keep:
    rules: dict[str, Any] = {}
    for word in _words(text):
        rule, separator, value = word.partition("=")
        if not separator or rule not in (*COUNTED, "within"):
            known = ", ".join(COUNTED)
            raise ValueError(f"{word[:_SHOWN]!r} is no rule: {known} take a number, within a duration")
        if rule in rules:
            raise ValueError(f"{rule} is given twice")
        rules[rule] = _span(value) if rule == "within" else _count(rule, value)
    if not rules:
        raise ValueError("keeps nothing; give a rule, such as daily=7")
    return Keep(timezone=timezone, **rules)


def _count(rule: str, text: str) -> int:
    count = int(text) if re.fullmatch(r"-?[0-9]{1,10}", text, re.ASCII) else None
    if count is None:
        raise ValueError(f"{rule} takes a whole number; found {text[:_SHOWN]!r}")
    if not 1 <= count <= _MOST:
        raise ValueError(f"{rule} must be at least 1, and at most {_MOST}; found {count}")
    return count
