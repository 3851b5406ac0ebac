"""The door to processes, with real ones."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from snapd.errors import InterruptedRunError, KilledError, TimeLimitError
from snapd.lock import Holder, SingleLock
from snapd.proc import (
    LINE_BOUND,
    STDERR_BOUND,
    STDOUT_BOUND,
    Command,
    Finished,
    Interrupt,
    Launcher,
    Limits,
    raise_if_cut,
)
from tests.needs import needs_root

ENV = {"PATH": os.environ.get("PATH", os.defpath)}
QUICK = Limits(wall=0.3, grace=0.3)


def shell(script: str, **more: object) -> Command:
    return Command(("sh", "-c", script), ENV, **more)  # type: ignore[arg-type]


def python(script: str, **more: object) -> Command:
    return Command((sys.executable, "-c", script), ENV, **more)  # type: ignore[arg-type]


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


def gone(pid: int) -> bool:
    """A zombie that nobody reaps in a container counts as gone: it holds no files."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] == b"Z"
    except FileNotFoundError:
        return True


def in_background(launcher: Launcher, command: Command) -> tuple[threading.Thread, list[Finished]]:
    finished: list[Finished] = []
    thread = threading.Thread(target=lambda: finished.append(launcher.run(command)))
    thread.start()
    return thread, finished


def test_both_outputs_and_the_exit_status_come_back() -> None:
    done = Launcher().run(shell("echo out; echo err >&2; exit 3"))
    assert (done.returncode, done.stdout, done.stderr, done.ended) == (3, "out\n", "err", "")
    assert not done.truncated


def test_the_environment_is_the_one_given_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEAKED", "1")
    done = Launcher().run(Command(("env",), {**ENV, "GIVEN": "1"}))
    assert "GIVEN=1" in done.stdout
    assert "LEAKED" not in done.stdout


def test_standard_input_is_empty_unless_given(tmp_path: Path) -> None:
    assert Launcher().run(shell("cat")).stdout == ""
    assert Launcher().run(shell("cat", input=b"x" * 300_000)).stdout == "x" * 300_000


def test_a_child_that_does_not_read_its_input_ends_normally() -> None:
    assert Launcher().run(shell("exec <&-; echo done", input=b"x" * 300_000)).stdout == "done\n"


def test_the_child_runs_in_its_folder(tmp_path: Path) -> None:
    assert Launcher().run(shell("pwd", cwd=tmp_path)).stdout == f"{tmp_path}\n"


def test_a_missing_program_is_file_not_found() -> None:
    with pytest.raises(FileNotFoundError):
        Launcher().run(Command(("no-such-program",), ENV))


