"""A backup and its restore test over a real Borg store."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from snapd.config import BorgStore, PathCheck, QueryCheck, RestoreTest, Secret, SqliteDump
from snapd.engines import build
from snapd.engines.base import Tools
from snapd.jobs import backup, restore_test
from snapd.jobs.base import Work
from snapd.model import Outcome
from snapd.proc import Launcher
from tests.fakes.mounts import among_mounts
from tests.fakes.work import set_of, world
from tests.needs import needs

pytestmark = needs("borg")


@pytest.fixture
def shop(tmp_path: Path) -> SqliteDump:
    path = tmp_path / "data/shop.sqlite"
    path.parent.mkdir()
    (path.parent / "letter").write_text("one letter")
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode=wal")
        database.execute("CREATE TABLE sales (at TEXT)")
        database.execute("INSERT INTO sales VALUES (?)", [datetime.now(UTC).isoformat()])
        database.commit()
    return SqliteDump(engine="sqlite", path=path, name="shop")


@pytest.fixture
def work(tmp_path: Path, shop: SqliteDump) -> Iterator[Work]:
    secret = tmp_path / "passphrase"
    secret.write_text("correct horse\n")
    secret.chmod(0o600)
    store = BorgStore(engine="borg", repository=str(tmp_path / "borg"), passphrase=Secret(file=secret))
    backup_set = set_of(
        paths=(tmp_path,),
        exclude=("*.sqlite",),
        dump=(shop,),
        restore_test=RestoreTest(
            schedule="@daily",
            check=(
                PathCheck(path=str(tmp_path / "data").lstrip("/"), min_files=1),
                QueryCheck(query="SELECT max(at) FROM sales", dump="shop", newer_than=timedelta(hours=1)),
            ),
        ),
    )
    with world(tmp_path) as here:
        here.clock.at = datetime.now(UTC)
        engine = build("local", store, Tools(Launcher(), here.folders.cache / "local"))
        engine.init()
        plain = here.work(backup_set)
        yield replace(
            plain, engine=engine, config=plain.config.model_copy(update={"store": {"local": store}})
        )


def test_what_was_backed_up_of_everything_around_us_is_proven(work: Work, tmp_path: Path) -> None:
    made = backup.run(work)
    assert (made.outcome, made.notes) == (Outcome.OK, ())
    held = {member.path for member in work.engine.members(made.archive)}
    assert str(tmp_path / "data/letter").lstrip("/") in held
    assert not [path for path in held if path.endswith("data/shop.sqlite")]
    assert not [path for path in held if "/borg/" in path or "/cache/" in path or "history.sqlite" in path]
    proven = restore_test.run(work)
    assert proven.outcome is Outcome.OK
    assert [proof.archive for proof in work.history.proofs("shop")] == [made.archive]


def test_the_second_archive_of_the_same_contents_is_almost_free(work: Work) -> None:
    first, second = backup.run(work), backup.run(work)
    assert first.bytes_new is not None
    assert second.bytes_new is not None
    assert second.bytes_new < first.bytes_new / 2
    assert first.archive != second.archive


WITH_PROC = """
import sys
from dataclasses import replace
from pathlib import Path
from snapd.config import BorgStore, Secret
from snapd.engines import build
from snapd.engines.base import Tools
from snapd.jobs import backup
from snapd.proc import Launcher
from tests.fakes.mounts import among_mounts
from tests.fakes.work import set_of, world

folder = Path(sys.argv[1])
secret = Secret(file=folder / "passphrase")
store = BorgStore(engine="borg", repository=str(folder / "borg"), passphrase=secret)
with world(folder) as here:
    engine = build("local", store, Tools(Launcher(), here.folders.cache / "local"))
    engine.init()
    work = here.work(set_of(paths=(folder / "root",)))
    made = backup.run(replace(work, engine=engine))
    print(made.outcome.value, *made.notes)
    held = sorted(member.path for member in engine.members(made.archive))
    print(*(path for path in held if "/root" in path), sep="\\n")
"""


def test_a_tree_with_the_kernels_file_systems_in_it_is_archived_without_them(tmp_path: Path) -> None:
    (tmp_path / "passphrase").write_text("correct horse\n")
    (tmp_path / "passphrase").chmod(0o600)
    root = tmp_path / "root"
    for name in ("etc", "proc", "run"):
        (root / name).mkdir(parents=True)
    (root / "etc/hosts").touch()
    mounts = f"mount --rbind /proc {root}/proc; mount -t tmpfs none {root}/run; touch {root}/run/written"
    told = among_mounts(mounts, (sys.executable, "-c", WITH_PROC, str(tmp_path)))
    member = str(root).lstrip("/")
    found = ("", "/etc", "/etc/hosts", "/run", "/run/written")
    assert told.splitlines() == ["ok", *(f"{member}{path}" for path in found)]
