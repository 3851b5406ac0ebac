"""The unit, the Makefile's scripts, and what `make install` lays down."""

from __future__ import annotations

import os
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from snapd.config import Daemon
from tests.needs import needs

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.xdist_group("packaging")  # one installation, in the order of this file
PACKAGING = ROOT / "packaging"
WORSE_THAN = "17"  # tenths: an exposure of 1.7


def run(*argv: str | Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], **(env or {})}
    return subprocess.run(argv, cwd=ROOT, env=environment, text=True, capture_output=True, check=False)


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit as installed, with a program that exists."""
    program = tmp_path / "snapd-backup"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / "snapd-backup.service"
    template = (PACKAGING / "systemd/snapd-backup.service").read_text()
    unit.write_text(template.replace("@BINDIR@", str(tmp_path)))
    return unit


def directives(unit: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


@needs("systemd-analyze")
def test_the_unit_exposes_no_more_than_1_7(unit: Path) -> None:
    done = run("systemd-analyze", "security", "--offline=true", f"--threshold={WORSE_THAN}", unit)
    assert done.returncode == 0, done.stdout + done.stderr


@needs("systemd-analyze")
def test_systemd_has_nothing_to_say_against_the_unit(unit: Path) -> None:
    done = run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_systemd_waits_longer_for_the_stop_than_the_daemon_for_its_engine(unit: Path) -> None:
    stop_limit: timedelta = Daemon.model_fields["stop_limit"].default
    assert int(directives(unit)["TimeoutStopSec"][0]) > stop_limit.total_seconds() + 10


def test_only_folders_that_are_writable_anyway_lose_execution(unit: Path) -> None:
    # ProtectSystem=strict makes any other path of NoExecPaths= writable again.
    (paths,) = directives(unit)["NoExecPaths"]
    writable = {"/var/lib/snapd-backup", "/var/cache/snapd-backup", "/tmp", "/var/tmp", "/dev/shm"}
    assert set(paths.split()) <= writable


def test_systemd_never_gives_the_daemon_up_but_honours_a_wrong_config(unit: Path) -> None:
    found = directives(unit)
    assert found["Restart"] == ["on-failure"]
    assert found["StartLimitIntervalSec"] == ["0"]
    assert found["RestartPreventExitStatus"] == ["2"]


def test_the_daemon_has_the_one_capability_and_no_other(unit: Path) -> None:
    found = directives(unit)
    assert found["AmbientCapabilities"] == found["CapabilityBoundingSet"] == ["CAP_DAC_READ_SEARCH"]
    assert found["User"] == ["snapd-backup"]


def test_a_python_that_the_service_cannot_reach_is_refused_with_the_reason(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    python = closed / "python3"
    python.write_text('#!/bin/sh\necho "lies in a closed folder"\n')
    python.chmod(0o755)
    done = run(PACKAGING / "choose-python.sh", "--shared", env={"PYTHON": f"{python} not-there"})
    assert done.returncode == 1
    assert f"{python} lies in a closed folder" in done.stderr
    assert "not-there is not there" in done.stderr
    assert "PYTHON=" in done.stderr


def test_a_fitting_python_is_printed() -> None:
    done = run(PACKAGING / "choose-python.sh")
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_absolute()


def test_a_missing_command_is_named_with_its_package(tmp_path: Path) -> None:
    for name in ("sh", "id"):
        (tmp_path / name).symlink_to(shutil.which(name) or "")
    (tmp_path / "id").unlink()
    (tmp_path / "id").write_text("#!/bin/sh\necho 1000\n")
    (tmp_path / "id").chmod(0o755)
    done = run(PACKAGING / "need.sh", "sh:dash", "no-such-command:its-package", env={"PATH": str(tmp_path)})
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Please install (names of Debian's packages): its-package\n"


def test_nothing_is_said_when_nothing_is_missing() -> None:
    done = run(PACKAGING / "need.sh", "sh:dash")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DESTDIR after `make install`."""
    folder = tmp_path_factory.mktemp("destdir")
    done = make("install", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "systemctl enable --now snapd-backup" in done.stdout
    return folder


def make(target: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return run(
        "make", "--no-print-directory", target, f"DESTDIR={folder}", "PREFIX=/opt/x", env=dict(os.environ)
    )


@pytest.mark.timeout(300)
def test_an_installation_knows_its_final_place_only(installed: Path) -> None:
    lib, bin_ = installed / "opt/x/lib", installed / "opt/x/bin"
    assert (bin_ / "snapd-backup").readlink() == Path("/opt/x/lib/snapd-backup/bin/snapd-backup")
    script = (lib / "snapd-backup/bin/snapd-backup").read_text()
    assert script.startswith("#!/opt/x/lib/snapd-backup/bin/python")
    unit = (lib / "systemd/system/snapd-backup.service").read_text()
    assert "ExecStart=/opt/x/bin/snapd-backup run\n" in unit
    strays = run("grep", "-rlF", str(installed), str(installed))
    assert strays.stdout == ""


@pytest.mark.timeout(300)
def test_an_installation_is_compiled_and_complete(installed: Path) -> None:
    package = next((installed / "opt/x/lib/snapd-backup/lib").glob("python3*/site-packages/snapd"))
    sources = {path.stem for path in package.glob("*.py")}
    compiled = {path.name.partition(".")[0] for path in (package / "__pycache__").glob("*.pyc")}
    assert "events" in sources
    assert sources == compiled
    for kind in ("sysusers.d", "tmpfiles.d"):
        assert (installed / f"opt/x/lib/{kind}/snapd-backup.conf").is_file()
    assert (installed / "etc/snapd-backup/config.toml").stat().st_mode & 0o777 == 0o640


@pytest.mark.timeout(300)
def test_a_config_survives_installing_again_and_uninstalling(installed: Path) -> None:
    config = installed / "etc/snapd-backup/config.toml"
    before = config.read_text()
    config.write_text("mine")
    assert make("install", installed).returncode == 0
    done = make("uninstall", installed)
    assert done.returncode == 0
    assert "Kept:" in done.stdout
    assert config.read_text() == "mine"
    assert [path for path in (installed / "opt/x").rglob("*") if not path.is_dir()] == []
    config.write_text(before)


@pytest.mark.parametrize(
    ("tests", "folders"),
    [
        ("tests", ["tests/systemd tests", "tests/systemd"]),
        ("tests/core", ["tests/systemd tests/core"]),
        (
            "tests/core tests/systemd/test_reload.py",
            ["tests/systemd tests/core", "tests/systemd/test_reload.py"],
        ),
    ],
)
def test_make_test_boots_a_systemd_only_for_the_tests_that_need_one(tests: str, folders: list[str]) -> None:
    argv = ["make", "--no-print-directory", "-n", "test", "PYTEST=pytest", f"TESTS={tests}"]
    told = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    commands = [line.split() for line in told.splitlines() if line.startswith("pytest ")]
    asked = [" ".join(word for word in words if word.startswith("tests")) for words in commands]
    assert asked == folders
