"""What Tarsnap's keys tell offline: whose they are, and what they may do."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from snapd.config import TarsnapStore
from snapd.engines.tarsnap_program import look
from snapd.errors import EngineUsageError
from snapd.model import Problem
from snapd.proc import Launcher

_ACTIONS = re.compile(r"reading|writing|deleting|nuking")


def permissions(keyfile: Path, launcher: Launcher) -> frozenset[str]:
    """Return what a key may do: `reading`, `writing`, `deleting`, `nuking`; empty when it cannot be told, as
    of a key with a passphrase.
    """
    said = _told("--print-key-permissions", keyfile, launcher)
    match = re.search(r"has permissions for: ([^\n]*)", said)
    return frozenset(_ACTIONS.findall(match[1])) if match else frozenset()


def number(keyfile: Path, launcher: Launcher) -> str:
    """Return the number that all cuts of one key share; empty when it cannot be told."""
    match = re.search(r"^(\d+)$", _told("--print-key-id", keyfile, launcher), re.MULTILINE)
    return match[1] if match else ""


def _cut(flags: str, keyfile: Path) -> str:
    return f"tarsnap-keymgmt --outkeyfile NEW {flags} {keyfile}"


def _told(question: str, keyfile: Path, launcher: Launcher) -> str:
    try:
        return look(("tarsnap-keymgmt", question, str(keyfile)), keyfile, launcher)
    except EngineUsageError:
        return ""


def shared(stores: Mapping[str, TarsnapStore], launcher: Launcher) -> Iterator[Problem]:
    """Yield a problem for each store whose key is another cut of an earlier store's."""
    first: dict[str, str] = {}
    for name, store in stores.items():
        key = number(store.keyfile, launcher)
        known = first.setdefault(key, name) if key else name
        if known != name:
            yield Problem(
                f"its key is the key of store {known}, number {key}: each would put the other out of step",
                "keep one of the two stores, and name it in the backup sets of both",
                store=name,
            )


def unfit(name: str, store: TarsnapStore, *, expires: bool, launcher: Launcher) -> Iterator[Problem]:
    """Yield a problem for a key that may not delete, where a set of its store expires."""
    may = permissions(store.keyfile, launcher)
    if expires and may and "deleting" not in may:
        hint = f"take a key that may ({_cut('-r -w -d', store.keyfile)}), or the expire tables away"
        yield Problem(
            f"the key {store.keyfile} does not allow deleting: no expiry can be made", hint, store=name
        )


def too_mighty(name: str, store: TarsnapStore, *, expires: bool, launcher: Launcher) -> Iterator[Problem]:
    """Yield advice for a key that can delete, and so can nuke everything, though nothing here needs that."""
    may = permissions(store.keyfile, launcher)
    if not expires and may & {"deleting", "nuking"}:
        yield Problem(
            f"the key {store.keyfile} can delete and nuke all archives, and no set of the store expires",
            f"keep it elsewhere, and use one that cannot: {_cut('-r -w', store.keyfile)}",
            store=name,
        )
