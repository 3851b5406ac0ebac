"""The mode -c: walks the paths and stores what it finds, looking at the signals between two blocks."""

from __future__ import annotations

import os
import stat
import time
from typing import Any

from . import filecache, patterns, surroundings
from .commandline import leading_number
from .members import Entry, Newer, Shown, entry_of
from .output import FailedError, FatalError, encode, glue, reason, warn, write, yes
from .session import Session
from .settings import parse_size
from .signals import Progress, Signals
from .storing import BLOCK, Storing


def create(session: Session) -> None:
    options = session.options
    if not options.paths and "T" not in options.values:
        raise FatalError("no files or directories specified")
    for path in options.paths:
        if path.startswith("--"):
            warn(f"List of objects to archive includes '{path}'.  This might not be what you intended.")
            break
    now = int(time.time())
    storing = Storing(session, options.creation_time or now)
    try:
        storing.open()
    except FailedError:
        session.fail("Error creating new archive")
        return
    snapshot = options.text("snaptime")
    cache = filecache.of(session, int(os.stat(snapshot).st_ctime) if snapshot else now)
    creation = Creation(session, storing, cache)
    creation.run()
    if not storing.dry:
        session.cachedir.unlock()
    if cache is not None and not storing.dry and not cache.write():
        session.fail("Error writing cache")