def test_a_program_that_may_not_be_executed_is_a_permission_error(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("text")
    with pytest.raises(PermissionError):
        Launcher().run(Command((str(tmp_path / "plain"),), ENV))


def test_the_program_is_looked_up_in_the_path_of_the_given_environment(tmp_path: Path) -> None:
    program = tmp_path / "mine"
    program.write_text("#!/bin/sh\necho mine\n")
    program.chmod(0o755)
    assert Launcher().run(Command(("mine",), {"PATH": str(tmp_path)})).stdout == "mine\n"


def test_lines_of_standard_error_come_as_they_are_written_with_carriage_returns_as_ends() -> None:
    lines: list[str] = []
    Launcher().run(shell(r"printf '10%%\r20%%\r\nlast' >&2", on_line=lines.append))
    assert lines == ["10%", "20%", "last"]


def test_lines_of_standard_output_go_to_their_callback_instead_of_being_kept() -> None:
    lines: list[str] = []
    done = Launcher().run(shell("printf 'a\n\nb'", on_stdout=lines.append))
    assert lines == ["a", "", "b"]
    assert done.stdout == ""


def test_undecodable_output_is_replaced() -> None:
    assert Launcher().run(shell(r"printf '\377'")).stdout == "�"


def test_a_flood_on_both_outputs_is_drained_and_bounded() -> None:
    flood = python(
        "import sys\nfor _ in range(70): sys.stdout.write('x' * 2**20); sys.stderr.write('y' * 2**20 + '\\n')"
    )
    done = Launcher().run(flood)
    assert done.returncode == 0
    assert done.truncated
    assert len(done.stdout) == STDOUT_BOUND
    assert len(done.stderr) <= STDERR_BOUND
    assert max(map(len, done.stderr.splitlines())) == LINE_BOUND


def test_the_end_of_standard_error_is_what_is_kept() -> None:
    done = Launcher().run(shell("seq 1 50000 >&2; echo last >&2"))
    assert done.stderr.endswith("50000\nlast")
    assert len(done.stderr) <= STDERR_BOUND


def test_secrets_are_masked_everywhere_even_when_written_in_pieces() -> None:
    lines: list[str] = []
    script = (
        "import sys, time\n"
        "for s in (sys.stdout, sys.stderr):\n"
        "  s.write('<hun'); s.flush(); time.sleep(0.05); s.write('ter2>\\n'); s.flush()"
    )
    done = Launcher().run(python(script, secrets=("hunter2", ""), on_line=lines.append))
    assert done.stdout == "<***>\n"
    assert done.stderr == "<***>"
    assert lines == ["<***>"]


def test_no_piece_of_a_secret_is_left_where_a_line_is_cut() -> None:
    script = f"import sys; sys.stderr.write('y' * {LINE_BOUND - 3} + 'hunter2' * 9 + '\\n')"
    done = Launcher().run(python(script, secrets=("hunter2",)))
    assert "hun" not in done.stderr


def test_a_secret_of_several_lines_is_masked_line_by_line() -> None:
    done = Launcher().run(shell("echo one-part; echo two-part >&2", secrets=("one-part\ntwo-part",)))
    assert (done.stdout, done.stderr) == ("***\n", "***")


def test_a_child_past_its_wall_limit_gets_its_gentle_signal() -> None:
    script = "trap 'echo gently; exit 9' INT; echo ready; while :; do sleep 0.02; done"
    done = Launcher().run(shell(script, limits=QUICK, gentle=signal.SIGINT))
    assert (done.returncode, done.ended, done.stdout) == (9, "limit", "ready\ngently\n")


def test_a_child_that_goes_on_after_its_gentle_signal_gets_it_once_more() -> None:
    script = "trap 'trap \"echo at last; exit 9\" INT' INT; echo ready; while :; do sleep 0.02; done"
    done = Launcher().run(shell(script, limits=Limits(wall=0.3, grace=5), gentle=signal.SIGINT))
    assert (done.returncode, done.ended, done.stdout) == (9, "limit", "ready\nat last\n")


def test_a_group_that_ignores_the_gentle_signal_is_killed_after_the_grace(tmp_path: Path) -> None:
    script = f"trap '' TERM; sleep 1000 & echo $! > {tmp_path}/pid; wait; sleep 1000"
    done = Launcher().run(shell(script, limits=QUICK))
    assert (done.returncode, done.ended) == (-signal.SIGKILL, "limit")
    until(lambda: gone(int((tmp_path / "pid").read_text())))


def test_a_stopped_child_is_killed_after_the_grace() -> None:
    done = Launcher().run(shell("kill -STOP $$", limits=QUICK))
    assert done.returncode == -signal.SIGKILL


def test_what_is_left_of_the_group_when_the_child_ends_is_killed(tmp_path: Path) -> None:
    done = Launcher().run(shell(f"sleep 1000 & echo $! > {tmp_path}/pid; echo out"))
    assert done.stdout == "out\n"
    until(lambda: gone(int((tmp_path / "pid").read_text())))


def test_a_daemon_that_left_the_group_and_holds_the_pipes_is_not_waited_for(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    script = f"setsid sh -c 'echo $$ > {pid}; exec sleep 1000' & while [ ! -s {pid} ]; do :; done; echo out"
    done = Launcher().run(shell(script))
    stray = int(pid.read_text())
    os.kill(stray, signal.SIGKILL)
    assert (done.returncode, done.stdout) == (0, "out\n")


def test_a_silent_idle_child_stalls() -> None:
    done = Launcher().run(shell("exec sleep 1000", limits=Limits(wall=None, stall=0.3, grace=5)))
    assert done.ended == "stall"


@pytest.mark.parametrize(
    "busy",
    [
        "while time.monotonic() < end: pass",
        "while time.monotonic() < end: print('.', flush=True); time.sleep(0.05)",
        "f = open('/dev/zero', 'rb', 0)\nwhile time.monotonic() < end: f.read(1); time.sleep(0.05)",
    ],
    ids=["processor", "output", "input"],
)
def test_a_child_that_does_anything_does_not_stall(busy: str) -> None:
    script = f"import time\nend = time.monotonic() + 1.5\n{busy}"
    done = Launcher().run(python(script, limits=Limits(wall=None, stall=0.5)))
    assert (done.returncode, done.ended) == (0, "")


def test_a_grandchild_at_work_keeps_its_quiet_parent_from_stalling() -> None:
    script = "timeout --foreground 1.5 sh -c 'while :; do :; done'; exit 0"
    done = Launcher().run(shell(script, limits=Limits(wall=None, stall=0.5)))
    assert done.ended == ""


def test_an_interruption_ends_the_running_child_and_keeps_further_ones_from_starting(tmp_path: Path) -> None:
    launcher = Launcher()
    thread, finished = in_background(
        launcher,
        shell(f"trap 'exit 7' INT; : > {tmp_path}/ready; while :; do sleep 0.02; done", gentle=signal.SIGINT),
    )
    until((tmp_path / "ready").exists)
    launcher.interrupt.request("backup-due")
    launcher.interrupt.request("stop")
    thread.join(30)
    assert (finished[0].returncode, finished[0].ended) == (7, "interrupted")
    with pytest.raises(InterruptedRunError) as caught:
        launcher.run(shell("exit 0"))
    assert caught.value.cause == "stop"


def test_the_strongest_reason_of_an_interruption_is_told_and_each_is_withdrawn_by_itself() -> None:
    interrupt = Interrupt()
    told = []
    for reason in ("backup-due", "other", "limit", "stop"):
        interrupt.request(reason)
        told.append(interrupt.reason)
    assert told == ["backup-due", "backup-due", "limit", "stop"]
    for reason in ("stop", "limit", "backup-due", "other"):
        interrupt.withdraw(reason)
        told.append(interrupt.reason)
    assert told[4:] == ["limit", "backup-due", "other", ""]
    assert not interrupt.requested


def test_a_stop_stands_when_the_backup_that_was_due_before_it_is_withdrawn() -> None:
    interrupt = Interrupt()
    interrupt.request("backup-due")
    interrupt.request("stop")
    interrupt.withdraw("backup-due")
    with pytest.raises(InterruptedRunError) as caught:
        Launcher(interrupt=interrupt).run(shell("exit 0"))
    assert caught.value.cause == "stop"


def test_a_withdrawn_interruption_lets_children_start_again() -> None:
    launcher = Launcher()
    launcher.interrupt.request("backup-due")
    launcher.interrupt.withdraw("stop")
    assert launcher.interrupt.requested
    launcher.interrupt.withdraw("backup-due")
    assert launcher.run(shell("exit 0")).returncode == 0
    launcher.interrupt.request("stop")
    assert launcher.interrupt.reason == "stop"


@pytest.mark.parametrize("which", ["on_line", "on_stdout"])
def test_a_callback_that_raises_ends_the_child_and_its_error_is_raised(which: str, tmp_path: Path) -> None:
    def refuse(line: str) -> None:
        raise ValueError(line)

    script = f"echo $$ > {tmp_path}/pid; echo first; echo first >&2; exec sleep 1000"
    with pytest.raises(ValueError, match="first"):
        Launcher().run(shell(script, **{which: refuse}))
    assert gone(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize("holds_lock", [True, False])
def test_a_child_inherits_the_lock_when_it_is_to_hold_it_and_no_other_descriptor(
    tmp_path: Path, holds_lock: bool
) -> None:
    lock = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    other = os.open(tmp_path / "other", os.O_RDWR | os.O_CREAT)
    os.set_inheritable(other, True)
    script = "import os; print(*sorted(os.listdir('/proc/self/fd'), key=int))"
    try:
        done = Launcher(lock_fd=lock).run(python(script, holds_lock=holds_lock))
    finally:
        os.close(lock)
        os.close(other)
    assert (str(lock) in done.stdout.split()) is holds_lock
    assert str(other) not in done.stdout.split()


@pytest.mark.parametrize("holds_lock", [True, False])
def test_of_a_child_that_is_gone_only_an_engine_leaves_the_lock_to_a_detached_grandchild(
    tmp_path: Path, holds_lock: bool
) -> None:
    lock = SingleLock(tmp_path)
    assert lock.try_acquire(Holder(os.getpid(), "run1", "backup:mail", datetime.now(UTC)))
    script = f"setsid sh -c 'echo $$ > {tmp_path}/pid; exec sleep 1000' >&- 2>&- & exec sleep 1000"
    thread, _ = in_background(
        launcher := Launcher(lock_fd=lock.fd), shell(script, holds_lock=holds_lock, limits=Limits(grace=0.3))
    )
    until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().endswith("\n"))
    launcher.interrupt.request("stop")
    thread.join(30)
    lock.release()
    pid = int((tmp_path / "pid").read_text())
    try:
        assert not gone(pid)
        assert (lock.holder() is not None) is holds_lock
    finally:
        os.kill(pid, signal.SIGKILL)
        until(lambda: gone(pid))


def test_nothing_stays_open_after_a_child() -> None:
    Launcher().run(shell("exit 0"))
    before = set(Path("/proc/self/fd").iterdir())
    Launcher().run(shell("exit 0", input=b"x"))
    assert set(Path("/proc/self/fd").iterdir()) == before


CAPABILITIES = """
import os, sys
sys.path.insert(0, {root!r})
from snapd.proc import Command, Launcher
for privileged in (True, False):
    command = Command(("grep", "^CapAmb", "/proc/self/status"), {{}}, privileged=privileged)
    done = Launcher().run(command)
    print(done.stdout.split()[1].strip("0") or "none", done.stderr)
"""


@needs_root
def test_only_privileged_children_keep_our_ambient_capability() -> None:
    root = str(Path(__file__).resolve().parents[2])
    nobody = (
        "setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=+dac_read_search "
        "--ambient-caps=+dac_read_search --"
    )
    command = Command((*nobody.split(), sys.executable, "-c", CAPABILITIES.format(root=root)), ENV)
    done = Launcher().run(command)
    assert done.returncode == 0, done.stderr
    assert re.findall(r"\S+", done.stdout) == ["4", "none"]


def end(returncode: int, ended: str = "") -> Finished:
    return Finished(returncode, "", "", False, ended, 61.0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("finished", "error", "words"),
    [
        (end(2, "interrupted"), InterruptedRunError, "interrupted after 1m 1s"),
        (end(2, "stall"), TimeLimitError, "no progress"),
        (end(-9, "limit"), TimeLimitError, "time limit"),
        (end(-11), KilledError, "SIGSEGV"),
        (end(-64), KilledError, "SIGRTMAX"),
        (end(-63), KilledError, "signal 63"),
    ],
)
def test_a_child_that_was_cut_off_raises_why(finished: Finished, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        raise_if_cut(finished, "borg", Interrupt())


@pytest.mark.parametrize("finished", [end(0, "interrupted"), end(0), end(1)])
def test_a_child_that_ended_by_itself_or_with_success_raises_nothing(finished: Finished) -> None:
    raise_if_cut(finished, "borg", Interrupt())
