"""What is Borg's own: its texts as our errors, its environment, its locks, its reserve."""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from snapd.config import Secret
from snapd.engines.base import RunLimits, Selection
from snapd.engines.borg import RESERVE
from snapd.engines.borg_messages import Listener, Message, error_of, judge_extraction
from snapd.engines.borg_patterns import options
from snapd.engines.borg_program import answer, host_id, is_off_site, local_folder
from snapd.errors import (
    EngineBusyError,
    EngineError,
    EngineUsageError,
    ExistsError,
    InterruptedRunError,
    KeyFaultError,
    KilledError,
    NetworkError,
    NoMemoryError,
    NoSpaceError,
    NotFoundError,
    OutOfSyncError,
    PartialError,
)
from snapd.lock import Holder, SingleLock
from snapd.model import Progress
from snapd.proc import Finished
from tests.fakes.borg import PASSPHRASE, BorgLab, make_template, require_borg
from tests.fakes.mounts import among_mounts

# -- texts, without borg ------------------------------------------------------------------------------------


def said(level: str, message: str, msgid: str = "") -> str:
    entry = {"type": "log_message", "levelname": level, "name": "borg", "message": message}
    return json.dumps({**entry, "msgid": msgid} if msgid else entry)


def heard(*lines: str, **more: object) -> Listener:
    listener = Listener(**more)  # type: ignore[arg-type]
    for line in lines:
        listener.hear(line)
    return listener


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (said("ERROR", "Repository /r does not exist.", "Repository.DoesNotExist"), NotFoundError),
        (said("ERROR", "Archive a does not exist", "Archive.DoesNotExist"), NotFoundError),
        (said("ERROR", "Archive a already exists", "Archive.AlreadyExists"), ExistsError),
        (said("ERROR", "There is already something at /r.", "Repository.PathAlreadyExists"), ExistsError),
        (said("ERROR", "Insufficient free space", "Repository.InsufficientFreeSpaceError"), NoSpaceError),
        (said("ERROR", "Insufficient free space", "InsufficientFreeSpaceError"), NoSpaceError),
        (said("ERROR", "Failed to create/acquire the lock", "LockTimeout"), EngineBusyError),
        (said("ERROR", "passphrase supplied is incorrect", "PassphraseWrong"), KeyFaultError),
        (said("ERROR", "method mismatch", "Cache.EncryptionMethodMismatch"), KeyFaultError),
        (said("ERROR", "older than", "Cache.RepositoryReplay"), OutOfSyncError),
        (said("ERROR", "Repository access aborted", "Cache.RepositoryAccessAborted"), EngineUsageError),
        (said("ERROR", "Connection closed by remote host", "ConnectionClosedWithHint"), NetworkError),
        (said("ERROR", "Local Exception", "Exception"), EngineError),
        (said("ERROR", "Traceback\nOSError: [Errno 28] No space left on device"), NoSpaceError),
        (said("ERROR", "Traceback\nMemoryError"), NoMemoryError),
        (said("ERROR", "[Errno 13] Permission denied: '/r/lock.exclusive'", "LockFailed"), EngineUsageError),
        (said("ERROR", "no such id", "Borg.SomethingNew"), EngineError),
        ("borg create: error: argument -C/--compression: invalid value: 'nope'", EngineError),
    ],
)
def test_what_borg_says_becomes_the_error_that_it_means(line: str, error: type[EngineError]) -> None:
    assert type(error_of(heard(line))) is error


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("ssh: connect to host h port 22: Connection refused", NetworkError),
        ("ssh: Could not resolve hostname h", NetworkError),
        ("me@h: Permission denied (publickey).", KeyFaultError),
        ("Host key verification failed.", KeyFaultError),
        ("sh: 1: borg: not found", EngineUsageError),
    ],
)
def test_a_closed_connection_is_explained_by_the_last_words_of_ssh(
    words: str, error: type[EngineError]
) -> None:
    closed = said("ERROR", "Connection closed by remote host.", "ConnectionClosedWithHint")
    found = error_of(heard(said("WARNING", f"Remote: {words}"), closed))
    assert type(found) is error
    assert found.message == words.rstrip(".")


def test_an_unreadable_file_does_not_explain_why_borg_failed() -> None:
    warning = said("WARNING", "/srv/x: open: [Errno 13] Permission denied: 'x'")
    assert type(error_of(heard(warning, said("ERROR", "no such thing")))) is EngineError


