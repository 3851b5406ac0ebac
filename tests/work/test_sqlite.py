"""SQLite dumps: consistent under real writers, and honest about what cannot be read."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from snapd.config import SqliteDump
from snapd.errors import InterruptedRunError, RestoreTestError, SourceError, StagingFullError
from snapd.proc import Command, Finished, Interrupt, Launcher
from snapd.sources import sqlite_child
from snapd.sources.base import Tools
from snapd.sources.sqlite import SqliteSource
from tests.fakes.launchers import OnSmallDisk
from tests.needs import needs_root

NOBODY = 65534


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def source_of(path: Path, staging: Path, launcher: Launcher | None = None) -> SqliteSource:
    staging.mkdir(exist_ok=True)
    config = SqliteDump(engine="sqlite", path=path, name="shop")
    return SqliteSource(config, Tools(launcher or Launcher(), staging))


def make_shop(path: Path, *, journal: str = "delete", megabytes: int = 0) -> None:
    with closing(sqlite3.connect(path)) as shop:
        shop.execute(f"PRAGMA journal_mode={journal}")
        shop.execute("CREATE TABLE counter (n INTEGER)")
        shop.execute("INSERT INTO counter VALUES (0)")
        shop.execute("CREATE TABLE sales (n INTEGER PRIMARY KEY)")
        shop.execute("CREATE TABLE goods (picture BLOB)")
        shop.executemany("INSERT INTO goods VALUES (randomblob(1000))", [()] * 1000 * megabytes)
        shop.commit()


WRITER = """
import sqlite3, sys
shop = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
turn = 0
while True:
    turn += 1
    shop.execute("BEGIN IMMEDIATE")
    shop.execute("UPDATE counter SET n = n + 1")
    shop.execute("INSERT INTO sales SELECT n FROM counter")
    shop.execute("UPDATE goods SET picture = randomblob(1000) WHERE rowid = (SELECT n % 1000 FROM counter)")
    shop.execute("COMMIT")
    if turn % 10 == 0:
        print(turn, flush=True)
