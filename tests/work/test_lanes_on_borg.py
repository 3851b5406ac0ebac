"""Both lanes over a real Borg store: what is read beside creations comes back whole, and slices add up."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from snapd.config import Folders, Store, parse
from snapd.engines import build
from snapd.engines.base import Engine, Tools
from snapd.history import History, Run
from snapd.jobs.base import Work
from snapd.model import Cause, Outcome, Progress
from snapd.proc import Launcher
from snapd.runner import Runner
from snapd.state_folder import Accepted
from tests.fakes.borg import require_borg
from tests.fakes.place import DEADLINE_S, until

CONFIG = """
[store.local]
engine = "borg"
repository = "{root}/borg"
passphrase = {{ file = "{root}/passphrase" }}
compression = "none"
[backup.mail]
store = "local"
paths = ["{root}/mail"]
[backup.mail.restore_test]
schedule = "@yearly"
[[backup.mail.restore_test.check]]
path = "{member}"
min_files = 40
[[backup.mail.restore_test.check]]
command = ["sh", "-c", 'diff -r {root}/mail "$RESTORED/{member}"']
[backup.web]
store = "local"
paths = ["{root}/web"]
"""


class Lab:
    """A runner on a real Borg store. `hear` is told whatever an engine tells of its progress."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "passphrase").touch(0o600)
        (root / "passphrase").write_text("a secret\n")
        chance = random.Random(7)
        for name, files in (("mail", 40), ("web", 4)):
            (root / name).mkdir()
            for number in range(files):
                (root / name / f"{number}").write_bytes(chance.randbytes(1_500_000))
        text = CONFIG.format(root=root, member=str(root / "mail").lstrip("/"))
        accepted = Accepted(parse(text, file="config.toml", system_timezone="UTC"), text)
        folders = Folders(state=root / "state", cache=root / "cache", runtime=root / "run")
        for folder in (folders.state, folders.cache, folders.runtime):
            folder.mkdir()
        self.history = History(folders.state, now=datetime.now(UTC))
        self.hear: Callable[[Progress], None] = lambda _progress: None
        self.seconds = 0.0  # of the steady clock
        self.runner = Runner(
            lambda: accepted,
            self.history,
            folders,
            steady=lambda: self.seconds,
            build_engine=self._build,
        )
        store = accepted.config.store["local"]
        build("local", store, Tools(Launcher(), root / "cache" / "stores" / "local")).init()

    def _build(self, name: str, store: Store, tools: Tools) -> Engine:
        return build(name, store, replace(tools, progress=self.hear))

    def extraction(self) -> int | None:
        """The process id of an extraction from our store that is at work."""
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = (folder / "cmdline").read_bytes().split(b"\0")
                if b"extract" in words and any(os.fsencode(self.root) in word for word in words):
                    return int(folder.name)
        return None

    def ended(self, run: Run) -> Run:
        until(lambda: (row := self.history.run(run.run_id)) is not None and row.outcome is not None)
        row = self.history.run(run.run_id)
        assert row is not None
        return row

    def ask(self, job: str) -> Run:
        return self.runner.ask(job, datetime.now(UTC))


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    require_borg()
    made = Lab(tmp_path)
    made.runner.start()
    yield made
    made.runner.stop(DEADLINE_S)
    made.history.close()


def test_an_archive_that_is_read_beside_creations_and_a_delete_comes_back_as_it_was(lab: Lab) -> None:
    assert lab.ended(lab.ask("backup:mail")).outcome is Outcome.OK
    first = lab.ended(lab.ask("backup:web")).archive
    stopped, on = threading.Event(), threading.Event()

    def stop_in_the_middle(_progress: Progress) -> None:
        extraction = lab.extraction()
        if extraction is not None and not stopped.is_set():
            os.kill(extraction, signal.SIGSTOP)
            stopped.set()
            assert on.wait(DEADLINE_S)
            os.kill(extraction, signal.SIGCONT)

    lab.hear = stop_in_the_middle
    test = lab.ask("restore-test:mail")
    assert stopped.wait(DEADLINE_S)

    (lab.root / "web" / "new").write_bytes(random.Random(8).randbytes(1_500_000))
    assert lab.ended(lab.ask("backup:web")).outcome is Outcome.OK
    assert lab.ended(lab.ask("backup:mail")).outcome is Outcome.OK

    def delete(work: Work) -> int:
        work.engine.delete([first])
        return len(work.engine.archives())

    assert lab.runner.look("backup:web", delete) == 3
    assert lab.extraction() is not None, "all that in the middle of one extraction"
    assert [each.lane for each in lab.runner.current()] == [2]

    on.set()
    ended = lab.ended(test)
    assert (ended.outcome, ended.attempts) == (Outcome.OK, 1), ended.message
    told = str(ended.details["findings"])
    assert all(f"'check': '{check}" in told for check in ("contents", "path", "command"))


def test_a_creation_that_was_cut_goes_on_cheaply(lab: Lab) -> None:
    cut: list[float] = []

    def cut_once(progress: Progress) -> None:
        if not cut and progress.bytes_read:
            cut.append(progress.bytes_read)
            lab.ask("backup:web")
            lab.seconds += 3601.0
            lab.runner.notify()

    lab.hear = cut_once
    first = lab.ended(lab.ask("backup:mail"))
    assert first.outcome is Outcome.INTERRUPTED, first
    until(lambda: not lab.history.unfinished())
    last, cut_off = (lab.history.rows(backup_set="mail")[number] for number in (0, 1))
    assert (cut_off, last.outcome, last.cause) == (first, Outcome.OK, Cause.SLICED)
    (web,) = lab.history.rows(backup_set="web")
    assert web.outcome is Outcome.OK
    assert web.started is not None
    assert last.started is not None
    assert web.started < last.started
    assert last.bytes_total is not None
    assert last.bytes_new is not None
    assert last.bytes_new < last.bytes_total - 1_000_000, "what the first slice stored is there"
