"""Tarsnap 1.0.39 and later: https://www.tarsnap.com/

One key has one cachedir, one machine and one writer: a creation or deletion somewhere else puts this one out
of step. Only a creation knows how to end early and keep what it sent, on SIGQUIT; SIGQUIT kills the client in
every other mode, and before its archive is open.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from snapd.config import TarsnapStore
from snapd.engines import tarsnap_machine
from snapd.engines import tarsnap_output as output
from snapd.engines.base import Member, Properties, Selection, Stats, Tools
from snapd.engines.tarsnap_excludes import excludes
from snapd.engines.tarsnap_listener import Listener
from snapd.engines.tarsnap_messages import extraction_fault, judge_extraction, truncated
from snapd.engines.tarsnap_outcome import Made, Version, causes, omissions, verdict
from snapd.engines.tarsnap_patterns import literal
from snapd.engines.tarsnap_program import NULL_OUTPUT, PROGRESS, Call, Program, missing_cachedir
from snapd.engines.tarsnap_selection import roots
from snapd.errors import (
    EngineBusyError,
    EngineUsageError,
    ExistsError,
    InterruptedRunError,
    NotFoundError,
    OutOfSyncError,
    PartialError,
    SnapdError,
)
from snapd.model import Archive, Created, Problem, Progress, is_incomplete_name
from snapd.proc import raise_if_cut
from snapd.record_locks import holder_of

_BATCH = 10
_REPAIR = (
    "tarsnap reads its record of every archive anew, which takes minutes to many hours; nothing is backed up "
    "meanwhile, and the next backup reads every file again. Any other machine that uses the same key is out "
    "of step afterwards: if there is one, end that first"
)
_PROGRESS_BYTES = 10**7
_GARBLED = "run `tarsnap --list-archives -v` by hand with the store's key and cachedir, and look"


class TarsnapEngine:
    """The archives of one Tarsnap key."""

    def __init__(self, name: str, store: TarsnapStore, tools: Tools) -> None:
        self._name = name
        self._store = store
        self._tools = tools
        self._program = Program(name, store, tools)
        self._made: dict[str, datetime] = {}  # archives of this object, with the time it gave them
        self._properties = Properties(
            encrypted=True,
            off_site=True,
            largest_delete_batch=_BATCH,
            reads_beside_creation=True,
            resumable=True,
            needs_reclaim=False,
            gentle_signal=signal.SIGQUIT,
            repair_costs=_REPAIR,
        )

    @property
    def properties(self) -> Properties:
        return self._properties

    # -- the store ------------------------------------------------------------------------------------

    def init(self) -> None:
        """Begin the record of a new key. The key itself is made by tarsnap-keygen(1), which wants a password.

        Raises `ExistsError` when the cachedir is in use, and `OutOfSyncError` when the key has archives:
        their record is read by a repair, never begun anew.
        """
        folder = self._store.cachedir
        if any(os.path.lexists(folder / name) for name in ("directory", "cseq")):
            raise ExistsError(f"the cachedir {folder} is in use", hint="it is used as it is")
        if self.archives():
            raise OutOfSyncError(
                "the key has archives, and the cachedir knows nothing of them",
                hint=missing_cachedir(self._name, folder),
            )
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise EngineUsageError(
                f"the cachedir {folder} cannot be made: {error.strerror}",
                hint=f"install -d -o snapd-backup -g snapd-backup -m 0700 {folder}",
            ) from error
        self._program.do(Call(("--initialize-cachedir",), "repair", record=True))

    def doctor(self, *, connect: bool) -> tuple[Problem, ...]:
        found = list(tarsnap_machine.problems(self._name, self._store, self._tools.launcher))
        if connect and not found:
            found += self._unanswered()
        return tuple(replace(problem, store=self._name) for problem in found)

    def _unanswered(self) -> Iterator[Problem]:
        try:
            self._is_there("snapd-backup asks whether the store answers")
        except InterruptedRunError:
            raise
        except SnapdError as error:
            yield Problem(error.message, error.hint)

    def stats(self) -> Stats:
        """Sizes of all archives of the key, from the cachedir; Tarsnap's own records are counted in."""
        finished, _ = self._program.do(Call(("--print-stats",), "stats", record=True))
        table = output.sizes(finished.stdout.splitlines())
        try:
            whole, unique = table["All archives"], table["(unique data)"]
        except KeyError as error:
            raise PartialError("tarsnap's table of sizes is incomplete", hint=_GARBLED) from error
        return Stats(bytes_total=whole.total, bytes_stored=unique.compressed)

    def repair(self) -> None:
        """Read the whole store anew. Deletes nothing; any other machine with the key is out of step then."""
        self._ask_for_peace()

        def tell(line: str) -> None:
            self._tools.progress(Progress(path=line.strip()))

        self._program.do(Call(("--fsck",), "repair", record=True, on_stdout=tell))

    # -- archives -------------------------------------------------------------------------------------

    def create(self, name: str, selection: Selection) -> Created:
        self._ask_for_peace()
        version, paths = self._program.version(), roots(selection)
        left_out = excludes(selection, paths, self._tools.launcher, self._tools.limits)
        call = Call(
            (*self._mode(name, version), *_flags("--exclude", left_out.patterns), *_kept_to(selection)),
            "create",
            paths=paths,
            creates=True,
            record=True,
            progress=self._tools.progress,
        )
        finished, listener = self._program.run(call)
        made = verdict(finished.returncode, listener.said, version)
        if made is Made.WHOLE or (made is not Made.NOTHING and not finished.ended and self._appeared(name)):
            created = _created(name, listener, left_out.warnings)
            return replace(created, warnings=tuple(map(self._program.masked, created.warnings)))
        self._made.pop(name, None)
        raise_if_cut(finished, "tarsnap", self._tools.launcher.interrupt)
        raise truncated(name) if made is Made.TRUNCATED else self._program.error(causes(listener.said))

    def _appeared(self, name: str) -> bool:
        """Look whether a creation that ended badly made its archive all the same."""
        try:
            return self._is_there(name)
        except InterruptedRunError:
            raise
        except SnapdError:
            return False

    def _mode(self, name: str, version: Version) -> tuple[str, ...]:
        made = self._tools.now() if self._tools.now is not None else None
        if made is not None:
            self._made[name] = made.replace(microsecond=0)
        return (
            *("-c", "-f", name, "-v", "--print-stats", "--no-humanize-numbers"),
            *("--checkpoint-bytes", str(self._store.checkpoint_bytes)),
            *(("--creationtime", str(int(made.timestamp()))) if made is not None else ()),
            *self._telling(version),
        )

    def find(self, name: str) -> Archive | None:
        """Look one archive up. Its time is known for those that this object made; for others, which nobody
        asks for in a hurry, the store is listed.
        """
        if not self._is_there(name):
            return None
        made = self._made.get(name)
        if made is not None:
            return Archive(name, made, complete=not is_incomplete_name(name))
        return next((archive for archive in self.archives() if archive.name == name), None)

    def _is_there(self, name: str) -> bool:
        """Open an archive without reading of it: a listing would read as many records as there are."""
        finished, listener = self._program.run(Call(("-t", "--fast-read", "-f", name), "list"))
        raise_if_cut(finished, "tarsnap", self._tools.launcher.interrupt)
        if finished.returncode == 0:
            return True
        error = self._program.error(listener.said)
        if isinstance(error, NotFoundError):
            return False
        raise error

    def archives(self) -> tuple[Archive, ...]:
        null = self._program.version() >= NULL_OUTPUT
        mode = ("--list-archives", "-v", *(("--null-output",) if null else ()))
        finished, _ = self._program.do(Call(mode, "list"))
        read = output.archives_of_records if null else output.archives_of_lines
        if finished.truncated:
            raise PartialError("tarsnap's listing is too long", hint=_GARBLED)
        try:
            return read(finished.stdout)
        except ValueError as error:
            raise PartialError(f"tarsnap's listing is not as it should be: {error}", hint=_GARBLED) from error

    def delete(self, names: Sequence[str]) -> None:
        if len(names) > _BATCH:
            raise ValueError(f"{len(names)} archives are more than one batch")
        if not names:
            return
        self._ask_for_peace()
        mode = ("-d", "--keep-going", *_flags("-f", sorted(names)))  # neighbours are alike, and share reads
        self._program.do(Call(mode, "delete", record=True))

    def reclaim(self) -> None:
        """Tarsnap gives space back as it deletes."""

    def members(self, name: str) -> Iterator[Member]:
        found: list[Member] = []
        reader = output.Members()

        def take(line: str) -> None:
            try:
                found.append(reader.read(line))
            except ValueError as error:
                raise PartialError(f"tarsnap's listing of an archive is damaged: {error}") from error

        mode = ("-t", "-v", "--iso-dates", "--numeric-owner", "-f", name)
        self._program.do(Call(mode, "members", on_stdout=take))
        return iter(found)

    def extract(self, name: str, into: Path, only: Sequence[str] = ()) -> None:
        """Extract below `into`. Tarsnap goes on after an entry that it could not write; we end it there."""
        call = Call(
            ("-x", "-p", "-f", name, *self._telling(self._program.version())),
            "extract",
            paths=tuple(literal(path.strip("/")) for path in only),
            cwd=into,
            progress=self._tools.progress,
            judge=judge_extraction,
        )
        finished, listener = self._program.run(call)
        raise_if_cut(finished, "tarsnap", self._tools.launcher.interrupt)
        if finished.returncode != 0:
            fault = extraction_fault(listener.said, self._name)
            if fault is not None:
                raise fault

    # -- inside ---------------------------------------------------------------------------------------

    def _telling(self, version: Version) -> tuple[str, ...]:
        return ("--progress-bytes", str(_PROGRESS_BYTES)) if version >= PROGRESS else ()

    def _ask_for_peace(self) -> None:
        """Raise `EngineBusyError` while another tarsnap writes: its own lock on the cachedir tells."""
        holder = holder_of(self._store.cachedir / "lockf")
        if holder is not None:
            raise EngineBusyError(
                f"another tarsnap is at work on {self._store.cachedir}: {holder}",
                hint="is there still a crontab that calls tarsnap or tarsnapper? This run waits for it",
            )


def _flags(flag: str, values: Iterable[str]) -> Iterator[str]:
    return (word for value in values for word in (flag, value))


def _kept_to(selection: Selection) -> tuple[str, ...]:
    return ("--one-file-system",) if selection.one_file_system else ()


def _created(name: str, listener: Listener, warnings: tuple[str, ...]) -> Created:
    """Return what a creation said. Tarsnap counts entries, not files, so nothing is said of files."""
    table = output.sizes(listener.said)
    whole, new = table.get("This archive"), table.get("New data")
    left_out = omissions(listener.said)
    more = (f"and {listener.more} more messages",) if listener.more else ()
    return Created(
        name=name,
        bytes_total=whole.total if whole else None,
        bytes_new=new.compressed if new else None,
        omitted=left_out.paths,
        warnings=(*warnings, *left_out.warnings, *more),
        encrypted=True,
    )
