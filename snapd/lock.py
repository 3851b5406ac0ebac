"""The single lock: one run at a time touches a store, across threads and processes.

Kernel file locks (flock(2)) on our own files in the state folder. A child that inherits the descriptor keeps
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
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_PROBE_S = 0.005  # longer than a probe by `holder` ever holds the lock
_TRIES = 4
_WANTED = "lock.wanted"


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

    Another `name` is another lock: `daemon` makes a daemon the only one on its state folder; `reading` is
    held by the restore test that reads beside other runs, and taken under the single lock only.

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
            descriptor = _open(self.folder, self._name)
            if not _locked(descriptor, fcntl.LOCK_EX):
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

    def _note(self, holder: Holder) -> None:
        """Replace the note in one step, so that a reader sees the old one or the new one."""
        note = {
            "pid": holder.pid,
            "run_id": holder.run_id,
            "job": holder.job,
            "since": holder.since.isoformat(),
        }
        draft = f"{self._name}.holder.new"
        with os.fdopen(_open(self.folder, draft, os.O_TRUNC), "w") as file:
            json.dump(note, file)
        (self.folder / draft).replace(self.folder / f"{self._name}.holder")

    def _noted(self) -> Holder:
        try:
            note = json.loads((self.folder / f"{self._name}.holder").read_text())
            since = datetime.fromisoformat(note["since"]).astimezone(UTC)
            return Holder(int(note["pid"]), str(note["run_id"]), str(note["job"]), since)
        except (OSError, ValueError, KeyError, TypeError):
            return UNKNOWN_HOLDER


class Wanted:
    """The mark of those who wait for the single lock with a due backup, for other processes to see.

    A shared lock on the file `lock.wanted`: as many as like hold it, and it goes with its holder's process.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._guard = threading.Lock()
        self._fd: int | None = None

    @contextlib.contextmanager
    def marked(self) -> Iterator[None]:
        """Within the block others see that we wait. A mark that cannot be made (a full disk) is left out."""
        with self._guard, contextlib.suppress(OSError):
            self._fd = _open(self._folder, _WANTED)
            _locked(self._fd, fcntl.LOCK_SH)
        try:
            yield
        finally:
            with self._guard:
                if self._fd is not None:
                    os.close(self._fd)
                self._fd = None

    def elsewhere(self) -> bool:
        """Tell whether another process waits; False while we wait ourselves, and hold nothing up."""
        with self._guard, contextlib.suppress(FileNotFoundError):
            if self._fd is not None:
                return False
            descriptor = os.open(self._folder / _WANTED, os.O_RDONLY | os.O_CLOEXEC)
            try:
                return not _locked(descriptor, fcntl.LOCK_EX)
            finally:
                os.close(descriptor)
        return False


def _open(folder: Path, name: str, flags: int = 0) -> int:
    flags |= os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(folder / name, flags, 0o600)
    try:
        owner = folder.stat()
        if os.geteuid() == 0 and os.fstat(descriptor).st_uid != owner.st_uid:
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _locked(descriptor: int, operation: int) -> bool:
    """Lock, or say that somebody holds it: somebody else's probe, which is over at once, does not count."""
    for _ in range(_TRIES - 1):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
            return True
        time.sleep(_PROBE_S)
    try:
        fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
