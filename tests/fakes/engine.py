"""An engine in memory that keeps the whole contract, and can be told to break it."""

from __future__ import annotations

import os
import re
import signal
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from snapd.engines.base import Member, Properties, Selection, Stats
from snapd.errors import EngineError, ExistsError, InterruptedRunError, NotFoundError, SnapdError
from snapd.model import Archive, Created, Problem, Progress, is_incomplete_name
from snapd.proc import Interrupt

Method = Literal[
    "init",
    "doctor",
    "create",
    "find",
    "archives",
    "delete",
    "reclaim",
    "members",
    "extract",
    "stats",
    "repair",
]

BORG_LIKE = Properties(
    encrypted=True,
    off_site=False,
    largest_delete_batch=10,
    reads_beside_creation=True,
    resumable=True,
    needs_reclaim=True,
    gentle_signal=signal.SIGINT,
    repair_costs="it takes a while",
)


@dataclass(frozen=True, slots=True)
class Call:
    """One call that was made: `names` are the archive names or members it was given."""

    method: Method
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """One stored file, folder or link. `link` names the member that a hard link shares its contents with."""

    path: str
    mode: int
    mtime_ns: int
    content: bytes = b""
    target: str = ""
    link: str = ""


@dataclass(slots=True)
class Stored:
    archive: Archive
    entries: dict[str, Entry] = field(default_factory=dict)


