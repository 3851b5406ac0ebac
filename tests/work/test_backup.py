"""A backup: everything prepared before anything is archived, and counted only when the store lists it."""

from __future__ import annotations

import errno
import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from snapd.config import Folders, SqliteDump
from snapd.errors import (
    EngineUsageError,
    ExistsError,
    InterruptedRunError,
    NetworkError,
    PartialError,
    SourceError,
    StagingFullError,
)
from snapd.history import Proof
from snapd.jobs import clean_leftovers, listings
from snapd.jobs.backup import run
from snapd.jobs.scratch import private_folder, scratch_of, staging_of
from snapd.model import ArchivePattern, Outcome, Problem
from snapd.proc import Launcher
from tests.fakes.launchers import OnSmallDisk
from tests.fakes.mounts import among_mounts, beside_hung_mounts
from tests.fakes.work import START, World, set_of, world
from tests.needs import needs_root


@pytest.fixture
def here(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


@pytest.fixture
def mail(tmp_path: Path) -> Path:
    folder = tmp_path / "mail"
    folder.mkdir()
    (folder / "letter").write_text("one letter")
    return folder


def make_shop(path: Path, sales: int = 1) -> SqliteDump:
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as shop:
        shop.execute("CREATE TABLE sales (what TEXT)")
        shop.executemany("INSERT INTO sales VALUES (?)", [("x" * 1000,)] * sales)
        shop.commit()
    return SqliteDump(engine="sqlite", path=path, name="shop")


def contents(here: World, name: str) -> dict[str, bytes]:
    return {f"/{entry.path}": entry.content for entry in here.engine.stored[name].entries.values()}


def staging(here: World) -> Path:
    return staging_of(here.folders, "shop")


def test_an_archive_holds_the_paths_the_dump_and_what_explains_them(here: World, mail: Path) -> None:
    dump = make_shop(here.folders.state.parent / "shop.db")
    result = run(here.work(set_of(paths=(mail,), dump=(dump,))))
    assert result.outcome is Outcome.OK
    held = contents(here, result.archive)
    assert held[f"{mail}/letter"] == b"one letter"
    assert held[f"{staging(here)}/dumps/shop/shop.sqlite"].startswith(b"SQLite format 3")
    about = staging(here) / "about"
    assert held[f"{about}/config.toml"] == b"[store.local]\n"
    assert json.loads(held[f"{about}/state.json"])["backup_set"] == "shop"
    assert str(dump.path).encode() in held[f"{about}/RESTORE.txt"]
    assert b"borg restores the archive by itself" in held[f"{about}/RESTORE.txt"]


def test_staging_is_there_for_us_alone_and_gone_afterwards(here: World, mail: Path) -> None:
    modes = []
    here.engine.during["create"] = lambda _name: modes.append(staging(here).stat().st_mode & 0o777)
    run(here.work(set_of(paths=(mail,))))
    assert modes == [0o700]
    assert list(staging(here).parent.iterdir()) == []


def test_the_engine_is_asked_to_create_and_to_find_and_nothing_else(here: World, mail: Path) -> None:
    run(here.work(set_of(paths=(mail,))))
    assert [call.method for call in here.engine.calls] == ["doctor", "create", "find"]


def test_the_history_knows_the_archive_and_its_dumps(here: World) -> None:
    dump = make_shop(here.folders.state.parent / "shop.db")
    result = run(here.work(set_of(dump=(dump,))))
    (known,) = here.history.known_archives("shop")
    assert (known.archive.name, known.store, known.encrypted) == (result.archive, "local", True)
    assert here.history.last_good_dump("shop", "shop") == result.details["dumps"]["shop"]  # type: ignore[index]


def test_a_doctor_with_a_problem_stops_it_before_a_name_is_used(here: World, mail: Path) -> None:
    here.engine.problems = (Problem("borg is not installed", hint="apt install borgbackup", store="local"),)
    with pytest.raises(EngineUsageError, match="borg is not installed") as told:
        run(here.work(set_of(paths=(mail,))))
    assert told.value.hint == "apt install borgbackup"
    assert here.history.names_used("local") == frozenset()


# -- names ----------------------------------------------------------------------------------------------


def test_a_store_that_is_not_there_yet_is_tried_again_and_one_that_is_wrong_is_not(
    here: World, mail: Path
) -> None:
    missing = Problem("there is no Borg repository", store="local", passing=True)
    wrong = Problem("the repository cannot be written", store="local")
    for problems, retryable in (((missing,), True), ((missing, wrong), False)):
        here.engine.problems = problems
        with pytest.raises(EngineUsageError) as told:
            run(here.work(set_of(paths=(mail,))))
        assert told.value.retryable is retryable


DEAD_STORE = """
import sys
from dataclasses import replace
from pathlib import Path
from snapd.config import BorgStore, Secret
from snapd.errors import EngineUsageError
from snapd.jobs import backup
from snapd.machine import engine_of, problems
from tests.fakes.work import set_of, world

backup.LOOK_S = 0.5  # nobody wants to wait as long as a real backup does
folder = Path(sys.argv[1])
dead, mail = folder / "dead", folder / "mail"
hang(dead)
store = BorgStore(engine="borg", repository=str(dead / "borg"), passphrase=Secret(credential="borg"))
with world(folder) as here:
    plain = here.work(set_of(paths=(mail, dead)))
    both = {**plain.config.store, "other": store}
    sound = replace(plain, config=plain.config.model_copy(update={"store": both}))
    print(backup.run(replace(sound, backup_set=set_of(paths=(mail,)))).outcome.value)
    config = plain.config.model_copy(update={"store": {"local": store}})
    work = replace(plain, config=config, engine=engine_of("local", config, here.folders))
    try:
        backup.run(work)
    except EngineUsageError as error:
        print(error.message, error.retryable)
    for problem in problems(config, here.folders, limit_s=0.5):
        print(problem.store or problem.backup_set, problem.message)
"""


def test_a_store_on_a_dead_mount_stops_its_own_sets_for_a_while_and_no_others(tmp_path: Path) -> None:
    for name in ("dead", "mail"):
        (tmp_path / name).mkdir()
    (tmp_path / "mail/letter").touch()
    assert beside_hung_mounts(DEAD_STORE, tmp_path).splitlines() == [
        "ok",
        "the store local does not answer (a hung mount?) True",
        "local the store local does not answer (a hung mount?)",
        "shop a path or a database of the set does not answer (a hung mount?)",
    ]


def test_a_name_that_was_ever_used_is_never_used_again(here: World, mail: Path) -> None:
    backup_set = set_of(paths=(mail,))
    name = backup_set.archive.render(START)
    here.clock.at = START - timedelta(seconds=1)
    here.history.record_name("local", "shop", name, START)
    here.history.record_name("local", "shop", f"{name}.2.checkpoint", START)
    here.clock.at = START - timedelta(seconds=1)
    assert run(here.work(backup_set)).archive == f"{name}.3"


def test_a_name_that_only_the_store_knows_is_passed_over(here: World, mail: Path) -> None:
    backup_set = set_of(paths=(mail,))
    here.clock.at = START - timedelta(seconds=1)
    name = backup_set.archive.render(START)
    here.engine.taken = {name, f"{name}.2"}
    assert run(here.work(backup_set)).archive == f"{name}.3"
    assert here.history.names_used("local") >= {name, f"{name}.2", f"{name}.3"}


def test_a_store_that_claims_every_name_is_given_up(here: World, mail: Path) -> None:
    here.engine.fail_next("create", ExistsError("taken"), times=2000)
    with pytest.raises(ExistsError):
        run(here.work(set_of(paths=(mail,))))


def test_a_failed_creation_has_used_its_name(here: World, mail: Path) -> None:
    here.engine.fail_next("create", NetworkError("cut"))
    with pytest.raises(NetworkError):
        run(here.work(set_of(paths=(mail,))))
    assert len(here.history.names_used("local")) == 1
    assert here.history.known_archives("shop") == ()
    assert not staging(here).exists()


# -- what counts ----------------------------------------------------------------------------------------


def test_an_archive_that_the_store_does_not_list_is_a_failure(here: World, mail: Path) -> None:
    here.engine.during["create"] = here.engine.hidden.add
    with pytest.raises(PartialError, match="is not listed"):
        run(here.work(set_of(paths=(mail,))))
    assert here.history.known_archives("shop") == ()


def test_an_interruption_passes_through_and_leaves_nothing(here: World, mail: Path) -> None:
    here.engine.fail_next("create", InterruptedRunError("stopped", cause="stop"))
    with pytest.raises(InterruptedRunError):
        run(here.work(set_of(paths=(mail,))))
    assert not staging(here).exists()


def test_what_the_engine_left_out_or_said_is_a_warning(here: World, mail: Path) -> None:
    (mail / "secret").write_text("x")
    here.engine.omitted = {mail / "secret"}
    here.engine.warnings = ("letter: file changed while we backed it up",)
    result = run(here.work(set_of(paths=(mail,))))
    assert result.outcome is Outcome.WARNING
    assert result.notes == (f"{mail}/secret could not be read", "letter: file changed while we backed it up")
    assert result.error_code == "partial"
    assert result.hint
    assert result.details["omitted"] == [f"{mail}/secret"]


def test_an_archive_with_nothing_of_the_set_fails_and_is_suspect(here: World, mail: Path) -> None:
    here.engine.omitted = {mail}
    with pytest.raises(PartialError, match=str(mail)):
        run(here.work(set_of(paths=(mail,))))
    (known,) = here.history.known_archives("shop")
    assert known.archive.suspect


def test_ten_thousand_paths_left_out_are_counted_not_listed(here: World, mail: Path) -> None:
    for number in range(300):
        (mail / f"secret{number}").touch()
    here.engine.omitted = set(mail.glob("secret*"))
    result = run(here.work(set_of(paths=(mail,))))
    assert len(result.notes) == 21
    assert result.notes[-1] == "and 280 more"
    assert result.details["omitted_count"] == 300


def test_a_path_that_is_gone_is_a_warning_and_the_rest_is_saved(here: World, mail: Path) -> None:
    result = run(here.work(set_of(paths=(mail, mail / "gone"))))
    assert result.outcome is Outcome.WARNING
    assert result.notes == (f"{mail / 'gone'} does not exist",)
    assert f"{mail}/letter" in contents(here, result.archive)


def test_with_no_path_left_nothing_is_archived(here: World, mail: Path) -> None:
    with pytest.raises(SourceError, match="none of the set's paths"):
        run(here.work(set_of(paths=(mail / "gone",))))
    assert here.engine.stored == {}
    assert here.history.names_used("local") == frozenset()


# -- dumps ----------------------------------------------------------------------------------------------


def test_a_dump_that_fails_keeps_the_paths_back_and_says_how_to_split(here: World, mail: Path) -> None:
    gone = SqliteDump(engine="sqlite", path=mail / "gone.db", name="gone")
    with pytest.raises(SourceError, match="does not exist") as told:
        run(here.work(set_of(paths=(mail,), dump=(gone,))))
    assert "a set of its own" in told.value.hint
    assert here.engine.count("create") == 0
    assert not staging(here).exists()


def test_of_a_set_without_paths_nothing_is_said_about_splitting(here: World, mail: Path) -> None:
    gone = SqliteDump(engine="sqlite", path=mail / "gone.db", name="gone")
    with pytest.raises(SourceError) as told:
        run(here.work(set_of(dump=(gone,))))
    assert "a set of its own" not in told.value.hint


def test_an_exclude_does_not_reach_the_dump(here: World, mail: Path) -> None:
    dump = make_shop(mail / "shop.sqlite")
    result = run(here.work(set_of(paths=(mail,), dump=(dump,), exclude=("*.sqlite", "*.toml"))))
    held = contents(here, result.archive)
    assert f"{staging(here)}/dumps/shop/shop.sqlite" in held
    assert f"{staging(here)}/about/config.toml" in held
    assert f"{mail}/shop.sqlite" not in held


def test_a_dump_that_shrank_makes_the_archive_suspect_until_one_is_proven(here: World) -> None:
    path = here.folders.state.parent / "shop.db"
    first = run(here.work(set_of(dump=(make_shop(path, sales=200),))))
    assert first.outcome is Outcome.OK
    small = set_of(dump=(make_shop(path, sales=1),))
    for shrunk in (run(here.work(small)), run(here.work(small))):  # a suspect one is no measure for the next
        assert shrunk.outcome is Outcome.WARNING
        assert shrunk.error_code == "suspect"
        assert "the dump shop shrank from" in shrunk.notes[0]
    assert [known.archive.suspect for known in here.history.known_archives("shop")] == [True, True, False]
    newest = here.history.known_archives("shop")[0].archive.name
    here.history.record_proof(Proof("shop", newest, here.clock(), seconds=1.0))
    assert run(here.work(small)).outcome is Outcome.OK


def test_an_archive_with_a_shrunken_dump_is_suspect_though_its_run_was_cut_off_and_only_a_listing_finds_it(
    here: World,
) -> None:
    path = here.folders.state.parent / "shop.db"
    run(here.work(set_of(dump=(make_shop(path, sales=200),))))
    small = set_of(dump=(make_shop(path, sales=1),))
    here.engine.fail_next("find", NetworkError("the network is gone"))
    with pytest.raises(NetworkError):
        run(here.work(small))
    listed = listings.record(here.history, small, here.engine.archives(), here.clock())
    assert [archive.suspect for archive in listed] == [False, True]


def test_a_strangers_archive_whose_name_a_suspect_one_wanted_is_not_suspected(here: World) -> None:
    path, at = here.folders.state.parent / "shop.db", here.clock.at
    run(here.work(set_of(dump=(make_shop(path, sales=200),))))
    daily = set_of(dump=(make_shop(path, sales=1),), archive=ArchivePattern("shop_%Y%m%d"))
    here.engine.plant(daily.archive.render(at))
    made = run(here.work(daily)).archive
    listed = listings.record(here.history, daily, here.engine.archives(), here.clock())
    assert {archive.name: archive.suspect for archive in listed} == {
        daily.archive.render(at): False,
        made: True,
    }


def test_a_dump_that_shrank_within_its_limit_is_fine(here: World) -> None:
    path = here.folders.state.parent / "shop.db"
    run(here.work(set_of(dump=(make_shop(path, sales=200),))))
    assert run(here.work(set_of(dump=(make_shop(path, sales=150),)))).outcome is Outcome.OK


@needs_root
def test_a_full_staging_disk_fails_the_run_and_the_next_one_works(here: World) -> None:
    backup_set = set_of(dump=(make_shop(here.folders.state.parent / "shop.db", sales=500),))
    here.launcher = OnSmallDisk()
    with pytest.raises(StagingFullError) as told:
        run(here.work(backup_set))
    assert (told.value.code, here.engine.stored) == ("staging-full", {})
    assert not staging(here).exists()
    here.launcher = Launcher()
    assert run(here.work(backup_set)).outcome is Outcome.OK


SMALL = """
import os, sqlite3, sys
from contextlib import closing
from pathlib import Path
from snapd.config import SqliteDump
from snapd.errors import StagingFullError
from snapd.jobs.backup import run
from structlog.testing import capture_logs
from tests.fakes.work import set_of, world

folder = Path(sys.argv[1])
mail, state = folder / "mail", folder / "state"
mail.mkdir()
(mail / "letter").touch()

def fill(kept):
    with open(state / "ballast", "wb", buffering=0) as file:
        for size in (65536, 4096):
            while os.statvfs(state).f_bavail * 4096 >= kept + size:
                file.write(b"x" * size)

def told(paths, dump=()):
    try:
        result = run(here.work(set_of(paths=paths, dump=dump)))
    except StagingFullError as error:
        return error.code
    held = here.engine.stored[result.archive].entries
    return result.outcome.value, result.hint, "; ".join(result.notes), sum("about/" in path for path in held)

with capture_logs(), world(folder) as here:
    with closing(sqlite3.connect(folder / "shop.db")) as shop:
        shop.execute("CREATE TABLE sales (what TEXT)")
    dump = SqliteDump(engine="sqlite", path=folder / "shop.db", name="shop")
    for kept in (0, 4096):
        fill(kept)
        print(told((mail,)))
    print(told((mail,), (dump,)))
    (state / "ballast").unlink()
    print(told((mail,), (dump,))[0])
"""


def test_a_full_disk_costs_files_only_the_copy_of_the_state_and_fails_a_dump(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    mounted = f"mount -t tmpfs -o size=1m none {tmp_path}/state"
    *bare, dump, room = among_mounts(mounted, (sys.executable, "-c", SMALL, str(tmp_path))).splitlines()
    for line in bare:
        assert line.startswith("('warning', 'make room on the disk of the state folder', 'the copy of config")
        assert line.endswith(", 0)")
    assert (dump, room) == ("staging-full", "ok")


# -- our own files --------------------------------------------------------------------------------------


def test_of_the_whole_machine_nothing_of_ours_is_archived_but_this_sets_staging(
    here: World, tmp_path: Path, mail: Path
) -> None:
    for path in (here.repository, here.folders.state / "staging/other", here.folders.state / "scratch/run9"):
        path.mkdir(parents=True)
        (path / "inside").touch()
    (here.folders.cache / "inside").touch()
    (here.folders.runtime / "inside").touch()
    result = run(here.work(set_of(paths=(tmp_path,), dump=(make_shop(tmp_path / "shop.db"),))))
    held = [Path(path) for path in contents(here, result.archive)]
    assert result.outcome is Outcome.OK
    assert mail / "letter" in held
    assert staging(here) / "dumps/shop/shop.sqlite" in held
    assert not [path for path in held if path.name == "inside"]
    assert not [path for path in held if path.name.startswith("history.sqlite")]


def test_of_the_whole_machine_the_kernels_file_systems_and_all_credentials_are_left_out(
    here: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given = tmp_path / "credentials"
    given.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(given))
    (tmp_path / "letter").touch()
    result = run(here.work(set_of(paths=(tmp_path, Path("/proc/self/environ")))))
    left_out = here.engine.selections[result.archive].never
    assert {Path("/proc"), Path("/run/credentials"), given} <= set(left_out)
    assert result.notes == (
        "/proc/self/environ is in a file system that the kernel makes up: never archived",
    )
    assert str(tmp_path / "letter") in contents(here, result.archive)


def test_a_path_inside_a_store_is_refused_aloud(here: World, mail: Path) -> None:
    here.repository.mkdir()
    result = run(here.work(set_of(paths=(mail, here.repository))))
    assert result.outcome is Outcome.WARNING
    assert "never archived" in result.notes[0]
    with pytest.raises(SourceError, match="never archived"):
        run(here.work(set_of(paths=(here.repository,))))


def test_what_a_killed_run_left_in_staging_does_not_get_into_the_archive(here: World, mail: Path) -> None:
    left = staging(here) / "dumps/old"
    left.mkdir(parents=True)
    (left / "old.sqlite").touch()
    result = run(here.work(set_of(paths=(mail,))))
    assert not [path for path in contents(here, result.archive) if "old" in path]


def test_leftovers_of_dead_runs_are_removed_and_exactly_those(tmp_path: Path) -> None:
    folders = Folders(state=tmp_path / "state", cache=tmp_path / "cache", runtime=tmp_path / "run")
    dead = (staging_of(folders, "mail"), scratch_of(folders, "dead"))
    alive = scratch_of(folders, "alive")
    for path in (*dead, alive, folders.cache):
        path.mkdir(parents=True)
        (path / "file").touch()
    (folders.state / "history.sqlite").touch()
    with private_folder(staging_of(folders, "shop")) as busy:
        assert set(clean_leftovers(folders, frozenset({"alive"}))) == set(dead)
        assert busy.is_dir()
    assert [path.exists() for path in (*dead, alive, folders.cache)] == [False, False, True, True]
    assert (folders.state / "history.sqlite").exists()
    assert clean_leftovers(folders, frozenset({"alive"})) == ()


UNPRIVILEGED = """
import os, sys
from pathlib import Path
from snapd.jobs.scratch import remove
os.chdir(sys.argv[1])
if os.geteuid() == 0:  # whom no permission stops
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
os.makedirs("tree/below")
Path("tree/below/file").touch()
Path("tree/link").symlink_to("../kept")
os.chmod("tree/below", 0o500)
os.chmod("tree", 0o500)
remove(Path("tree"))
"""


def test_a_tree_that_forbids_writing_is_removed_and_links_are_not_followed(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").touch()
    subprocess.run([sys.executable, "-c", UNPRIVILEGED, str(tmp_path)], check=True)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept/file").exists()


def test_a_dump_whose_staging_cannot_be_made_fails_with_its_reason(here: World, mail: Path) -> None:
    staging(here).parent.write_text("in the way")
    dump = make_shop(here.folders.state.parent / "shop.db")
    with pytest.raises(SourceError, match="staging") as told:
        run(here.work(set_of(paths=(mail,), dump=(dump,))))
    assert isinstance(told.value.__cause__, OSError)
    assert told.value.__cause__.errno == errno.ENOTDIR
