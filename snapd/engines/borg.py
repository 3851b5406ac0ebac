"""Borg 1.2 and later (not 2): https://borgbackup.readthedocs.io/en/stable/

Only `create` and `delete` know how to end early and keep what they did, on SIGINT; every other command
swallows the first SIGINT and rolls back on SIGTERM (tried with 1.2.4).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from snapd import secret
from snapd.config import BorgStore
from snapd.engines.base import Member, Properties, Selection, Stats, Tools
from snapd.engines.borg_messages import Listener, judge_extraction
from snapd.engines.borg_patterns import options
from snapd.engines.borg_program import GARBLED, INSTALL, Call, Program, answer, is_off_site, literal
from snapd.errors import (
    EngineError,
    InterruptedRunError,
    NoSpaceError,
    OutOfSyncError,
    PartialError,
    SnapdError,
)
from snapd.logger import log
from snapd.model import Archive, Created, Problem, is_incomplete_name
from snapd.proc import Command, Limits

RESERVE = (
    "2G"  # additional_free_space: kept free by borg, so that deleting and compacting work on a full disk
)
_SIZE = re.compile(r"[0-9]+(?:\.[0-9]+)?[KMGTP]?")
_BATCH = 10
_MOST_WARNINGS = 100
_ODD = (ValueError, LookupError, TypeError, OverflowError, RecursionError)
"""What reading a line that is not as it should be may raise."""
_T = TypeVar("_T")


class BorgEngine:
    """One Borg repository."""

    def __init__(self, name: str, store: BorgStore, tools: Tools) -> None:
        self._name = name
        self._store = store
        self._tools = tools
        self._program = Program(store, tools)
        self._released = ""  # the reserve to restore
        self._properties = Properties(
            encrypted=None,
            off_site=is_off_site(store.repository),
            largest_delete_batch=_BATCH,
            reads_beside_creation=True,
            resumable=True,
            needs_reclaim=True,
            gentle_signal=signal.SIGINT,
            repair_costs="borg reads the whole repository and mends what is damaged, which may take hours; "
            "nothing is backed up meanwhile. A repository that may matter is worth a copy first",
        )

    @property
    def properties(self) -> Properties:
        return self._properties

    # -- the store ------------------------------------------------------------------------------------

    def init(self) -> None:
        self._run("init", "--encryption=repokey-blake2", "--", self._location())
        if self._program.folder is not None:
            self._set_reserve(RESERVE)

    def doctor(self, *, connect: bool) -> tuple[Problem, ...]:
        found = [*_program_problems(), *_folder_problems(self._program.folder)]
        unreadable = secret.problem(self._store.passphrase, os.environ)
        if unreadable is not None:
            found.append(unreadable)
        if connect and not found:
            found += self._unanswered()
        return tuple(replace(problem, store=self._name) for problem in found)

    def _unanswered(self) -> Iterator[Problem]:
        try:
            version = self._version()
            if not (1, 2) <= version < (2,):
                yield Problem(f"borg {'.'.join(map(str, version))} will not do", "install borg 1.2 or 1.4")
            self.stats()
        except InterruptedRunError:
            raise
        except SnapdError as error:
            yield Problem(error.message, error.hint)

    def _version(self) -> tuple[int, ...]:
        env = {"PATH": os.environ.get("PATH", os.defpath)}
        command = Command(("borg", "--version"), env, limits=Limits(wall=60, grace=2))
        finished = self._tools.launcher.run(command)
        match = re.search(r"borg\S* (\d+)\.(\d+)", finished.stdout + finished.stderr)
        return (int(match[1]), int(match[2])) if match else ()

    def stats(self) -> Stats:
        told = self._program.ask(Call(("info", "--json", "--", self._location())))
        sizes = _table(_table(told.get("cache")).get("stats"))
        return Stats(
            bytes_total=_whole(sizes.get("total_size")), bytes_stored=_whole(sizes.get("unique_csize"))
        )

    def repair(self) -> None:
        """Check the repository, and let Borg mend it only when that found damage.

        Mending never drops an archive that can be kept: a lost piece of a file is replaced by zeros, and put
        back when a later backup brings the same piece again. Raises `EngineError` when it cannot be mended.
        """
        if self._is_sound():
            return
        consent = {"BORG_CHECK_I_KNOW_WHAT_I_AM_DOING": "YES"}
        self._program.run(Call(("check", "--repair", "--", self._location()), env=consent))
        if not self._is_sound():
            raise EngineError(
                "borg could not mend the repository", hint="keep a copy of it and start a new one"
            )

    def _is_sound(self) -> bool:
        finished, _ = self._program.run(Call(("check", "--", self._location())))
        return finished.returncode == 0

    # -- archives -------------------------------------------------------------------------------------

    def create(self, name: str, selection: Selection) -> Created:
        # The deepest first: borg leaves a root out that it has been in, so nothing is archived twice.
        roots = sorted({os.path.normpath(path) for path in selection.paths}, key=_depth, reverse=True)
        args = (
            *("create", "--json", "--progress", "--list", "--filter=E", "--checkpoint-interval=600"),
            f"--compression={self._store.compression}",
            *options(selection),
            *("--", self._location(name), *roots),
        )
        gentle = self._properties.gentle_signal
        call = Call(args, gentle=gentle, creates=True, progress=self._tools.progress)
        finished, listener = self._program.run(call)
        return _created(name, answer(finished), *_lacking(listener, roots))

    def find(self, name: str) -> Archive | None:
        pattern = re.sub(r"[][*?]", "?", literal(name))  # borg takes it as a glob
        found = self._listed(f"--glob-archives={pattern}")
        return next((archive for archive in found if archive.name == name), None)

    def archives(self) -> tuple[Archive, ...]:
        return self._listed()

    def _listed(self, *filters: str) -> tuple[Archive, ...]:
        call = Call(("list", "--json", "--consider-checkpoints", *filters, "--", self._location()))
        entries = self._program.ask(call).get("archives")
        if not isinstance(entries, list):
            raise PartialError("borg's listing is incomplete", hint=GARBLED)
        return tuple(_archive(entry) for entry in entries)

    def delete(self, names: Sequence[str]) -> None:
        if len(names) > _BATCH:
            raise ValueError(f"{len(names)} archives are more than one batch")
        plain = [name for name in names if literal(name) == name]
        if plain:  # never without a name: that would delete the repository
            self._with_reserve(lambda: self._delete(self._location(), *plain))
        for name in names:
            if name not in plain:  # only as a location are braces escaped in every version
                self._with_reserve(lambda name=name: self._delete(self._location(name)))  # type: ignore[misc]

    def _delete(self, *what: str) -> None:
        finished, listener = self._program.run(Call(("delete", "--", *what), gentle=signal.SIGINT))
        strange = [text for text in listener.warnings if " not found (" not in text]
        if finished.returncode != 0 and strange:
            raise PartialError(f"not everything was deleted: {strange[0]}", hint="try to repair the store")

    def reclaim(self) -> None:
        self._with_reserve(lambda: self._run("compact", "--", self._location()))

    def members(self, name: str) -> Iterator[Member]:
        """Yield the entries of an archive. Borg shows bytes of a path that are no UTF-8 as `?`."""
        return iter(self._beside_creation(lambda: self._members(name)))

    def _members(self, name: str) -> list[Member]:
        found: list[Member] = []
        sizes: dict[str, int] = {}

        def take(line: str) -> None:
            try:
                found.append(_member(json.loads(line), sizes))
            except _ODD as error:
                raise PartialError("borg's listing of an archive is damaged", hint=GARBLED) from error

        args = ("list", "--bypass-lock", "--json-lines", "--", self._location(name))
        self._program.run(Call(args, on_stdout=take))
        return found

    def extract(self, name: str, into: Path, only: Sequence[str] = ()) -> None:
        patterns = map(_member_pattern, only)
        args = ("extract", "--bypass-lock", "--progress", "--", self._location(name), *patterns)
        call = Call(args, cwd=into, progress=self._tools.progress, judge=judge_extraction)
        self._beside_creation(lambda: self._program.run(call))

    # -- inside ---------------------------------------------------------------------------------------

    def _location(self, archive: str = "") -> str:
        return self._program.location(archive)

    def _run(self, *args: str) -> None:
        self._program.run(Call(args))

    def _beside_creation(self, read: Callable[[], _T]) -> _T:
        """Read without borg's lock. A creation that ends at the moment of opening looks like an old copy."""
        try:
            return read()
        except OutOfSyncError:
            return read()

    def _with_reserve(self, action: Callable[[], None]) -> None:
        """Do what frees space; when there is no room even for that, release the reserve and try again.

        However it ends the reserve is back afterwards, also one that an earlier process left released.
        """
        try:
            try:
                action()
            except NoSpaceError:
                if self._program.folder is None:
                    raise
                self._release_reserve()
                action()
        finally:
            self._restore_reserve()

    def _release_reserve(self) -> None:
        args = ("config", "--", self._location(), "additional_free_space")
        finished, _ = self._program.run(Call(args))
        before = finished.stdout.strip()
        if before not in ("", "0"):
            self._released = before
            with contextlib.suppress(OSError):  # only a later process needs the note, and the disk is full
                self._note().write_text(before)
        self._set_reserve("0")

    def _restore_reserve(self) -> None:
        """Put a released reserve back; what fails here is told, and waits for the next time."""
        size = self._released or self._noted()
        if not size:
            return
        try:
            self._set_reserve(size, amends=True)
            self._note().unlink(missing_ok=True)
            self._released = ""
        except (SnapdError, OSError) as error:
            reason = f"borg's additional_free_space is 0, not {size}: {error}"
            hint = "the next expiry puts it back"
            log.warning("machine-problem", store=self._name, reason=reason, hint=hint)

    def _noted(self) -> str:
        """Return the reserve that a note tells of; a note that cannot be read stands for the usual one."""
        try:
            text = self._note().read_text().strip()
        except FileNotFoundError:
            return ""
        except (OSError, ValueError):
            return RESERVE
        return text if _SIZE.fullmatch(text) else RESERVE

    def _set_reserve(self, size: str, *, amends: bool = False) -> None:
        args = ("config", "--", self._location(), "additional_free_space", size)
        self._program.run(Call(args, amends=amends))

    def _note(self) -> Path:
        return self._tools.cache / "reserve-released"


