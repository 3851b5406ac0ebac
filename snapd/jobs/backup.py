"""A backup: prepare the sources, create one archive, see it in the store, remember it."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path

from snapd import sources
from snapd.config import Config, Folders
from snapd.engines.base import Selection, silent_store
from snapd.errors import EngineUsageError, ExistsError, PartialError, SourceError, StagingFullError
from snapd.history import KnownArchive
from snapd.jobs.base import Work, clock_seen_key, note_clock_seen
from snapd.jobs.scratch import private_folder, remove, staging_of
from snapd.jobs.state_copy import write_state_copy
from snapd.looks import answer, answers
from snapd.model import Archive, Created, Outcome, Problem, Result, is_incomplete_name
from snapd.mounts import kernel_folders, read_mounts
from snapd.secret import CREDENTIALS
from snapd.sources.base import Dump, Prepared, Source
from snapd.sources.base import Tools as SourceTools
from snapd.units import format_size

MOST_NAMES = 1000
MOST_NOTED = 20
LOOK_S = 30.0

_NO_COPY = "the copy of config and state is not in the archive"


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
        suspicions = _suspicions(work, staged.dumps)
        created = _create(work, staged.selection, suspect=bool(suspicions))
    found = _find(work, created.name)
    empty = _is_empty(created, staged)
    _remember(work, replace(found, suspect=empty or bool(suspicions)), created, staged.dumps)
    if empty:
        name, why = work.backup_set.name, "; ".join(_could_not_read(created.omitted))
        raise PartialError(
            f"nothing of the set is in the archive {created.name}: {why}",
            hint=f"see that the paths are there and readable; when a later archive is good, "
            f"`snapd-backup accept {name}` lets expiry go on",
        )
    return _result(work, created, staged, suspicions)


def _ask_doctor(work: Work) -> None:
    """Raise for what would stop the engine on this machine: to be tried again where it may pass by itself."""
    problems = _problems(work)
    if problems:
        error = EngineUsageError("; ".join(problem.message for problem in problems), hint=problems[0].hint)
        error.retryable = all(problem.passing for problem in problems)
        raise error


def _problems(work: Work) -> tuple[Problem, ...]:
    store = work.backup_set.store
    try:
        return answer(f"store {store}", lambda: work.engine.doctor(connect=False), LOOK_S)
    except TimeoutError:
        return (silent_store(store),)


# -- what goes into the archive -------------------------------------------------------------------------


@contextlib.contextmanager
def _stage(work: Work) -> Iterator[Staged]:
    """Within the block every dump is written and whole; raises before anything is archived.

    Of our own files only dumps are worth a failure: without room for the state copy the rest is archived.
    """
    staging = staging_of(work.folders, work.backup_set.name)
    with contextlib.ExitStack() as stack:
        unstaged = _make_staging(work, staging, stack)
        with _told_of_full_disk(staging):
            prepared = [stack.enter_context(_opened(work, source)) for source in _sources(work, staging)]
        copied = unstaged if unstaged is not None else _copy_state(work, staging / "about")
        yield _assemble(work, (*prepared, copied))


def _make_staging(work: Work, staging: Path, stack: contextlib.ExitStack) -> Prepared | None:
    """Make the folder; return what is lacking when it cannot be made and no dump needs it."""
    try:
        with _told_of_full_disk(staging):
            stack.enter_context(private_folder(staging))
    except SourceError as error:
        if work.backup_set.dump:
            raise
        return _without_copy(error.message)
    return None


def _copy_state(work: Work, about: Path) -> Prepared:
    try:
        write_state_copy(work, about)
    except OSError as error:
        with contextlib.suppress(OSError):
            remove(about)
        return _without_copy(f"it cannot be written: {error.strerror}")
    return Prepared(paths=(about,))


def _without_copy(why: str) -> Prepared:
    return Prepared(paths=(), lacking=(f"{_NO_COPY}: {why}",))


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


def _assemble(work: Work, prepared: Sequence[Prepared]) -> Staged:
    left_out = _never(work.config, work.folders, work.backup_set.name)
    staging = staging_of(work.folders, work.backup_set.name)
    lacking = [sentence for item in prepared for sentence in item.lacking]
    paths: list[Path] = []
    for path in dict.fromkeys(path for item in prepared for path in item.paths):
        why = "" if path.is_relative_to(staging) else left_out.why(path)
        if why:
            lacking.append(f"{path} {why}")
        else:
            paths.append(path)
    staged = tuple(path for path in paths if path.is_relative_to(staging))
    if not set(paths) - {staging / "about"}:
        raise SourceError(f"nothing of the set can be saved: {'; '.join(lacking)}")
    selection = Selection(
        paths=tuple(paths),
        exclude=work.backup_set.exclude,
        never=left_out.all,
        staged=staged,
        one_file_system=work.backup_set.one_file_system,
    )
    return Staged(selection, tuple(dump for item in prepared for dump in item.dumps), tuple(lacking))


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What no archive holds: folders of ours, of stores and of credentials; file systems of the kernel."""

    own: tuple[Path, ...]
    kernel: tuple[Path, ...]

    @property
    def all(self) -> tuple[Path, ...]:
        return tuple(sorted({*self.own, *self.kernel}))

    def why(self, path: Path) -> str:
        """Say why a path is not archived; empty when it is."""
        if any(path.is_relative_to(folder) for folder in self.own):
            return "belongs to snapd-backup or one of its stores, or holds credentials: never archived"
        if any(path.is_relative_to(folder) for folder in self.kernel):
            return "is in a file system that the kernel makes up: never archived"
        return ""


