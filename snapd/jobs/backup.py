"""A backup: prepare the sources, create one archive, see it in the store, remember it."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from snapd import sources
from snapd.config import Config, Folders
from snapd.engines.base import Selection
from snapd.errors import EngineUsageError, ExistsError, PartialError, SourceError, StagingFullError
from snapd.history import KnownArchive
from snapd.jobs.base import Work
from snapd.jobs.scratch import private_folder, staging_of
from snapd.jobs.state_copy import write_state_copy
from snapd.model import Archive, Created, Outcome, Result, is_incomplete_name
from snapd.sources.base import Dump, Prepared, Source
from snapd.sources.base import Tools as SourceTools
from snapd.units import format_size

MOST_NAMES = 1000
MOST_NOTED = 20


@dataclass(frozen=True, slots=True)
class Staged:
    """Everything that goes into one archive, ready, and what of the set could not be had."""

    selection: Selection
    dumps: tuple[Dump, ...]
    lacking: tuple[str, ...]


def run(work: Work) -> Result:
    """Make one archive of the set, and count it only when the store lists it."""
    _ask_doctor(work)
    with _stage(work) as staged:
        created = _create(work, staged.selection)
    found = _find(work, created.name)
    suspicions = _suspicions(work, staged.dumps)
    _remember(work, replace(found, suspect=bool(suspicions)), created, staged.dumps)
    return _result(work, created, staged, suspicions)


def _ask_doctor(work: Work) -> None:
    problems = work.engine.doctor(connect=False)
    if problems:
        raise EngineUsageError("; ".join(problem.message for problem in problems), hint=problems[0].hint)


# -- what goes into the archive -------------------------------------------------------------------------


@contextlib.contextmanager
def _stage(work: Work) -> Iterator[Staged]:
    """Within the block every dump is written and whole; raises before anything is archived."""
    staging = staging_of(work.folders, work.backup_set.name)
    with contextlib.ExitStack() as open_sources:
        with _told_of_full_disk(staging):
            open_sources.enter_context(private_folder(staging))
            prepared = [
                open_sources.enter_context(_opened(work, source)) for source in _sources(work, staging)
            ]
            about = write_state_copy(work, staging / "about")
        yield _assemble(work, prepared, about)


def _sources(work: Work, staging: Path) -> tuple[Source, ...]:
    stall_s = work.config.daemon.stall_after.total_seconds()

    def tools_for(part: str) -> SourceTools:
        folder = staging / part
        folder.mkdir(mode=0o700, parents=True)
        return SourceTools(work.launcher, folder, stall_s=stall_s)

    return sources.build(work.backup_set, tools_for)


@contextlib.contextmanager
def _opened(work: Work, source: Source) -> Iterator[Prepared]:
    """Open a source; a dump that fails takes the paths of its set with it, and says how to split it."""
    with contextlib.ExitStack() as stack:
        try:
            prepared = stack.enter_context(source.open())
        except SourceError as error:
            if work.backup_set.paths and work.backup_set.dump:
                advice = "the paths of the set were not archived either: give the dump a set of its own"
                error.hint = f"{error.hint}; {advice}" if error.hint else advice
            raise
        yield prepared


@contextlib.contextmanager
def _told_of_full_disk(staging: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StagingFullError(
                f"no room in the staging folder {staging}", hint="make room on the disk of the state folder"
            ) from error
        raise SourceError(f"the staging folder {staging} cannot be used: {error}") from error


def _assemble(work: Work, prepared: Sequence[Prepared], about: Path) -> Staged:
    never = _never(work.config, work.folders, work.backup_set.name)
    staging = staging_of(work.folders, work.backup_set.name)
    lacking = [sentence for item in prepared for sentence in item.lacking]
    paths: list[Path] = []
    for path in dict.fromkeys(path for item in prepared for path in item.paths):
        if any(path.is_relative_to(folder) for folder in never):
            lacking.append(f"{path} belongs to snapd-backup or one of its stores, which are never archived")
        else:
            paths.append(path)
    if not paths:
        raise SourceError(f"nothing of the set can be saved: {'; '.join(lacking)}")
    selection = Selection(
        paths=(*paths, about),
        exclude=work.backup_set.exclude,
        never=never,
        staged=(*(path for path in paths if path.is_relative_to(staging)), about),
        one_file_system=work.backup_set.one_file_system,
    )
    return Staged(selection, tuple(dump for item in prepared for dump in item.dumps), tuple(lacking))


def _never(config: Config, folders: Folders, backup_set: str) -> tuple[Path, ...]:
    """List our own folders and every local store's: all of the state folder but the staging of this set."""
    staging = staging_of(folders, backup_set)
    kept = {staging, staging.parent}
    around = [path for folder in (folders.state, staging.parent) for path in folder.iterdir()]
    stores = [store.local_folder for store in config.store.values()]
    own = [folders.state / "scratch", folders.cache, folders.runtime, *(path for path in stores if path)]
    listed = [path for path in (*around, *own) if path not in kept]
    real = [Path(os.path.realpath(path)) for path in listed]
    return tuple(sorted({*listed, *real}))


