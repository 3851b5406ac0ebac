"""The single lock: one run at a time touches a store, across threads and processes.

A kernel file lock (flock(2)) on our own file in the state folder. A child that inherits the descriptor keeps
the lock for as long as it lives, so a lock is never stale and never needs breaking. Engines inherit it; what
else a run starts does not, since nothing of it must keep a later run waiting.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_PROBE_S = 0.005  # longer than a probe by `holder` ever holds the lock
_TRIES = 4


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds the lock: process id, run id, job, and since when (aware, UTC)."""

    pid: int
    run_id: str
    job: str
    since: datetime


UNKNOWN_HOLDER = Holder(pid=0, run_id="", job="", since=datetime.fromtimestamp(0, UTC))


class SingleLock:
    """The lock file `lock` in the state folder, and `lock.holder` beside it (JSON, for people only).

    Another `name` is another lock: `daemon` makes a daemon the only one on its state folder.

    Both belong to the owner of the folder, whoever made them, so that root and the daemon share them.
    """

    def __init__(self, folder: Path, name: str = "lock") -> None:
        self.folder = folder
        self._name = name
        self._guard = threading.Lock()
        self._fd: int | None = None

    def try_acquire(self, holder: Holder) -> bool:
        """Take the lock now, or return False. Not reentrant: a second call while held raises RuntimeError.

        A note that cannot be written (the disk is full) does not keep anybody from the lock.
        """
        with self._guard:
            if self._fd is not None:
                raise RuntimeError("the single lock is held already by this process")
            descriptor = self._open(self._name)
            if not _locked(descriptor):
                os.close(descriptor)
                return False
            self._fd = descriptor
            with contextlib.suppress(OSError):
                self._note(holder)
            return True

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._fd is not None

    @property
    def fd(self) -> int:
        """The locked descriptor, for children to inherit. Raises RuntimeError when the lock is not held."""
        if self._fd is None:
            raise RuntimeError("the single lock is not held")
        return self._fd

    def release(self) -> None:
        """Close our descriptor. A child that inherited it keeps the lock until it ends."""
        with self._guard:
            if self._fd is None:
                raise RuntimeError("the single lock is not held")
            os.close(self._fd)  # never LOCK_UN: that would take it from the child as well
            self._fd = None

    def holder(self) -> Holder | None:
        """Who is written down as the holder, if anybody holds the lock now; None when it is free.

        When it is held and the note is missing or unreadable, pid 0 and empty texts are returned.
        """
        return self._noted() if self._fd is not None or self._held() else None

    def _held(self) -> bool:
        try:
            descriptor = os.open(self.folder / self._name, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def _open(self, name: str, flags: int = 0) -> int:
        flags |= os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self.folder / name, flags, 0o600)
        try:
            owner = self.folder.stat()
            if os.geteuid() == 0 and os.fstat(descriptor).st_uid != owner.st_uid:
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def _note(self, holder: Holder) -> None:
        """Replace the note in one step, so that a reader sees the old one or the new one."""
        note = {
            "pid": holder.pid,
            "run_id": holder.run_id,
            "job": holder.job,
            "since": holder.since.isoformat(),
        }
        draft = f"{self._name}.holder.new"
        with os.fdopen(self._open(draft, os.O_TRUNC), "w") as file:
            json.dump(note, file)
        (self.folder / draft).replace(self.folder / f"{self._name}.holder")

    def _noted(self) -> Holder:
        try:
            note = json.loads((self.folder / f"{self._name}.holder").read_text())
            since = datetime.fromisoformat(note["since"]).astimezone(UTC)
            return Holder(int(note["pid"]), str(note["run_id"]), str(note["job"]), since)
        except (OSError, ValueError, KeyError, TypeError):
            return UNKNOWN_HOLDER


def _locked(descriptor: int) -> bool:
    """Lock, or say that somebody holds it: somebody else's probe, which is over at once, does not count."""
    for _ in range(_TRIES - 1):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(_PROBE_S)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
