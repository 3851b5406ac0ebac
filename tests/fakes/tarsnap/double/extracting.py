"""The modes -t, -x and -r."""

from __future__ import annotations

import os
from typing import Any

from . import patterns, surroundings
from .members import Entry, Newer, Shown
from .output import FailedError, FatalError, encode, glue, reason, say, warn, write, yes
from .reading import entries, look_up
from .session import Session
from .settings import parse_size
from .signals import Progress, Signals


def read_archive(session: Session) -> None:
    """List an archive's members, or extract them; a damaged entry ends it, any other trouble does not."""
    reading = Reading(session)
    if session.options.mode == "x":
        reading.signals.install(creating=False)
    found = reading.open()
    if found is not None:
        reading.go_through(found)
    if patterns.warn_unmatched(reading.patterns):
        session.failed = True


def _members(session: Session) -> list[Entry] | None:
    try:
        found = look_up(session, session.options.names[0])
        if found is not None:
            return entries(session, found[0])
    except FailedError:
        pass
    warn("Error reading archive metadata")
    return None


class Reading:
    def __init__(self, session: Session) -> None:
        options = session.options
        self.session = session
        self.options = options
        self.extracts = options.mode == "x"
        self.patterns = patterns.of(options, words=True)
        self.newer = Newer(options)
        self.ascii = surroundings.ascii_only()
        self.shown = Shown(options, ascii_only=self.ascii)
        self.signals = Signals(session.points)
        every = options.text("progress-bytes")
        self.progress = Progress(self.signals, "extracting", every=parse_size(every) if every else None)
        self.progress.inline = bool(options.verbose)
        self.total = 0

    def open(self) -> list[Entry] | None:
        session = self.session
        members = _members(session)
        if members is None:
            session.fail("Error opening archive")
            return None
        for folder in session.options.folder:
            try:
                os.chdir(folder)
            except OSError:
                raise FatalError(f"could not chdir to '{folder}'") from None
        if self.extracts and "chroot" in session.options.flags:
            try:
                os.chroot(".")
            except OSError as error:
                session.fail(f'Can\'t chroot to ".": {reason(error)}')
                return None
        return members

    def go_through(self, members: list[Entry]) -> None:
        from .disk import Disk

        disk = Disk(self.session)
        for entry in members:
            if "q" in self.options.flags and not self.patterns.unmatched:
                break
            if self.ascii and not entry["path"].isascii():
                self.session.fail("Pathname in pax header can't be converted to current locale.")
            if not self.newer.enough(entry) or self.patterns.excluded(entry["path"]):
                continue
            if not self.extracts:
                self._list(entry)
            elif not self._extract(entry, disk):
                break
        disk.finish()
        if self.extracts:
            self.progress.end(self.total)

    def _list(self, entry: Entry) -> None:
        text = self.shown.long(entry) if self.options.verbose > 1 else self.shown.name(entry)
        if "null-output" in self.options.flags:
            name = text if self.options.verbose > 1 else entry["path"]
            write(1, encode(name) + b"\0")
        elif "O" in self.options.flags:
            write(2, encode(text) + b"\n")
        else:
            say(text)

    def _extract(self, entry: Entry, disk: Any) -> bool:
        """Extract one entry; false when nothing after it can be read either."""
        path = disk.target(entry)
        if path is None or disk.is_there(entry, path):
            return True
        if "w" in self.options.flags and not yes(f"extract '{path}'"):
            return True
        self.session.points.reach("read.entry", self.options.names[0], entry["path"])
        self.session.switches.wait("read_delay_s")
        if self.options.verbose:
            glue("x " + (self.shown.long(entry) if self.options.verbose > 1 else self.shown.name(entry)))
        self.progress.show(path, 0, 0, self.total)
        self.progress.entries += 1
        self.total += entry["size"]
        whole = True
        try:
            trouble = disk.to_stdout(entry) if "O" in self.options.flags else disk.write(entry, path)
        except FailedError:
            trouble, whole = "Error reading archive", False
        if trouble:
            name = "" if self.options.verbose else self.shown.name(entry)
            glue(f"{name}: {trouble}" + ("" if self.options.verbose else "\n"))
            self.session.failed = True
        if self.options.verbose:
            glue("\n")
        return whole


def as_tar(session: Session) -> None:
    """The mode -r: the archive as a tar stream on stdout; a failure comes after a part of it."""
    import io
    import tarfile

    kinds = {
        "folder": tarfile.DIRTYPE,
        "symlink": tarfile.SYMTYPE,
        "hardlink": tarfile.LNKTYPE,
        "fifo": tarfile.FIFOTYPE,
    }
    members = _members(session)
    if members is None:
        session.fail("Error reading archive")
        return
    with open(1, "wb", closefd=False) as stream, tarfile.open(fileobj=stream, mode="w|") as tar:
        for entry in members:
            member = tarfile.TarInfo(entry["path"])
            member.type = kinds.get(entry["kind"], tarfile.REGTYPE)
            member.linkname = entry.get("link", "")
            member.mode, member.mtime = entry["mode"], entry["mtime"] / 1e9
            member.uid, member.gid = entry["uid"], entry["gid"]
            member.uname, member.gname = entry["user"], entry["group"]
            member.size = entry["size"]
            try:
                content = b"".join(session.server.chunk(block[0]) for block in entry.get("blocks", ()))
            except FailedError:
                stream.flush()
                session.fail("Error reading archive")
                os._exit(session.end())
            tar.addfile(member, io.BytesIO(content))
