"""A restore test: proof from what was restored, and from nothing else."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from snapd.config import BackupSet, CommandCheck, PathCheck, QueryCheck, RestoreTest, SqliteDump
from snapd.engines.base import Member
from snapd.errors import InterruptedRunError, LocalDiskFullError, NetworkError, RestoreTestError
from snapd.history import Proof, Run
from snapd.jobs import backup, job_of
from snapd.jobs.extraction import Wanted, plan_extraction
from snapd.jobs.restore_test import run
from snapd.jobs.scratch import scratch_of
from snapd.jobs.shown import Shown
from snapd.model import Archive, Cause, Kind, Outcome, Result, job_id
from tests.fakes.engine import FakeEngine
from tests.fakes.work import START, World, set_of, world


@pytest.fixture
def here(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


@pytest.fixture
def mail(tmp_path: Path) -> Path:
    folder = tmp_path / "mail"
    folder.mkdir()
    (folder / "letter").write_text("one letter")
    os.utime(folder / "letter", (START.timestamp(), START.timestamp()))
    return folder


@pytest.fixture
def shop(tmp_path: Path) -> SqliteDump:
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE sales (at TEXT)")
        database.execute("INSERT INTO sales VALUES (?)", [START.isoformat()])
        database.commit()
    return SqliteDump(engine="sqlite", path=path, name="shop")


def proving(*checks: object, pick: str = "newest", max_download: int | None = None) -> RestoreTest:
    return RestoreTest.model_validate(
        {"schedule": "@daily", "pick": pick, "check": checks, "max_download": max_download}
    )


def member(path: Path) -> str:
    return str(path).lstrip("/")


def backed_up(here: World, **values: object) -> BackupSet:
    backup_set = set_of(**values)
    backup.run(here.work(backup_set))
    return backup_set


def findings(details: dict[str, Any]) -> list[tuple[str, bool | None]]:
    return [(finding["check"], finding["passed"]) for finding in details["findings"]]


def failed(here: World, backup_set: BackupSet) -> RestoreTestError:
    """Run a test that has to fail, and see that it proves nothing and leaves nothing."""
    with pytest.raises(RestoreTestError) as told:
        run(here.work(backup_set))
    assert here.history.proofs("shop") == ()
    assert not scratch_of(here.folders, "run1").exists()
    assert told.value.hint
    return told.value


# -- what passes ----------------------------------------------------------------------------------------


def test_every_check_that_passes_makes_a_proof(here: World, mail: Path, shop: SqliteDump) -> None:
    checks = (
        PathCheck(path=member(mail), min_files=1, newest_within=timedelta(days=1)),
        QueryCheck(query="SELECT max(at) FROM sales", dump="shop", newer_than=timedelta(hours=1)),
        CommandCheck(command=("sh", "-c", f'test "$(cat "$RESTORED/{member(mail)}/letter")" = "one letter"')),
    )
    backup_set = backed_up(here, paths=(mail,), dump=(shop,), restore_test=proving(*checks))
    result = run(here.work(backup_set))
    assert result.outcome is Outcome.OK
    names = [name.split()[0] for name, passed in findings(result.details) if passed]
    assert names == ["contents", "dump", "path", "query", "command"]
    (proof,) = here.history.proofs("shop")
    assert proof.archive == result.archive
    (known,) = here.history.known_archives("shop")
    assert proof.data_age == (known.archive.created - START).total_seconds()
    assert result.details["data_age_s"] == proof.data_age
    assert not scratch_of(here.folders, "run1").exists()


def test_only_what_checks_and_dumps_name_is_extracted(here: World, mail: Path, shop: SqliteDump) -> None:
    (mail / "other").write_text("x" * 1000)
    check = PathCheck(path=member(mail / "letter"))
    run(here.work(backed_up(here, paths=(mail,), dump=(shop,), restore_test=proving(check))))
    (call,) = [call for call in here.engine.calls if call.method == "extract"]
    assert [name.rpartition("/")[2] for name in call.names[1:]] == ["shop.sqlite", "letter"]


def test_a_listed_question_mark_stands_for_a_byte_or_for_itself(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(b"%s/d\xff\xff" % os.fsencode(tmp_path)))
    folder.mkdir()
    (folder / "what?").write_text("12")
    (folder / os.fsdecode(b"caf\xe9")).write_text("123")
    (folder / os.fsdecode(b"caf\xe8")).write_text("1")
    (folder / "caf\u00e9").write_text("12345")
    shown = Shown(tmp_path)
    sizes = [shown.sizes(f"d??/{name}") for name in ("what?", "caf?", "caf\u00e9", "gone?")]
    assert sizes == [{2}, {1, 3}, {5}, frozenset()]


def test_without_anything_named_a_sample_is_restored_and_told(here: World, mail: Path) -> None:
    backup_set = backed_up(here, paths=(mail,), restore_test=proving())
    result = run(here.work(backup_set))
    assert result.outcome is Outcome.OK
    assert result.details["sample"] == [member(mail / "letter")]
    assert len(here.history.proofs("shop")) == 1


def test_a_command_alone_gets_the_whole_archive(here: World, mail: Path) -> None:
    (mail / "other").write_text("x")
    check = CommandCheck(command=("sh", "-c", f'test "$(ls "$RESTORED{mail}" | wc -l)" = 2'))
    assert run(here.work(backed_up(here, paths=(mail,), restore_test=proving(check)))).outcome is Outcome.OK


def test_a_command_gets_a_small_environment_and_the_restored_folder(here: World, mail: Path) -> None:
    program = "import os; assert sorted(os.environ) == ['HOME', 'LC_ALL', 'PATH', 'RESTORED', 'TMPDIR']"
    program += "; assert os.getcwd() == os.environ['RESTORED']"
    check = CommandCheck(command=(sys.executable, "-I", "-c", program))
    assert run(here.work(backed_up(here, paths=(mail,), restore_test=proving(check)))).outcome is Outcome.OK


def test_a_set_without_a_test_of_its_own_can_be_tested_when_asked(here: World, mail: Path) -> None:
    assert run(here.work(backed_up(here, paths=(mail,)))).outcome is Outcome.OK


def test_a_suspect_archive_that_passes_is_suspect_no_more(here: World, mail: Path) -> None:
    backup_set = backed_up(here, paths=(mail,), restore_test=proving())
    (known,) = here.history.known_archives("shop")
    here.history.set_suspect("local", known.archive.name, True)
    run(here.work(backup_set))
    assert [item.archive.suspect for item in here.history.known_archives("shop")] == [False]


# -- what fails -----------------------------------------------------------------------------------------


def test_a_failed_check_fails_the_run_and_keeps_every_finding(here: World, mail: Path) -> None:
    checks = (
        PathCheck(path=member(mail), min_files=7),
        PathCheck(path=member(mail / "gone")),
        PathCheck(path=member(mail)),
    )
    told = failed(here, backed_up(here, paths=(mail,), restore_test=proving(*checks)))
    assert [passed for _, passed in findings(told.details)] == [True, False, False, True]
    assert "at least 7 files" in told.message
    assert "and 1 more" in told.message


def test_an_archive_without_the_dump_fails(here: World, mail: Path, shop: SqliteDump) -> None:
    backed_up(here, paths=(mail,))
    told = failed(
        here, set_of(paths=(mail,), dump=(shop,), restore_test=proving(PathCheck(path=member(mail))))
    )
    assert ("dump shop", False) in findings(told.details)


def test_a_dump_that_is_damaged_fails_and_its_query_is_not_judged(here: World, shop: SqliteDump) -> None:
    check = QueryCheck(query="SELECT count(*) FROM sales", dump="shop", at_least=1)
    backup_set = backed_up(here, dump=(shop,), restore_test=proving(check))
    (stored,) = here.engine.stored.values()
    name = next(path for path in stored.entries if path.endswith("shop.sqlite"))
    entry = stored.entries[name]
    damaged = entry.content[:100] + b"\xff" * (len(entry.content) - 100)
    stored.entries[name] = type(entry)(entry.path, entry.mode, entry.mtime_ns, damaged)
    told = failed(here, backup_set)
    assert findings(told.details)[1:] == [("dump shop", False), ("query SELECT count(*) FROM sales", None)]


def test_a_query_that_fails_is_a_finding(here: World, shop: SqliteDump) -> None:
    check = QueryCheck(query="SELECT nonsense FROM nowhere", dump="shop", at_least=1)
    told = failed(here, backed_up(here, dump=(shop,), restore_test=proving(check)))
    assert "no such table" in told.message


def test_a_command_that_fails_tells_its_last_words(here: World, mail: Path) -> None:
    check = CommandCheck(command=("sh", "-c", "echo the letter is torn >&2; exit 3"))
    told = failed(here, backed_up(here, paths=(mail,), restore_test=proving(check)))
    assert "exit status 3: the letter is torn" in told.message


def test_a_command_that_does_not_end_is_ended(here: World, mail: Path) -> None:
    check = CommandCheck(command=("sleep", "600"), time_limit=timedelta(milliseconds=200))
    told = failed(here, backed_up(here, paths=(mail,), restore_test=proving(check)))
    assert "not ended in time" in told.message


@pytest.mark.parametrize("test", [proving(), proving(CommandCheck(command=("true",)))])
def test_an_archive_with_nothing_in_it_fails(test: RestoreTest, here: World, mail: Path) -> None:
    (mail / "letter").write_text("")
    told = failed(here, backed_up(here, paths=(mail,), restore_test=test))
    assert findings(told.details)[0] == ("contents", False)


def test_a_folder_that_may_be_empty_proves_nothing_when_it_is(here: World, mail: Path) -> None:
    (mail / "letter").unlink()
    check = PathCheck(path=member(mail), min_files=0)
    result = run(here.work(backed_up(here, paths=(mail,), restore_test=proving(check))))
    assert (result.outcome, result.error_code) == (Outcome.WARNING, "inconclusive")
    assert here.history.proofs("shop") == ()


def test_a_file_that_comes_back_shorter_than_listed_fails(here: World, mail: Path) -> None:
    backup_set = backed_up(here, paths=(mail,), restore_test=proving())

    def shorten(_name: str) -> None:
        (stored,) = here.engine.stored.values()
        entry = stored.entries[member(mail / "letter")]
        stored.entries[entry.path] = type(entry)(entry.path, entry.mode, entry.mtime_ns, b"one")

    here.engine.during["extract"] = shorten
    assert "has 3 bytes, not 10" in failed(here, backup_set).message


def test_a_link_to_the_live_files_proves_nothing(here: World, mail: Path) -> None:
    link = mail.parent / "link"
    link.symlink_to(mail)
    backup_set = backed_up(here, paths=(link,), restore_test=proving(PathCheck(path=member(link))))
    failed(here, backup_set)


def test_an_engine_that_fails_is_no_verdict_on_the_archive(here: World, mail: Path) -> None:
    backup_set = backed_up(here, paths=(mail,), restore_test=proving())
    here.engine.fail_next("extract", NetworkError("cut"))
    with pytest.raises(NetworkError):
        run(here.work(backup_set))
    assert not scratch_of(here.folders, "run1").exists()


# -- what tells nothing ---------------------------------------------------------------------------------


def test_without_an_archive_there_is_nothing_to_test_yet(here: World, mail: Path) -> None:
    here.engine.plant("shop_20260101-000000.checkpoint")
    here.engine.plant("stranger")
    result = run(here.work(set_of(paths=(mail,), restore_test=proving())))
    assert (result.outcome, result.error_code) == (Outcome.WARNING, "nothing-to-test")
    assert result.hint


def test_more_than_may_be_downloaded_is_not(here: World, mail: Path) -> None:
    test = proving(PathCheck(path=member(mail)), max_download=5)
    result = run(here.work(backed_up(here, paths=(mail,), restore_test=test)))
    assert (result.outcome, result.error_code) == (Outcome.WARNING, "inconclusive")
    assert "max_download" in result.notes[0]
    assert here.engine.count("extract") == 0


class WithHugeArchive(FakeEngine):
    """An archive of an exabyte, as its listing says."""

    def members(self, name: str) -> Iterator[Member]:
        yield Member("huge", 10**18, True, START)


def test_no_room_in_scratch_is_seen_before_anything_is_extracted(here: World) -> None:
    here.engine = WithHugeArchive(now=here.clock)
    here.engine.plant("shop_20260101-000000")
    result = run(here.work(set_of(paths=(Path("/huge"),), restore_test=proving(PathCheck(path="huge")))))
    assert (result.outcome, result.error_code) == (Outcome.WARNING, "inconclusive")
    assert "no room in scratch" in result.notes[0]
    assert here.engine.count("extract") == 0


def test_a_disk_that_fills_meanwhile_fails_with_that_reason(here: World, mail: Path) -> None:
    backup_set = backed_up(here, paths=(mail,), restore_test=proving())

    def full(_name: str) -> None:
        raise OSError(28, "No space left on device")

    here.engine.during["extract"] = full
    with pytest.raises(LocalDiskFullError):
        run(here.work(backup_set))
    assert not scratch_of(here.folders, "run1").exists()


def test_a_check_whose_program_is_missing_tells_nothing(here: World, mail: Path) -> None:
    check = CommandCheck(command=("no-such-program-anywhere",))
    result = run(here.work(backed_up(here, paths=(mail,), restore_test=proving(check))))
    assert (result.outcome, result.error_code) == (Outcome.WARNING, "inconclusive")
    assert here.history.proofs("shop") == ()


# -- which archive --------------------------------------------------------------------------------------


def ended(here: World, result: Result, number: int) -> None:
    """Write the row that the runner would have written."""
    now = here.clock()
    here.history.add(
        [
            Run(
                run_id=f"row{number}",
                job=job_id(Kind.RESTORE_TEST, "shop"),
                kind=Kind.RESTORE_TEST,
                backup_set="shop",
                slot=now,
                cause=Cause.SCHEDULE,
                started=now,
                ended=now,
                outcome=result.outcome,
                details=result.details,
            )
        ]
    )


def test_rotation_goes_between_the_newest_and_the_least_recently_proven(here: World, mail: Path) -> None:
    backup_set = set_of(paths=(mail,), restore_test=proving(pick="rotate"))
    names = [backup.run(here.work(backup_set)).archive for _turn in range(3)]
    here.history.record_proof(Proof("shop", names[0], here.clock(), seconds=1.0))
    picked = []
    for number in range(4):
        result = run(here.work(backup_set))
        picked.append(result.archive)
        ended(here, result, number)
    assert picked == [names[2], names[1], names[2], names[0]]


def test_the_newest_complete_archive_of_the_set_is_picked_and_the_listing_recorded(
    here: World, mail: Path
) -> None:
    backup_set = backed_up(here, paths=(mail,), restore_test=proving())
    (name,) = here.engine.stored
    later = here.clock() + timedelta(days=1)
    here.engine.plant("shop_20270101-000000.checkpoint", later)
    here.engine.plant("another set's", later)
    assert run(here.work(backup_set)).archive == name
    known = {item.archive.name for item in here.history.known_archives("shop")}
    assert known == {name, "shop_20270101-000000.checkpoint"}


# -- making way -----------------------------------------------------------------------------------------


def test_it_makes_way_for_a_backup_three_times_and_then_runs_to_its_end(here: World, mail: Path) -> None:
    backup_set = backed_up(here, paths=(mail,), restore_test=proving(PathCheck(path=member(mail))))
    run(here.work(backup_set, attempt=3))
    assert here.yielding.blocks > 1
    assert here.yielding.asides == 1
    here.yielding.blocks = 0
    run(here.work(backup_set, attempt=4))
    assert here.yielding.blocks == 1, "the listing, which begins anew by itself"


def test_from_its_choice_on_it_only_reads_one_archive_where_the_engine_can_do_that_beside_others(
    here: World, mail: Path
) -> None:
    backup_set = backed_up(here, paths=(mail,))
    result = run(here.work(backup_set))
    assert here.yielding.read == [result.archive]
    here.engine.properties = replace(here.engine.properties, reads_beside_creation=False)
    run(here.work(backup_set))
    assert here.yielding.read == [result.archive]


def test_a_stop_between_two_checks_ends_it_and_cleans_up(here: World, mail: Path) -> None:
    backup_set = backed_up(here, paths=(mail,), restore_test=proving(PathCheck(path=member(mail))))

    def stop() -> None:
        raise InterruptedRunError("stopping", cause="stop")

    here.yielding.aside = stop
    with pytest.raises(InterruptedRunError):
        run(here.work(backup_set))
    assert not scratch_of(here.folders, "run1").exists()


def test_a_command_that_is_cut_off_is_no_finding(here: World, mail: Path) -> None:
    check = CommandCheck(command=("sleep", "600"))
    backup_set = backed_up(here, paths=(mail,), restore_test=proving(check))
    here.yielding.aside = lambda: here.launcher.interrupt.request("stop")
    with pytest.raises(InterruptedRunError) as told:
        run(here.work(backup_set))
    assert told.value.cause == "stop"


# -- what to extract ------------------------------------------------------------------------------------


def members(count: int, size: int = 1000) -> list[Member]:
    return [Member(f"srv/file{number}", size, True, START) for number in range(count)]


def test_a_sample_is_the_same_for_one_seed_and_another_for_another() -> None:
    first = plan_extraction(members(1000), Wanted(), seed="a 0 1")
    assert len(first.sizes) == 50
    assert plan_extraction(reversed(members(1000)), Wanted(), seed="a 0 1") == first
    assert plan_extraction(members(1000), Wanted(), seed="a 1 1").sizes.keys() != first.sizes.keys()


def test_a_sample_keeps_to_what_may_be_downloaded() -> None:
    sample = plan_extraction(members(1000), Wanted(), seed="", max_bytes=5500)
    assert sample.bytes == 5000


def test_a_sample_leaves_out_empty_files_and_our_own() -> None:
    ours = [Member("var/about/config.toml", 100, True, START), Member("srv/empty", 0, True, START)]
    sample = plan_extraction(ours, Wanted(ours="var/about"), seed="")
    assert sample.nothing
    assert sample.sampled


def test_a_named_tree_does_not_take_its_namesake() -> None:
    listed = [Member("srv/mail/a", 1, True, START), Member("srv/mailing/b", 2, True, START)]
    plan = plan_extraction(listed, Wanted(paths=("srv/mail", "srv/gone")), seed="")
    assert (plan.only, plan.sizes) == (("srv/mail",), {"srv/mail/a": 1})
    assert plan_extraction(listed, Wanted(paths=("srv/gone",)), seed="").nothing


def test_each_kind_has_its_job() -> None:
    assert job_of(Kind.BACKUP) is backup.run
    assert job_of(Kind.RESTORE_TEST) is run
    assert job_of(Kind.EXPIRE).__module__ == "snapd.jobs.expire"


def test_the_clock_of_an_archive_is_its_own(here: World, mail: Path) -> None:
    """An old archive is judged against its creation, not against now."""
    check = PathCheck(path=member(mail), newest_within=timedelta(days=1))
    backup_set = backed_up(here, paths=(mail,), restore_test=proving(check))
    here.clock.at = datetime(2030, 1, 1, tzinfo=UTC)
    assert run(here.work(backup_set)).outcome is Outcome.OK
    assert isinstance(next(iter(here.engine.stored.values())).archive, Archive)
