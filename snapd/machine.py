"""What a config needs of this machine, and what of it is wrong now. Changes nothing, asks no store."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

from snapd import crontabs, engines, sources
from snapd.config import BackupSet, Config, Folders, Store
from snapd.engines.base import Engine, RunLimits, silent_store
from snapd.engines.base import Tools as EngineTools
from snapd.looks import answers
from snapd.model import Problem
from snapd.proc import Launcher
from snapd.sources.base import Tools as SourceTools

KILL_S = 5.0
LOOK_S = 10.0
"""More than a source takes for its own looks, and less than the watchdog's patience."""

BuildEngine = Callable[[str, Store, EngineTools], Engine]


def limits_of(config: Config) -> RunLimits:
    """The time limits of engine calls, from the config.

    What does not end gently is killed a little before the daemon itself would have to give up at a stop.
    """
    stop_s = config.daemon.stop_limit.total_seconds()
    return RunLimits(
        stall_s=config.daemon.stall_after.total_seconds(),
        wall_s=config.daemon.run_limit.total_seconds(),
        grace_s=max(stop_s - KILL_S, stop_s / 2),
    )


def engine_of(name: str, config: Config, folders: Folders, *, build: BuildEngine = engines.build) -> Engine:
    """Return the engine of a store, for its properties and its doctor; it holds no lock."""
    tools = EngineTools(launcher=Launcher(), cache=folders.cache / "stores" / name)
    return build(name, config.store[name], tools)


def problems(
    config: Config,
    folders: Folders,
    *,
    connect: bool = False,
    build: BuildEngine = engines.build,
    limit_s: float = LOOK_S,
) -> tuple[Problem, ...]:
    """Look at every store and set: what would stop its runs. With `connect` the stores are asked too.

    Files are looked at for `limit_s` seconds at most, stores and sets side by side; what does not answer by
    then is a problem itself. Only asking the stores may take longer.
    """
    built = {
        name: engine_of(name, config, folders, build=build)
        for name in sorted({backup_set.store for backup_set in config.backup.values()})
    }
    looks: dict[str, Callable[[], tuple[Problem, ...]]] = {
        **{f"store {name}": partial(engine.doctor, connect=False) for name, engine in built.items()},
        **{f"set {each.name}": partial(_of_sources, each, folders) for each in config.backup.values()},
    }
    beside = {"stores beside each other": lambda: tuple(engines.clashes(config))}
    seen = answers({**looks, **beside}, limit_s)
    found: list[Problem] = [*seen.get("stores beside each other", ())]
    for name, engine in built.items():
        local = seen.get(f"store {name}", (silent_store(name),))
        told = local if local or not connect else engine.doctor(connect=True)
        found += (replace(item, store=name) for item in told)
    for name in config.backup:
        found += seen.get(f"set {name}", (_silent_set(name),))
    return tuple(found)


def warnings(
    config: Config, *, places: Iterable[Path] = crontabs.PLACES
) -> tuple[tuple[Problem, ...], tuple[Path, ...]]:
    """Return what works and yet should not stay so, and the crontabs that could not be read for it."""
    stores = engines.tarsnap_stores(config)
    if not stores:
        return (), ()
    looks: dict[str, Callable[[], tuple[Problem, ...]]] = {
        "advice on stores": lambda: tuple(engines.advice(config))
    }
    advice = answers(looks, LOOK_S).get("advice on stores", ())
    found = crontabs.calls_of_tarsnap(places)
    default = crontabs.default_keyfile()
    calls = (
        _still_called(name, call, certain=(call.keyfile or default) is not None)
        for name, store in stores.items()
        for call in found.calls
        if _may_be(call.keyfile or default, store.keyfile)
    )
    return (*advice, *calls), found.unread


def _may_be(named: Path | None, keyfile: Path) -> bool:
    """Tell whether a key that somebody names, or does not name, may be this one."""
    return named is None or os.path.realpath(named) == os.path.realpath(keyfile)


def _still_called(store: str, call: crontabs.CronCall, *, certain: bool) -> Problem:
    key = "with the same key" if certain else "perhaps with the same key"
    return Problem(
        f"{call.file}:{call.line} still calls {call.program} {key}: two schedulers get in each other's way",
        f"put a # before line {call.line} of {call.file}",
        store=store,
    )


def _of_sources(backup_set: BackupSet, folders: Folders) -> tuple[Problem, ...]:
    def tools(part: str) -> SourceTools:
        return SourceTools(Launcher(), folders.state / "staging" / backup_set.name / part)

    return tuple(
        replace(item, backup_set=backup_set.name)
        for source in sources.build(backup_set, tools)
        for item in source.doctor()
    )


def _silent_set(name: str) -> Problem:
    return Problem(
        "a path or a database of the set does not answer (a hung mount?)",
        "look at the mounts that it is on",
        backup_set=name,
        passing=True,
    )