def test_borg_that_fails_without_a_word_is_an_error_with_one() -> None:
    assert error_of(heard()).message


def test_the_passphrase_is_masked_in_whatever_borg_says() -> None:
    listener = heard(
        said("ERROR", "it is hunter2"),
        said("WARNING", "hunter2 it is"),
        "plain hunter2",
        '{"type": "file_status", "status": "E", "path": "/srv/hunter2"}',
        mask="hunter2",
    )
    assert "hunter2" not in repr([listener.messages, listener.words, listener.unread])


@pytest.mark.parametrize("line", ["{", "[]", '{"type": 3}', '{"type": "log_message"}', '{"a":', "", "{}"])
def test_garbage_among_the_lines_is_no_error(line: str) -> None:
    assert heard(line, said("WARNING", "still heard")).warnings == ("still heard",)


def test_a_flood_of_messages_is_bounded() -> None:
    assert len(heard(*[said("WARNING", "x")] * 5000).warnings) == 1000


def test_progress_of_creations_and_extractions_is_passed_on() -> None:
    seen: list[Progress] = []
    created = {"type": "archive_progress", "nfiles": 2, "original_size": 10, "path": "srv/x", "time": 1.0}
    extracted = {"type": "progress_percent", "msgid": "extract", "current": 3, "total": 9, "info": ["srv/x"]}
    other = {"type": "progress_percent", "msgid": "cache.sync", "current": 3, "total": 9, "info": None}
    last = {"type": "archive_progress", "finished": True}
    heard(*map(json.dumps, (created, extracted, other, last)), progress=seen.append)
    assert seen == [
        Progress(files=2, bytes_read=10, path="srv/x"),
        Progress(bytes_read=3, bytes_total=9, path="srv/x"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "srv/suid/d: attrs: [Errno 1] Operation not permitted",
        "when setting extended attribute security.capability: [Errno 1] Operation not permitted",
    ],
)
def test_attributes_that_we_may_not_set_are_no_error(text: str) -> None:
    judge_extraction(Message("WARNING", "", text))


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("Include pattern 'srv/x' never matched.", NotFoundError),
        ("srv/x: write: [Errno 28] No space left on device", NoSpaceError),
        ("srv/x: open: [Errno 13] Permission denied", PartialError),
        ("srv/x: File has damaged (all-zero) chunks. Try running borg check --repair.", PartialError),
        ("srv/x: Size inconsistency detected: size 3, chunks size 2", PartialError),
    ],
)
def test_a_warning_that_means_missing_contents_is_an_error(text: str, error: type[EngineError]) -> None:
    with pytest.raises(error):
        judge_extraction(Message("WARNING", "", text))


@pytest.mark.parametrize(
    ("repository", "folder", "off_site"),
    [
        ("/srv/borg", "/srv/borg", False),
        ("file:///srv/borg", "/srv/borg", False),
        ("/srv/with:colon", "/srv/with:colon", False),
        ("ssh://me@backup.example:2222/srv/borg", None, True),
        ("ssh://backup.example/srv/borg", None, True),
        ("ssh://[2001:db8::1]/srv/borg", None, True),
        ("backup.example:borg", None, True),
        ("me@backup.example:/srv/borg", None, True),
        ("ssh://localhost/srv/borg", None, False),
        ("me@127.0.0.1:borg", None, False),
        ("ssh://[::1]/srv/borg", None, False),
    ],
)
def test_off_site_is_a_repository_on_another_machine(
    repository: str, folder: str | None, off_site: bool
) -> None:
    assert local_folder(repository) == (Path(folder) if folder else None)
    assert is_off_site(repository) is off_site


def test_the_host_id_follows_from_the_machine_id_without_telling_it(tmp_path: Path) -> None:
    machine = tmp_path / "machine-id"
    machine.write_text("0123456789abcdef0123456789abcdef\n")
    first = host_id(tmp_path / "a", machine_id=machine)
    assert first == host_id(tmp_path / "b", machine_id=machine)
    assert "0123456789abcdef" not in first
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("content", [None, "", "uninitialized\n"])
def test_without_a_machine_id_the_host_id_is_kept_in_the_cache(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "machine-id").write_text(content)
    first = host_id(tmp_path / "cache", machine_id=tmp_path / "machine-id")
    assert first == host_id(tmp_path / "cache", machine_id=tmp_path / "machine-id")
    assert first != host_id(tmp_path / "other", machine_id=tmp_path / "machine-id")


