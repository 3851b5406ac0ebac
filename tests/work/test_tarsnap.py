"""The Tarsnap engine over the stand-in client: what is Tarsnap's own, beyond the engine contract."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from snapd.config import RateLimit, Secret, TarsnapOptions
from snapd.engines.base import RunLimits, Selection
from snapd.engines.tarsnap_excludes import MOST_PATHS
from snapd.engines.tarsnap_selection import roots
from snapd.engines.walk_child import answer
from snapd.errors import (
    AccountError,
    EngineBusyError,
    EngineError,
    EngineUsageError,
    ExistsError,
    InterruptedRunError,
    KeyFaultError,
    KilledError,
    NetworkError,
    NotFoundError,
    OutOfSyncError,
    PartialError,
    TimeLimitError,
)
from snapd.model import Progress
from snapd.record_locks import holder_of
from tests.fakes.tarsnap_lab import VERSIONS, TarsnapLab
from tests.needs import needs_root


@pytest.fixture(params=VERSIONS)
def lab(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TarsnapLab:
    return TarsnapLab(tmp_path / "lab", monkeypatch, request.param)


@pytest.fixture
def new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TarsnapLab:
    """The newest version, one is enough."""
    return TarsnapLab(tmp_path / "lab", monkeypatch)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "plain").write_text("text\n")
    return folder


def large(source: Path, blocks: int = 40) -> Path:
    (source / "large").write_bytes(os.urandom(blocks * 2**16))
    return source


def words_of(lab: TarsnapLab, mode: str) -> list[str]:
    """The arguments of the last call in a mode."""
    return list(next(call.argv for call in reversed(lab.account.calls()) if mode in call.argv))


# -- how the client is called --------------------------------------------------------------------------------


def test_no_config_file_of_the_host_is_ever_read(lab: TarsnapLab, source: Path) -> None:
    engine = lab.engine()
    engine.create("a", Selection((source,)))
    engine.archives()
    engine.find("a")
    engine.stats()
    list(engine.members("a"))
    engine.extract("a", lab.folder)
    engine.delete(["a"])
    engine.repair()
    calls = [
        call.argv
        for call in lab.account.calls()
        if call.program == "tarsnap" and "--version" not in call.argv
    ]
    assert len(calls) >= 8
    assert all(call[1] == "--no-default-config" for call in calls)


def test_a_creation_gets_the_options_of_the_store_and_its_own_extra_ones(
    new: TarsnapLab, source: Path
) -> None:
    engine = new.engine(
        rate_limit=RateLimit(up=8000, down=10**6),
        checkpoint_bytes=5 * 10**6,
        extra=TarsnapOptions(create=("--lowmem",), list=("--retry-forever",)),
    )
    engine.create("a", Selection((source,), one_file_system=True))
    created = words_of(new, "-c")
    for option, value in (
        ("--maxbw-rate-up", "8000"),
        ("--maxbw-rate-down", "1000000"),
        ("--checkpoint-bytes", "5000000"),
        ("--cachedir", str(new.cachedir)),
    ):
        assert created[created.index(option) + 1] == value
    assert {"--lowmem", "--one-file-system", "--print-stats"} <= set(created)
    assert "--retry-forever" not in created
    engine.archives()
    assert "--retry-forever" in words_of(new, "--list-archives")


def test_progress_by_bytes_is_asked_for_only_where_the_version_has_it(lab: TarsnapLab, source: Path) -> None:
    lab.engine().create("a", Selection((source,)))
    assert ("--progress-bytes" in words_of(lab, "-c")) is (lab.version != "1.0.39")


def test_readers_are_told_of_no_cachedir_because_the_client_would_make_it(
    lab: TarsnapLab, source: Path
) -> None:
    lab.engine().create("a", Selection((source,)))
    shutil.rmtree(lab.cachedir)
    reader = lab.engine(cache="reader")
    assert [archive.name for archive in reader.archives()] == ["a"]
    assert reader.find("a") is not None
    reader.extract("a", lab.folder)
    assert not lab.cachedir.exists()


def test_a_missing_cachedir_is_refused_with_the_cure_and_never_made(lab: TarsnapLab, source: Path) -> None:
    shutil.rmtree(lab.cachedir)
    engine = lab.engine()
    for act in (
        lambda: engine.create("a", Selection((source,))),
        lambda: engine.delete(["a"]),
        engine.repair,
        engine.stats,
    ):
        with pytest.raises(OutOfSyncError) as caught:
            act()
        assert "snapd-backup repair offsite" in caught.value.hint
    assert not lab.cachedir.exists()
    (problem,) = engine.doctor(connect=False)
    assert (problem.passing, problem.store) == (True, "offsite")


def test_paths_that_look_like_options_or_directives_are_paths(new: TarsnapLab, tmp_path: Path) -> None:
    names = ["@file", "@@a", "-C", "-Cfoo", "--nuke", "-"]
    for name in names:
        (tmp_path / "odd").mkdir(exist_ok=True)
        (tmp_path / "odd" / name).write_text(name)
    new.engine().create("a", Selection(tuple(tmp_path / "odd" / name for name in names)))
    stored = new.account.contents(new.key, "a")
    assert sorted(stored.values()) == sorted(name.encode() for name in names)


def test_a_relative_path_is_refused_since_it_could_be_a_directive() -> None:
    with pytest.raises(ValueError, match="not from the root"):
        roots(Selection((Path("@etc"),)))


def test_a_passphrased_key_works_where_the_version_takes_its_passphrase(
    lab: TarsnapLab, source: Path, tmp_path: Path
) -> None:
    phrase = tmp_path / "phrase"
    phrase.write_text("hunter2\n")
    phrase.chmod(0o600)
    key = lab.account.new_key(passphrase="hunter2")
    engine = lab.engine(keyfile=key, passphrase=Secret(file=phrase), cachedir=tmp_path / "other")
    if lab.version == "1.0.39":
        (problem,) = (item for item in engine.doctor(connect=False) if not item.passing)
        assert "1.0.40" in problem.hint
        return
    engine.init()
    engine.create("a", Selection((source,)))
    assert lab.account.names(key) == ["a"]
    assert not any("hunter2" in word for call in lab.account.calls() for word in call.argv)


def test_a_passphrase_that_is_part_of_names_spoils_no_list(
    new: TarsnapLab, source: Path, tmp_path: Path
) -> None:
    phrase = tmp_path / "phrase"
    phrase.write_text("mail\n")
    phrase.chmod(0o600)
    key = new.account.new_key(passphrase="mail")
    engine = new.engine(keyfile=key, passphrase=Secret(file=phrase), cachedir=tmp_path / "other")
    engine.init()
    engine.create("mail_1", Selection((source,)))
    assert [archive.name for archive in engine.archives()] == ["mail_1"]


def test_a_wrong_passphrase_is_a_fault_of_the_key_and_is_read_again(new: TarsnapLab, tmp_path: Path) -> None:
    phrase = tmp_path / "phrase"
    phrase.write_text("wrong\n")
    phrase.chmod(0o600)
    engine = new.engine(keyfile=new.account.new_key(passphrase="right"), passphrase=Secret(file=phrase))
    with pytest.raises(KeyFaultError):
        engine.archives()
    phrase.write_text("right\n")
    assert engine.archives() == ()


# -- creating ------------------------------------------------------------------------------------------------


def test_an_archive_has_the_time_that_we_gave_it_and_find_knows_it_without_a_listing(
    lab: TarsnapLab, source: Path
) -> None:
    engine = lab.engine()
    engine.create("a", Selection((source,)))
    found = engine.find("a")
    assert not any("--list-archives" in call.argv for call in lab.account.calls()[1:] if "-t" in call.argv)
    assert found is not None
    assert found.created == datetime.fromtimestamp(lab.account.archives(lab.key)["a"].created, UTC)
    assert lab.engine().find("a") == found  # another object lists


def test_a_path_that_vanishes_meanwhile_is_omitted_whatever_the_exit_status(
    lab: TarsnapLab, source: Path
) -> None:
    (source / "fleeting").write_text("x")
    lab.account.at("create.entry", "run", command=f"rm -f {source}/fleeting", path=str(source / "fleeting"))
    created = lab.engine().create("a", Selection((source,)))
    assert created.omitted == (str(source / "fleeting"),)
    assert lab.account.names(lab.key) == ["a"]


def test_files_that_are_called_like_messages_spoil_no_archive(lab: TarsnapLab, source: Path) -> None:
    names = (
        "Error creating new archive",
        "account balance is not positive",
        "x tarsnap: Error closing archive",
    )
    for name in names:
        (source / name).write_text("x")
        (source / name).chmod(0)
    if os.geteuid() == 0:
        lab.drop_rights_of_root()
    created = lab.engine().create("a", Selection((source,)))
    assert {str(source / name) for name in names[:2]} <= set(created.omitted)
    assert lab.account.names(lab.key) == ["a"]


def test_an_archive_that_came_out_empty_is_made_and_told(lab: TarsnapLab, tmp_path: Path) -> None:
    created = lab.engine().create("a", Selection((tmp_path / "gone",)))
    assert created.omitted == (str(tmp_path / "gone"),)
    assert created.warnings == ("Warning: Archive contains no files",)


def test_a_name_may_hold_slashes_as_in_the_example_of_tarsnapper(lab: TarsnapLab, source: Path) -> None:
    engine, name = lab.engine(), "/localmachine/mail-20260101-0000"
    engine.create(name, Selection((source,)))
    assert engine.find(name) is not None
    assert [archive.name for archive in engine.archives()] == [name]
    engine.delete([name])
    assert engine.archives() == ()


def test_a_taken_name_and_a_taken_part_of_it_raise_exists(lab: TarsnapLab, source: Path) -> None:
    lab.tarsnap("-c", "-f", "a.part", source)
    with pytest.raises(ExistsError):
        lab.engine().create("a", Selection((source,)))


@pytest.mark.parametrize("point", ["create.start", "create.before-transaction"])
def test_a_client_that_dies_before_it_began_is_killed_and_leaves_nothing(
    lab: TarsnapLab, source: Path, point: str
) -> None:
    lab.account.at(point, "SIGKILL")
    with pytest.raises(KilledError) as caught:
        lab.engine().create("a", Selection((source,)))
    assert caught.value.retryable
    lab.engine().create("a.2", Selection((source,)))
    assert lab.account.names(lab.key) == ["a.2"]


def test_a_client_that_dies_between_checkpoint_and_commit_leaves_an_archive_that_comes_late(
    lab: TarsnapLab, source: Path
) -> None:
    lab.account.at("create.before-commit", "SIGKILL")
    engine = lab.engine()
    with pytest.raises(KilledError):
        engine.create("a", Selection((source,)))
    assert engine.archives() == ()
    engine.create("a.2", Selection((source,)))
    assert sorted(archive.name for archive in engine.archives()) == ["a", "a.2"]


def test_a_client_that_dies_after_its_commit_has_made_the_archive(lab: TarsnapLab, source: Path) -> None:
    lab.account.at("create.after-commit", "SIGKILL")
    engine = lab.engine()
    assert engine.create("a", Selection((source,))).name == "a"
    assert engine.find("a") is not None


def test_a_network_that_is_lost_before_the_commit_is_a_network_error(lab: TarsnapLab, source: Path) -> None:
    lab.account.at("create.before-commit", "network")
    with pytest.raises(NetworkError):
        lab.engine().create("a", Selection((source,)))


def test_a_part_that_a_checkpoint_left_is_listed_as_incomplete(lab: TarsnapLab, source: Path) -> None:
    lab.account.switch(checkpoint_every=5)
    lab.account.at("create.block", "SIGKILL", at=20)
    engine = lab.engine()
    with pytest.raises(KilledError):
        engine.create("a", Selection((large(source),)))
    lab.account.forget_points(lab.key)
    engine.create("a.2", Selection((source / "plain",)))
    assert {archive.name: archive.complete for archive in engine.archives()} == {"a.part": False, "a.2": True}


def test_somebody_elses_sigquit_is_told_as_a_cut_archive(lab: TarsnapLab, source: Path) -> None:
    lab.account.at("create.block", "SIGQUIT", at=5)
    with pytest.raises(PartialError, match=r"a\.part"):
        lab.engine().create("a", Selection((large(source),)))
    assert lab.account.names(lab.key) == ["a.part"]


def test_an_interrupted_deletion_gets_sigterm_and_is_told_as_interrupted(
    lab: TarsnapLab, source: Path
) -> None:
    engine = lab.engine(limits=RunLimits(grace_s=20))
    engine.create("a", Selection((source,)))
    lab.account.at("delete.middle", "pause")
    with lab.interrupted_at("delete.middle"), pytest.raises(InterruptedRunError):
        engine.delete(["a"])
    last = lab.account.calls()[-1]
    assert last.status is None  # it did not end by itself
    assert lab.account.names(lab.key) == ["a"]


def test_a_call_that_hangs_passes_its_limit(new: TarsnapLab) -> None:
    new.account.switch(start_delay_s=60)
    with pytest.raises(TimeLimitError):
        new.engine(limits=RunLimits(wall_s=0.5, grace_s=0.2)).archives()


def test_progress_names_entries_bytes_and_paths(new: TarsnapLab, source: Path) -> None:
    seen: list[Progress] = []
    new.engine(progress=seen.append).create("a", Selection((source,)))
    assert max(shown.bytes_read for shown in seen) > 0
    assert any(shown.path.endswith("plain") for shown in seen)


# -- what is left out ----------------------------------------------------------------------------------------


def test_a_star_inside_a_name_leaves_out_what_it_means_by_looking_first(
    new: TarsnapLab, source: Path
) -> None:
    for name in (
        "img1.raw",
        "img.x.raw",
        "imgs/deep.raw",
        "imgs/img2.raw",
        "home/a/.cache/x",
        "home/a/b/.cache/x",
    ):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text("x")
    new.engine().create("a", Selection((source,), ("img*.raw", f"{source}/home/*/.cache")))
    stored = {Path("/") / path for path in new.account.contents(new.key, "a")}
    assert {str(path.relative_to(source)) for path in stored} == {
        "plain",
        "imgs/deep.raw",
        "home/a/b/.cache/x",
    }


def test_more_than_tarsnap_can_be_told_of_is_archived_and_warned_of(new: TarsnapLab, source: Path) -> None:
    for number in range(MOST_PATHS + 7):
        (source / f"img{number}.raw").touch()
    created = new.engine().create("a", Selection((source,), ("img*.raw",)))
    (warning,) = created.warnings
    assert "so 7 paths are in the archive" in warning


def test_the_look_stays_on_one_file_system_out_of_what_is_pruned_and_follows_no_link(source: Path) -> None:
    for name in ("a/x1y", "b/x2y", "x3y/x4y"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).touch()
    (source / "link").symlink_to(source / "a")
    request = {
        "roots": [str(source)],
        "expressions": [r"(?s)(?:^|/)x[^/]*y(?:/|\Z)"],
        "pruned": [str(source / "b")],
        "one_file_system": True,
        "most": 10,
    }
    told = answer(request)
    assert sorted(told["paths"]) == [str(source / "a/x1y"), str(source / "x3y")]
    assert answer({**request, "most": 1})["more"] == 1


def test_a_root_is_dropped_only_when_the_walk_of_another_comes_to_it(tmp_path: Path) -> None:
    (tmp_path / "real" / "sub").mkdir(parents=True)
    (tmp_path / "real" / "link").symlink_to(tmp_path / "real" / "sub")
    (tmp_path / "real" / "sub" / "x").touch()
    real = tmp_path / "real"
    assert roots(Selection((real, real / "sub", real / "sub" / "x"))) == (str(real),)
    assert roots(Selection((real, real / "link" / "x"))) == (str(real), str(real / "link" / "x"))
    assert roots(Selection((real, Path("/proc")))) == (str(real), "/proc")
    assert roots(Selection((Path("/"), Path("/proc/self")), one_file_system=True)) == ("/", "/proc/self")


# -- one writer ----------------------------------------------------------------------------------------------

HOLD = """
import fcntl, sys, time
file = open(sys.argv[1], "a")
fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
print("locked", flush=True)
sys.stdin.read()
"""


@contextmanager
def record_lock(file: Path) -> Iterator[int]:
    """Another process holds a record lock on a file; yields its number."""
    words = [sys.executable, "-c", HOLD, str(file)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        yield holder.pid
        holder.stdin.close()


def test_a_foreign_tarsnap_at_work_is_busy_named_and_left_alone(new: TarsnapLab, source: Path) -> None:
    with record_lock(new.cachedir / "lockf") as pid:
        engine = new.engine()
        for act in (
            lambda: engine.create("a", Selection((source,))),
            lambda: engine.delete(["a"]),
            engine.repair,
        ):
            with pytest.raises(EngineBusyError, match=f"process {pid}, ") as caught:
                act()
            assert caught.value.retryable
        assert engine.archives() == ()  # readers need no lock
    engine.create("a", Selection((source,)))


def test_a_lock_is_asked_for_and_never_taken(tmp_path: Path) -> None:
    file = tmp_path / "lockf"
    assert holder_of(file) is None
    file.touch()
    assert holder_of(file) is None
    with file.open("a") as flocked:
        fcntl.flock(flocked, fcntl.LOCK_EX)  # another kind of lock, which stops no tarsnap
        assert holder_of(file) is None
    with record_lock(file) as pid:
        assert (holder_of(file) or "").startswith(f"process {pid}, ")
    assert holder_of(file) is None


def test_a_second_cachedir_puts_the_first_out_of_step_and_a_repair_mends_it(
    lab: TarsnapLab, source: Path
) -> None:
    engine = lab.engine()
    engine.create("a", Selection((source,)))
    other = lab.engine(cachedir=lab.folder / "other", cache="other")
    (lab.folder / "other").mkdir()
    other.repair()
    other.create("b", Selection((source,)))
    with pytest.raises(OutOfSyncError) as caught:
        engine.create("c", Selection((source,)))
    assert "snapd-backup repair offsite" in caught.value.hint
    assert not caught.value.retryable
    seen: list[Progress] = []
    lab.engine(progress=seen.append).repair()
    assert any(shown.path.startswith("Phase 1") for shown in seen)
    engine.create("d", Selection((source,)))
    assert lab.account.names(lab.key) == ["a", "b", "d"]
    assert not any("--fsck-prune" in call.argv for call in lab.account.calls())


# -- reading -------------------------------------------------------------------------------------------------


def test_a_listing_that_breaks_off_is_an_error_and_never_a_short_list(lab: TarsnapLab, source: Path) -> None:
    engine = lab.engine()
    for name in ("a", "b", "c"):
        engine.create(name, Selection((source,)))
    lab.account.switch(list_fails_at=2)
    with pytest.raises(EngineError):
        engine.archives()


def test_names_of_strangers_with_line_ends_and_tabs_are_listed_as_they_are(
    lab: TarsnapLab, source: Path
) -> None:
    names = {"two\nlines", "a\ttab", "sternförmig"}
    for name in names:
        lab.tarsnap("-c", "-f", name, source)
    assert {archive.name for archive in lab.engine().archives()} == names


def test_an_account_without_money_stops_everything_but_deletions(lab: TarsnapLab, source: Path) -> None:
    engine = lab.engine()
    engine.create("a", Selection((source,)))
    lab.account.switch(balance="none")
    for act in (
        lambda: engine.create("b", Selection((source,))),
        engine.archives,
        lambda: engine.find("a"),
        lambda: engine.extract("a", lab.folder),
    ):
        with pytest.raises(AccountError, match="no money left"):
            act()
    engine.delete(["a"])
    assert lab.account.names(lab.key) == []


@pytest.mark.parametrize("network", ["no-name", "no-connection"])
def test_a_missing_network_is_transient(lab: TarsnapLab, source: Path, network: str) -> None:
    lab.account.switch(network=network)
    engine = lab.engine()
    for act in (lambda: engine.create("a", Selection((source,))), engine.archives, lambda: engine.find("a")):
        with pytest.raises(NetworkError) as caught:
            act()
        assert caught.value.retryable
    (problem,) = engine.doctor(connect=True)
    assert problem.hint
    assert engine.doctor(connect=False) == ()


def test_a_damaged_chunk_fails_an_extraction(lab: TarsnapLab, source: Path) -> None:
    engine = lab.engine()
    engine.create("a", Selection((source,)))
    lab.account.damage_chunks(lab.key, "a")
    with pytest.raises(EngineError):
        engine.extract("a", lab.folder)


def test_deleting_stops_at_a_failure_and_what_was_deleted_stays_deleted(
    lab: TarsnapLab, source: Path
) -> None:
    engine = lab.engine()
    for name in ("a", "b", "c"):
        engine.create(name, Selection((source,)))
    lab.account.at("delete.before-transaction", "network", archive="b")
    with pytest.raises(NetworkError):
        engine.delete(["c", "b", "a"])  # sorted, so that neighbours share what is read
    assert lab.account.names(lab.key) == ["b", "c"]


def test_an_archive_that_is_not_there_is_not_found(lab: TarsnapLab) -> None:
    assert lab.engine().find("nix") is None
    with pytest.raises(NotFoundError):
        list(lab.engine().members("nix"))


# -- a damaged cachedir --------------------------------------------------------------------------------------


def test_a_damaged_cache_file_is_a_warning_and_a_damaged_trailer_says_what_to_remove(
    new: TarsnapLab, source: Path
) -> None:
    past = datetime.now(UTC) - timedelta(hours=1)
    for path in (*source.iterdir(), source):
        os.utime(path, (past.timestamp(), past.timestamp()))
    engine = new.engine()
    engine.create("a", Selection((source,)))
    new.account.damage_cache(new.cachedir, "trailer")
    with pytest.raises(EngineError) as caught:
        engine.create("b", Selection((source,)))
    assert "remove the file `cache`" in caught.value.hint
    (new.cachedir / "cache").unlink()
    engine.create("c", Selection((source,)))
    new.account.damage_cache(new.cachedir, "whole")
    created = engine.create("d", Selection((source,)))
    assert any("Error reading cache" in warning for warning in created.warnings)


def test_a_damaged_directory_asks_for_a_repair(lab: TarsnapLab, source: Path) -> None:
    engine = lab.engine()
    engine.create("a", Selection((source,)))
    (lab.cachedir / "directory").write_bytes(b"short")
    with pytest.raises(OutOfSyncError) as caught:
        engine.create("b", Selection((source,)))
    assert "repair offsite" in caught.value.hint


# -- init and doctor -----------------------------------------------------------------------------------------


def test_a_new_key_gets_a_cachedir_and_an_old_one_never(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: Path
) -> None:
    lab = TarsnapLab(tmp_path / "lab", monkeypatch, new=True)
    lab.engine().init()
    lab.engine().create("a", Selection((source,)))
    with pytest.raises(ExistsError):
        lab.engine().init()
    shutil.rmtree(lab.cachedir)
    with pytest.raises(OutOfSyncError) as caught:
        lab.engine().init()
    assert "snapd-backup repair offsite" in caught.value.hint
    assert not lab.cachedir.exists()


def test_a_program_that_is_missing_or_too_old_is_a_problem(
    new: TarsnapLab, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new.account.install("1.0.38")
    (problem,) = new.engine().doctor(connect=False)
    assert problem.message == "tarsnap 1.0.38 is too old"
    with pytest.raises(EngineUsageError):
        new.engine().create("a", Selection((source,)))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    (problem, *_) = new.engine().doctor(connect=False)
    assert problem.message == "tarsnap is not installed"
    with pytest.raises(EngineUsageError, match="not installed"):
        new.engine().archives()


def test_a_key_that_others_may_read_that_is_missing_or_no_file_is_a_problem(new: TarsnapLab) -> None:
    new.key.chmod(0o644)
    (problem,) = new.engine().doctor(connect=False)
    assert problem.hint == f"chmod 0600 {new.key}"
    (missing,) = new.engine(keyfile=new.folder / "none").doctor(connect=False)
    assert (missing.passing, "does not exist" in missing.message) == (True, True)
    (folder,) = new.engine(keyfile=new.folder).doctor(connect=False)
    assert "not a regular file" in folder.message


@pytest.mark.parametrize(
    ("permissions", "lacking"),
    [(("write",), "reading"), (("read",), "writing"), (("read", "delete"), "writing")],
)
def test_a_key_that_lacks_what_every_backup_needs_is_a_problem(
    new: TarsnapLab, permissions: tuple[str, ...], lacking: str
) -> None:
    (problem,) = new.engine(keyfile=new.account.cut_key(new.key, *permissions)).doctor(connect=False)
    assert f"does not allow {lacking}" in problem.message


LOOK = """
import sys
from pathlib import Path
from snapd.config import TarsnapStore
from snapd.engines.tarsnap_machine import problems
from snapd.proc import Launcher
key, cachedir = map(Path, sys.argv[1:])
store = TarsnapStore(engine="tarsnap", keyfile=key, cachedir=cachedir)
print(*(problem.hint for problem in problems("offsite", store, Launcher())), sep="\\n")
"""


def test_a_key_and_a_cachedir_of_somebody_else_are_told_with_the_exact_commands(new: TarsnapLab) -> None:
    for path in (new.key, new.cachedir):
        path.chmod(0)
    as_root = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")  # who else reads everything
    plain = (*(as_root if os.geteuid() == 0 else ()), sys.executable, "-c", LOOK)
    done = subprocess.run((*plain, new.key, new.cachedir), check=True, capture_output=True, text=True)
    assert done.stdout.splitlines() == [
        f"let the service read it: chown root:snapd-backup {new.key} && chmod 0640 {new.key}",
        f"chown -R snapd-backup: {new.cachedir}",
    ]


@needs_root
def test_a_key_that_only_our_own_privilege_opens_is_told_before_a_listing_meets_it(new: TarsnapLab) -> None:
    os.chown(new.cachedir, 65534, 65534)
    for path in new.cachedir.iterdir():
        os.chown(path, 65534, 65534)
    as_service = (
        *("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"),
        *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search", "--"),
        *(sys.executable, "-c", LOOK),
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        (*as_service, new.key, new.cachedir), cwd=root, check=True, capture_output=True, text=True
    )
    assert f"install -o root -g snapd-backup -m 0640 {new.key} /etc/snapd-backup/" in done.stdout


def test_small_looks_at_an_unchanged_file_are_made_once(new: TarsnapLab) -> None:
    new.engine().doctor(connect=False)
    before = len(new.account.calls())
    new.engine().doctor(connect=False)
    assert len(new.account.calls()) == before


def test_only_a_creation_has_sigquit_for_its_gentle_signal(new: TarsnapLab) -> None:
    assert new.engine().properties.gentle_signal is signal.SIGQUIT