class Creation:
    """One archive being filled from the paths of the command line."""

    def __init__(self, session: Session, storing: Storing, cache: filecache.FileCache | None) -> None:
        options = session.options
        self.session = session
        self.options = options
        self.storing = storing
        self.cache = cache
        self.patterns = patterns.of(options, words=False)
        self.newer = Newer(options)
        self.signals = Signals(session.points)
        every = options.text("progress-bytes")
        self.progress = Progress(self.signals, "adding", every=parse_size(every) if every else None)
        self.progress.inline = bool(options.verbose)
        self.ascii = surroundings.ascii_only()
        self.shown = Shown(options, ascii_only=self.ascii)
        self.links: dict[tuple[int, int], str] = {}
        self.pause_s = leading_number(options.text("disk-pause") or "0") / 1000
        self.own = os.stat(session.cachedir.path) if session.cachedir_or_none is not None else None
        self._told_quit = False
        self._told_slash = False
        self._folder: list[str] = list(options.folder)

    def run(self) -> None:
        self.signals.install(creating=True)
        self._reach("create.opened")
        if "T" in self.options.values:
            self._names_from_file(self.options.values["T"])
        words = list(self.options.paths)
        while words and not self.stopped():
            word = words.pop(0)
            if word.startswith("-C"):
                folder = word[2:] or (words.pop(0) if words else None)
                if not folder:
                    what = "Missing argument for -C" if folder is None else "Meaningless argument for -C: ''"
                    self.session.fail(what)
                    return
                self._folder.append(folder)
            else:
                self._word(word)
        if not self.storing.entries and not self.options.on("quiet"):
            warn("Warning: Archive contains no files")
        try:
            self.storing.close()
        except FailedError:
            self.session.fail("Error closing archive")
        self.progress.end(self.storing.stored)
        if self.options.on("totals") and not self.session.failed:
            write(2, encode(f"Total bytes written: {self.storing.stored}\n"))

    def _word(self, word: str) -> None:
        if not word.startswith(("/", "@/", "@@")):
            self._enter()
        if not word.startswith("@"):
            self.hierarchy(word)
            return
        from . import appending

        if word.startswith("@@"):
            appending.append_archive(self, word[2:])
        else:
            appending.append_file(self, word[1:])

    def _names_from_file(self, path: str) -> None:
        null = not self.options.flags.isdisjoint({"null", "null-input"})
        lines = patterns.lines_of(path, "\0" if null else "\n")
        while lines:
            line = lines.pop(0)
            if line == "-C" and not null:
                if not lines:
                    raise FatalError("Unexpected end of filename list; directory expected after -C")
                self._folder.append(lines.pop(0))
                continue
            if not line.startswith("/"):
                self._enter()
            self.hierarchy(line)

    def _enter(self) -> None:
        """Change to the folders of the -C before this path. Raises `FatalError`: no archive."""
        for folder in self._folder:
            try:
                os.chdir(folder)
            except OSError:
                raise FatalError(f"could not chdir to '{folder}'") from None
        self._folder.clear()

    def _reach(self, point: str, path: str | None = None) -> None:
        try:
            self.session.points.reach(point, self.storing.name, path)
        except FailedError:
            raise FatalError("Error writing archive") from None

    def stopped(self, *, inline: bool = False) -> bool:
        """Make a checkpoint when one is due; true when the archive is being cut short.

        `inline` says that a line of -v is not ended yet.
        """
        limit = self.options.text("maxbw")
        if limit is not None and self.storing.sent > (parse_size(limit) or 0):
            self.signals.quit = True
        if self.signals.quit:
            if not self._told_quit:
                warn("quit signal received or bandwidth limit reached; archive is being truncated")
            self._told_quit = self.storing.truncated = True
            return True
        if self.signals.checkpoint or self.storing.checkpoint_due():
            self.signals.checkpoint = self.session.points.handled = False
            if self.options.verbose:
                glue("\ntarsnap: Creating checkpoint..." if inline else "tarsnap: Creating checkpoint...")
            self.storing.checkpoint()
            if self.options.verbose:
                glue(" done." if inline else " done.\n")
        return False

    def hierarchy(self, top: str) -> None:
        """Store a path and what is below it, in the order of the names."""
        stack = [(top.rstrip("/") or "/", top)]
        device = -1
        follow = self.options.flags & {"H", "L", "h"}
        while stack and not self.stopped():
            name, access = stack.pop()
            self._reach("create.entry", name)
            self._pause()
            if self.patterns.excluded(name):
                continue
            try:
                status = os.lstat(name)
                if follow and stat.S_ISLNK(status.st_mode) and os.path.exists(name):
                    status = os.stat(name)
            except OSError as error:
                self.session.fail(f"{name}: Cannot stat: {reason(error)}")
                continue
            follow = follow if "L" in follow or "h" in follow else set()
            device = status.st_dev if device < 0 else device
            if self._skipped(name, status):
                continue
            if "w" in self.options.flags and not yes(f"add '{name}'"):
                continue
            if not stat.S_ISSOCK(status.st_mode):
                self._store(name, access, status)
            if stat.S_ISDIR(status.st_mode) and self._descends(name, status, device):
                stack.extend(self._children(name))

    def _pause(self) -> None:
        if self.pause_s:
            time.sleep(self.pause_s)

    def _children(self, folder: str) -> list[tuple[str, str]]:
        try:
            names = sorted(os.listdir(folder), reverse=True)
        except OSError as error:
            self.session.fail(f"{folder}: Couldn't visit directory: {reason(error)}")
            return []
        return [(f"{folder.rstrip('/')}/{name}", name) for name in names]

    def _skipped(self, name: str, status: os.stat_result) -> bool:
        if self.options.on("nodump") and surroundings.is_nodump(name):
            return True
        if self.own is None or (status.st_ino, status.st_dev) != (self.own.st_ino, self.own.st_dev):
            return False
        if not self.options.on("quiet"):
            warn(f"Not adding cache directory to archive: {name}")
        return True

    def _descends(self, name: str, status: os.stat_result, device: int) -> bool:
        if "n" in self.options.flags:
            return False
        if status.st_dev == device:
            return True
        if "one-file-system" in self.options.flags:
            return False
        kind = surroundings.file_system(name)
        if self.options.on("insane-filesystems") or kind not in surroundings.SYNTHETIC:
            return True
        if not self.options.on("quiet"):
            warn(f"Not descending into filesystem of type {kind}: {name}")
        return False

    def _stored_name(self, name: str) -> str:
        if "P" in self.options.flags or not name.startswith("/"):
            return name
        if not self._told_slash and not self.options.on("quiet"):
            warn("Removing leading '/' from member names")
        self._told_slash = True
        return name.lstrip("/") or "."

    def _store(self, name: str, access: str, status: os.stat_result) -> None:
        entry = entry_of(self._stored_name(name), status)
        if not self.newer.enough(entry):
            return
        self._show(entry)
        if entry["kind"] == "symlink":
            entry["link"] = os.readlink(name)
        if entry["kind"] == "file" and status.st_nlink > 1:
            first = self.links.setdefault((status.st_dev, status.st_ino), entry["path"])
            if first != entry["path"]:
                entry |= {"kind": "hardlink", "link": first, "size": 0}
        self.progress.show(entry["path"], 0, entry["size"], self.storing.stored)
        if entry["size"]:
            self._store_file(entry, name, access, status)
        else:
            self.add(entry)
        if self.options.verbose:
            glue("\n")

    def _show(self, entry: Entry) -> None:
        if self.options.verbose:
            glue("a " + (self.shown.long(entry) if self.options.verbose > 1 else self.shown.name(entry)))

    def takes(self, entry: Entry) -> bool:
        """Whether an entry of another archive is meant."""
        return self.newer.enough(entry) and not self.patterns.excluded(entry["path"])

    def add_shown(self, entry: Entry) -> None:
        """Write the header of an entry of another archive."""
        self._show(entry)
        self.add(entry)
        if self.options.verbose:
            glue("\n")

    def add(self, entry: Entry) -> None:
        """Write the header of an entry."""
        self.session.switches.wait("create_delay_s")
        if self.ascii and not entry["path"].isascii():
            trouble = f"Can't translate pathname '{entry['path']}' to UTF-8"
            if self.options.verbose:
                warn(f"{self.shown.name(entry)}: {trouble}")
            else:
                glue(f": {trouble}")
        self.storing.entries.append(entry)
        self.progress.entries += 1

    def _store_file(self, entry: Entry, name: str, access: str, status: os.stat_result) -> None:
        real = os.path.realpath(name)
        cached = self.cache.blocks(real, status) if self.cache is not None else None
        if cached is not None and self.storing.known(cached):
            for block in cached:
                self.storing.count(block)
            self.add(entry | {"blocks": cached})
            return
        self._reach("create.file", name)
        try:
            file = open(name, "rb", buffering=0)  # noqa: SIM115 - closed below, after it was told what failed
        except OSError as error:
            if self.options.verbose:
                glue(f": {reason(error)}")
            else:
                warn(f"{access}: could not open file: {reason(error)}")
            return
        blocks: list[Any] = []
        entry["blocks"] = blocks
        self.add(entry)
        with file:
            self._store_data(entry, file, blocks)
        if self.cache is not None and not self.storing.truncated:
            self.cache.remember(real, status, blocks)

    def _store_data(self, entry: Entry, file: Any, blocks: list[Any]) -> None:
        """Store `size` bytes: zeros where the file has become shorter, no more where it has grown."""
        if "dry-run-metadata" in self.options.flags:
            return
        left = entry["size"]
        while left:
            content = _read(file, min(left, BLOCK)).ljust(min(left, BLOCK), b"\0")
            blocks.append(self.storing.block(content))
            left -= len(content)
            self._pause()
            self.progress.show(entry["path"], entry["size"] - left, entry["size"], self.storing.stored)
            if left and self.stopped(inline=True):
                return
        if _read(file, 1) and not self.options.on("quiet"):
            warn(f"{entry['path']}: Truncated write; file may have grown while being archived.")


def _read(file: Any, size: int) -> bytes:
    """Read up to `size` bytes; a read error is taken for the end, without a word."""
    try:
        return file.read(size) or b""
    except OSError:
        return b""