def _never(config: Config, folders: Folders, backup_set: str) -> LeftOut:
    """List our own folders and every local store's: all of the state folder but the staging of this set."""
    staging = staging_of(folders, backup_set)
    kept = {staging, staging.parent}
    around = [path for folder in (folders.state, staging.parent) for path in _entries(folder)]
    stores = [store.local_folder for store in config.store.values()]
    own = [folders.state / "scratch", folders.cache, folders.runtime, *(path for path in stores if path)]
    listed = [path for path in (*around, *own, *_credentials()) if path not in kept]
    return LeftOut(own=_and_real(listed), kernel=kernel_folders(read_mounts()))


def _entries(folder: Path) -> list[Path]:
    with contextlib.suppress(FileNotFoundError):  # staging, when there was no room for it
        return list(folder.iterdir())
    return []


def _credentials() -> tuple[Path, ...]:
    """Return the folders that systemd puts secrets into: ours, and those of other services."""
    given = os.environ.get("CREDENTIALS_DIRECTORY")
    return (CREDENTIALS.parent, *([Path(given)] if given else []))


def _and_real(paths: Sequence[Path]) -> tuple[Path, ...]:
    """Add where links lead to; a store on a disk that does not answer keeps no other set waiting."""
    looks = {f"target of {path}": partial(os.path.realpath, path) for path in paths}
    return tuple(sorted({*paths, *map(Path, answers(looks, LOOK_S).values())}))


# -- the archive ----------------------------------------------------------------------------------------


def _create(work: Work, selection: Selection, *, suspect: bool) -> Created:
    """Create the archive under the first name never used before.

    A suspicion is written down before: a run that is cut off may leave an archive that only a listing finds.
    """
    store, backup_set = work.backup_set.store, work.backup_set
    used = work.history.names_used(store)
    now = work.now()
    for number in count(1):
        name = backup_set.archive.render(now, number)
        if _is_used(name, used):
            continue
        work.history.record_name(store, backup_set.name, name, now, run_id=work.run_id)
        if suspect:
            work.history.set_suspect(store, name, suspect=True)
        try:
            with _in_slices(work):
                return work.engine.create(name, selection)
        except ExistsError:
            if suspect:  # what has the name is somebody else's
                work.history.set_suspect(store, name, suspect=False)
            if number >= MOST_NAMES:
                raise
    raise AssertionError("count() has no end")


def _in_slices(work: Work) -> contextlib.AbstractContextManager[None]:
    """Let other sets in after a while, where what was stored by then makes the next run cheap."""
    return work.yielding.sliceable() if work.engine.properties.resumable else contextlib.nullcontext()


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


def _is_empty(created: Created, staged: Staged) -> bool:
    """Tell whether all that the set names vanished or was shut off after we looked: what is left is ours."""
    selection = staged.selection
    named = {os.path.normpath(path) for path in selection.paths if path not in selection.staged}
    return not staged.dumps and named <= set(created.omitted)


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
    if work.history.noted(clock_seen_key(work)) is None and not work.history.known_archives(backup_set.name):
        note_clock_seen(work)  # the set begins here: no earlier jump of the clock concerns it
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
    if any(_NO_COPY in sentence for sentence in staged.lacking):
        return "make room on the disk of the state folder"
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
