"""Every promise of `snapd.engines.base.Engine`, kept by each engine."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import pytest

from snapd.engines.base import Engine, RunLimits, Selection
from snapd.errors import ExistsError, InterruptedRunError, NotFoundError
from snapd.model import Progress, is_incomplete_name
from snapd.proc import Interrupt
from tests.fakes.borg import BorgLab, make_template, require_borg
from tests.fakes.engine import FakeEngine
from tests.fakes.tarsnap_lab import VERSIONS, TarsnapLab


class Lab(Protocol):
    """One engine under test, and what only its owner can do to it.

    `clock_tick` is how exactly it knows the times of files; `counts_files` and `counts_contents_only` say
    whether it tells the number of files of an archive, and sizes without its own records.
    """

    clock_tick: timedelta = timedelta(milliseconds=1)
    counts_files: bool = True
    counts_contents_only: bool = True
    engine: Engine
    interrupt: Interrupt
    seen: list[Progress]

    def stranger(self, name: str, source: Path) -> None:
        """Put an archive into the store without the engine under test."""

    def unreadable(self, path: Path) -> None:
        """Make a file unreadable for the engine."""

    def during_create(self, action: Callable[[], None]) -> None:
        """Have `action` called once, in the middle of the next creation; the engine may be another then."""

    def reader(self) -> Engine:
        """Another engine on the same store, as a restore has it."""


class FakeLab(Lab):
    def __init__(self) -> None:
        self.interrupt = Interrupt()
        self.seen: list[Progress] = []
        self.fake = FakeEngine(interrupt=self.interrupt, now=lambda: datetime.now(UTC))
        self.fake.progress = self.seen.append
        self.engine: Engine = self.fake

    def stranger(self, name: str, source: Path) -> None:
        self.fake.plant(name)

    def unreadable(self, path: Path) -> None:
        self.fake.omitted.add(path)

    def during_create(self, action: Callable[[], None]) -> None:
        def once(_name: str) -> None:
            del self.fake.during["create"]
            action()

        self.fake.during["create"] = once

    def reader(self) -> Engine:
        return self.engine


class RealBorg(Lab):
    def __init__(self, folder: Path, template: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lab = BorgLab(folder, template=template)
        self.interrupt = self.lab.interrupt
        self.seen: list[Progress] = []
        self.engine: Engine = self.lab.engine(progress=self.seen.append)
        self._monkeypatch = monkeypatch

    def stranger(self, name: str, source: Path) -> None:
        self.lab.borg("create", f"{self.lab.repository}::{name}", str(source))

    def unreadable(self, path: Path) -> None:
        path.chmod(0)
        if os.geteuid() == 0:  # root reads everything, unless borg runs without the right to
            shim = self.lab.folder / "bin" / "borg"
            shim.parent.mkdir()
            lost = "--bounding-set=-dac_override,-dac_read_search"
            shim.write_text(f'#!/bin/sh\nPATH=${{PATH#*:}}\nexec setpriv {lost} borg "$@"\n')
            shim.chmod(0o755)
            self._monkeypatch.setenv("PATH", f"{shim.parent}:{os.environ['PATH']}")

    def during_create(self, action: Callable[[], None]) -> None:
        waiting = [action]

        def progress(shown: Progress) -> None:
            if shown.bytes_read > 0 and waiting:
                waiting.pop()()

        self.engine = self.lab.engine(progress=progress, limits=RunLimits(grace_s=60), compression="lzma,6")

    def reader(self) -> Engine:
        return self.lab.engine(cache="reader")


class OverTarsnap(Lab):
    """The real adapter over the stand-in client."""

    clock_tick = timedelta(seconds=1)
    counts_files = False
    counts_contents_only = False

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
        self.lab = TarsnapLab(folder, monkeypatch, version)
        self.interrupt = self.lab.interrupt
        self.seen: list[Progress] = []
        self.engine: Engine = self.lab.engine(progress=self.seen.append)

    def stranger(self, name: str, source: Path) -> None:
        self.lab.tarsnap("-c", "-f", name, source)

    def unreadable(self, path: Path) -> None:
        path.chmod(0)
        if os.geteuid() == 0:
            self.lab.drop_rights_of_root()

    def during_create(self, action: Callable[[], None]) -> None:
        waiting = [action]

        def progress(shown: Progress) -> None:
            if waiting and shown.files > 0:
                waiting.pop()()

        self.lab.account.switch(create_delay_s=0.02)
        self.engine = self.lab.engine(progress=progress, limits=RunLimits(grace_s=60))

    def reader(self) -> Engine:
        return self.lab.engine(cache="reader")


@pytest.fixture(scope="session")
def borg_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require_borg()
    return make_template(tmp_path_factory.mktemp("borg"))


@pytest.fixture(params=["fake", "borg", *(f"tarsnap-{version}" for version in VERSIONS)])
def lab(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    if request.param == "fake":
        yield FakeLab()
        return
    store = tmp_path / "store"
    store.mkdir()
    if request.param.startswith("tarsnap-"):
        yield OverTarsnap(store, monkeypatch, request.param.removeprefix("tarsnap-"))
    else:
        yield RealBorg(store, request.getfixturevalue("borg_template"), monkeypatch)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "plain").write_text("text\n")
    return folder


def slow_source(folder: Path) -> Path:
    """A folder that no engine stores in a moment."""
    (folder / "large").write_bytes(os.urandom(8 * 2**20))
    return folder


def inside(path: Path) -> str:
    """A path as it is called inside an archive."""
    return str(path).lstrip("/")


def paths_in(engine: Engine, name: str) -> set[str]:
    return {"/" + member.path for member in engine.members(name)}


# -- the store ----------------------------------------------------------------------------------------------


def test_creating_a_store_that_exists_raises_exists_and_leaves_it_as_it_is(lab: Lab, source: Path) -> None:
    lab.engine.create("a", Selection((source,)))
    with pytest.raises(ExistsError):
        lab.engine.init()
    assert lab.engine.find("a") is not None


def test_the_doctor_finds_nothing_wrong_with_a_sound_store(lab: Lab) -> None:
    assert lab.engine.doctor(connect=False) == ()
    assert lab.engine.doctor(connect=True) == ()


def test_the_sizes_of_a_store_are_told_in_bytes(lab: Lab, source: Path) -> None:
    lab.engine.create("a", Selection((source,)))
    stats = lab.engine.stats()
    size = (source / "plain").stat().st_size
    assert stats.bytes_total is not None
    assert stats.bytes_total == size if lab.counts_contents_only else size < stats.bytes_total < size + 10_000


def test_repairing_a_sound_store_loses_nothing(lab: Lab, source: Path, tmp_path: Path) -> None:
    lab.engine.create("a", Selection((source,)))
    lab.engine.repair()
    lab.engine.extract("a", tmp_path)
    assert (tmp_path / inside(source) / "plain").read_text() == "text\n"


# -- create, find, archives ---------------------------------------------------------------------------------


def test_a_created_archive_is_found_and_listed_with_the_time_of_its_creation(lab: Lab, source: Path) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)  # engines may round down to a second
    created = lab.engine.create("mail_20200101-0000", Selection((source,)))
    found = lab.engine.find("mail_20200101-0000")
    assert found is not None
    assert before <= found.created <= datetime.now(UTC)
    assert found.created.tzinfo is UTC
    assert found.complete
    assert lab.engine.archives() == (found,)
    assert created.name == "mail_20200101-0000"
    assert created.encrypted in (True, lab.engine.properties.encrypted)
    assert created.files == (1 if lab.counts_files else None)
    assert (created.omitted, created.warnings) == ((), ())
    assert created.bytes_new is not None


def test_an_empty_store_lists_nothing(lab: Lab) -> None:
    assert lab.engine.archives() == ()
    assert lab.engine.find("a") is None


def test_names_are_taken_literally(lab: Lab, source: Path, tmp_path: Path) -> None:
    names = ["sternförmig und so", "{now}", "a[1]*?", "-n"]
    for name in names:
        lab.engine.create(name, Selection((source,)))
    for name in names:
        found = lab.engine.find(name)
        assert found is not None
        assert found.name == name
    lab.engine.extract("{now}", tmp_path)
    lab.engine.delete(names)
    assert lab.engine.archives() == ()


def test_a_name_with_wildcards_finds_no_other_archive(lab: Lab, source: Path) -> None:
    lab.engine.create("abc", Selection((source,)))
    assert lab.engine.find("a*") is None
    assert lab.engine.find("ab?") is None
    lab.engine.delete(["a*"])
    assert lab.engine.find("abc") is not None


def test_a_taken_name_raises_exists(lab: Lab, source: Path) -> None:
    lab.engine.create("a", Selection((source,)))
    with pytest.raises(ExistsError):
        lab.engine.create("a", Selection((source,)))


def test_strangers_and_incomplete_archives_are_listed_and_marked(lab: Lab, source: Path) -> None:
    lab.engine.create("ours", Selection((source,)))
    lab.stranger("theirs", source)
    lab.stranger("ours-too.checkpoint", source)
    complete = {archive.name: archive.complete for archive in lab.engine.archives()}
    assert complete == {"ours": True, "theirs": True, "ours-too.checkpoint": False}


def test_what_cannot_be_read_is_omitted_and_told_and_the_rest_is_archived(lab: Lab, source: Path) -> None:
    (source / "private").write_text("x")
    lab.unreadable(source / "private")
    created = lab.engine.create("a", Selection((source,)))
    assert created.omitted == (str(source / "private"),)
    assert created.warnings == ()
    assert paths_in(lab.engine, "a") == {str(source), str(source / "plain")}


def test_a_path_that_vanished_is_omitted_and_told(lab: Lab, source: Path) -> None:
    created = lab.engine.create("a", Selection((source, source.parent / "gone")))
    assert created.omitted == (str(source.parent / "gone"),)
    assert lab.engine.find("a") is not None


def test_progress_is_told_while_an_archive_is_made(lab: Lab, source: Path) -> None:
    lab.engine.create("a", Selection((source,)))
    assert lab.seen


def test_an_interrupted_creation_leaves_an_incomplete_archive_and_the_next_one_works(
    lab: Lab, source: Path
) -> None:
    lab.during_create(lambda: lab.interrupt.request("sliced"))
    with pytest.raises(InterruptedRunError) as caught:
        lab.engine.create("a", Selection((slow_source(source),)))
    assert caught.value.cause == "sliced"
    lab.interrupt.withdraw("sliced")
    assert lab.engine.find("a") is None
    listed = lab.engine.archives()
    assert lab.engine.properties.resumable
    assert [(is_incomplete_name(left.name), left.complete) for left in listed] == [(True, False)]
    lab.engine.create("a.2", Selection((source,)))
    assert lab.engine.find("a.2") is not None


def test_no_creation_starts_once_the_run_is_to_stop(lab: Lab, source: Path) -> None:
    lab.interrupt.request("stop")
    with pytest.raises(InterruptedRunError):
        lab.engine.create("a", Selection((source,)))
    lab.interrupt.withdraw("stop")
    assert lab.engine.find("a") is None


def test_an_archive_can_be_read_while_another_is_made_where_the_engine_says_so(
    lab: Lab, source: Path, tmp_path: Path
) -> None:
    assert lab.engine.properties.reads_beside_creation
    lab.engine.create("a", Selection((source,)))
    (tmp_path / "out").mkdir()
    lab.during_create(lambda: lab.reader().extract("a", tmp_path / "out"))
    lab.engine.create("b", Selection((slow_source(source),)))
    assert (tmp_path / "out" / inside(source) / "plain").read_text() == "text\n"
    assert lab.engine.find("b") is not None


# -- selections ---------------------------------------------------------------------------------------------


def grow(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")


def test_patterns_leave_out_what_they_mean_and_nothing_else(lab: Lab, source: Path) -> None:
    kept = ("a.tmp.txt", "logs/keep", "deep/x/y.log.gz", "new/cache.d/f", "data/x/file", "mid/b", "é/ü")
    left = (
        "a.tmp",
        "deep/down/b.tmp",
        "cache/f",
        "new/cache/f",
        "top",
        "deep/x/y.log",
        "deep/z.log",
        "data/x/y/junk/f",
        "img1.raw",
        "é/ö",
    )
    grow(source, *kept, *left, "sub/top", "data/x.log", "imgx.raw")
    exclude = (
        "*.tmp",
        "cache",
        f"{source}/top",
        f"{source}/deep/**/*.log",
        f"{source}/data/**/junk",
        "img[0-9].raw",
        "ö",
    )
    lab.engine.create("a", Selection((source,), exclude))
    stored = paths_in(lab.engine, "a")
    assert not {str(source / name) for name in left} & stored
    expected = (*kept, "sub/top", "data/x.log", "imgx.raw", "plain")
    assert {str(source / name) for name in expected} <= stored


def test_our_own_folders_are_never_archived_and_a_staged_dump_always(lab: Lab, source: Path) -> None:
    grow(source, "state/history.sqlite", "state2/x", "live.sqlite")
    staging = source.parent / "staging"
    grow(staging, "shop.sqlite")
    selection = Selection(
        (source, staging), exclude=("*.sqlite", "staging"), never=(source / "state",), staged=(staging,)
    )
    lab.engine.create("a", selection)
    stored = paths_in(lab.engine, "a")
    assert str(staging / "shop.sqlite") in stored
    assert str(source / "state2/x") in stored
    assert (
        not {str(source / "state"), str(source / "state/history.sqlite"), str(source / "live.sqlite")}
        & stored
    )


def test_a_path_inside_another_is_archived_once(lab: Lab, source: Path) -> None:
    grow(source, "sub/x")
    lab.engine.create("a", Selection((source, source / "sub", source / "sub/x", source)))
    stored = [member.path for member in lab.engine.members("a")]
    assert sorted(stored) == sorted(set(stored))
    assert inside(source / "sub/x") in stored


# -- delete, reclaim ----------------------------------------------------------------------------------------


def test_deleted_archives_are_gone_and_one_that_is_not_there_is_no_error(lab: Lab, source: Path) -> None:
    for name in ("a", "b", "c"):
        lab.engine.create(name, Selection((source,)))
    lab.engine.delete(["a", "missing", "c"])
    assert [archive.name for archive in lab.engine.archives()] == ["b"]
    lab.engine.delete(["a"])
    lab.engine.delete([])
    assert [archive.name for archive in lab.engine.archives()] == ["b"]


def test_more_than_one_batch_is_refused(lab: Lab) -> None:
    with pytest.raises(ValueError, match="batch"):
        lab.engine.delete([str(number) for number in range(lab.engine.properties.largest_delete_batch + 1)])


def test_giving_space_back_is_harmless_and_can_be_repeated(lab: Lab, source: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        lab.engine.create(name, Selection((source,)))
    lab.engine.delete(["a"])
    lab.engine.reclaim()
    lab.engine.reclaim()
    lab.engine.extract("b", tmp_path)
    assert (tmp_path / inside(source) / "plain").read_text() == "text\n"


# -- members, extract ---------------------------------------------------------------------------------------


def test_the_members_of_an_archive_have_path_size_kind_and_time(lab: Lab, source: Path) -> None:
    (source / "link").symlink_to("plain")
    (source / "other").hardlink_to(source / "plain")
    lab.engine.create("a", Selection((source,)))
    members = {member.path: member for member in lab.engine.members("a")}
    plain = members[inside(source / "plain")]
    assert (plain.size, plain.is_file) == (5, True)
    modified = datetime.fromtimestamp((source / "plain").stat().st_mtime, UTC)
    assert abs(plain.mtime - modified) < lab.clock_tick
    assert members[inside(source / "other")].size == 5
    assert (members[inside(source)].size, members[inside(source)].is_file) == (0, False)
    assert not members[inside(source / "link")].is_file


ODD_NAMES = ["ümlaut", "with space", "-dash", "new\nline", "quote'\"", "back\\slash", "*", "[x]", "{now}"]


def test_an_archive_is_extracted_as_it_was(lab: Lab, source: Path, tmp_path: Path) -> None:
    for name in ODD_NAMES:
        (source / name).write_text(name)
    (source / "empty").touch()
    (source / "folder").mkdir(mode=0o750)
    (source / "link").symlink_to("nowhere/at all")
    (source / "other").hardlink_to(source / "plain")
    (source / "plain").chmod(0o640)
    os.utime(source / "plain", ns=(10**18, 10**18))
    lab.engine.create("a", Selection((source,)))
    out = tmp_path / "out"
    out.mkdir()
    lab.engine.extract("a", out)
    copy = out / inside(source)
    assert {name: (copy / name).read_text() for name in ODD_NAMES} == {name: name for name in ODD_NAMES}
    assert (copy / "empty").read_bytes() == b""
    assert (copy / "link").readlink() == Path("nowhere/at all")
    assert (copy / "other").stat().st_ino == (copy / "plain").stat().st_ino
    assert (copy / "plain").stat().st_mtime_ns == 10**18
    assert stat.S_IMODE((copy / "plain").stat().st_mode) == 0o640
    assert stat.S_IMODE((copy / "folder").stat().st_mode) == 0o750
    assert sorted(path.name for path in copy.iterdir()) == sorted(path.name for path in source.iterdir())


def test_only_the_named_members_and_trees_are_extracted(lab: Lab, source: Path, tmp_path: Path) -> None:
    grow(source, "tree/a/b", "tree2/c", "*", "what?")
    lab.engine.create("a", Selection((source,)))
    out = tmp_path / "out"
    out.mkdir()
    only = [inside(source / "tree"), inside(source / "*"), inside(source / "what?")]
    lab.engine.extract("a", out, only)
    files = {str(path.relative_to(out / inside(source))) for path in out.rglob("*") if path.is_file()}
    assert files == {"tree/a/b", "*", "what?"}


def test_a_member_that_is_not_there_raises_not_found(lab: Lab, source: Path, tmp_path: Path) -> None:
    lab.engine.create("a", Selection((source,)))
    with pytest.raises(NotFoundError):
        lab.engine.extract("a", tmp_path, [inside(source / "plain"), inside(source / "plai")])


def test_an_archive_that_is_not_there_raises_not_found(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        list(lab.engine.members("nix"))
    with pytest.raises(NotFoundError):
        lab.engine.extract("nix", tmp_path)