class Ticking:
    """A clock that is one second later at every reading. `at` can be set; aware, UTC."""

    def __init__(self, at: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self.at = at

    def __call__(self) -> datetime:
        self.at += timedelta(seconds=1)
        return self.at


class FakeEngine:
    """A store in memory. Everything a test may turn is a plain attribute.

    `now` gives the `created` of new archives. `fail_next` makes the next call of a method raise.
    `during[method]` is called in the middle of `create`, `find`, `archives`, `delete` (before each archive),
    `reclaim`, `extract`, `repair` with the archive's name, if one is meant. `omitted` paths are left out and
    reported, and so is what is below them. `create` refuses `taken` names; `find` and `archives` never show
    `hidden` ones.
    `interrupt` stops all of these but `find` after their hook, as a real child would be.
    """

    def __init__(
        self,
        *,
        properties: Properties = BORG_LIKE,
        now: Callable[[], datetime] | None = None,
        interrupt: Interrupt | None = None,
    ) -> None:
        self.properties = properties
        self.now = now if now is not None else Ticking()
        self.interrupt = interrupt
        self.progress: Callable[[Progress], None] = lambda _progress: None
        self.exists = True
        self.calls: list[Call] = []
        self.stored: dict[str, Stored] = {}
        self.selections: dict[str, Selection] = {}
        self.omitted: set[Path] = set()
        self.warnings: tuple[str, ...] = ()
        self.taken: set[str] = set()
        self.hidden: set[str] = set()
        self.problems: tuple[Problem, ...] = ()
        self.unreachable: tuple[Problem, ...] = ()  # told by doctor(connect=True) only
        self.during: dict[Method, Callable[[str], None]] = {}
        self.reclaimed = 0
        self.repaired = 0
        self._failures: dict[Method, list[SnapdError]] = {}

    # -- what a test turns ----------------------------------------------------------------------------

    def fail_next(self, method: Method, error: SnapdError, *, times: int = 1) -> None:
        """Make the next `times` calls of a method raise this error, before they do anything."""
        self._failures.setdefault(method, []).extend([error] * times)

    def plant(
        self,
        name: str,
        created: datetime | None = None,
        *,
        complete: bool | None = None,
        files: dict[str, bytes] | None = None,
    ) -> Archive:
        """Put an archive into the store that nobody created through us: a stranger's, an old one, a rest."""
        whole = not is_incomplete_name(name) if complete is None else complete
        archive = Archive(name, created if created is not None else self.now(), complete=whole)
        mtime_ns = int(archive.created.timestamp() * 1e9)
        entries = {
            path.lstrip("/"): Entry(path.lstrip("/"), stat.S_IFREG | 0o600, mtime_ns, content)
            for path, content in (files or {}).items()
        }
        self.stored[name] = Stored(archive, entries)
        return archive

    def names(self) -> list[str]:
        """Names of everything stored, hidden ones included, oldest entry first."""
        return list(self.stored)

    def count(self, method: Method) -> int:
        """How often a method was called."""
        return sum(1 for call in self.calls if call.method == method)

    # -- the contract ---------------------------------------------------------------------------------

    def init(self) -> None:
        self._called("init")
        if self.exists:
            raise ExistsError("the store exists already")
        self.exists = True

    def doctor(self, *, connect: bool) -> tuple[Problem, ...]:
        self._called("doctor")
        return self.problems + (self.unreachable if connect else ())

    def create(self, name: str, selection: Selection) -> Created:
        self._called("create", name)
        if name in self.taken or name in self.stored:
            raise ExistsError(f"the archive {name} exists already")
        started = self.now()
        self._middle("create", name)
        if self.interrupt is not None and self.interrupt.requested:
            if self.properties.resumable:
                self.plant(f"{name}.checkpoint", started)
            raise self._interrupted()
        entries, omitted = self._read(selection)
        self.selections[name] = selection
        self.stored[name] = Stored(Archive(name, started), entries)
        size = sum(len(entry.content) for entry in entries.values())
        self.progress(Progress(files=len(entries), bytes_read=size, path=name))
        return Created(
            name=name,
            bytes_total=size,
            bytes_new=size,
            files=sum(stat.S_ISREG(entry.mode) for entry in entries.values()),
            omitted=omitted,
            warnings=self.warnings,
            encrypted=self.properties.encrypted,
        )

    def find(self, name: str) -> Archive | None:
        self._called("find", name)
        self._middle("find", name)
        stored = None if name in self.hidden else self.stored.get(name)
        return stored.archive if stored else None

    def archives(self) -> tuple[Archive, ...]:
        self._called("archives")
        self._middle("archives", "")
        self._stop_if_asked()
        return tuple(stored.archive for name, stored in self.stored.items() if name not in self.hidden)

    def delete(self, names: Sequence[str]) -> None:
        if len(names) > self.properties.largest_delete_batch:
            raise ValueError(f"{len(names)} archives are more than one batch")
        self._called("delete", *names)
        for name in names:
            self._middle("delete", name)
            self._stop_if_asked()
            self.stored.pop(name, None)

    def reclaim(self) -> None:
        self._called("reclaim")
        self._middle("reclaim", "")
        self._stop_if_asked()
        self.reclaimed += 1

    def members(self, name: str) -> Iterator[Member]:
        self._called("members", name)
        entries = self._entries(name)
        return iter([_member(entry, entries) for entry in entries.values()])

    def extract(self, name: str, into: Path, only: Sequence[str] = ()) -> None:
        self._called("extract", name, *only)
        entries = self._entries(name)
        for wanted in only:
            if not any(_within(path, wanted) for path in entries):
                raise NotFoundError(f"{wanted} is not in the archive {name}")
        self._middle("extract", name)
        self._stop_if_asked()
        chosen = [e for e in entries.values() if not only or any(_within(e.path, one) for one in only)]
        for entry in chosen:
            _write(entry, entries, into)
        for entry in reversed(chosen):
            if stat.S_ISDIR(entry.mode):
                os.utime(into / entry.path, ns=(entry.mtime_ns, entry.mtime_ns))

    def stats(self) -> Stats:
        self._called("stats")
        size = sum(len(e.content) for stored in self.stored.values() for e in stored.entries.values())
        return Stats(bytes_total=size, bytes_stored=size, archives=len(self.stored))

    def repair(self) -> None:
        self._called("repair")
        self._middle("repair", "")
        self._stop_if_asked()
        self.repaired += 1

    # -- inside ---------------------------------------------------------------------------------------

    def _called(self, method: Method, *names: str) -> None:
        self.calls.append(Call(method, names))
        if method not in ("init", "doctor") and not self.exists:
            raise NotFoundError("the store does not exist")
        waiting = self._failures.get(method)
        if waiting:
            raise waiting.pop(0)

    def _middle(self, method: Method, name: str) -> None:
        hook = self.during.get(method)
        if hook is not None:
            hook(name)

    def _stop_if_asked(self) -> None:
        if self.interrupt is not None and self.interrupt.requested:
            raise self._interrupted()

    def _interrupted(self) -> InterruptedRunError:
        reason = self.interrupt.reason if self.interrupt is not None else ""
        return InterruptedRunError("the engine was interrupted", cause=reason)

    def _entries(self, name: str) -> dict[str, Entry]:
        if name not in self.stored:
            raise NotFoundError(f"the archive {name} does not exist")
        return self.stored[name].entries

    def _read(self, selection: Selection) -> tuple[dict[str, Entry], tuple[str, ...]]:
        entries: dict[str, Entry] = {}
        omitted: list[str] = []
        links: dict[tuple[int, int], str] = {}
        for root in selection.paths:
            for path in _walk(root, selection):
                if any(path == left or left in path.parents for left in self.omitted):
                    omitted.append(str(path))
                    continue
                try:
                    entry = _entry(path, links)
                except OSError:
                    omitted.append(str(path))
                    continue
                entries[entry.path] = entry
        if not entries and not omitted:
            raise EngineError("nothing to archive")
        return entries, tuple(omitted)


def _walk(root: Path, selection: Selection) -> Iterator[Path]:
    patterns = [_expression(text) for text in selection.exclude]
    device = root.lstat().st_dev if root.exists() else None

    def wanted(path: Path) -> bool:
        if any(path.is_relative_to(ours) for ours in selection.staged):
            return True
        return path not in selection.never and not any(p.fullmatch(str(path)) for p in patterns)

    def descend(path: Path) -> Iterator[Path]:
        if not wanted(path):
            return
        yield path
        if not path.is_dir() or path.is_symlink():
            return
        if selection.one_file_system and path.lstat().st_dev != device:
            return
        for below in sorted(path.iterdir()):
            yield from descend(below)

    yield from descend(root)


_TOKEN = re.compile(r"\*\*/|\*\*|\*|\?|\[!?[^\]]+\]|.", re.DOTALL)


def _expression(pattern: str) -> re.Pattern[str]:
    """Turn one exclude pattern of the config into an expression over whole absolute paths."""

    def translate(token: str) -> str:
        known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
        if len(token) > 1 and token[0] == "[":
            return "[^" + token[2:] if token[1] == "!" else token
        return known.get(token, re.escape(token))

    text = pattern.rstrip("/")
    body = "".join(translate(token) for token in _TOKEN.findall(text))
    return re.compile(body if text.startswith("/") else "(?:.*/)?" + body, re.DOTALL)


def _entry(path: Path, links: dict[tuple[int, int], str]) -> Entry:
    status = path.lstat()
    name = str(path).lstrip("/")
    entry = Entry(name, status.st_mode, status.st_mtime_ns)
    if stat.S_ISLNK(status.st_mode):
        return Entry(name, status.st_mode, status.st_mtime_ns, target=str(path.readlink()))
    if not stat.S_ISREG(status.st_mode):
        return entry
    first = links.setdefault((status.st_dev, status.st_ino), name)
    if first != name:
        return Entry(name, status.st_mode, status.st_mtime_ns, link=first)
    return Entry(name, status.st_mode, status.st_mtime_ns, content=path.read_bytes())


def _member(entry: Entry, entries: dict[str, Entry]) -> Member:
    content = entries[entry.link].content if entry.link else entry.content
    mtime = datetime.fromtimestamp(entry.mtime_ns / 1e9, UTC)
    return Member(entry.path, len(content), stat.S_ISREG(entry.mode), mtime)


def _write(entry: Entry, entries: dict[str, Entry], into: Path) -> None:
    path = into / entry.path
    path.parent.mkdir(parents=True, exist_ok=True)
    if stat.S_ISDIR(entry.mode):
        path.mkdir(exist_ok=True)
    elif stat.S_ISLNK(entry.mode):
        path.symlink_to(entry.target)
        return
    elif stat.S_ISREG(entry.mode):
        if entry.link and (into / entry.link).exists():
            path.hardlink_to(into / entry.link)
            return
        path.write_bytes(entries[entry.link].content if entry.link else entry.content)
    else:
        return
    path.chmod(stat.S_IMODE(entry.mode))
    os.utime(path, ns=(entry.mtime_ns, entry.mtime_ns))


def _within(path: str, tree: str) -> bool:
    wanted = tree.strip("/")
    return path == wanted or path.startswith(f"{wanted}/")
