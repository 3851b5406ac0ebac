"""What a config needs of this machine, and what of it is wrong now. Changes nothing, asks no store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from snapd import engines, sources
from snapd.config import BackupSet, Config, Folders, Store
from snapd.engines.base import Engine, RunLimits
from snapd.engines.base import Tools as EngineTools
from snapd.model import Problem
from snapd.proc import Launcher
from snapd.sources.base import Tools as SourceTools

KILL_S = 5.0

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
) -> tuple[Problem, ...]:
    """Look at every store and set: what would stop its runs. With `connect` the stores are asked too."""
    found: list[Problem] = []
    for name in sorted({backup_set.store for backup_set in config.backup.values()}):
        engine = engine_of(name, config, folders, build=build)
        found += (replace(item, store=name) for item in engine.doctor(connect=connect))
    for backup_set in config.backup.values():
        found += _of_sources(backup_set, folders)
    return tuple(found)


def _of_sources(backup_set: BackupSet, folders: Folders) -> list[Problem]:
    def tools(part: str) -> SourceTools:
        return SourceTools(Launcher(), folders.state / "staging" / backup_set.name / part)

    return [
        replace(item, backup_set=backup_set.name)
        for source in sources.build(backup_set, tools)
        for item in source.doctor()
    ]
