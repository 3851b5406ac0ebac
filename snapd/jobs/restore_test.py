"""A restore test: choose an archive, extract what matters, load its dumps, check it, remember the proof."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from snapd import sources
from snapd.checks import Judged
from snapd.config import CommandCheck, PathCheck, RestoreTest
from snapd.errors import LocalDiskFullError, RestoreTestError, SnapdError, TimeLimitError
from snapd.history import Proof
from snapd.jobs import listings
from snapd.jobs.base import INTERRUPTED_AT_MOST, Work, making_way
from snapd.jobs.checking import Restored, carry_out
from snapd.jobs.extraction import Extraction, Wanted, member_path, plan_extraction
from snapd.jobs.scratch import private_folder, scratch_of, staging_of
from snapd.jobs.shown import Shown
from snapd.logger import log
from snapd.model import Archive, Finding, Kind, Outcome, Result, job_id
from snapd.sources.base import DumpSource, Queryable
from snapd.sources.base import Tools as SourceTools
from snapd.units import format_size

SPARE_BYTES = 64 * 10**6
MOST_NAMED = 10


@dataclass(frozen=True, slots=True)
class Choice:
    """The archive under test, and why it: `newest` or `least-recently-proven`."""

    archive: Archive
    picked: str


@dataclass
class Trial:
    """One restore test as it goes. `seconds` is what getting the contents back took, checks not counted."""

    work: Work
    choice: Choice
    extraction: Extraction
    judged: list[Judged] = field(default_factory=list)
    seconds: float = 0.0

    def found(self, check: str, expected: str, seen: str, *, passed: bool | None) -> None:
        self.judged.append(Judged(Finding(check, expected, seen, passed)))

    @property
    def findings(self) -> list[Finding]:
        return [judged.finding for judged in self.judged]

    @property
    def data_age(self) -> float | None:
        """Seconds from the newest data that any check saw to the creation of the archive."""
        ages = [judged.data_age for judged in self.judged if judged.data_age is not None]
        return min(ages).total_seconds() if ages else None

    @contextlib.contextmanager
    def clocked(self) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds += time.monotonic() - started


def run(work: Work) -> Result:
    """Prove one archive of the set. Raises `RestoreTestError`, with its findings, when it is not any good."""
    choice = _choose(work)
    if choice is None:
        return Result(
            Outcome.WARNING,
            notes=("nothing to test yet: the set has no complete archive",),
            hint=f"make one: snapd-backup backup {work.backup_set.name}",
            error_code="nothing-to-test",
        )
    scratch = scratch_of(work.folders, work.run_id)
    try:
        with private_folder(scratch), _beside_others(work, choice):
            return _test(work, choice, scratch)
    except OSError as error:
        raise _unusable(scratch, error) from error


def _beside_others(work: Work, choice: Choice) -> contextlib.AbstractContextManager[None]:
    """Where the engine can read beside a creation, a due backup needs no interruption from here on."""
    if work.engine.properties.reads_beside_creation:
        return work.yielding.reading(choice.archive.name)
    return contextlib.nullcontext()


def _unusable(scratch: Path, error: OSError) -> SnapdError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return LocalDiskFullError(
            f"no room in the scratch folder {scratch}", hint="make room on the disk of the state folder"
        )
    return RestoreTestError(f"the scratch folder {scratch} cannot be used: {error}")


# -- choose ---------------------------------------------------------------------------------------------


def _choose(work: Work) -> Choice | None:
    backup_set = work.backup_set
    listing = making_way(work, work.engine.archives)
    listed = listings.record(work.history, backup_set, listing, work.now())
    complete = [item for item in listed if item.complete]
    if not complete:
        return None
    newest = max(complete, key=lambda item: (item.created, item.name))
    if _test_config(work).pick == "newest" or len(complete) == 1 or _last_picked(work) != "newest":
        return Choice(newest, "newest")
    others = [item for item in complete if item != newest]
    return Choice(_least_recently_proven(others, work), "least-recently-proven")


def _test_config(work: Work) -> RestoreTest:
    """A set without a restore test can be tested when asked: a sample of its newest archive."""
    return work.backup_set.restore_test or RestoreTest.model_construct(schedule="")


def _last_picked(work: Work) -> object:
    last = work.history.last(job_id(Kind.RESTORE_TEST, work.backup_set.name))
    return last.details.get("picked") if last is not None else None


def _least_recently_proven(archives: Sequence[Archive], work: Work) -> Archive:
    """Never proven ones first, the oldest of them."""
    passed: dict[str, str] = {}
    for proof in work.history.proofs(work.backup_set.name):
        passed[proof.archive] = max(passed.get(proof.archive, ""), proof.passed.isoformat())
    return min(archives, key=lambda item: (passed.get(item.name, ""), item.created, item.name))


# -- extract --------------------------------------------------------------------------------------------


def _test(work: Work, choice: Choice, scratch: Path) -> Result:
    restored = scratch / "restored"
    restored.mkdir(mode=0o700)
    dumps = _dumps(work)
    trial = Trial(work, choice, _plan(work, choice, dumps))
    obstacle = _obstacle(trial, scratch)
    if obstacle:
        return _inconclusive(choice, obstacle)
    _extract(trial, restored)
    _compare(trial, restored)
    _check(trial, dumps, restored, scratch)
    return _judge(trial)


def _dumps(work: Work) -> tuple[DumpSource, ...]:
    staging = staging_of(work.folders, work.backup_set.name)
    stall_s = work.config.daemon.stall_after.total_seconds()
    return sources.dumps(
        work.backup_set, lambda part: SourceTools(work.launcher, staging / part, stall_s=stall_s)
    )


def _plan(work: Work, choice: Choice, dumps: Sequence[DumpSource]) -> Extraction:
    config = _test_config(work)
    paths = tuple(member_path(check.path) for check in config.check if isinstance(check, PathCheck))
    named = bool(dumps or paths)
    wanted = Wanted(
        dumps=tuple(member_path(dump.staged()) for dump in dumps),
        paths=paths,
        whole=not named and any(isinstance(check, CommandCheck) for check in config.check),
        ours=member_path(staging_of(work.folders, work.backup_set.name) / "about"),
    )
    earlier = sum(proof.archive == choice.archive.name for proof in work.history.proofs(work.backup_set.name))
    seed = f"{choice.archive.name} {earlier} {work.attempt}"
    with _making_way(work):
        members = work.engine.members(choice.archive.name)
        return plan_extraction(members, wanted, seed=seed, max_bytes=config.max_download)


def _obstacle(trial: Trial, scratch: Path) -> str:
    """Say why what is wanted cannot be had now; empty when it can."""
    needed = trial.extraction.bytes
    limit = _test_config(trial.work).max_download
    if limit is not None and needed > limit:
        return f"the test would download {format_size(needed)}, more than max_download, {format_size(limit)}"
    status = os.statvfs(scratch)
    free = status.f_bavail * status.f_frsize
    if needed + SPARE_BYTES > free:
        return f"no room in scratch: {format_size(needed)} to extract, {format_size(free)} free"
    return ""


def _extract(trial: Trial, restored: Path) -> None:
    """Extract what is there; what was wanted and is not is for the checks to tell."""
    extraction = trial.extraction
    if extraction.nothing:
        return
    with trial.clocked(), _making_way(trial.work):
        trial.work.engine.extract(trial.choice.archive.name, restored, extraction.only)


@contextlib.contextmanager
def _making_way(work: Work) -> Iterator[None]:
    """Let a due backup interrupt the block, but not for ever: after three times it runs to its end."""
    if work.attempt > INTERRUPTED_AT_MOST:
        yield
    else:
        with work.yielding.interruptible():
            yield


def _compare(trial: Trial, restored: Path) -> None:
    """Find whether what was extracted is what the archive lists, and anything at all."""
    sizes = trial.extraction.sizes
    shown = Shown(restored)
    seen = {path: shown.sizes(path) for path in sizes}
    wrong = [
        f"{path} {f'has {max(seen[path])} bytes, not {size}' if seen[path] else 'is missing'}"
        for path, size in sizes.items()
        if not seen[path] or (size and size not in seen[path])  # some engines list a hard link without size
    ]
    if wrong:
        more = f" and {len(wrong) - MOST_NAMED} more" if len(wrong) > MOST_NAMED else ""
        trial.found(
            "contents", "as the archive lists them", ", ".join(wrong[:MOST_NAMED]) + more, passed=False
        )
    elif any(map(any, seen.values())):
        trial.found("contents", "as the archive lists them", f"{len(sizes)} files, all of them", passed=True)
    else:
        trial.found("contents", "a file that is not empty", "none", passed=_emptiness(trial))


def _emptiness(trial: Trial) -> bool | None:
    """Judge an empty result: a failure; where a check says that there may be no file, it proves nothing."""
    checks = _test_config(trial.work).check
    return None if any(isinstance(check, PathCheck) and check.min_files == 0 for check in checks) else False


# -- load and check -------------------------------------------------------------------------------------


def _check(trial: Trial, dumps: Sequence[DumpSource], restored: Path, scratch: Path) -> None:
    work = trial.work
    with contextlib.ExitStack() as loaded:
        databases: dict[str, Queryable] = {}
        for dump in dumps:
            work.yielding.step_aside()
            _load(trial, dump, _Place(restored, scratch, loaded), databases)
        ready = Restored(restored, databases, scratch, trial.choice.archive.created)
        for check in _test_config(work).check:
            work.yielding.step_aside()
            trial.judged.append(carry_out(check, ready, work.launcher))


@dataclass(frozen=True, slots=True)
class _Place:
    """Where dumps were extracted, where they may be loaded, and what unloads them."""

    restored: Path
    scratch: Path
    loaded: contextlib.ExitStack


def _load(trial: Trial, dump: DumpSource, place: _Place, databases: dict[str, Queryable]) -> None:
    folder = place.scratch / "loaded" / dump.name
    folder.mkdir(mode=0o700, parents=True)
    name, expected = f"dump {dump.name}", "in the archive, whole and not empty"
    extracted = place.restored / member_path(dump.staged())
    try:
        with trial.clocked(), _making_way(trial.work):
            databases[dump.name] = place.loaded.enter_context(dump.load(extracted, folder))
    except RestoreTestError as error:
        trial.found(name, expected, error.message, passed=False)
    except TimeLimitError as error:
        trial.found(name, expected, error.message, passed=None)
    else:
        trial.found(name, expected, "loaded", passed=True)


# -- what came of it ------------------------------------------------------------------------------------


def _judge(trial: Trial) -> Result:
    name = trial.choice.archive.name
    _tell(trial.work, trial.findings)
    failed = [finding for finding in trial.findings if finding.passed is False]
    if failed:
        more = f", and {len(failed) - 1} more" if len(failed) > 1 else ""
        raise RestoreTestError(
            f"the archive {name} failed its restore test: {_sentence(failed[0])}{more}",
            hint="restore it and look; the findings are in the history; an older archive may be good",
            details=_details(trial),
        )
    untold = tuple(_sentence(finding) for finding in trial.findings if finding.passed is None)
    if untold:
        return _inconclusive(trial.choice, *untold, details=_details(trial))
    return _prove(trial)


def _prove(trial: Trial) -> Result:
    work, archive = trial.work, trial.choice.archive
    work.history.record_proof(
        Proof(
            backup_set=work.backup_set.name,
            archive=archive.name,
            passed=work.now(),
            seconds=trial.seconds,
            data_age=trial.data_age,
        )
    )
    return Result(
        Outcome.OK, archive=archive.name, bytes_total=trial.extraction.bytes, details=_details(trial)
    )


def _inconclusive(choice: Choice, *notes: str, details: dict[str, object] | None = None) -> Result:
    return Result(
        Outcome.WARNING,
        archive=choice.archive.name,
        notes=notes,
        hint="nothing was proven and nothing disproven: the light stays as it was",
        error_code="inconclusive",
        details=details or {"picked": choice.picked},
    )


def _details(trial: Trial) -> dict[str, object]:
    extraction = trial.extraction
    return {
        "archive": trial.choice.archive.name,
        "picked": trial.choice.picked,
        "findings": [asdict(finding) for finding in trial.findings],
        "files": len(extraction.sizes),
        "bytes": extraction.bytes,
        "seconds": round(trial.seconds, 3),
        "data_age_s": trial.data_age,
        "sample": sorted(extraction.sizes) if extraction.sampled else [],
    }


def _sentence(finding: Finding) -> str:
    return f"{finding.check}: expected {finding.expected}, found {finding.seen}"


def _tell(work: Work, findings: Sequence[Finding]) -> None:
    for finding in findings:
        if not finding.passed:
            log.warning(
                "restore-finding",
                run_id=work.run_id,
                backup_set=work.backup_set.name,
                check=finding.check,
                expected=finding.expected,
                seen=finding.seen,
            )