"""


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Callable[[], int]]:
    """Let another process write all the time; yields what waits for its next ten sales."""
    writer = subprocess.Popen(
        [sys.executable, "-I", "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    out = writer.stdout
    try:
        yield lambda: int(out.readline())
    finally:
        writer.kill()
        writer.wait()
        out.close()


@pytest.mark.parametrize("journal", ["wal", "delete", "truncate"])
def test_a_dump_under_a_writer_that_never_rests_is_not_torn(journal: str, tmp_path: Path) -> None:
    make_shop(tmp_path / "shop.db", journal=journal, megabytes=4)
    source = source_of(tmp_path / "shop.db", tmp_path / "staging")
    seen: list[int] = []
    with writing(tmp_path / "shop.db") as next_sales:
        for _turn in range(4):
            next_sales()
            with source.open(), source.load(source.staged(), tmp_path) as restored:
                counted = restored.scalar("SELECT n FROM counter")
                assert isinstance(counted, int)
                assert restored.scalar("SELECT count(*) FROM sales") == counted
                assert restored.scalar("SELECT max(n) FROM sales") == counted
                seen.append(counted)
        next_sales()
    assert seen == sorted(seen)
    assert len(set(seen)) > 1, "the writer stood still"


def test_what_is_only_in_the_wal_is_dumped_into_one_file(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as shop:
        shop.execute("PRAGMA journal_mode=wal")
        shop.execute("PRAGMA wal_autocheckpoint=0")
        shop.execute("CREATE TABLE sales (n INTEGER)")
        shop.execute("INSERT INTO sales VALUES (1)")
        shop.commit()
        source = source_of(path, tmp_path / "staging")
        with source.open(), source.load(source.staged(), tmp_path) as restored:
            assert names_in(tmp_path / "staging") == ["shop.sqlite"]
            assert restored.scalar("SELECT count(*) FROM sales") == 1
            assert restored.scalar("PRAGMA journal_mode") == "delete"


def test_a_path_with_every_odd_character_is_the_path(tmp_path: Path) -> None:
    path = tmp_path / "a b?mode=rwc#%41é.db"
    make_shop(path)
    with source_of(path, tmp_path / "staging").open() as prepared:
        assert prepared.dumps[0].bytes > 0


def damage(path: Path) -> None:
    make_shop(path, megabytes=1)
    with path.open("r+b") as file:
        file.seek(4096 * 20)
        file.write(os.urandom(4096 * 60))


def no_tables(path: Path) -> None:
    with closing(sqlite3.connect(path)) as shop:
        shop.execute("PRAGMA user_version=1")
        shop.commit()


@pytest.mark.parametrize(
    ("prepare", "sentence"),
    [
        (lambda path: path.write_text("not a database at all, just a long text"), "is no SQLite database"),
        (lambda path: path.touch(), "is empty: it holds no table"),
        (no_tables, "is empty: it holds no table"),
        (lambda path: path.mkdir(), "is no regular file"),
        (damage, "is damaged"),
    ],
)
def test_what_is_no_sound_database_fails_with_its_sentence(
    prepare: Callable[[Path], object], sentence: str, tmp_path: Path
) -> None:
    path = tmp_path / "shop.db"
    prepare(path)
    source = source_of(path, tmp_path / "staging")
    with pytest.raises(SourceError, match=sentence) as told, source.open():
        pass
    assert told.value.hint
    assert names_in(tmp_path / "staging") == []


def test_functions_of_the_application_are_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as shop:
        shop.create_function("valid", 1, lambda _value: 1, deterministic=True)
        shop.create_collation("german", lambda a, b: (a > b) - (a < b))
        shop.execute("CREATE TABLE names (name TEXT COLLATE german CHECK (valid(name)))")
        shop.execute("CREATE INDEX by_name ON names (name)")
        shop.execute("CREATE INDEX by_valid ON names (valid(name))")
        shop.execute("INSERT INTO names VALUES ('ä'), ('b')")
        shop.commit()
    source = source_of(path, tmp_path / "staging")
    with source.open(), source.load(source.staged(), tmp_path) as restored:
        assert restored.scalar("SELECT count(*) FROM names") == 2


def test_a_database_locked_all_the_time_is_given_up(tmp_path: Path) -> None:
    make_shop(tmp_path / "shop.db")
    with closing(sqlite3.connect(tmp_path / "shop.db", isolation_level=None)) as shop:
        shop.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite_child.Refusal, match="no gap between writers") as told:
            sqlite_child.dump(tmp_path / "shop.db", tmp_path / "copy", locked_for_s=0.05)
    assert told.value.word == "locked"
    assert names_in(tmp_path) == ["shop.db"]


def test_a_crash_in_the_middle_of_a_write_is_told_as_such(tmp_path: Path) -> None:
    make_shop(tmp_path / "live.db", megabytes=1)
    with closing(sqlite3.connect(tmp_path / "live.db", isolation_level=None)) as shop:
        shop.execute("PRAGMA cache_size=1")
        shop.execute("BEGIN")
        shop.execute("UPDATE goods SET picture = randomblob(1000)")
        for suffix in ("", "-journal"):
            (tmp_path / f"crashed.db{suffix}").write_bytes((tmp_path / f"live.db{suffix}").read_bytes())
        shop.execute("ROLLBACK")
    source = source_of(tmp_path / "crashed.db", tmp_path / "staging")
    with pytest.raises(SourceError, match="crash in the middle of a write"), source.open():
        pass


class Answering(Launcher):
    """A launcher whose children all end like this."""

    def __init__(self, returncode: int, stdout: str, stderr: str = "") -> None:
        super().__init__()
        self._finished = Finished(returncode, stdout, stderr, False, "", 0.1)

    def run(self, command: Command) -> Finished:
        return self._finished


@pytest.mark.parametrize(
    ("returncode", "stdout"), [(0, ""), (0, "Segmentation"), (3, '{"bytes": 5}'), (1, "")]
)
def test_a_child_without_its_own_end_has_made_no_dump(returncode: int, stdout: str, tmp_path: Path) -> None:
    make_shop(tmp_path / "shop.db")
    source = source_of(tmp_path / "shop.db", tmp_path / "staging", Answering(returncode, stdout))
    with pytest.raises(SourceError, match="cannot be dumped"), source.open():
        pass


def test_an_interrupted_dump_says_so(tmp_path: Path) -> None:
    make_shop(tmp_path / "shop.db")
    interrupt = Interrupt()
    interrupt.request("stop")
    source = source_of(tmp_path / "shop.db", tmp_path / "staging", Launcher(interrupt=interrupt))
    with pytest.raises(InterruptedRunError) as told, source.open():
        pass
    assert told.value.cause == "stop"


def test_the_child_needs_the_standard_library_only(tmp_path: Path) -> None:
    make_shop(tmp_path / "shop.db")
    child = Path(sqlite_child.__file__)
    ended = subprocess.run(
        [sys.executable, "-I", "-S", str(child), "check", str(tmp_path / "shop.db")], check=False
    )
    assert ended.returncode == 0


# -- other users ----------------------------------------------------------------------------------------

BECOME = f"""
import os, sys
scope = {{"__name__": "child"}}
exec(compile(open(sys.argv[1]).read(), sys.argv[1], "exec"), scope)
os.setgroups([int(group) for group in sys.argv[2].split()])
os.setresgid({NOBODY}, {NOBODY}, {NOBODY})
os.setresuid({NOBODY}, {NOBODY}, {NOBODY})
sys.exit(scope["main"](sys.argv[3:]))
"""
"""The child program as another user, who need not be able to read the program itself."""


class AsNobody(Launcher):
    def __init__(self, groups: Sequence[int] = ()) -> None:
        super().__init__()
        self._groups = " ".join(map(str, groups))

    def run(self, command: Command) -> Finished:
        python, isolated, child, *rest = command.argv
        argv = (python, isolated, "-c", BECOME, child, self._groups, *rest)
        return super().run(replace(command, argv=argv))


@pytest.fixture
def shared(passable: Path) -> Path:
    (passable / "app").mkdir()
    (passable / "staging").mkdir()
    os.chown(passable / "staging", NOBODY, NOBODY)
    return passable


@needs_root
def test_a_wal_database_in_a_folder_of_another_user_fails_with_the_cure(shared: Path) -> None:
    make_shop(shared / "app/shop.db", journal="wal")
    source = source_of(shared / "app/shop.db", shared / "staging", AsNobody())
    with pytest.raises(SourceError, match="WAL mode") as told, source.open():
        pass
    assert "group" in told.value.hint
    assert "dump into a file" in told.value.hint
    assert names_in(shared / "app") == ["shop.db"]


@needs_root
def test_a_wal_database_that_its_application_has_open_can_be_read_by_others(shared: Path) -> None:
    make_shop(shared / "app/shop.db", journal="wal")
    with closing(sqlite3.connect(shared / "app/shop.db")) as shop:
        shop.execute("INSERT INTO sales VALUES (1)")
        shop.commit()
        source = source_of(shared / "app/shop.db", shared / "staging", AsNobody())
        with source.open(), source.load(source.staged(), shared) as restored:
            assert restored.scalar("SELECT count(*) FROM sales") == 1


@needs_root
def test_no_file_is_left_that_would_lock_the_owner_out(shared: Path) -> None:
    make_shop(shared / "app/shop.db", journal="wal")
    (shared / "app").chmod(0o777)
    source = source_of(shared / "app/shop.db", shared / "staging", AsNobody())
    with pytest.raises(SourceError, match="its owner cannot write"), source.open():
        pass
    assert names_in(shared / "app") == ["shop.db"]


@needs_root
def test_files_left_beside_a_database_shared_by_a_group_belong_to_the_group(shared: Path) -> None:
    group = 4321
    make_shop(shared / "app/shop.db", journal="wal")
    for path in (shared / "app", shared / "app/shop.db"):
        os.chown(path, 1234, group)
        path.chmod(path.stat().st_mode | stat.S_IWGRP)
    source = source_of(shared / "app/shop.db", shared / "staging", AsNobody([group]))
    with source.open():
        pass
    for path in (shared / "app").iterdir():
        assert path.stat().st_gid == group
        assert path.stat().st_mode & stat.S_IWGRP


@needs_root
def test_a_database_that_the_dumping_user_may_not_read_fails_with_the_cure(shared: Path) -> None:
    make_shop(shared / "app/shop.db")
    (shared / "app/shop.db").chmod(0o600)
    source = source_of(shared / "app/shop.db", shared / "staging", AsNobody())
    with pytest.raises(SourceError, match="cannot be read without privileges") as told, source.open():
        pass
    assert "group" in told.value.hint


@needs_root
def test_a_full_staging_disk_is_told_as_such(tmp_path: Path) -> None:
    make_shop(tmp_path / "shop.db", megabytes=1)
    source = source_of(tmp_path / "shop.db", tmp_path / "staging", OnSmallDisk())
    with pytest.raises(StagingFullError) as told, source.open():
        pass
    assert told.value.code == "staging-full"


# -- restored dumps -------------------------------------------------------------------------------------


def test_a_query_can_change_nothing_and_reach_no_other_file(tmp_path: Path) -> None:
    make_shop(tmp_path / "shop.db")
    source = source_of(tmp_path / "shop.db", tmp_path / "staging")
    with source.open(), source.load(source.staged(), tmp_path) as restored:
        before = source.staged().read_bytes()
        for attack in (
            "DELETE FROM counter",
            "CREATE TABLE more (n)",
            f"ATTACH '{tmp_path / 'new.db'}' AS new",
            f"VACUUM INTO '{tmp_path / 'new.db'}'",
            "SELECT load_extension('libm.so.6')",
        ):
            with pytest.raises(RestoreTestError):
                restored.scalar(attack)
        assert source.staged().read_bytes() == before
    assert not (tmp_path / "new.db").exists()


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("SELECT 'ä\nb'", "ä\nb"),
        ("SELECT 1.5", 1.5),
        ("SELECT 9223372036854775807", 2**63 - 1),
        ("SELECT x'00ff'", "00ff"),
        ("SELECT NULL", None),
        ("SELECT n FROM sales", None),
    ],
)
def test_a_query_gives_the_first_value(query: str, value: object, tmp_path: Path) -> None:
    make_shop(tmp_path / "shop.db")
    source = source_of(tmp_path / "shop.db", tmp_path / "staging")
    with source.load(tmp_path / "shop.db", tmp_path) as restored:
        assert restored.scalar(query) == value


def test_an_empty_database_does_not_load(tmp_path: Path) -> None:
    no_tables(tmp_path / "shop.db")
    source = source_of(tmp_path / "shop.db", tmp_path / "staging")
    with pytest.raises(RestoreTestError, match="holds no table"), source.load(tmp_path / "shop.db", tmp_path):
        pass
