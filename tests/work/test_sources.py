"""Files and folders, and what a set is made of."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from snapd import sources
from snapd.config import BackupSet, SqliteDump
from snapd.errors import SourceError
from snapd.model import ArchivePattern
from snapd.proc import Launcher
from snapd.sources.base import Tools
from snapd.sources.files import FilesSource
from tests.fakes.mounts import ROOT, among_mounts, beside_hung_mounts
from tests.needs import needs_root

NOBODY = 65534


def test_paths_that_are_left_are_saved_and_the_missing_one_is_named(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    with FilesSource([tmp_path, gone], alone=True).open() as prepared:
        assert prepared.paths == (tmp_path,)
        assert prepared.lacking == (f"{gone} does not exist",)


def test_no_path_left_is_a_failure_that_names_them_all(tmp_path: Path) -> None:
    source = FilesSource([tmp_path / "one", tmp_path / "two"], alone=True)
    with pytest.raises(SourceError, match=r"one does not exist; .*two does not exist"), source.open():
        pass


def test_no_path_left_beside_a_dump_is_only_lacking(tmp_path: Path) -> None:
    with FilesSource([tmp_path / "gone"], alone=False).open() as prepared:
        assert prepared.paths == ()
        assert len(prepared.lacking) == 1


def test_an_empty_folder_is_nothing_to_speak_of(tmp_path: Path) -> None:
    with FilesSource([tmp_path], alone=True).open() as prepared:
        assert prepared.lacking == ()


def test_a_path_named_twice_is_saved_once(tmp_path: Path) -> None:
    with FilesSource([tmp_path, tmp_path], alone=True).open() as prepared:
        assert prepared.paths == (tmp_path,)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with FilesSource([tmp_path / "pipe"], alone=True).open() as prepared:
        assert prepared.paths == (tmp_path / "pipe",)


def test_a_link_whose_target_is_not_saved_is_told(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "target")
    with FilesSource([link], alone=True).open() as prepared:
        assert prepared.paths == (link,)
        assert prepared.lacking == (
            f"{link} is a symbolic link and saved as such; name its target {tmp_path / 'target'} too",
        )
    with FilesSource([link, tmp_path / "target"], alone=True).open() as prepared:
        assert prepared.lacking == ()


@needs_root
def test_a_path_that_this_user_cannot_read_is_named(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    secret.chmod(0o600)
    program = (
        "import os, sys; from pathlib import Path; from snapd.sources.files import FilesSource\n"
        f"os.setresgid({NOBODY}, {NOBODY}, {NOBODY}); os.setgroups([]); os.chdir(sys.argv[1])\n"
        f"os.setresuid({NOBODY}, {NOBODY}, {NOBODY})\n"
        "with FilesSource([Path('secret'), Path('.')], alone=True).open() as prepared:\n"
        "    print(prepared.lacking)"
    )
    tmp_path.chmod(0o755)  # it becomes nobody inside, and needs nothing above
    ended = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert ended.stdout == "('secret cannot be read by the service user',)\n", ended.stderr


HUNG = """
import sys
from pathlib import Path
from snapd.errors import SourceError
from snapd.sources.files import FilesSource

folder = Path(sys.argv[1])
dead, alive, link = folder / "dead", folder / "alive", folder / "link"
hang(dead)
with FilesSource([dead, alive, link], alone=True, look_s=0.5).open() as prepared:
    print(*prepared.paths, *prepared.lacking, sep="\\n")
print(*(problem.message for problem in FilesSource([dead], alone=True, look_s=0.5).doctor()))
try:
    FilesSource([dead], alone=True, look_s=0.5).open().__enter__()
except SourceError as error:
    print(error.retryable)
"""


def test_a_path_on_a_dead_mount_is_named_and_the_others_are_saved(tmp_path: Path) -> None:
    for name in ("dead", "alive"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "dead/below")
    assert beside_hung_mounts(HUNG, tmp_path).splitlines() == [
        f"{tmp_path}/alive",
        f"{tmp_path}/link",
        f"{tmp_path}/dead does not answer (a hung mount?)",
        f"{tmp_path}/link is a symbolic link and saved as such; its target does not answer (a hung mount?)",
        f"{tmp_path}/dead does not answer (a hung mount?)",
        "True",
    ]


PRIVATE = """
import sys
from pathlib import Path
from snapd.config import SqliteDump
from snapd.proc import Launcher
from snapd.sources.base import Tools
from snapd.sources.files import FilesSource
from snapd.sources.sqlite import SqliteSource

shop = SqliteDump(engine="sqlite", path=Path("/tmp/shop.db"), name="shop")
tools = Tools(Launcher(), Path("/none"))
for source in (FilesSource([Path("/tmp/x")], alone=True), SqliteSource(shop, tools)):
    print(*(problem.message for problem in source.doctor()))
"""


def test_what_only_seems_to_be_in_tmp_is_a_problem(tmp_path: Path) -> None:
    private = tmp_path / "systemd-private-1-snapd-backup.service-x" / "tmp"
    private.mkdir(parents=True)
    commands = f"mount --rbind {private} /tmp"
    if ROOT.is_relative_to("/tmp"):  # a clone in /tmp stays where it is
        kept = private / ROOT.relative_to("/tmp")
        kept.mkdir(parents=True)
        commands = f"mount --bind {ROOT} {kept} && {commands}"
    told = among_mounts(commands, (sys.executable, "-c", PRIVATE))
    assert [line.partition(" is in a folder of")[0] for line in told.splitlines()] == [
        "/tmp/x",
        "the SQLite database /tmp/shop.db",
    ]


def test_a_set_is_its_paths_and_then_its_dumps(tmp_path: Path) -> None:
    dumps = tuple(
        SqliteDump(engine="sqlite", path=tmp_path / f"{name}.db", name=name) for name in ("shop", "blog")
    )
    backup_set = BackupSet(
        name="all", store="local", archive=ArchivePattern("all_%Y%m%d"), paths=(tmp_path,), dump=dumps
    )

    def tools_for(part: str) -> Tools:
        return Tools(Launcher(), tmp_path / part)

    built = sources.build(backup_set, tools_for)
    assert [type(source).__name__ for source in built] == ["FilesSource", "SqliteSource", "SqliteSource"]
    staged = [source.staged() for source in sources.dumps(backup_set, tools_for)]
    assert staged == [tmp_path / f"dumps/{name}/{name}.sqlite" for name in ("shop", "blog")]
