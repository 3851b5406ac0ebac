"""Engines: the programs that drive stores. One file each, and one line here."""

from __future__ import annotations

from snapd.config import BorgStore, Store, TarsnapStore
from snapd.engines.base import Engine, Tools
from snapd.engines.borg import BorgEngine
from snapd.engines.tarsnap import TarsnapEngine


def build(name: str, store: Store, tools: Tools) -> Engine:
    """Return the engine that drives a store; `name` is the store's, for messages. Starts nothing."""
    match store:
        case BorgStore():
            return BorgEngine(name, store, tools)
        case TarsnapStore():
            return TarsnapEngine(name, store, tools)
