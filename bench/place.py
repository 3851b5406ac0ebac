"""A temporary folder with a config, a store and a live daemon; nothing of it outlives the measure."""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from bench.programs import LIMIT_S, borgmatic, real_borg, write_launcher
from snapd.control import ask

PASSPHRASE = "correct horse"
STORE = """
[daemon]
timezone = "UTC"
[store.local]
engine = "borg"
repository = "{root}/store"
passphrase = {{ file = "{root}/passphrase" }}
"""
BORGMATIC = """
source_directories: ["{root}/saved"]
repositories: [{{path: "{repository}", label: local}}]
encryption_passphrase: "{passphrase}"
archive_name_format: "mail_{{now:%Y%m%d-%H%M%S-%f}}"
compression: auto,zstd
lock_wait: 600
borg_base_directory: "{root}/borgmatic/base"
user_runtime_directory: "{root}/borgmatic/run"
user_state_directory: "{root}/borgmatic/state"
"""
T = TypeVar("T")


def until(probe: Callable[[], T | None], *, every_s: float = 0.01) -> T:
    """Poll until the probe gives something true. Raises TimeoutError."""
    deadline = time.monotonic() + LIMIT_S
    while not (found := probe()):
        if time.monotonic() > deadline:
            raise TimeoutError("what the measure waits for does not happen")
        time.sleep(every_s)
    return found


class Place:
    """A machine's worth of folders below `root`, with `bin` first on PATH."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("state", "cache", "run", "bin", "store", "borgmatic/run", "borgmatic/state"):
            (root / name).mkdir(mode=0o700, parents=True)
        (root / "passphrase").touch(0o600)
        (root / "passphrase").write_text(f"{PASSPHRASE}\n")
        self.bin = root / "bin"
        self.program = str(write_launcher(self.bin))
        self.config = root / "config.toml"
        self.save(files=200, size=4096)

    @property
    def environ(self) -> dict[str, str]:
        return {
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "HOME": str(self.root),
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
            "STATE_DIRECTORY": str(self.root / "state"),
            "CACHE_DIRECTORY": str(self.root / "cache"),
            "RUNTIME_DIRECTORY": str(self.root / "run"),
            "SNAPD_BACKUP_CONFIG": str(self.config),
            "NOTIFY_SOCKET": str(self.root / "notify"),
            "BORG_BASE_DIR": str(self.root / "plain"),
            "BORG_PASSPHRASE": PASSPHRASE,
            "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",
        }

    def save(self, *, files: int, size: int) -> None:
        """Write what is backed up: files that hardly compress, alike in every run."""
        folder = self.root / "saved"
        folder.mkdir()
        for number in range(files):
            (folder / f"{number:04}").write_bytes(
                bytes((number * at * 2654435761) >> 7 & 255 for at in range(size))
            )

    def configure(self, *sets: str) -> None:
        self.config.write_text(STORE.format(root=self.root) + "\n".join(sets))

    def backup_set(self, name: str, schedule: str = "@yearly", *, more: str = "") -> str:
        """Return one backup set as TOML; `more` may have further tables, with NAME for its name."""
        text = f'[backup.{name}]\nstore = "local"\nschedule = "{schedule}"\npaths = ["{self.root}/saved"]\n'
        return text + more.replace("NAME", name)

    def configure_borgmatic(self, repository: Path) -> Path:
        path = self.root / "borgmatic" / "config.yaml"
        text = BORGMATIC.format(root=self.root, repository=repository, passphrase=PASSPHRASE)
        path.write_text(text)
        return path

    def borgmatic(self, *words: str) -> list[str]:
        return [borgmatic(), "--config", str(self.root / "borgmatic" / "config.yaml"), *words]

    def pretend_store(self) -> None:
        """Make the store's folder look like a repository: enough for a `borg` that is a stub."""
        (self.root / "store" / "config").write_text("[repository]\nversion = 1\n")
        (self.root / "store" / "data").mkdir()
        (self.bin / "archives").touch()

    def make_repository(self, name: str = "store") -> Path:
        path = self.root / name
        argv = [real_borg(), "init", "--encryption=repokey-blake2", str(path)]
        subprocess.run(argv, env=self.environ, check=True, capture_output=True)
        return path

    def ask(self, **request: Any) -> dict[str, Any]:
        return list(ask(self.root / "run", request))[-1]

    def run(self, kind: str, backup_set: str) -> dict[str, Any]:
        """Let the daemon make a run and return its row. Raises RuntimeError unless it ended `ok`."""
        row: dict[str, Any] = self.ask(op="run", kind=kind, set=backup_set, follow=True)["run"]
        if row["outcome"] != "ok":
            raise RuntimeError(f"the {kind} of {backup_set} ended {row['outcome']}: {row['message']}")
        return row

    @contextlib.contextmanager
    def daemon(self) -> Iterator[Started]:
        """Within the block a daemon runs that has said READY=1."""
        with _Notices(self.root / "notify") as notices, (self.root / "log").open("a") as log:
            began = time.monotonic()
            process = subprocess.Popen([self.program, "run"], env=self.environ, stderr=log)
            try:
                yield Started(process, self._ready(process, notices) - began)
            finally:
                _end(process)

    def _ready(self, process: subprocess.Popen[bytes], notices: _Notices) -> float:
        deadline = time.monotonic() + LIMIT_S
        while (ready := notices.ready(0.5)) is None:
            if process.poll() is not None or time.monotonic() > deadline:
                told = (self.root / "log").read_text(errors="replace")[-2000:]
                raise RuntimeError(f"the daemon does not become ready:\n{told}")
        return ready


class Started:
    """A live daemon: its process, and the seconds from its start to READY=1."""

    def __init__(self, process: subprocess.Popen[bytes], ready_s: float) -> None:
        self.process = process
        self.ready_s = ready_s


@contextlib.contextmanager
def place() -> Iterator[Place]:
    """Yield a fresh place; short, for a socket's path has 107 bytes at most."""
    root = Path(tempfile.mkdtemp(prefix="snapd-bench-", dir="/tmp"))
    try:
        yield Place(root)
    finally:
        shutil.rmtree(root)


def instants(row: dict[str, Any], names: Sequence[str]) -> list[float]:
    """Return instants of a row as seconds since the epoch."""
    return [datetime.fromisoformat(row[name]).timestamp() for name in names]


class _Notices:
    """Takes what the daemon tells systemd, to its end: a full queue would stop the daemon."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._ready: queue.SimpleQueue[float] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._take)

    def __enter__(self) -> _Notices:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def ready(self, patience_s: float) -> float | None:
        """Return when READY=1 came, by the monotonic clock; None when it did not within that time."""
        try:
            return self._ready.get(timeout=patience_s)
        except queue.Empty:
            return None

    def _take(self) -> None:
        while notice := self._socket.recv(4096):
            if b"READY=1" in notice:
                self._ready.put(time.monotonic())


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(120)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
