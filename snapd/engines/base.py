"""The contract of an engine: the program that drives a store."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from snapd.model import Archive, Created, Problem, Progress
from snapd.proc import Launcher, Limits


@dataclass(frozen=True, slots=True)
class Properties:
    """How an engine, with one store's config, differs from the others. Data, never `isinstance`.

    `encrypted` is what can be said without asking the store: True, False, or None when only the store knows.
    `off_site` is true when the store's address is another machine. `largest_delete_batch` archives at most go
    into one `delete` call, so that a due backup waits for one batch only. `reads_beside_creation`: `members`
    and `extract` work while another archive is created or deleted (not while space is reclaimed).
    `resumable`: after `gentle_signal` a creation keeps what it stored, and the next one under another name is
    cheap. `repair_costs` is what an operator should know before a repair: a sentence without a full stop.
    """

    encrypted: bool | None
    off_site: bool
    largest_delete_batch: int
    reads_beside_creation: bool
    resumable: bool
    needs_reclaim: bool
    gentle_signal: signal.Signals
    repair_costs: str


@dataclass(frozen=True, slots=True)
class Selection:
    """What to archive. `paths` are absolute and exist; `exclude` are patterns with the one meaning of the
    config (no slash: a base name anywhere; leading slash: anchored at the root; `**` crosses folders);
    `never` are absolute folders and files of our own that are left out whatever the patterns say; `staged`
    are those of `paths` that hold our dumps, which go in whatever the patterns say (`*.sqlite` is a likely
    one for the live database beside the dump). No path of `staged` is inside one of `never`.
    """

    paths: tuple[Path, ...]
    exclude: tuple[str, ...] = ()
    never: tuple[Path, ...] = ()
    staged: tuple[Path, ...] = ()
    one_file_system: bool = False


@dataclass(frozen=True, slots=True)
class Member:
    """One entry of an archive. `path` has no leading slash; `size` in bytes, 0 for what is no file."""

    path: str
    size: int
    is_file: bool
    mtime: datetime


@dataclass(frozen=True, slots=True)
class Stats:
    """Sizes of a whole store in bytes; None when the engine does not say."""

    bytes_total: int | None = None
    bytes_stored: int | None = None
    archives: int | None = None


@dataclass(frozen=True, slots=True)
class RunLimits:
    """Time limits of an engine's calls in seconds: `stall_s` of a creation, `wall_s` of everything else."""

    stall_s: float = 1800.0
    wall_s: float = 86400.0
    grace_s: float = 30.0

    def of(self, *, creates: bool) -> Limits:
        """Return the limits of one call: a creation may take as long as it makes progress."""
        if creates:
            return Limits(wall=None, stall=self.stall_s, grace=self.grace_s)
        return Limits(wall=self.wall_s, grace=self.grace_s)


@dataclass(frozen=True, slots=True)
class Tools:
    """What an engine is handed at build time: the door to processes, and where it may write.

    `cache` is private to this store and this kind of caller (a restore in another process has its own), and
    made when it is not there; `progress` is called from the thread that called the engine, often; `now` is
    the wall clock (aware), for engines that let us say when an archive was made.
    """

    launcher: Launcher
    cache: Path
    limits: RunLimits = field(default_factory=RunLimits)
    progress: Callable[[Progress], None] = field(default=lambda _progress: None)
    now: Callable[[], datetime] | None = None


def silent_store(name: str) -> Problem:
    """Say that looking at a store's local files did not come to an end."""
    return Problem(
        f"the store {name} does not answer (a hung mount?)",
        "look at the mount of its folder, key or passphrase",
        store=name,
        passing=True,
    )


class Engine(Protocol):
    """One store, driven by its program. Methods block; none of them takes the single lock: the caller has it.

    Every method may raise `EngineError` (one of its kinds), `TimeLimitError`, or `InterruptedRunError` when
    the launcher was asked to stop.
    """

    @property
    def properties(self) -> Properties: ...

    def init(self) -> None:
        """Create the store. Raises `ExistsError` when there is one already; never touches it then."""

    def doctor(self, *, connect: bool) -> tuple[Problem, ...]:
        """Say what on this machine would stop every run: program, key, folders. Changes nothing.

        With `connect` false only local files are looked at, in milliseconds (the caller leaves one behind
        that hangs); with it the store is asked too. What is not there at all is `passing`.
        """

    def create(self, name: str, selection: Selection) -> Created:
        """Store one archive. `name` was never used before (`names_taken` included its incomplete form).

        May return with `omitted` and `warnings`; the archive counts only when `find` sees it afterwards.
        Raises `ExistsError` when the name is taken. The only method whose children keep our capability.
        """

    def find(self, name: str) -> Archive | None:
        """Look one archive up in one cheap call; None when it is not listed."""

    def archives(self) -> tuple[Archive, ...]:
        """List every archive of the store, strangers' and incomplete ones included, in any order.

        `created` comes from the engine. An incomplete listing is an error, never a short tuple.
        """

    def delete(self, names: Sequence[str]) -> None:
        """Delete archives, at most `largest_delete_batch`. One that is not there is success; not atomic."""

    def reclaim(self) -> None:
        """Give the space of deleted archives back. May be interrupted any time; does nothing if needless."""

    def members(self, name: str) -> Iterator[Member]:
        """Yield the entries of an archive in stored order. Raises `NotFoundError`."""

    def extract(self, name: str, into: Path, only: Sequence[str] = ()) -> None:
        """Write an archive, or the members and trees in `only` (no leading slash), below the folder `into`.

        Raises `NotFoundError` when the archive, or any of `only`, is not there. Stops at the first error that
        concerns contents; owners and attributes that an unprivileged user cannot set are no error.
        """

    def stats(self) -> Stats:
        """Sizes of the store."""

    def repair(self) -> None:
        """Mend the store without losing an archive that can be kept."""
