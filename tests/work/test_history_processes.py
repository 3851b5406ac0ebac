"""Several threads, several processes, and a process that dies at any moment."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from snapd.history import History
from snapd.history.file import FILE_NAME
from tests.work.history_rows import MINUTE, NOW, ROOT, due, ended, started

WRITER = """
import sys
from dataclasses import replace
from itertools import count
from pathlib import Path
from snapd.history import History
from tests.work.history_rows import MINUTE, NOW, due, ended, started

history = History(Path(sys.argv[1]), now=NOW)
first = int(sys.argv[2])
for run in history.unfinished():
    history.update(ended(run))
for number in count(first):
    run = replace(due(slot=NOW + number * MINUTE), run_id=f"run-{number}")
    history.add([run])
    history.update(started(run))
    history.record_name("offsite", "mail", f"mail_{number}", NOW)
    history.update(ended(run))
    print(number, flush=True)
"""

READER = """
import sys
from pathlib import Path
from snapd.history import History
from tests.work.history_rows import NOW

print("ready", flush=True)
while not Path(sys.argv[2]).exists():
    history = History(Path(sys.argv[1]), now=NOW)
    rows = history.rows(limit=5000)
    assert not history.rebuilt and not history.unwritten
    history.close()
print(len(rows), flush=True)
"""


@contextmanager
def python(program: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run a program; whatever happens, it has ended afterwards."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def next_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    assert line, "the process has ended early"
    return line


@pytest.mark.parametrize("lines", [1, 40, 333])
def test_a_killed_writer_leaves_everything_it_had_written(tmp_path: Path, lines: int) -> None:
    told: list[int] = []
    for round_ in range(3):
        with python(WRITER, tmp_path, round_ * 100_000) as process:
            told += [int(next_line(process)) for _line in range(lines)]
            process.kill()
            assert process.stdout is not None
            told += map(int, process.stdout.read().split())
        history = History(tmp_path, now=NOW)
        assert not history.rebuilt
        assert history.unwritten == 0
        assert history.noted("rebuilt") is None
        assert {f"run-{number}" for number in told} <= {run.run_id for run in history.rows(limit=10_000)}
        assert {f"mail_{number}" for number in told} <= history.names_used("offsite")
        assert len(history.unfinished()) <= 1
        history.close()


def test_a_reading_process_never_blocks_the_writer_and_sees_its_rows(tmp_path: Path) -> None:
    history, enough = History(tmp_path, now=NOW), tmp_path / "enough"
    with python(READER, tmp_path, enough) as process:
        assert next_line(process) == "ready"
        for number in range(500):
            history.add([ended(due(slot=NOW + number * MINUTE))])
            assert history.unwritten == 0
        enough.touch()
        assert int(next_line(process)) <= 500
    assert not history.rebuilt
    history.close()
    assert not list(tmp_path.glob("*damaged*"))


def test_a_long_read_of_somebody_else_does_not_hold_a_write_up(tmp_path: Path) -> None:
    history = History(tmp_path, now=NOW)
    with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as other:
        other.execute("BEGIN")
        assert other.execute("SELECT count(*) FROM runs").fetchone() == (0,)
        history.add([due()])
        assert history.unwritten == 0
        assert other.execute("SELECT count(*) FROM runs").fetchone() == (0,)
    history.close()


def test_a_second_history_sees_what_the_first_has_written(tmp_path: Path) -> None:
    writer = History(tmp_path, now=NOW)
    writer.add([run := due()])
    reader = History(tmp_path, now=NOW)
    assert reader.unfinished() == (run,)
    writer.update(ended(run))
    assert reader.rows() == (ended(run),)
    reader.close()
    writer.update(ended(run))
    assert writer.unwritten == 0
    writer.close()


def test_threads_share_one_history(tmp_path: Path) -> None:
    history, failures = History(tmp_path, now=NOW), list[BaseException]()

    def work(job: str) -> None:
        try:
            for number in range(40):
                run = due(job, NOW + number * MINUTE)
                history.add([run])
                history.update(started(run))
                assert run.run_id in {each.run_id for each in history.unfinished()}
                history.update(ended(run))
                assert history.last(job) == ended(run)
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=work, args=(f"backup:set{number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(history.rows(limit=1000)) == 240
    history.close()
