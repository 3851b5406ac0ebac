"""Root becomes the owner of the daemon's state, keeps one capability, and finds the unit's credentials."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from snapd.cli.credentials import loaded_by, provide
from snapd.cli.owner import Owner, become_owner, command, environment, owner_of
from snapd.config import Folders
from tests.needs import needs_root

NOBODY = Owner(uid=65534, gid=65534, name="nobody", home="/nonexistent")
ASK = """
import os, pathlib, sys
status = pathlib.Path("/proc/self/status").read_text()
print(os.getresuid(), os.getresgid(), os.getgroups())
print(*(line for line in status.splitlines() if line.startswith(("Cap", "NoNewPrivs"))), sep="\\n")
"""


@needs_root
def test_the_owner_keeps_one_capability_and_nothing_else_of_root() -> None:
    argv = command(NOBODY, ["-c", ASK])
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()
    assert said[0] == "(65534, 65534, 65534) (65534, 65534, 65534) [65534]"
    caps = dict(line.split(":\t") for line in said[1:])
    dac_read_search = f"{1 << 2:016x}"
    assert {caps[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {dac_read_search}
    assert caps["NoNewPrivs"] == "1"


def test_the_command_starts_this_very_program_again() -> None:
    argv = command(NOBODY, ["-m", "snapd", "backup", "mail"])
    assert argv[-5:] == [sys.executable, "-m", "snapd", "backup", "mail"]
    assert "--init-groups" in argv


def test_an_owner_without_a_name_gets_no_groups() -> None:
    assert "--clear-groups" in command(Owner(uid=4242, gid=4242, name="", home=""), [])


def test_roots_own_folders_stay_out_of_the_environment() -> None:
    folders = Folders(state=Path("/s"), cache=Path("/c"), runtime=Path("/r"))
    given = {
        "HOME": "/root",
        "XDG_CACHE_HOME": "/root/.cache",
        "SUDO_USER": "me",
        "PATH": "/bin",
        "TERM": "xterm",
    }
    found = environment(NOBODY, folders, given, Path("/creds"))
    assert found == {
        "HOME": "/nonexistent",
        "USER": "nobody",
        "LOGNAME": "nobody",
        "PATH": "/bin",
        "TERM": "xterm",
        "CREDENTIALS_DIRECTORY": "/creds",
    }


def test_the_owner_of_the_state_works_as_he_is(tmp_path: Path) -> None:
    become_owner(Folders(state=tmp_path, cache=tmp_path, runtime=tmp_path), {})
    owner = owner_of(tmp_path)
    assert owner is not None
    assert owner.uid == os.geteuid()


@needs_root
def test_anybody_else_is_told_who_may(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    script = (
        "import os, sys; sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path\n"
        "from snapd.cli.owner import become_owner; from snapd.config import Folders\n"
        "from snapd.errors import NoDaemonError\n"
        "state = Path(sys.argv[1]); os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "folders = Folders(state=state, cache=state, runtime=state)\n"
        "try: become_owner(folders, {}, NoDaemonError('m', hint='h'))\n"
        "except NoDaemonError as error: print(error.hint)\n"
    )
    root = str(Path(__file__).parents[2])
    argv = [sys.executable, "-c", script, str(tmp_path), root]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert said == "h; without it only root may do this, so use sudo\n"


BECOME = (
    "import os, sys; sys.path.insert(0, sys.argv[2])\n"
    "from pathlib import Path\n"
    "from snapd.cli.owner import become_owner; from snapd.config import Folders\n"
    "from snapd.errors import UsageError\n"
    "place = Path(sys.argv[1])\n"
    "folders = Folders(state=place / 'state', cache=place / 'cache', runtime=place / 'run')\n"
    "try: become_owner(folders, dict(os.environ), service='nobody')\n"
    "except UsageError as error: print(error.message, error.hint, sep='\\n')\n"
    "else: print(os.geteuid())\n"
)


def _become(place: Path, **environ: str) -> str:
    """Let root become the owner of the folders below a place, where `nobody` is the service user."""
    argv = [sys.executable, "-c", BECOME, str(place), str(Path(__file__).parents[2])]
    given = {"PATH": os.environ["PATH"], "CREDENTIALS_DIRECTORY": "/nonexistent", **environ}
    return subprocess.run(argv, env=given, capture_output=True, text=True, check=True).stdout


@needs_root
def test_folders_that_root_made_and_nobody_used_go_to_the_service_user(tmp_path: Path) -> None:
    for name in ("state", "cache"):
        (tmp_path / name).mkdir()
    assert _become(tmp_path) == f"{NOBODY.uid}\n"
    owners = [(tmp_path / name).stat().st_uid for name in ("state", "cache", "run")]
    assert owners == [NOBODY.uid] * 3


@needs_root
def test_folders_that_root_has_used_are_given_away_by_a_person(tmp_path: Path) -> None:
    for name in ("state", "cache"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "something").touch()
    assert _become(tmp_path) == (
        f"{tmp_path}/state belongs to root, and the daemon works as nobody\n"
        f"give it to nobody: chown -R nobody: {tmp_path}/state {tmp_path}/cache\n"
        f"or let root work there: STATE_DIRECTORY={tmp_path}/state snapd-backup …\n"
    )
    assert (tmp_path / "state").stat().st_uid == 0


@needs_root
def test_a_state_folder_that_root_names_itself_stays_roots(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    assert _become(tmp_path, STATE_DIRECTORY=str(tmp_path / "state")) == "0\n"


NOT_THERE = Path("/nonexistent/credentials")

UNIT = """
# /etc/systemd/system/snapd-backup.service
[Service]
LoadCredential=old:/etc/old
LoadCredential=
LoadCredential=borg:/etc/snapd-backup/borg.passphrase
 LoadCredential = ssh:/etc/snapd-backup/ssh
LoadCredential=relative:not/absolute
LoadCredential=../evil:/etc/shadow
#LoadCredential=comment:/etc/comment
"""


def test_credentials_are_those_that_the_unit_loads() -> None:
    assert loaded_by(UNIT) == {
        "borg": Path("/etc/snapd-backup/borg.passphrase"),
        "ssh": Path("/etc/snapd-backup/ssh"),
    }


def test_credentials_of_the_unit_are_linked_and_not_copied(tmp_path: Path) -> None:
    systemctl = tmp_path / "bin" / "systemctl"
    systemctl.parent.mkdir()
    secret = tmp_path / "borg.passphrase"
    secret.write_text("s3cret\n")
    systemctl.write_text(f"#!/bin/sh\necho '[Service]'\necho LoadCredential=borg:{secret}\n")
    systemctl.chmod(0o755)
    environ = {"PATH": f"{systemctl.parent}:{os.environ['PATH']}"}
    for _ in range(2):
        folder = provide(tmp_path / "run", environ, laid_down=NOT_THERE)
        assert folder == tmp_path / "run-credentials"
        assert (folder / "borg").readlink() == secret
        assert [path.name for path in folder.iterdir()] == ["borg"]


def test_credentials_at_hand_are_left_alone(tmp_path: Path) -> None:
    assert provide(tmp_path / "run", {"CREDENTIALS_DIRECTORY": "/run/credentials/x"}) is None


def test_credentials_of_a_running_daemon_are_left_alone(tmp_path: Path) -> None:
    assert provide(tmp_path / "run", {"PATH": str(tmp_path)}, laid_down=tmp_path) is None


def test_without_systemd_there_are_no_credentials(tmp_path: Path) -> None:
    assert provide(tmp_path / "run", {"PATH": str(tmp_path)}, laid_down=NOT_THERE) is None