def test_staying_on_one_file_system_is_passed_on() -> None:
    assert "--one-file-system" in list(options(Selection((), one_file_system=True)))
    assert "--one-file-system" not in list(options(Selection(())))


# -- the real borg ------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require_borg()
    return make_template(tmp_path_factory.mktemp("borg"))


@pytest.fixture
def lab(tmp_path: Path, template: Path) -> BorgLab:
    folder = tmp_path / "lab"
    folder.mkdir()
    return BorgLab(folder, template=template)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "plain").write_text("text\n")
    return folder


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


def reserve(lab: BorgLab) -> str:
    return lab.borg("config", str(lab.repository), "additional_free_space").strip()


def test_a_new_repository_is_encrypted_and_keeps_room_for_deleting(lab: BorgLab, source: Path) -> None:
    assert reserve(lab) == RESERVE
    assert lab.engine().create("a", Selection((source,))).encrypted is True


def test_an_unencrypted_repository_is_used_and_said_to_be_unencrypted(tmp_path: Path, source: Path) -> None:
    require_borg()
    lab = BorgLab(tmp_path)
    lab.borg("init", "--encryption=none", str(lab.repository))
    assert lab.engine().create("a", Selection((source,))).encrypted is False


def test_the_passphrase_is_in_no_argument_list_while_an_archive_is_made(lab: BorgLab, source: Path) -> None:
    arguments: list[bytes] = []

    def look(_progress: Progress) -> None:
        for file in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                arguments.append(file.read_bytes())
            except OSError:
                continue

    lab.engine(progress=look).create("a", Selection((source,)))
    assert any(b"borg\0" in line and b"create\0" in line for line in arguments)
    assert not any(PASSPHRASE.encode() in line for line in arguments)


def test_the_borg_that_makes_an_archive_keeps_the_lock_of_a_run_that_is_gone(
    lab: BorgLab, source: Path
) -> None:
    lock = SingleLock(lab.folder)
    lock.try_acquire(Holder(os.getpid(), "run1", "backup:mail", datetime.now(UTC)))
    held: list[bool] = []

    def look(_progress: Progress) -> None:
        if lock.held:
            lock.release()
            held.append(lock.holder() is not None)

    lab.engine(progress=look, lock_fd=lock.fd).create("a", Selection((source,)))
    assert held == [True]
    assert lock.holder() is None


def test_a_wrong_passphrase_is_a_key_fault_and_a_corrected_one_is_read_again(lab: BorgLab) -> None:
    engine = lab.engine()
    lab.passphrase.write_text("wrong\n")
    with pytest.raises(KeyFaultError) as caught:
        engine.archives()
    assert "wrong" not in caught.value.message
    lab.passphrase.write_text(PASSPHRASE)
    assert engine.archives() == ()


def test_a_passphrase_that_is_a_word_of_borgs_answers_breaks_nothing(tmp_path: Path, source: Path) -> None:
    require_borg()
    lab = BorgLab(tmp_path)
    lab.passphrase.write_text("name")
    engine = lab.engine()
    engine.init()
    engine.create("a", Selection((source,)))
    assert engine.find("a") is not None


def test_a_missing_repository_is_not_found_and_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    require_borg()
    lab = BorgLab(tmp_path)
    with pytest.raises(NotFoundError) as missing:
        lab.engine().archives()
    assert missing.value.retryable  # its disk may be mounted later
    lab.repository.mkdir()
    with pytest.raises(EngineUsageError) as none:
        lab.engine().archives()
    assert not none.value.retryable
    (lab.repository / "something").touch()
    with pytest.raises(ExistsError):
        lab.engine().init()


def test_a_repository_at_another_place_than_before_is_refused_with_a_hint(lab: BorgLab) -> None:
    lab.engine().archives()
    lab.repository.rename(lab.folder / "moved")
    with pytest.raises(EngineUsageError) as caught:
        lab.engine(repository=str(lab.folder / "moved")).archives()
    assert "cache" in caught.value.hint


def test_a_server_that_cannot_be_reached_is_a_network_error(lab: BorgLab) -> None:
    with pytest.raises(NetworkError):
        lab.engine(repository="ssh://127.0.0.1:1/srv/borg").archives()


def test_without_the_program_every_call_is_a_usage_error_with_the_cure(
    lab: BorgLab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineUsageError) as caught:
        lab.engine().archives()
    assert "apt install borgbackup" in caught.value.hint
    (problem,) = lab.engine().doctor(connect=True)
    assert (problem.store, problem.message) == ("local", "borg is not installed")


