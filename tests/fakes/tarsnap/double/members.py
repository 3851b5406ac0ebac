"""Members of an archive: entries as they are stored, and how they are shown."""

from __future__ import annotations

import os
import stat
import time
from typing import Any

from .commandline import Options
from .output import FatalError

Entry = dict[str, Any]
_KINDS = (
    (stat.S_ISREG, "file"),
    (stat.S_ISDIR, "folder"),
    (stat.S_ISLNK, "symlink"),
    (stat.S_ISFIFO, "fifo"),
    (stat.S_ISCHR, "char"),
    (stat.S_ISBLK, "block"),
)
_LETTERS = {"folder": "d", "symlink": "l", "fifo": "p", "char": "c", "block": "b"}


def entry_of(path: str, status: os.stat_result) -> Entry:
    """Describe a file as an entry, without its contents. `path` is the name it gets in the archive."""
    kind = next(name for test, name in _KINDS if test(status.st_mode))
    return {
        "path": path,
        "kind": kind,
        "mode": stat.S_IMODE(status.st_mode),
        "uid": status.st_uid,
        "gid": status.st_gid,
        "user": _user(status.st_uid),
        "group": _group(status.st_gid),
        "size": status.st_size if kind == "file" else 0,
        "mtime": status.st_mtime_ns,
        "ctime": status.st_ctime_ns,
    }


_NAMES: dict[tuple[str, int], str] = {}


def _user(number: int) -> str:
    if ("u", number) not in _NAMES:
        import pwd

        try:
            _NAMES["u", number] = pwd.getpwuid(number).pw_name
        except KeyError:
            _NAMES["u", number] = ""
    return _NAMES["u", number]


def _group(number: int) -> str:
    if ("g", number) not in _NAMES:
        import grp

        try:
            _NAMES["g", number] = grp.getgrgid(number).gr_name
        except KeyError:
            _NAMES["g", number] = ""
    return _NAMES["g", number]


def escaped(name: str, *, ascii_only: bool) -> str:
    """Show a name as the client does on a terminal: what cannot be printed as octal numbers."""
    short = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}
    short["\\"] = "\\\\"
    parts = []
    for letter in name:
        if letter in short:
            parts.append(short[letter])
        elif letter.isprintable() and (letter.isascii() or not ascii_only):
            parts.append(letter)
        else:
            parts.extend(f"\\{byte:03o}" for byte in letter.encode("utf-8", "surrogateescape"))
    return "".join(parts)


class Shown:
    """The long form of entries, `ls -l`-like; columns grow with what they held before."""

    def __init__(self, options: Options, *, ascii_only: bool) -> None:
        self._numeric = "numeric-owner" in options.flags
        self._iso = options.on("iso-dates")
        self._ascii = ascii_only
        self._user_width = 6
        self._size_width = 13
        self._now = time.time()

    def name(self, entry: Entry) -> str:
        return escaped(entry["path"], ascii_only=self._ascii)

    def long(self, entry: Entry) -> str:
        user = str(entry["uid"]) if self._numeric or not entry["user"] else entry["user"]
        group = str(entry["gid"]) if self._numeric or not entry["group"] else entry["group"]
        size = str(entry["size"])
        self._user_width = max(self._user_width, len(user))
        self._size_width = max(self._size_width, len(group) + len(size) + 1)
        link = entry.get("link")
        between = " link to " if entry["kind"] == "hardlink" else " -> "
        target = between + escaped(link, ascii_only=self._ascii) if link is not None else ""
        filled = size.rjust(self._size_width - len(group))
        return (
            f"{_mode(entry)} 0 {user:<{self._user_width}} {group}{filled}"
            f" {self._time(entry)} {self.name(entry)}{target}"
        )

    def _time(self, entry: Entry) -> str:
        seconds = entry["mtime"] // 1_000_000_000
        if self._iso:
            form = "%Y-%m-%d %H:%M:%S"
        elif abs(self._now - seconds) > 365 * 86400 / 2:
            form = "%b %e  %Y"
        else:
            form = "%b %e %H:%M"
        return time.strftime(form, time.localtime(seconds))


def _mode(entry: Entry) -> str:
    mode = entry["mode"]
    letters = list(_LETTERS.get(entry["kind"], "h" if entry["kind"] == "hardlink" else "-"))
    for shift, special, small, big in ((6, 0o4000, "s", "S"), (3, 0o2000, "s", "S"), (0, 0o1000, "t", "T")):
        bits = mode >> shift
        letters += ["r" if bits & 4 else "-", "w" if bits & 2 else "-"]
        if mode & special:
            letters.append(small if bits & 1 else big)
        else:
            letters.append("x" if bits & 1 else "-")
    return "".join(letters) + " "


class Newer:
    """The --newer options: whether an entry changed after a given time. Times in nanoseconds."""

    def __init__(self, options: Options) -> None:
        self._ctime = _limit(options, ("newer", "newer-ctime"), ("newer-ctime-than", "newer-than"), "ctime")
        self._mtime = _limit(options, ("newer-mtime",), ("newer-mtime-than",), "mtime")

    def enough(self, entry: Entry) -> bool:
        return (not self._ctime or entry["ctime"] > self._ctime) and (
            not self._mtime or entry["mtime"] > self._mtime
        )


def _limit(options: Options, dates: tuple[str, ...], files: tuple[str, ...], field: str) -> int:
    for option in files:
        path = options.values.get(option)
        if path is not None:
            try:
                status = os.stat(path)
            except OSError:
                raise FatalError(f"Can't open file {path}") from None
            return status.st_ctime_ns if field == "ctime" else status.st_mtime_ns
    for option in dates:
        text = options.values.get(option)
        for form in ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d") if text else ():
            try:
                return int(time.mktime(time.strptime(text or "", form))) * 1_000_000_000
            except ValueError:
                continue
        if text:
            raise FatalError(f"The double knows dates as YYYY-MM-DD HH:MM:SS only: {text}")
    return 0
