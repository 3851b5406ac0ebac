"""A real systemd in a container over the machine's own root, with the product installed by `make install`.

The root is an overlay whose lower layer is the machine's root file system. It is mounted in a mount namespace
of its own, so it vanishes with the last process of the box, however the tests end; nothing is ever mounted on
the machine. Whoever enters loses CAP_SYS_TIME first: a clock set in the box is the machine's clock.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

CHECKOUT = Path(__file__).parents[2]
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
NEEDED = ("systemd-nspawn", "unshare", "nsenter", "setpriv", "make", "borg")
ENTER = ("setpriv", "--bounding-set=-sys_time", "--inh-caps=-sys_time", "nsenter", "-a", "-t")
BOOT = (
    *("systemd-nspawn", "--quiet", "--boot", "--private-network", "--register=no", "--keep-unit"),
    *("--console=pipe", "--kill-signal=SIGRTMIN+3"),
)
T = TypeVar("T")


def lacking() -> str:
    """Say why no box can be booted here; empty when one can."""
    if os.geteuid() != 0:
        return "booting a real systemd needs root"
    missing = [name for name in NEEDED if shutil.which(name) is None]
    return f"missing: {', '.join(missing)}" if missing else ""


def wait_for(predicate: Callable[[], T], *, seconds: float = 30.0, what: str = "") -> T:
    """Return the first true value of `predicate`; fails when there is none in time."""
    deadline = time.monotonic() + seconds
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what or predicate}")
        time.sleep(0.05)


class Box:
    """The booted container. Paths are those inside it."""

    def __init__(self, nspawn: subprocess.Popen[bytes], console: Path) -> None:
        self._nspawn = nspawn
        self._console = console
        self._leader = wait_for(lambda: _leader_of(nspawn.pid), what="a leader of the container")
        self.since = "@0"

    def wait_until_up(self) -> None:
        def up() -> bool:
            if self._nspawn.poll() is not None:
                raise AssertionError(f"the container ended:\n{self._console.read_text(errors='replace')}")
            state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
            return state in ("running", "degraded")

        wait_for(up, seconds=90, what="systemd to be up")

    def run(
        self, *argv: str, check: bool = True, text: str = "", seconds: float = 90.0
    ) -> subprocess.CompletedProcess[str]:
        """Run one command to its end as root; `text` is its standard input."""
        done = subprocess.run(
            [*ENTER, str(self._leader), "--", *argv],
            input=text,
            env=ENVIRONMENT,
            cwd="/",
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(
                f"{shlex.join(argv)}: exit {done.returncode}\n{done.stdout}{done.stderr}\n{self.tail()}"
            )
        return done

    def start(self, *argv: str) -> subprocess.Popen[str]:
        """Start one command as root and return at once; the caller ends it."""
        return subprocess.Popen(
            [*ENTER, str(self._leader), "--", *argv],
            env=ENVIRONMENT,
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def write(self, path: str, text: str, *, owner: str = "root:root", mode: int = 0o644) -> None:
        user, _, group = owner.partition(":")
        self.run("install", "-D", "-o", user, "-g", group, "-m", f"{mode:o}", "/dev/stdin", path, text=text)

    def read(self, path: str) -> str:
        return self.run("cat", path).stdout

    def exists(self, path: str) -> bool:
        return self.run("test", "-e", path, check=False).returncode == 0

    def systemctl(self, *arguments: str, check: bool = True) -> str:
        done = self.run("systemctl", *arguments, check=check)
        return done.stdout + done.stderr

    def show(self, name: str, *, unit: str = "snapd-backup") -> str:
        """Return one property of a unit."""
        return self.run("systemctl", "show", "--value", "-p", name, unit).stdout.strip()

    def journal(self, *, unit: str = "snapd-backup", **fields: str) -> list[dict[str, Any]]:
        """Return the unit's entries since `mark`, oldest first, that have these native fields."""
        matches = [f"{name.upper()}={value}" for name, value in fields.items()]
        done = self.run("journalctl", "-u", unit, "--since", self.since, "-o", "json", "-q", *matches)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def mark(self) -> None:
        """Let `journal` begin here: what came before belongs to another test."""
        self.run("journalctl", "--sync")
        self.since = f"@{time.time():.6f}"

    def tail(self, *, lines: int = 40) -> str:
        """The end of the journal, to explain a failure."""
        argv = [*ENTER, str(self._leader), "--", "journalctl", "-q", "-n", str(lines), "--no-pager"]
        done = subprocess.run(argv, env=ENVIRONMENT, cwd="/", capture_output=True, text=True, check=False)
        return done.stdout

    def power_off(self) -> None:
        """End the container: in order, or else by killing its first process."""
        if self._nspawn.poll() is None:
            with suppress(AssertionError, subprocess.TimeoutExpired):
                self.run("systemctl", "poweroff", "--no-wall", check=False, seconds=10)
            with suppress(subprocess.TimeoutExpired):
                self._nspawn.wait(30)
        _end(self._nspawn)


