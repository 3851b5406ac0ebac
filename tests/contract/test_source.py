"""What every source promises, over every source."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from snapd.config import SqliteDump
from snapd.errors import RestoreTestError, SourceError
from snapd.proc import Launcher
from snapd.sources.base import DumpSource, Source, Tools
from snapd.sources.files import FilesSource
from snapd.sources.sqlite import SqliteSource


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@dataclass(frozen=True)
class Case:
    """A source over something that is there, and how to take that away."""

    source: Source
    origin: Path
    staging: Path


def files(folder: Path, tools: Tools) -> Case:
    origin = folder / "mail"
    origin.write_text("one letter")
    return Case(FilesSource([origin], alone=True), origin, tools.staging)


def sqlite(folder: Path, tools: Tools) -> Case:
    origin = folder / "shop.db"
    with closing(sqlite3.connect(origin)) as database:
        database.execute("CREATE TABLE orders (id INTEGER)")
        database.execute("INSERT INTO orders VALUES (7)")
        database.commit()
    config = SqliteDump(engine="sqlite", path=origin, name="shop")
    return Case(SqliteSource(config, tools), origin, tools.staging)


Make = Callable[[Path, Tools], Case]
EVERY = [files, sqlite]
DUMPS = [sqlite]


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    staging = tmp_path / "staging"
    staging.mkdir()
    return Tools(Launcher(), staging)


def dump_case(make: Make, folder: Path, tools: Tools) -> tuple[DumpSource, Case]:
    case = make(folder, tools)
    assert isinstance(case.source, SqliteSource)
    return case.source, case


@pytest.mark.parametrize("make", EVERY)
def test_yields_absolute_paths_that_are_there(make: Make, tmp_path: Path, tools: Tools) -> None:
    with make(tmp_path, tools).source.open() as prepared:
        assert prepared.paths
        assert all(path.is_absolute() and path.exists() for path in prepared.paths)
        assert prepared.lacking == ()


@pytest.mark.parametrize("make", EVERY)
def test_has_no_problem_when_all_is_well(make: Make, tmp_path: Path, tools: Tools) -> None:
    assert make(tmp_path, tools).source.doctor() == ()


@pytest.mark.parametrize("make", EVERY)
def test_leaves_nothing_staged_and_keeps_the_original(make: Make, tmp_path: Path, tools: Tools) -> None:
    case = make(tmp_path, tools)
    before = case.origin.read_bytes()
    with case.source.open():
        pass
    assert names_in(case.staging) == []
    assert case.origin.read_bytes() == before


@pytest.mark.parametrize("make", EVERY)
def test_leaves_nothing_staged_when_the_archive_fails(make: Make, tmp_path: Path, tools: Tools) -> None:
    case = make(tmp_path, tools)

    class EngineFailedError(Exception):
        pass

    with pytest.raises(EngineFailedError), case.source.open():
        raise EngineFailedError
    assert names_in(case.staging) == []


@pytest.mark.parametrize("make", EVERY)
def test_a_missing_original_fails_and_nothing_appears_in_its_place(
    make: Make, tmp_path: Path, tools: Tools
) -> None:
    case = make(tmp_path, tools)
    case.origin.unlink()
    with pytest.raises(SourceError, match="does not exist") as told, case.source.open():
        pass
    assert told.value.hint
    assert not case.origin.exists()
    assert names_in(case.staging) == []
    assert [problem.backup_set for problem in case.source.doctor()] == [""]


@pytest.mark.parametrize("make", DUMPS)
def test_a_dump_lies_at_its_staged_path_for_us_alone(make: Make, tmp_path: Path, tools: Tools) -> None:
    source, _ = dump_case(make, tmp_path, tools)
    with source.open() as prepared:
        assert prepared.paths == (source.staged(),)
        assert [(dump.name, dump.path) for dump in prepared.dumps] == [(source.name, source.staged())]
        assert prepared.dumps[0].bytes == source.staged().stat().st_size > 0
        assert source.staged().stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("make", DUMPS)
def test_a_dump_of_unchanged_contents_is_the_same_bytes(make: Make, tmp_path: Path, tools: Tools) -> None:
    source, _ = dump_case(make, tmp_path, tools)
    contents = []
    for _turn in range(2):
        with source.open():
            contents.append(source.staged().read_bytes())
    assert contents[0] == contents[1]


@pytest.mark.parametrize("make", DUMPS)
def test_a_dump_can_be_loaded_and_asked(make: Make, tmp_path: Path, tools: Tools) -> None:
    source, _ = dump_case(make, tmp_path, tools)
    with source.open(), source.load(source.staged(), tmp_path) as restored:
        assert restored.scalar("SELECT max(id) FROM orders") == 7
        assert restored.scalar("SELECT id FROM orders WHERE id = 0") is None
        with pytest.raises(RestoreTestError):
            restored.scalar("SELECT nonsense FROM nowhere")


@pytest.mark.parametrize("make", DUMPS)
def test_a_dump_cut_short_does_not_load(make: Make, tmp_path: Path, tools: Tools) -> None:
    source, _ = dump_case(make, tmp_path, tools)
    cut = tmp_path / "cut"
    with source.open():
        whole = source.staged().read_bytes()
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RestoreTestError), source.load(cut, tmp_path):
        pass


@pytest.mark.parametrize("make", DUMPS)
def test_a_dump_that_is_not_there_does_not_load(make: Make, tmp_path: Path, tools: Tools) -> None:
    source, _ = dump_case(make, tmp_path, tools)
    with pytest.raises(RestoreTestError), source.load(tmp_path / "gone", tmp_path):
        pass