def _program_problems() -> Iterator[Problem]:
    if shutil.which("borg") is None:
        yield Problem("borg is not installed", INSTALL)


def _folder_problems(folder: Path | None) -> Iterator[Problem]:
    if folder is None:
        return
    try:
        head = (folder / "config").read_bytes()[:4096]
    except (FileNotFoundError, NotADirectoryError):
        yield Problem(
            f"there is no Borg repository at {folder}",
            "mount its disk, or create it once: snapd-backup init",
            passing=True,
        )
        return
    except OSError as error:
        yield Problem(f"the repository {folder} cannot be read: {error.strerror}", _give(folder))
        return
    if b"[repository]" not in head:
        yield Problem(f"{folder} is not a Borg repository", "compare the store's repository in the config")
    elif not all(os.access(path, os.W_OK | os.X_OK) for path in (folder, folder / "data")):
        yield Problem(f"the repository {folder} cannot be written", _give(folder))


def _give(folder: Path) -> str:
    return f"chown -R snapd-backup: {folder}, and let the service write there (ReadWritePaths= in its unit)"


def _depth(path: str) -> tuple[int, str]:
    return path.rstrip("/").count("/"), path


def _created(
    name: str, told: dict[str, object], omitted: tuple[str, ...], warnings: tuple[str, ...]
) -> Created:
    sizes = _table(_table(told.get("archive")).get("stats"))
    mode = _table(told.get("encryption")).get("mode")
    return Created(
        name=name,
        bytes_total=_whole(sizes.get("original_size")),
        bytes_new=_whole(sizes.get("deduplicated_size")),
        files=_whole(sizes.get("nfiles")),
        omitted=omitted,
        warnings=warnings,
        encrypted=_is_encrypted(mode) if isinstance(mode, str) else None,
    )