def test_a_cache_folder_that_cannot_be_made_is_a_usage_error(lab: BorgLab) -> None:
    (lab.folder / "cache").touch()
    with pytest.raises(EngineUsageError, match="cache"):
        lab.engine().archives()


def test_the_doctor_tells_each_thing_that_is_wrong_without_asking_borg(lab: BorgLab) -> None:
    lab.passphrase.chmod(0o644)
    shutil.rmtree(lab.repository)
    missing, open_to_all = lab.engine().doctor(connect=False)
    assert str(lab.repository) in missing.message
    assert str(lab.passphrase) in open_to_all.message
    assert (missing.passing, open_to_all.passing) == (True, False)
    assert not (lab.folder / "cache").exists()


def test_a_full_cache_disk_is_no_full_store(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from snapd.errors import LocalDiskFullError
from tests.fakes.borg import BorgLab
lab = BorgLab(Path(sys.argv[1]))
with open(lab.folder / "disk/ballast", "wb", buffering=0) as ballast:
    try:
        while True:
            ballast.write(b"x" * 4096)
    except OSError:
        pass
try:
    lab.engine(cache="disk/cache").archives()
except LocalDiskFullError as error:
    print(error.code)
"""
    (tmp_path / "disk").mkdir()
    mounted = f"mount -t tmpfs -o size=64k,nr_inodes=2 none {tmp_path}/disk"
    assert among_mounts(mounted, (sys.executable, "-c", program, str(tmp_path))) == "staging-full\n"


def test_the_doctor_tells_what_the_store_answers_when_asked_to_connect(lab: BorgLab) -> None:
    lab.passphrase.write_text("wrong\n")
    assert lab.engine().doctor(connect=False) == ()
    (problem,) = lab.engine().doctor(connect=True)
    assert "passphrase" in problem.message
    assert problem.hint


def test_a_foreign_borg_at_work_makes_the_store_busy(lab: BorgLab) -> None:
    foreign = threading.Thread(
        target=lambda: lab.borg("with-lock", str(lab.repository), "sh", "-c", WAIT, "-", str(lab.folder))
    )
    foreign.start()
    try:
        until((lab.folder / "locked").exists)
        with pytest.raises(EngineBusyError):
            lab.engine().create("a", Selection((lab.folder / "passphrase",)))
    finally:
        (lab.folder / "go").touch()
        foreign.join(60)


WAIT = ': > "$1/locked"; while [ ! -e "$1/go" ]; do sleep 0.05; done'


def test_the_lock_of_a_killed_creation_is_cleared_by_the_next_call(lab: BorgLab, source: Path) -> None:
    (source / "large").write_bytes(bytes(range(256)) * 2**17)
    engine = lab.engine(progress=lambda _progress: lab.interrupt.request("stop"), limits=RunLimits(grace_s=0))
    with pytest.raises(InterruptedRunError):
        engine.create("a", Selection((source,)))
    assert (lab.repository / "lock.exclusive").exists()
    lab.interrupt.withdraw("stop")
    created = lab.engine().create("b", Selection((source / "plain",)))
    assert created.warnings == (), "clearing it lacks nothing"
    assert [archive.name for archive in lab.engine().archives() if archive.complete] == ["b"]


def test_a_full_store_releases_its_reserve_to_delete_and_to_compact_and_takes_it_back_each_time(
    lab: BorgLab, source: Path
) -> None:
    lab.engine().create("a", Selection((source,)))
    more_than_any_disk = "900T"
    lab.borg("config", str(lab.repository), "additional_free_space", more_than_any_disk)
    with pytest.raises(NoSpaceError):
        lab.engine().create("b", Selection((source,)))
    lab.engine().delete(["a"])
    assert reserve(lab) == more_than_any_disk
    lab.engine().reclaim()
    assert reserve(lab) == more_than_any_disk
    assert lab.engine().archives() == ()


def test_a_deletion_that_is_stopped_takes_the_reserve_back(
    lab: BorgLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = said("ERROR", "no room", "Repository.InsufficientFreeSpaceError")
    (lab.folder / "said").write_text(full + "\n")
    stand_in(
        lab,
        monkeypatch,
        f"""if grep -q 'additional_free_space = 2G' {lab.repository}/config; then
            cat {lab.folder}/said >&2; exit 2; fi
        trap 'exit 2' INT; touch {lab.folder}/deleting; while :; do sleep 0.02; done""",
    )
    caught: list[type[Exception]] = []

    def delete() -> None:
        try:
            lab.engine().delete(["a"])
        except InterruptedRunError as error:
            caught.append(type(error))

    deletion = threading.Thread(target=delete)
    deletion.start()
    until((lab.folder / "deleting").exists)
    assert reserve(lab) == "0"
    lab.interrupt.request("stop")
    deletion.join(60)
    assert caught == [InterruptedRunError]
    assert reserve(lab) == RESERVE


def stand_in(lab: BorgLab, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Let a shell script stand in for `borg delete`."""
    real = shutil.which("borg")
    wrapper = lab.folder / "bin" / "borg"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\ncase " $* " in *" delete "*) ;; *) exec {real} "$@";; esac\n{script}\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper.parent}:{os.environ['PATH']}")