def _leader_of(nspawn: int) -> int:
    """The host's pid of the container's first process, once it runs systemd; 0 until then."""
    for child in _children(nspawn):
        with suppress(OSError):
            status = Path(f"/proc/{child}/status").read_text()
            command = Path(f"/proc/{child}/comm").read_text().strip()
            spaces = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[1:]
            if len(spaces) > 1 and spaces[-1] == "1" and command == "systemd":
                return child
    return 0


def _children(pid: int) -> Iterator[int]:
    with suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            yield int(child)
            yield from _children(int(child))


def _end(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            process.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)


def _prepare(upper: Path) -> None:
    """Lay down what differs from the machine: identity, masked services, no mounts, and the product."""
    units = upper / "etc/systemd/system"
    units.mkdir(parents=True)
    (upper / "etc/machine-id").write_text(uuid.uuid4().hex + "\n")
    (upper / "etc/hostname").write_text("box\n")
    (upper / "etc/fstab").write_text("")
    for name in _services_of_the_machine():
        (units / name).unlink(missing_ok=True)
        (units / name).symlink_to("/dev/null")
    install = ["make", "--no-print-directory", "install", f"DESTDIR={upper}"]
    done = subprocess.run(install, cwd=CHECKOUT, check=False, text=True, capture_output=True)
    if done.returncode:
        raise AssertionError(f"make install failed:\n{done.stdout}{done.stderr}")


def _services_of_the_machine() -> set[str]:
    """What the machine's administrator enabled, and init scripts that systemd would make units of."""
    wanted = Path("/etc/systemd/system").glob("*.wants/*")
    scripts = (path.name for path in Path("/etc/init.d").glob("*") if path.is_file())
    native = Path("/usr/lib/systemd/system")
    return {path.name for path in wanted if path.suffix != ".target"} | {
        f"{name}.service" for name in scripts if not (native / f"{name}.service").exists()
    }


@contextmanager
def booted() -> Iterator[Box]:
    """Boot a box with the product installed, its user and folders made, its service not started."""
    base = Path(tempfile.mkdtemp(prefix="snapd-backup-box-", dir="/var/tmp"))
    try:
        for name in ("upper", "work", "root"):
            (base / name).mkdir(mode=0o755)
        _prepare(base / "upper")
        with _container(base) as box:
            box.wait_until_up()
            box.run("systemd-sysusers", "snapd-backup.conf")
            box.run("systemd-tmpfiles", "--create", "snapd-backup.conf")
            yield box
    finally:
        shutil.rmtree(base)


@contextmanager
def _container(base: Path) -> Iterator[Box]:
    layers = f"lowerdir=/,upperdir={base}/upper,workdir={base}/work"
    script = (
        f"mount -t overlay -o {layers} overlay {base}/root && exec {shlex.join(BOOT)} --directory={base}/root"
    )
    with (base / "console").open("wb") as console:
        nspawn = subprocess.Popen(
            # Dies with the tests even when they are killed, and the container with it.
            [
                "setpriv",
                "--pdeathsig=KILL",
                "unshare",
                "--mount",
                "--propagation=private",
                "sh",
                "-c",
                script,
            ],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
        )
    box: Box | None = None
    try:
        box = Box(nspawn, base / "console")
        yield box
    finally:
        if box is not None:
            box.power_off()
        _end(nspawn)