def _is_encrypted(mode: str) -> bool:
    return mode != "none" and not mode.startswith("authenticated")


def _lacking(listener: Listener, roots: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what could not be read, and the warnings about anything else.

    Borg marks a file that it could not read with `E`; of a root that is gone it says only `ROOT: [Errno 2]`.
    """
    omitted = dict.fromkeys(listener.unread)
    known = {*omitted, *roots}
    warnings: list[str] = []
    for text in listener.warnings:
        path = re.sub(r"(?:: [a-z_]+)?: \[Errno \d+\].*", "", text, flags=re.DOTALL)
        if path != text and path in known:
            omitted[path] = None
        else:
            warnings.append(text)
    if len(warnings) > _MOST_WARNINGS:
        warnings[_MOST_WARNINGS:] = [f"and {len(warnings) - _MOST_WARNINGS} more warnings"]
    if listener.more_unread:
        warnings.insert(0, f"{listener.more_unread} more paths could not be read")
    return tuple(omitted), tuple(warnings)


def _archive(entry: object) -> Archive:
    match entry:
        case {"name": str(name), "start": str(start)}:
            try:
                return Archive(name, _instant(start), complete=not is_incomplete_name(name))
            except (ValueError, OverflowError) as error:
                raise PartialError("borg's listing is damaged", hint=GARBLED) from error
        case _:
            raise PartialError("borg's listing is incomplete", hint=GARBLED)


def _instant(text: str) -> datetime:
    """Read one of borg's instants: local time without a zone, and TZ says UTC."""
    instant = datetime.fromisoformat(text)
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def _member(entry: dict[str, object], sizes: dict[str, int]) -> Member:
    """Read one entry; a hard link has the size of the entry it leads to, remembered in `sizes`."""
    path, mode = str(entry["path"]), str(entry["mode"])
    is_file = mode[0] in "-h"
    size = (_whole(entry["size"]) or 0) if is_file else 0
    if mode[0] == "h":
        size = sizes.get(str(entry["source"]), size)
    elif is_file:
        sizes[path] = size
    return Member(path, size, is_file, _instant(str(entry["mtime"])))


def _member_pattern(path: str) -> str:
    """Name a member or a tree. A `?` may stand for a byte that `members` could not show."""
    clean = path.strip("/")
    if "?" not in clean:
        return f"pp:{clean}"
    return "re:^" + re.escape(clean).replace(r"\?", "(?s:.)") + r"(?:/|\Z)"


def _table(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None