@pytest.mark.parametrize("note", [b"", b"\xff", b"much", b"2G"])
def test_a_reserve_that_a_dead_process_left_released_is_taken_back_whatever_its_note_says(
    lab: BorgLab, note: bytes
) -> None:
    lab.borg("config", str(lab.repository), "additional_free_space", "0")
    (lab.folder / "cache").mkdir()
    (lab.folder / "cache" / "reserve-released").write_bytes(note)
    lab.engine().reclaim()
    assert reserve(lab) == RESERVE
    assert not (lab.folder / "cache" / "reserve-released").exists()


@pytest.mark.parametrize(
    ("ending", "error", "message", "hint"),
    [
        ("kill -SEGV $$", KilledError, "SIGSEGV", "journalctl has"),
        ("kill -KILL $$", KilledError, "SIGKILL", "short of memory"),
        ("exit 137", KilledError, "SIGKILL", "short of memory"),
        ("exit 255", EngineError, "without a word", "journalctl"),
        ("echo 'OSError: [Errno 28] No space' >&2; exit 2", NoSpaceError, "No space", "cache"),
    ],
)
def test_how_borg_ended_is_told_with_the_right_hint(
    lab: BorgLab,
    monkeypatch: pytest.MonkeyPatch,
    ending: str,
    error: type[EngineError],
    message: str,
    hint: str,
) -> None:
    stand_in(lab, monkeypatch, ending)
    with pytest.raises(error, match=message) as caught:
        lab.engine().delete(["a"])
    assert type(caught.value) is error
    assert hint in caught.value.hint
    if error is NoSpaceError:
        assert str(lab.folder / "cache") in caught.value.hint


@pytest.mark.parametrize("text", ["", "[]", '{"a":' * 5000 + "1" + "}" * 5000])
def test_an_answer_that_is_none_is_told_with_a_hint(text: str) -> None:
    with pytest.raises(PartialError) as caught:
        answer(Finished(0, text, "", truncated=False, ended="", seconds=1.0))
    assert caught.value.hint


def test_a_damaged_archive_fails_to_extract_and_repair_mends_the_store_without_losing_one(
    lab: BorgLab, source: Path, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        (source / "plain").write_text(name * 1000)
        lab.engine().create(name, Selection((source,)))
    lose_a_piece(lab, "a")
    with pytest.raises(EngineError):
        lab.engine().extract("a", tmp_path)
    lab.engine().repair()
    with pytest.raises(PartialError):
        lab.engine().extract("a", tmp_path)
    assert {archive.name for archive in lab.engine().archives()} == {"a", "b"}
    lab.engine().extract("b", tmp_path)


def lose_a_piece(lab: BorgLab, archive: str) -> None:
    """Delete the only piece of the file in an archive, as a failing disk would lose it."""
    dump = json.loads(lab.borg("debug", "dump-archive", f"{lab.repository}::{archive}", "-"))
    (piece,) = next(item["chunks"] for item in dump["_items"] if item["path"].endswith("plain"))
    identifier = piece[0].removeprefix("\x7f")  # borg's mark of bytes in hexadecimal
    lab.borg("debug", "delete-obj", str(lab.repository), identifier)


def test_a_secret_from_a_command_is_asked_once_for_all_calls(lab: BorgLab, tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    command = ("sh", "-c", f"echo x >> {asked}; echo {PASSPHRASE}")
    engine = lab.engine(passphrase=Secret(command=command))
    engine.archives()
    engine.find("a")
    assert asked.read_text() == "x\n"
