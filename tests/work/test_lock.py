"""The single lock, between real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from snapd.lock import Holder, SingleLock, Wanted
from snapd.proc import Command, Launcher
from tests.needs import needs_root

ROOT = str(Path(__file__).resolve().parents[2])
SINCE = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
ME = Holder(pid=os.getpid(), run_id="r42", job="backup:mail", since=SINCE)

OTHER = """
import os, sys
from datetime import UTC, datetime
from pathlib import Path
from snapd.lock import Holder, SingleLock
from snapd.proc import Command, Launcher
lock = SingleLock(Path(sys.argv[1]))
me = Holder(os.getpid(), "other", "expire:shop", datetime(2026, 1, 1, tzinfo=UTC))
print(lock.try_acquire(me), flush=True)
if len(sys.argv) > 2:
    argv = ("sh", "-c", f"echo $$ > {sys.argv[2]}; exec sleep 1000")
    command = Command(argv, {"PATH": os.defpath}, holds_lock=True)
    Launcher(lock_fd=lock.fd).run(command)
sys.stdin.read()
"""


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


@contextmanager
def other_process(folder: Path, *more: str) -> Iterator[tuple[subprocess.Popen[str], bool]]:
    """Yield a process that tried to take the lock, and whether it got it; its child may write its pid."""
    with subprocess.Popen(
        [sys.executable, "-c", OTHER, str(folder), *more],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline() == "True\n"
        finally:
            process.kill()


def test_the_lock_is_taken_once_and_free_again_after_its_release(tmp_path: Path) -> None:
    lock = SingleLock(tmp_path)
    assert lock.holder() is None
    assert lock.try_acquire(ME)
    assert lock.holder() == ME
    assert SingleLock(tmp_path).holder() == ME
    assert not SingleLock(tmp_path).try_acquire(ME)
    lock.release()
    assert lock.holder() is None
    assert lock.try_acquire(ME)
    lock.release()


def test_taking_the_lock_twice_is_a_mistake_of_the_program(tmp_path: Path) -> None:
    lock = SingleLock(tmp_path)
    lock.try_acquire(ME)
    with pytest.raises(RuntimeError):
        lock.try_acquire(ME)
    lock.release()


def test_a_lock_that_is_not_held_has_no_descriptor_and_cannot_be_released(tmp_path: Path) -> None:
    lock = SingleLock(tmp_path)
    with pytest.raises(RuntimeError):
        _ = lock.fd
    with pytest.raises(RuntimeError):
        lock.release()


def test_two_processes_exclude_each_other(tmp_path: Path) -> None:
    lock = SingleLock(tmp_path)
    with other_process(tmp_path) as (process, got_it):
        assert got_it
        assert not lock.try_acquire(ME)
        holder = lock.holder()
        assert holder is not None
        assert (holder.pid, holder.run_id, holder.job) == (process.pid, "other", "expire:shop")
        process.kill()
        process.wait()
        assert lock.try_acquire(ME)
    with other_process(tmp_path) as (_process, got_it):
        assert not got_it
    lock.release()


def test_the_child_of_a_killed_process_keeps_the_lock_until_it_ends(tmp_path: Path) -> None:
    lock = SingleLock(tmp_path)
    with other_process(tmp_path, str(tmp_path / "child")) as (process, got_it):
        assert got_it
        until(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text() != "")
        process.kill()
        process.wait()
        assert not lock.try_acquire(ME)
        holder = lock.holder()
        assert holder is not None
        assert holder.pid == process.pid
        os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)
        until(lambda: lock.try_acquire(ME))
        lock.release()


def test_releasing_does_not_take_the_lock_from_a_child_that_has_it(tmp_path: Path) -> None:
    lock = SingleLock(tmp_path)
    lock.try_acquire(ME)
    launcher = Launcher(lock_fd=lock.fd)
    script = f"echo $$ > {tmp_path}/child; exec sleep 1000"
    command = Command(("sh", "-c", script), {"PATH": os.defpath}, holds_lock=True)
    thread = threading.Thread(target=lambda: launcher.run(command))
    thread.start()
    until(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text() != "")
    lock.release()
    assert lock.holder() == ME
    assert not lock.try_acquire(ME)
    launcher.interrupt.request("stop")
    thread.join(30)
    assert lock.try_acquire(ME)
    lock.release()


def test_somebody_who_only_looks_never_keeps_another_from_the_lock(tmp_path: Path) -> None:
    lock, watcher = SingleLock(tmp_path), SingleLock(tmp_path)
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            watcher.holder()

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for _ in range(200):
            assert lock.try_acquire(ME)
            lock.release()
    finally:
        over.set()
        thread.join(30)


@pytest.mark.parametrize("note", [None, "", "{", "[]", '{"pid": "x"}'])
def test_a_held_lock_without_a_readable_note_has_an_unknown_holder(tmp_path: Path, note: str | None) -> None:
    lock = SingleLock(tmp_path)
    lock.try_acquire(ME)
    (tmp_path / "lock.holder").unlink()
    if note is not None:
        (tmp_path / "lock.holder").write_text(note)
    holder = SingleLock(tmp_path).holder()
    assert holder is not None
    assert (holder.pid, holder.run_id, holder.job) == (0, "", "")
    lock.release()


def test_a_note_that_cannot_be_written_keeps_nobody_from_the_lock(tmp_path: Path) -> None:
    (tmp_path / "lock.holder").mkdir()
    lock = SingleLock(tmp_path)
    assert lock.try_acquire(ME)
    lock.release()


def test_the_descriptor_is_not_inherited_unless_asked_for(tmp_path: Path) -> None:
    lock = SingleLock(tmp_path)
    lock.try_acquire(ME)
    assert not os.get_inheritable(lock.fd)
    lock.release()


@needs_root
def test_what_root_makes_belongs_to_the_owner_of_the_folder(tmp_path: Path) -> None:
    os.chown(tmp_path, 54321, 54322)
    lock = SingleLock(tmp_path)
    lock.try_acquire(ME)
    lock.release()
    for name in ("lock", "lock.holder"):
        status = (tmp_path / name).stat()
        assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (54321, 54322, 0o600)


# -- who waits for it -----------------------------------------------------------------------------------

WAITING = """
import sys
from pathlib import Path
from snapd.lock import Wanted
with Wanted(Path(sys.argv[1])).marked():
    print("marked", flush=True)
    sys.stdin.read()
