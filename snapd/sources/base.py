"""The contract of a source: something to save."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from snapd.model import Problem
from snapd.proc import Launcher

Scalar = str | int | float | None


@dataclass(frozen=True, slots=True)
class Dump:
    """One finished dump: its name in the config, where it lies, its size in bytes."""

    name: str
    path: Path
    bytes: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """What one source gives to an archive. `paths` are absolute and were there a moment ago.

    `lacking` are sentences about what could not be saved while the rest can (a warning, never silence).
    """

    paths: tuple[Path, ...]
    dumps: tuple[Dump, ...] = ()
    lacking: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tools:
    """What a source is handed: the door to processes (children run without our capability), and its private
    staging folder, which exists, is empty, and has a stable path from run to run (for `doctor` and `staged`
    it need not exist). `stall_s` seconds without any sign of work end a dump.
    """

    launcher: Launcher
    staging: Path
    stall_s: float = 1800.0


class Queryable(Protocol):
    """A restored dump, loaded where it harms nobody."""

    def scalar(self, query: str) -> Scalar:
        """Run one query and return the first column of its first row; None for no row or NULL.

        Raises `RestoreTestError` for SQL that fails. A query cannot change anything that outlives the test.
        """


class Source(Protocol):
    """One thing to save. A dump of it is complete and proven by its own end, or the run fails."""

    def doctor(self) -> tuple[Problem, ...]:
        """Say what on this machine would stop it, in milliseconds, changing nothing.

        `backup_set` is left empty.
        """

    def open(self) -> AbstractContextManager[Prepared]:
        """Prepare what goes into the archive; leaving the block removes what was staged.

        Raises `SourceError` before anything is archived on hard evidence: nothing there, exit status, end
        missing, unreadable, empty.
        """


class DumpSource(Source, Protocol):
    """A source that writes a dump, and can load it again."""

    @property
    def name(self) -> str:
        """Name of the dump in its set."""

    def staged(self) -> Path:
        """Absolute path of the dump while it is archived, the same in every run."""

    def load(self, dump: Path, scratch: Path) -> AbstractContextManager[Queryable]:
        """Load an extracted dump inside the private folder `scratch` and check that it is whole.

        Raises `RestoreTestError` for a dump that does not load, is damaged or empty.
        """
