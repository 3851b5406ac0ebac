"""Who holds a POSIX record lock (fcntl(2), F_GETLK): asked, never taken."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from pathlib import Path

_LAYOUT = "hhqqi0q"  # struct flock of Linux with 64-bit offsets: type, whence, start, length, process


def holder_of(file: Path) -> str | None:
    """Say who holds a record lock anywhere in a file; None when nobody does, or there is no such file.

    Of a process that cannot be looked at only the number is known. Closing the descriptor drops the record
    locks that this process itself has on the file: it has none.
    """
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        asked = struct.pack(_LAYOUT, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        answer = struct.unpack(_LAYOUT, fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
    finally:
        os.close(descriptor)
    return None if answer[0] == fcntl.F_UNLCK else _process(answer[4])


def _process(pid: int) -> str:
    if pid <= 0:  # of another pid namespace
        return "a process of another container"
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        command = " ".join(word.decode(errors="replace") for word in words[:1] + _mode(words)).strip()
        if command:
            return f"process {pid}, {command}"
    return f"process {pid}"


def _mode(words: list[bytes]) -> list[bytes]:
    """Return the word that says what is done, where there is one: arguments may hold what is secret."""
    modes = (b"-c", b"-d", b"--fsck", b"--fsck-prune", b"--recover")
    return [word for word in words if word in modes][:1]
