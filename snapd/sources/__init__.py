"""What a backup set saves: one adapter per kind of source."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from snapd.config import BackupSet, DumpConfig
from snapd.sources.base import DumpSource, Source, Tools
from snapd.sources.files import FilesSource
from snapd.sources.sqlite import SqliteSource

ToolsFor = Callable[[str], Tools]
"""Gives a source its tools by the relative path of its private folder below the set's staging folder."""


def build(backup_set: BackupSet, tools_for: ToolsFor) -> tuple[Source, ...]:
    """Return every source of a set: its paths first, then its dumps in the order of the config."""
    files = (FilesSource(backup_set.paths, alone=not backup_set.dump),) if backup_set.paths else ()
    return files + dumps(backup_set, tools_for)


def dumps(backup_set: BackupSet, tools_for: ToolsFor) -> tuple[DumpSource, ...]:
    """Return the database sources of a set in the order of the config."""
    return tuple(_dump(config, tools_for(f"dumps/{config.name}")) for config in backup_set.dump)


def _dump(config: DumpConfig, tools: Tools) -> DumpSource:
    match config.engine:
        case "sqlite":
            return SqliteSource(config, tools)
        case _ as unknown:
            assert_never(unknown)
