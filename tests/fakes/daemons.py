"""Daemons that start in a moment and may be killed by the hundred.

Each is the real `snapd.daemon.Daemon` in a process of its own, forked from a server process that has imported
everything already; only systemd, the journal and the start of an interpreter are missing. What a daemon says
is kept as JSON lines beside its state.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TypeVar

import structlog

from snapd.config import Folders
from snapd.control import ask
from snapd.daemon import Daemon
from snapd.errors import NoDaemonError
from snapd.runner import wall_clock
from snapd.state_folder import claim, make_folders
from tests.fakes.scene import until

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["snapd.daemon", "snapd.engines", "tests.fakes.daemons"])

T = TypeVar("T")


def _serve(file: Path, folders: Folders, path: str, log: Path) -> None:
    os.environ["PATH"] = path
    sys.stdin = sys.stdout = sys.stderr = log.with_suffix(".stderr").open("a+", buffering=1)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(default=str),
        ],
        logger_factory=structlog.PrintLoggerFactory(log.open("a", buffering=1)),
    )
    make_folders(folders)
    lock = claim(folders, wall_clock())
    try:
        Daemon(file, folders, environ={}).serve()
    finally:
        lock.release()


class Daemons:
    """The daemons of one machine, one after the other, below `root`. The config is ROOT/config.toml."""

    def __init__(self, root: Path, *, path: str) -> None:
        self.config = root / "config.toml"
        self.folders = Folders(state=root / "state", cache=root / "cache", runtime=root / "run")
        self._log = root / "events.jsonl"
        self._path = path
        self._current: BaseProcess | None = None

    def start(self) -> int:
        """Start a daemon, wait until it takes requests, and return its process id."""
        process = _FORKS.Process(
            target=_serve, args=(self.config, self.folders, self._path, self._log), daemon=True
        )
        process.start()
        self._current = process
        until(self._answers)
        assert process.pid is not None
        return process.pid

    def _answers(self) -> bool:
        assert self._current is not None
        assert self._current.is_alive(), self._log.with_suffix(".stderr").read_text()
        try:
            return bool(self.ask(op="status"))
        except NoDaemonError:
            return False

    def kill(self) -> None:
        """SIGKILL, as the kernel short of memory does; its children live on."""
        assert self._current is not None
        self._current.kill()
        self._current.join()
        self._current = None

    def stop(self) -> None:
        """SIGTERM, and wait for the end; does nothing where no daemon runs."""
        with self.stopping():
            pass

    @contextmanager
    def stopping(self) -> Iterator[None]:
        """SIGTERM; after the block, wait for the end."""
        process, self._current = self._current, None
        if process is not None:
            process.terminate()
        yield
        if process is not None:
            process.join()

    def ask(self, **request: Any) -> dict[str, Any]:
        """Return the last answer to a request of the control socket."""
        return list(ask(self.folders.runtime, request))[-1]

    def run(self, kind: str, backup_set: str) -> str:
        """Make a run due, or hurry the one that waits, without following it; returns its id."""
        return str(self.ask(op="run", kind=kind, set=backup_set, follow=False)["run"]["run_id"])

    def job(self, kind: str, backup_set: str) -> dict[str, Any]:
        """What `status` says of a job: `last` and `unfinished` rows."""
        status = self.ask(op="status", set=backup_set)["status"]
        found: dict[str, Any] = status["sets"][0]["jobs"][kind]
        return found

    def events(self) -> list[dict[str, Any]]:
        """Everything that any daemon here has said."""
        if not self._log.exists():
            return []
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    def said(self, event: str, **facts: object) -> Callable[[], list[dict[str, Any]]]:
        """A probe for events with these facts."""
        return lambda: [
            line
            for line in self.events()
            if line["event"] == event and all(line.get(name) == value for name, value in facts.items())
        ]
