"""Extraction: members of an archive become files again."""

from __future__ import annotations

import os
import stat

from .commandline import leading_number
from .members import Entry
from .output import reason, write
from .session import Session


class Disk:
    """Writes below the working folder. Each method gives the trouble as a text, or nothing."""

    def __init__(self, session: Session) -> None:
        options = session.options
        self.session = session
        self.flags = options.flags
        self.strip = leading_number(options.values.get("strip-components", "0"))
        self.secure = "P" not in self.flags
        root = os.geteuid() == 0
        self.owner = (root or "same-owner" in self.flags) and not self.flags & {"o", "no-same-owner"}
        self.exact_mode = (root or "p" in self.flags) and "no-same-permissions" not in self.flags
        self.numeric = "numeric-owner" in self.flags
        self._umask = os.umask(0)
        os.umask(self._umask)
        self._folders: list[tuple[str, Entry]] = []

    def target(self, entry: Entry) -> str | None:
        """Where an entry goes; None when --strip-components leaves nothing of its path."""
        parts = entry["path"].split("/")
        if self.strip:
            parts = [part for part in parts if part][self.strip :]
        path = "/".join(parts)
        if self.secure:
            path = path.lstrip("/")
        return path or None

    def is_there(self, entry: Entry, path: str) -> bool:
        """Whether --resume-extract leaves the file alone."""
        if "resume-extract" not in self.flags or entry["kind"] != "file":
            return False
        try:
            status = os.stat(path)
        except OSError:
            return False
        return (status.st_size, int(status.st_mtime)) == (entry["size"], entry["mtime"] // 1_000_000_000)

    def to_stdout(self, entry: Entry) -> str:
        for block in entry.get("blocks", ()):
            write(1, self.session.server.chunk(block[0]))
        return ""

    def write(self, entry: Entry, path: str) -> str:
        """Make the file, folder or link. Raises `FailedError` when its data cannot be read."""
        if self.secure and ".." in path.split("/"):
            return "Path contains '..'"
        link = self._symlink_in(path)
        if self.secure and link:
            return f"Cannot extract through symlink {link}"
        trouble = self._make_room(entry, path)
        if trouble is not None:
            return trouble
        try:
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
            self._make(entry, path)
        except OSError as error:
            return f"Can't create '{path}': {reason(error)}"
        if entry["kind"] == "folder":
            self._folders.append((path, entry))
            return self._own(entry, path)
        return self._own(entry, path) or self._finish(entry, path)

    def _symlink_in(self, path: str) -> str:
        parts = path.split("/")
        for end in range(1, len(parts)):
            above = "/".join(parts[:end])
            if above and os.path.islink(above):
                return above
        return ""

    def _make_room(self, entry: Entry, path: str) -> str | None:
        """Remove what is in the way, or say why nothing is to be written (an empty text: silently)."""
        try:
            status = os.lstat(path)
        except OSError:
            return None
        if stat.S_ISDIR(status.st_mode):
            return None
        if "k" in self.flags:
            return ""
        if "keep-newer-files" in self.flags and status.st_mtime_ns >= entry["mtime"]:
            return "File on disk is not older; skipping."
        os.unlink(path)
        return None

    def _make(self, entry: Entry, path: str) -> None:
        kind = entry["kind"]
        if kind == "folder":
            os.makedirs(path, 0o700, exist_ok=True)
        elif kind == "symlink":
            os.symlink(entry["link"], path)
        elif kind == "hardlink":
            os.link(self.target({"path": entry["link"]}) or entry["link"], path)
        elif kind == "fifo":
            os.mkfifo(path)
        elif kind in ("char", "block"):
            os.mknod(path, entry["mode"] | (stat.S_IFCHR if kind == "char" else stat.S_IFBLK))
        else:
            with open(path, "wb", buffering=0) as file:
                for block in entry.get("blocks", ()):
                    write(file.fileno(), self.session.server.chunk(block[0]))

    def _own(self, entry: Entry, path: str) -> str:
        if not self.owner or entry["kind"] == "hardlink":
            return ""
        uid, gid = entry["uid"], entry["gid"]
        if not self.numeric:
            uid, gid = _number_of("u", entry["user"], uid), _number_of("g", entry["group"], gid)
        try:
            os.chown(path, uid, gid, follow_symlinks=False)
        except OSError:
            return f"Can't set user={uid}/group={gid} for {path}"
        return ""

    def _finish(self, entry: Entry, path: str) -> str:
        """Mode and time, last: a folder's after everything in it."""
        if entry["kind"] == "hardlink":
            return ""
        mode = entry["mode"] if self.exact_mode else entry["mode"] & ~self._umask & 0o777
        if entry["kind"] != "symlink":
            try:
                os.chmod(path, mode)
            except OSError as error:
                return f"Can't set permissions to {mode:04o}: {reason(error)}"
        if "m" in self.flags:
            return ""
        try:
            os.utime(path, ns=(entry["mtime"], entry["mtime"]), follow_symlinks=False)
        except OSError:
            return f"Can't update time for {path}"
        return ""

    def finish(self) -> None:
        for path, entry in reversed(self._folders):
            trouble = self._finish(entry, path)
            if trouble:
                write(2, f"{path}: {trouble}\n".encode("utf-8", "surrogateescape"))
                self.session.failed = True


def _number_of(kind: str, name: str, number: int) -> int:
    """The number of a user or group by its name on this machine, else the stored one."""
    try:
        if kind == "u":
            import pwd

            return pwd.getpwnam(name).pw_uid
        import grp

        return grp.getgrnam(name).gr_gid
    except KeyError:
        return number