# -- the archive ----------------------------------------------------------------------------------------


def _create(work: Work, selection: Selection) -> Created:
    """Create the archive under the first name never used before."""
    store, backup_set = work.backup_set.store, work.backup_set
    used = work.history.names_used(store)
    now = work.now()
    for number in count(1):
        name = backup_set.archive.render(now, number)
        if _is_used(name, used):
            continue
        work.history.record_name(store, backup_set.name, name, now)
        try:
            return work.engine.create(name, selection)
        except ExistsError:
            if number >= MOST_NAMES:
                raise
    raise AssertionError("count() has no end")


def _is_used(name: str, used: frozenset[str]) -> bool:
    return name in used or any(other.startswith(f"{name}.") and is_incomplete_name(other) for other in used)


def _find(work: Work, name: str) -> Archive:
    found = work.engine.find(name)
    if found is None or not found.complete:
        fault = "is not listed" if found is None else "is listed as incomplete"
        raise PartialError(
            f"the archive {name} {fault} in the store {work.backup_set.store}, though its creation succeeded",
            hint="look at the store with its own program; the next run uses another name",
        )
    return found


def _suspicions(work: Work, dumps: Sequence[Dump]) -> tuple[str, ...]:
    """Name the dumps that shrank below their limit against the last archive that nobody suspects."""
    limits = {config.name: config.shrink_limit for config in work.backup_set.dump}
    return tuple(
        f"the dump {dump.name} shrank from {format_size(good)} to {format_size(dump.bytes)}: "
        "the archive is suspect until a restore test of it passes or somebody accepts it"
        for dump in dumps
        if (good := work.history.last_good_dump(work.backup_set.name, dump.name)) is not None
        and dump.bytes < limits[dump.name] * good
    )


def _remember(work: Work, archive: Archive, created: Created, dumps: Sequence[Dump]) -> None:
    backup_set, now = work.backup_set, work.now()
    work.history.record_archive(
        KnownArchive(archive, backup_set.store, backup_set.name, now, encrypted=created.encrypted)
    )
    sizes = {dump.name: dump.bytes for dump in dumps}
    work.history.record_dumps(backup_set.name, archive.name, sizes, now)


# -- what came of it ------------------------------------------------------------------------------------


def _result(work: Work, created: Created, staged: Staged, suspicions: tuple[str, ...]) -> Result:
    incomplete = (*staged.lacking, *_could_not_read(created.omitted))
    notes = (*suspicions, *incomplete, *_bounded(created.warnings))
    return Result(
        outcome=Outcome.WARNING if notes else Outcome.OK,
        archive=created.name,
        bytes_total=created.bytes_total,
        bytes_new=created.bytes_new,
        notes=notes,
        hint=_hint(work, created, staged, suspicions),
        error_code="suspect" if suspicions else "partial" if incomplete else "",
        details={
            "files": created.files,
            "dumps": {dump.name: dump.bytes for dump in staged.dumps},
            "omitted": list(created.omitted[:MOST_NOTED]),
            "omitted_count": len(created.omitted),
        },
    )


def _hint(work: Work, created: Created, staged: Staged, suspicions: tuple[str, ...]) -> str:
    if suspicions:
        word = f"`snapd-backup accept {work.backup_set.name}`"
        return f"look at the database; a restore test that passes, or {word}, clears the suspicion"
    if staged.lacking:
        return "correct the paths of the set, or mount what is missing"
    if created.omitted:
        return "let the service user read them, or exclude them"
    return ""


def _could_not_read(omitted: Sequence[str]) -> tuple[str, ...]:
    return _bounded([f"{path} could not be read" for path in omitted])


def _bounded(sentences: Sequence[str]) -> tuple[str, ...]:
    more = len(sentences) - MOST_NOTED
    return (*sentences[:MOST_NOTED], *([f"and {more} more"] if more > 0 else []))
