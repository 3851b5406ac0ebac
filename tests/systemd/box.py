"""A real systemd in a container over the machine's own root, with the product installed by `make install`.

The root is an overlay whose lower layer is the machine's root file system. It is mounted in a mount namespace
of its own, so it vanishes with the last process of the box, however the tests end; nothing is ever mounted on
the machine. Whoever enters loses CAP_SYS_TIME first: a clock set in the box is the machine's clock.
"""

from __future__ import annotations

import atexit
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
from functools import cache
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
REBOOT = 133
T = TypeVar("T")


def lacking(*more: str) -> str:
    """Say why no box can be booted here, or which of `more` programs is missing; empty when all is there."""
    if os.geteuid() != 0:
        return "booting a real systemd needs root"
    missing = [name for name in (*NEEDED, *more) if shutil.which(name) is None]
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
    """A container over the layers in `base`, to be booted. Paths are those inside it.

    `binds` are folders of the machine that it shares, each at its own path.
    """

    def __init__(self, base: Path, binds: tuple[Path, ...] = ()) -> None:
        self._base = base
        self._binds = binds
        self._console = base / "console"
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._leader = 0
        self.since = "@0"

    def boot(self) -> None:
        """Start it, and return when systemd is up."""
        self._nspawn = nspawn = _spawned(self._base, self._binds, self._console)
        self._leader = wait_for(lambda: _leader_of(nspawn.pid), what="a leader of the container")

        def up() -> bool:
            if nspawn.poll() is not None:
                raise AssertionError(f"the container ended:\n{self._console.read_text(errors='replace')}")
            state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
            return state in ("running", "degraded")

        wait_for(up, seconds=90, what="systemd to be up")

    def reboot(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Let it go down in order, do something while it is down, and boot it over the same root.

        /tmp and /run are new then, as on any machine. systemd-nspawn ends with 133 where its container wants
        to be booted again and --keep-unit says that this is somebody else's task.
        """
        assert self._nspawn is not None
        self.run("systemctl", "reboot", "--no-wall", check=False)
        assert self._nspawn.wait(60) == REBOOT, self._console.read_text(errors="replace")
        self._leader = 0
        meanwhile()
        self.boot()

    def path(self, inside: str) -> Path:
        """Where the machine sees a file of the container now; no part of it may be an absolute link.

        While it is not booted these are its own files alone, without the machine's below them.
        """
        root = f"/proc/{self._leader}/root" if self._leader else f"{self._base}/upper"
        return Path(root + inside)

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
        """End the container, if it runs: in order, or else by killing its first process."""
        if self._nspawn is None:
            return
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
    """Lay down what differs from the machine: the product, identity, masked services, no mounts."""
    subprocess.run(["cp", "-a", f"{_installed()}/.", str(upper)], check=True)
    units = upper / "etc/systemd/system"
    units.mkdir(parents=True, exist_ok=True)
    (upper / "etc/machine-id").write_text(uuid.uuid4().hex + "\n")
    (upper / "etc/hostname").write_text("box\n")
    (upper / "etc/fstab").write_text("")
    for name in _services_of_the_machine():
        (units / name).unlink(missing_ok=True)
        (units / name).symlink_to("/dev/null")


@cache
def _installed() -> Path:
    """Install the product into a folder that every box gets a copy of; the folder goes when we end."""
    folder = Path(tempfile.mkdtemp(prefix="snapd-backup-installed-", dir="/var/tmp"))
    atexit.register(shutil.rmtree, folder)
    folder.chmod(0o755)
    install = ["make", "--no-print-directory", "install", f"DESTDIR={folder}"]
    done = subprocess.run(install, cwd=CHECKOUT, check=False, text=True, capture_output=True)
    if done.returncode:
        raise AssertionError(f"make install failed:\n{done.stdout}{done.stderr}")
    return folder


def _services_of_the_machine() -> set[str]:
    """What the machine's administrator enabled, and init scripts that systemd would make units of."""
    wanted = Path("/etc/systemd/system").glob("*.wants/*")
    scripts = (path.name for path in Path("/etc/init.d").glob("*") if path.is_file())
    native = Path("/usr/lib/systemd/system")
    return {path.name for path in wanted if path.suffix != ".target"} | {
        f"{name}.service" for name in scripts if not (native / f"{name}.service").exists()
    }


def _nothing(_box: Box) -> None:
    """What differs from the machine is enough."""


@contextmanager
def booted(prepare: Callable[[Box], None] = _nothing, *, binds: tuple[Path, ...] = ()) -> Iterator[Box]:
    """Boot a box with the product installed, its user and folders made, its service not started.

    `prepare` may add files to the box before its boot.
    """
    base = Path(tempfile.mkdtemp(prefix="snapd-backup-box-", dir="/var/tmp"))
    try:
        for name in ("upper", "work", "root"):
            (base / name).mkdir(mode=0o755)
        _prepare(base / "upper")
        box = Box(base, binds)
        prepare(box)
        try:
            box.boot()
            box.run("systemd-sysusers", "snapd-backup.conf")
            box.run("systemd-tmpfiles", "--create", "snapd-backup.conf")
            yield box
        finally:
            box.power_off()
    finally:
        shutil.rmtree(base)


def _spawned(base: Path, binds: tuple[Path, ...], console: Path) -> subprocess.Popen[bytes]:
    """Start the container in a mount namespace of its own; it dies with the tests, even with killed ones."""
    layers = f"lowerdir=/,upperdir={base}/upper,workdir={base}/work"
    boot = shlex.join([*BOOT, *(f"--bind={path}" for path in binds), f"--directory={base}/root"])
    script = f"mount -t overlay -o {layers} overlay {base}/root && exec {boot}"
    alone = ("setpriv", "--pdeathsig=KILL", "unshare", "--mount", "--propagation=private")
    with console.open("ab") as output:
        return subprocess.Popen(
            [*alone, "sh", "-c", script], stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
