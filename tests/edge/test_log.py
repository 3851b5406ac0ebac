"""Events as native journal fields and as readable lines; the catalogue against the code and the page."""

from __future__ import annotations

import ast
import json
import logging
import os
import re
import runpy
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from snapd.event_fields import FIELDS
from snapd.events import EVENTS
from snapd.log import (
    VALUE_LIMIT,
    Journal,
    Writer,
    native_fields,
    places,
    readable_line,
    render,
    sentence_of,
    stderr_is_journal,
)

ROOT = Path(__file__).parents[2]
PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "exception": 3, "critical": 2}
ENDED = {
    "kind": "backup",
    "backup_set": "mail",
    "outcome": "ok",
    "duration_s": 12.3456,
    "archive": "mail_20261123-0600",
    "bytes_new": 1_230_000,
    "error_code": None,
    "hint": "",
}


def parsed(datagram: bytes) -> dict[str, str]:
    """Read a datagram as systemd's journal export format says: KEY=value lines, or KEY, length, value."""
    fields = {}
    while datagram:
        line, _, rest = datagram.partition(b"\n")
        key, equals, value = line.partition(b"=")
        if not equals:
            (size,) = struct.unpack("<Q", rest[:8])
            value, rest = rest[8 : 8 + size], rest[9 + size :]
        fields[key.decode()] = value.decode()
        datagram = rest
    return fields


