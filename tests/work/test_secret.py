"""Where secrets come from, with real files and commands."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from snapd.config import Secret
from snapd.errors import InterruptedRunError, KeyFaultError
from snapd.proc import Launcher
from snapd.secret import problem, resolve
from tests.needs import needs_root

ENVIRON = {"PATH": os.environ.get("PATH", os.defpath)}


def secret_file(tmp_path: Path, content: bytes = b"hunter2\n", mode: int = 0o600) -> Secret:
    path = tmp_path / "secret"
    path.write_bytes(content)
    path.chmod(mode)
    return Secret(file=path)


def resolved(secret: Secret, **environ: str) -> str:
    return resolve(secret, Launcher(), environ={**ENVIRON, **environ})


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"hunter2\n", "hunter2"),
        (b"hunter2", "hunter2"),
        (b"hunter2\n\n", "hunter2\n"),
        (b" hunter2 \n", " hunter2 "),
        ("pässwört\n".encode(), "pässwört"),
    ],
)
def test_one_newline_at_the_end_of_a_file_is_not_part_of_the_secret(
    tmp_path: Path, content: bytes, text: str
) -> None:
    secret = secret_file(tmp_path, content)
    assert problem(secret, ENVIRON) is None
    assert resolved(secret) == text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"\n", "empty"),
        (b"   \n", "empty"),
        (b"hunter2\0", "UTF-8"),
        (b"hunter2\xff", "UTF-8"),
        (b"hunter2" * 3000, "too large"),
    ],
)
def test_a_file_that_cannot_be_a_secret_is_a_key_fault_that_does_not_tell_it(
    tmp_path: Path, content: bytes, words: str
) -> None:
    with pytest.raises(KeyFaultError, match=words) as caught:
        resolved(secret_file(tmp_path, content))
    assert "hunter2" not in repr(caught.value) + caught.value.hint


@pytest.mark.parametrize("mode", [0o604, 0o620, 0o644, 0o660, 0o601])
def test_a_file_that_others_have_access_to_is_refused_with_the_cure(tmp_path: Path, mode: int) -> None:
    secret = secret_file(tmp_path, mode=mode)
    with pytest.raises(KeyFaultError) as caught:
        resolved(secret)
    assert caught.value.hint == f"chmod 0600 {secret.file}"
    found = problem(secret, ENVIRON)
    assert found is not None
    assert (found.message, found.hint) == (caught.value.message, caught.value.hint)


@needs_root
def test_a_file_of_root_that_our_group_may_read_is_fine(tmp_path: Path) -> None:
    assert resolved(secret_file(tmp_path, mode=0o640)) == "hunter2"


@needs_root
def test_a_file_of_root_that_a_strange_group_may_read_is_refused(tmp_path: Path) -> None:
    secret = secret_file(tmp_path, mode=0o640)
    assert secret.file is not None
    os.chown(secret.file, 0, 54321)
    with pytest.raises(KeyFaultError, match="read by others"):
        resolved(secret)


def test_a_missing_file_is_a_key_fault_that_may_pass(tmp_path: Path) -> None:
    secret = Secret(file=tmp_path / "gone")
    with pytest.raises(KeyFaultError, match="does not exist") as missing:
        resolved(secret)
    assert missing.value.retryable
    found = problem(secret, {})
    assert found is not None
    assert found.passing


@pytest.mark.parametrize("make", ["mkdir", "mkfifo"])
def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path: Path, make: str) -> None:
    path = tmp_path / "odd"
    path.mkdir() if make == "mkdir" else os.mkfifo(path)
    with pytest.raises(KeyFaultError, match="not a regular file"):
        resolved(Secret(file=path))


def test_a_credential_is_read_where_systemd_put_it(tmp_path: Path) -> None:
    (tmp_path / "borg").write_text("hunter2\n")
    (tmp_path / "borg").chmod(0o440)
    assert resolved(Secret(credential="borg"), CREDENTIALS_DIRECTORY=str(tmp_path)) == "hunter2"


def test_a_credential_that_the_unit_does_not_load_is_a_key_fault_with_the_line_to_add(tmp_path: Path) -> None:
    with pytest.raises(KeyFaultError, match="borg") as caught:
        resolved(Secret(credential="borg"), CREDENTIALS_DIRECTORY=str(tmp_path))
    assert "LoadCredential=borg:" in caught.value.hint
    assert "restart" in caught.value.hint


def test_outside_the_daemon_a_missing_credential_says_that_the_daemon_must_run() -> None:
    with pytest.raises(KeyFaultError) as caught:
        resolved(Secret(credential="no-such-credential"))
    assert "while the daemon runs" in caught.value.hint


def test_a_secret_that_names_no_place_is_a_key_fault() -> None:
    assert problem(Secret(), ENVIRON) is not None


def test_the_first_line_of_a_command_is_the_secret() -> None:
    secret = Secret(command=("printf", "hunter2\nsecond line\n"))
    assert problem(secret, ENVIRON) is None
    assert resolved(secret) == "hunter2"


def test_a_command_that_fails_tells_its_status_and_nothing_it_wrote() -> None:
    with pytest.raises(KeyFaultError, match="exit status 3") as caught:
        resolved(Secret(command=("sh", "-c", "echo hunter2; echo hunter2 >&2; exit 3")))
    assert "hunter2" not in caught.value.message + caught.value.hint


def test_a_command_without_output_is_a_key_fault() -> None:
    with pytest.raises(KeyFaultError, match="empty"):
        resolved(Secret(command=("true",)))


def test_a_command_that_is_not_installed_is_a_key_fault_and_a_problem() -> None:
    secret = Secret(command=("no-such-program",))
    assert problem(secret, ENVIRON) is not None
    with pytest.raises(KeyFaultError, match="no-such-program"):
        resolved(secret)


def test_looking_for_problems_runs_no_command(tmp_path: Path) -> None:
    assert problem(Secret(command=("touch", str(tmp_path / "ran"))), ENVIRON) is None
    assert not (tmp_path / "ran").exists()


def test_a_command_is_not_started_once_the_run_is_to_stop(tmp_path: Path) -> None:
    launcher = Launcher()
    launcher.interrupt.request("stop")
    with pytest.raises(InterruptedRunError):
        resolve(Secret(command=("touch", str(tmp_path / "ran"))), launcher, environ=ENVIRON)
    assert not (tmp_path / "ran").exists()
