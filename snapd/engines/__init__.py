"""Engines: the programs that drive stores. One file each, and one line here.

An engine is imported when a config names it: `check` and a small machine's memory need no other.
"""
# ruff: noqa: PLC0415

from __future__ import annotations

from collections.abc import Iterator

from snapd.config import BorgStore, Config, Store, TarsnapStore
from snapd.engines.base import Engine, Tools
from snapd.model import Problem
from snapd.proc import Launcher


def build(name: str, store: Store, tools: Tools) -> Engine:
    """Return the engine that drives a store; `name` is the store's, for messages. Starts nothing."""
    match store:
        case BorgStore():
            from snapd.engines.borg import BorgEngine

            return BorgEngine(name, store, tools)
        case TarsnapStore():
            from snapd.engines.tarsnap import TarsnapEngine

            return TarsnapEngine(name, store, tools)


def clashes(config: Config) -> Iterator[Problem]:
    """Yield what is wrong with stores beside each other, and with what the sets want of them.

    Unlike what a store's doctor finds it stops no run. Local files alone are looked at.
    """
    stores = tarsnap_stores(config)
    if not stores:
        return
    from snapd.engines import tarsnap_keys

    yield from tarsnap_keys.shared(stores, Launcher())
    for name, store in stores.items():
        yield from tarsnap_keys.unfit(name, store, expires=_expires(config, name), launcher=Launcher())


def advice(config: Config) -> Iterator[Problem]:
    """Yield what works, and could be safer. Local files alone are looked at."""
    for name, store in tarsnap_stores(config).items():
        from snapd.engines import tarsnap_keys

        yield from tarsnap_keys.too_mighty(name, store, expires=_expires(config, name), launcher=Launcher())


def tarsnap_stores(config: Config) -> dict[str, TarsnapStore]:
    """Return the stores that backup sets use and Tarsnap drives."""
    used = {backup_set.store for backup_set in config.backup.values()}
    return {
        name: store
        for name, store in config.store.items()
        if name in used and isinstance(store, TarsnapStore)
    }


def _expires(config: Config, store: str) -> bool:
    return any(each.store == store and each.expire is not None for each in config.backup.values())