class Box:
    """A journal of our own: a datagram socket, and a logger that writes to it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "journal"
        self.server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.server.bind(str(self.path))
        self.server.settimeout(10)
        self.journal = Journal(str(self.path))
        self.log = structlog.wrap_logger(
            None,
            processors=[Writer(self.journal)],
            wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        )

    def received(self) -> dict[str, str]:
        data, descriptors, _, _ = socket.recv_fds(self.server, 1 << 20, 1)
        if descriptors:  # too large for a datagram: a sealed memfd came instead
            with os.fdopen(descriptors[0], "rb") as file:
                file.seek(0)
                data = file.read()
        return parsed(data)


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    box = Box(tmp_path)
    yield box
    box.journal.close()
    box.server.close()


def test_an_event_becomes_native_fields_with_its_fixed_message_id(box: Box) -> None:
    box.log.info("run-ended", **ENDED)
    assert box.received() == {
        "MESSAGE": "backup of mail ok in 12s: mail_20261123-0600, 1.23 MB new",
        "PRIORITY": "6",
        "SYSLOG_IDENTIFIER": "snapd-backup",
        "EVENT": "run-ended",
        "MESSAGE_ID": EVENTS["run-ended"].message_id,
        "KIND": "backup",
        "BACKUP_SET": "mail",
        "OUTCOME": "ok",
        "DURATION_S": "12.346",
        "ARCHIVE": "mail_20261123-0600",
        "BYTES_NEW": "1230000",
    }


@pytest.mark.parametrize(
    ("level", "priority"),
    [("debug", "7"), ("info", "6"), ("warning", "4"), ("error", "3"), ("critical", "2")],
)
def test_the_level_becomes_the_priority(box: Box, level: str, priority: str) -> None:
    getattr(box.log, level)("paused", backup_set="mail")
    assert box.received()["PRIORITY"] == priority


def test_a_value_keeps_its_lines_and_the_message_stays_one_line(box: Box) -> None:
    box.log.error("config-rejected", reason="two\nlines", problems=("one", "two"))
    fields = box.received()
    assert fields["REASON"] == "two\nlines"
    assert fields["PROBLEMS"] == "one\ntwo"
    assert fields["MESSAGE"] == "config refused: one, two"


def test_an_event_that_nobody_catalogued_is_still_written(box: Box) -> None:
    box.log.warning("brand-new", store="local")
    fields = box.received()
    assert fields["MESSAGE"] == "brand-new"
    assert fields["STORE"] == "local"
    assert "MESSAGE_ID" not in fields


def test_names_that_the_journal_refuses_are_left_out_and_ours_cannot_be_forged() -> None:
    facts: dict[str, object] = {
        "_PID": 1,
        "9x": 1,
        "ä": 1,
        "a b": 1,
        "x" * 65: 1,
        "message": "m",
        "priority": 0,
    }
    fields = native_fields("info", "paused", facts)
    assert [key for key, _ in fields[5:]] == ["FIELD_MESSAGE", "FIELD_PRIORITY"]
    assert ("PRIORITY", "6") in fields


def test_a_large_value_is_cut_and_arrives(box: Box) -> None:
    for at in range(8):  # together more than a datagram takes
        box.log = box.log.bind(**{f"field{at}": "é" * VALUE_LIMIT})
    box.log.info("paused")
    fields = box.received()
    assert len(fields["FIELD7"].encode()) <= VALUE_LIMIT
    assert fields["FIELD7"].endswith(" bytes more")


def test_what_could_steer_a_terminal_is_escaped(box: Box) -> None:
    box.log.info("engine-output", line="\x1b[2Jname\udcff\u202e\r", path=Path("/a\x07"))
    fields = box.received()
    assert fields["LINE"] == "\\x1b[2Jname\\udcff\\u202e\\r"
    assert fields["PATH"] == "/a\\x07"
    assert fields["MESSAGE"] == fields["LINE"]


def test_an_exception_is_written_with_its_traceback(box: Box) -> None:
    try:
        os.environ["LOST"]
    except KeyError:
        box.log.exception("run-defect", kind="backup", backup_set="mail")
    fields = box.received()
    assert fields["PRIORITY"] == "3"
    assert fields["TRACEBACK"].startswith("Traceback")
    assert fields["TRACEBACK"].endswith("KeyError: 'LOST'\n")


def test_what_cannot_be_shown_never_ends_the_caller(box: Box) -> None:
    class Hostile:
        def __str__(self) -> str:
            raise RuntimeError

    box.log.info("paused", backup_set=Hostile())
    box.log.info("resumed", backup_set="mail")
    assert box.received()["EVENT"] == "resumed"


def test_without_a_journal_the_event_goes_to_standard_error(
    box: Box, capsys: pytest.CaptureFixture[str]
) -> None:
    box.server.close()
    box.path.unlink()
    box.log.info("paused", backup_set="mail", until="tomorrow")
    assert "INFO    mail is paused until tomorrow\n" in capsys.readouterr().err


def test_a_journal_that_came_back_is_found_again(box: Box) -> None:
    box.server.close()
    box.path.unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(box.path))
        server.settimeout(10)
        box.log.info("resumed", backup_set="mail")
        assert parsed(server.recv(4096))["EVENT"] == "resumed"


@pytest.mark.parametrize(
    ("name", "facts", "line"),
    [
        (
            "paused",
            {"backup_set": "m", "until": "noon", "hint": 'say "x"'},
            r'm is paused until noon hint="say \"x\""',
        ),
        ("resumed", {"backup_set": "m", "paths": ["a", "b"]}, r'm is resumed paths="a\nb"'),
        (
            "unknown-event",
            {"store": "local", "count": 0, "done": True},
            "unknown-event store=local count=0 done=true",
        ),
        ("resumed", {"backup_set": "m", "traceback": "Traceback\n  x\n"}, "m is resumed\nTraceback\n  x"),
    ],
)
def test_a_terminal_gets_the_sentence_and_what_it_leaves_out(
    name: str, facts: dict[str, object], line: str
) -> None:
    assert readable_line("info", name, facts) == f"INFO    {line}"


def test_colours_are_for_terminals_only() -> None:
    assert "\x1b[" not in readable_line("error", "resumed", {"backup_set": "m"})
    assert readable_line("error", "resumed", {"backup_set": "m"}, colour=True).startswith("\x1b[31mERROR")


def test_a_part_in_brackets_is_left_out_with_its_field() -> None:
    assert render("a[ {b}][ {c:span}] {d}", {"b": None, "c": 0.4}) == "a 0s ?"
    assert render("{a}[ {b:size}]", {"a": "[{b}]", "b": 999}) == "[{b}] 999 B"


def test_a_sentence_is_bounded() -> None:
    assert len(sentence_of("engine-output", {"line": "x" * 100_000})) == 2000


def test_standard_error_is_the_journal_when_its_device_and_inode_say_so(tmp_path: Path) -> None:
    program = "import os; from snapd.log import stderr_is_journal; print(stderr_is_journal(os.environ))"
    with (tmp_path / "err").open("wb") as err:
        stat = os.fstat(err.fileno())
        ours, other = f"{stat.st_dev}:{stat.st_ino}", f"{stat.st_dev}:1"
        for value, expected in [(ours, "True"), (other, "False"), ("x", "False")]:
            run = subprocess.run(
                [sys.executable, "-c", program],
                cwd=ROOT,
                env={"JOURNAL_STREAM": value},
                stdout=subprocess.PIPE,
                stderr=err,
                check=True,
                text=True,
            )
            assert run.stdout.strip() == expected
    assert not stderr_is_journal({})


def test_a_process_set_up_for_a_terminal_writes_lines_and_takes_libraries_in() -> None:
    program = """