"""


@contextmanager
def waiting_process(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Yield a process that waits for the lock, and says so."""
    argv = [sys.executable, "-c", WAITING, str(folder)]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "marked\n"
            yield process
        finally:
            process.kill()


def test_others_see_who_waits_until_he_has_what_he_wants_or_is_dead(tmp_path: Path) -> None:
    mark = Wanted(tmp_path)
    assert not mark.elsewhere()
    with waiting_process(tmp_path) as first, waiting_process(tmp_path) as second:
        assert mark.elsewhere()
        assert first.stdin is not None
        first.stdin.close()  # it goes on
        first.wait()
        assert mark.elsewhere(), "the second waits too"
        second.kill()
        second.wait()
        assert not mark.elsewhere()


def test_who_waits_himself_gives_way_to_nobody(tmp_path: Path) -> None:
    mark, other = Wanted(tmp_path), Wanted(tmp_path)
    with mark.marked():
        assert not mark.elsewhere()
        assert other.elsewhere()
        with waiting_process(tmp_path):
            assert not mark.elsewhere()
    assert not other.elsewhere()


def test_a_mark_that_cannot_be_made_is_left_out(tmp_path: Path) -> None:
    mark = Wanted(tmp_path / "gone")
    with mark.marked():
        assert not mark.elsewhere()
    assert not mark.elsewhere()