import logging, structlog
from snapd.log import configure
configure(journal=False, debug=False)
configure(journal=False, debug=False)
structlog.get_logger().info("resumed", backup_set="mail")
structlog.get_logger().debug("engine-output", line="not seen")
logging.getLogger("apscheduler.executors.default").warning("job %s was late", "x")
logging.getLogger("apscheduler.scheduler").info("not seen either")
"""
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, check=True, text=True, capture_output=True, env={}
    )
    assert run.stdout == ""
    lines = [line.partition(" ")[2] for line in run.stderr.splitlines()]
    assert lines == ["INFO    mail is resumed", "WARNING apscheduler.executors.default: job x was late"]


def log_calls() -> Iterator[tuple[str, ast.Call]]:
    """Yield where and what: every `log.<level>(...)` below snapd/."""
    for path in sorted((ROOT / "snapd").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                logger = node.func.value
                if isinstance(logger, ast.Name) and logger.id == "log" and node.func.attr in PRIORITIES:
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def test_every_event_in_the_code_has_its_catalogued_facts_and_priority() -> None:
    for where, call in log_calls():
        name = call.args[0]
        assert isinstance(name, ast.Constant), where
        assert name.value in EVENTS, where
        assert isinstance(call.func, ast.Attribute)
        event = EVENTS[name.value]
        facts = {keyword.arg for keyword in call.keywords} - {None, "exc_info"}
        assert facts <= {*event.fields}, where
        assert PRIORITIES[call.func.attr] in event.priorities, where


def test_every_field_is_explained_and_belongs_to_an_event() -> None:
    assert {field for event in EVENTS.values() for field in event.fields} == set(FIELDS)


def test_message_ids_are_unique_and_well_formed() -> None:
    ids = [event.message_id for event in EVENTS.values()]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[0-9a-f]{32}", text) for text in ids)


def test_sentences_speak_of_fields_of_their_event_only() -> None:
    for name, event in EVENTS.items():
        assert {*places(event.sentence)} <= {*event.fields}, name


def test_the_page_lists_the_catalogue_as_it_is() -> None:
    page = (ROOT / "docs/journal.md").read_text(encoding="utf-8")
    written = runpy.run_path(str(ROOT / "docs/journal.py"))["written"]
    assert page == written(page), "run `make docs`"
    assert all(event.message_id in page for event in EVENTS.values())
    assert all(f"`{name.upper()}`" in page for name in FIELDS)


def test_a_mapping_is_written_as_json() -> None:
    fields = dict(native_fields("info", "x", {"paths": {"a": 1}}))
    assert json.loads(fields["PATHS"]) == {"a": 1}
