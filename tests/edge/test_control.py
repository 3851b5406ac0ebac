"""The control socket, with real sockets and real peers."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from snapd.control import (
    ANSWER_S,
    CONNECTIONS,
    LARGEST_REQUEST,
    PEER_UID,
    SOCKET,
    Event,
    Peer,
    Request,
    Server,
    ask,
    error_event,
)
from snapd.errors import NoDaemonError, RefusedError
from tests.needs import needs_root

DEADLINE_S = 20.0


class Answering:
    """A daemon's side that echoes, counts, or holds on until the client is gone."""

    def __init__(self) -> None:
        self.closed = threading.Event()
        self.refusals: list[str] = []

    def __call__(self, request: Request) -> Generator[Event | None]:
        match request["op"]:
            case "count":
                for number in range(request["to"]):
                    yield {"event": "number", "number": number}
                yield {"event": "done"}
            case "hold":
                try:
                    yield {"event": "held"}
                    while True:
                        time.sleep(0.01)
                        yield None
                finally:
                    self.closed.set()
            case "patience":
                yield from [None] * 3
                yield {"event": "done"}
            case "refuse":
                yield {"event": "error", "message": "no", "hint": "ask nicely", "code": "x", "exit": 7}
            case "vanish":
                yield {"event": "number", "number": 0}
            case _:
                yield {"event": "done", "echo": request}

    def refused(self, reason: str, _peer: Peer | None) -> None:
        self.refusals.append(reason)


@pytest.fixture
def answering() -> Answering:
    return Answering()


@pytest.fixture
def folder(tmp_path: Path, answering: Answering) -> Iterator[Path]:
    server = Server(tmp_path, answering, answering.refused)
    server.start()
    yield tmp_path
    server.stop()


def raw(folder: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(folder / SOCKET))  # blocks while the backlog is full
    connection.settimeout(DEADLINE_S)
    return connection


def line_from(connection: socket.socket) -> bytes:
    with connection.makefile("rb") as lines:
        return lines.readline()


def reply_to(folder: Path, request: bytes) -> Event:
    with raw(folder) as connection:
        connection.sendall(request)
        event: Event = json.loads(line_from(connection))
        return event


def test_a_request_gets_its_events_in_order_to_the_end(folder: Path) -> None:
    events = list(ask(folder, {"op": "count", "to": 3}))
    assert [event.get("number") for event in events] == [0, 1, 2, None]
    assert events[-1]["event"] == "done"


def test_the_server_says_who_asks_whatever_the_client_said(folder: Path) -> None:
    (event,) = ask(folder, {"op": "echo", PEER_UID: 4242})
    assert event["echo"] == {"op": "echo", PEER_UID: os.geteuid()}


def test_a_silent_daemon_is_given_up_where_the_caller_has_no_patience(folder: Path) -> None:
    events = ask(folder, {"op": "hold"}, patience_s=0.05)
    assert next(events)["event"] == "held"
    with pytest.raises(RefusedError, match="said nothing"):
        next(events)


def test_a_refusal_that_comes_before_the_request_is_sent_is_read_all_the_same(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / SOCKET))
        listening.listen()
        refuse = threading.Thread(target=_refuse_at_once, args=(listening,))
        refuse.start()
        with pytest.raises(RefusedError, match="no stranger"):
            list(ask(tmp_path, {"op": "echo", "much": "x" * 10_000_000}))
        refuse.join()


def _refuse_at_once(listening: socket.socket) -> None:
    """Answer a client that is still sending, and hang up."""
    connection, _ = listening.accept()
    with connection:
        connection.sendall(json.dumps(error_event(RefusedError("no stranger"))).encode() + b"\n")


def test_looking_whether_the_client_is_there_does_not_wait(folder: Path) -> None:
    with raw(folder) as connection:
        connection.settimeout(ANSWER_S / 2)
        connection.sendall(b'{"op": "patience"}\n')
        assert line_from(connection)


def test_an_error_reaches_the_caller_with_its_hint_and_exit_status(folder: Path) -> None:
    with pytest.raises(RefusedError, match="no") as caught:
        list(ask(folder, {"op": "refuse"}))
    assert (caught.value.hint, caught.value.exit_code) == ("ask nicely", 7)


def test_an_answer_that_ends_early_is_an_error_not_a_success(folder: Path) -> None:
    with pytest.raises(RefusedError, match="before it answered"):
        list(ask(folder, {"op": "vanish"}))


def test_without_a_daemon_the_caller_is_told_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(NoDaemonError) as caught:
        list(ask(tmp_path, {"op": "status"}))
    assert "systemctl start" in caught.value.hint


def test_the_socket_is_for_its_owner_and_group_only(folder: Path) -> None:
    assert (folder / SOCKET).stat().st_mode & 0o777 == 0o660


def test_a_socket_that_a_dead_daemon_left_is_replaced(tmp_path: Path, answering: Answering) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / SOCKET))
    server = Server(tmp_path, answering, answering.refused)
    server.start()
    assert list(ask(tmp_path, {"op": "echo"}))
    server.stop()


@pytest.mark.parametrize(
    "rubbish",
    [
        b"\x00\xff\xfe\n",
        b"{}\n",
        b"[]\n",
        b'"status"\n',
        b'{"op": 1}\n',
        b"[" * 50_000 + b"\n",
        b"GET / HTTP/1.1\r\n\n",
    ],
    ids=["bytes", "no op", "list", "text", "number", "deep", "http"],
)
def test_rubbish_is_refused_and_the_daemon_goes_on(
    folder: Path, answering: Answering, rubbish: bytes
) -> None:
    assert reply_to(folder, rubbish)["event"] == "error"
    assert answering.refusals
    assert list(ask(folder, {"op": "echo"}))


def test_a_request_that_never_ends_is_cut_at_its_bound(folder: Path) -> None:
    event = reply_to(folder, b"x" * (LARGEST_REQUEST + 2))
    assert "too long" in event["message"]


def test_a_request_that_trickles_in_is_cut_at_its_deadline(tmp_path: Path, answering: Answering) -> None:
    server = Server(tmp_path, answering, answering.refused, request_s=0.2)
    server.start()
    with raw(tmp_path) as connection, contextlib.suppress(ConnectionError):
        while True:
            connection.sendall(b" ")
            time.sleep(0.01)  # each byte in time, the request never whole
    server.stop()
    assert answering.refusals == ["the request took too long"]


def test_an_exception_in_an_answer_ends_that_conversation_only(folder: Path, answering: Answering) -> None:
    with pytest.raises(RefusedError, match="before it answered"):
        list(ask(folder, {"op": "count", "to": "many"}))
    deadline = time.monotonic() + DEADLINE_S
    while not any("TypeError" in reason for reason in answering.refusals):  # told after the client was let go
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert list(ask(folder, {"op": "echo"}))


def test_a_peer_that_hangs_up_in_the_middle_harms_nobody(folder: Path) -> None:
    for _ in range(2 * CONNECTIONS):
        with raw(folder) as connection:
            connection.sendall(b'{"op": ')
    until = time.monotonic() + DEADLINE_S
    while not _answers(folder):
        assert time.monotonic() < until


def test_a_flood_is_bounded_and_logged_and_passes(folder: Path, answering: Answering) -> None:
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(raw(folder)) for _ in range(CONNECTIONS + 8)]
        assert sum(_held(connection) for connection in held) == CONNECTIONS
    assert any("connections at once" in reason for reason in answering.refusals)
    until = time.monotonic() + DEADLINE_S
    while not answering.closed.is_set() or not _answers(folder):
        assert time.monotonic() < until


def _held(connection: socket.socket) -> bool:
    try:
        connection.sendall(b'{"op": "hold"}\n')
        return bool(line_from(connection))
    except ConnectionError:
        return False


def _answers(folder: Path) -> bool:
    try:
        return bool(list(ask(folder, {"op": "echo"})))
    except RefusedError:
        return False


def test_what_a_client_holds_is_let_go_when_it_is_gone(folder: Path, answering: Answering) -> None:
    events = ask(folder, {"op": "hold"})
    assert next(events)["event"] == "held"
    assert not answering.closed.is_set()
    events.close()
    assert answering.closed.wait(DEADLINE_S)


ASK = """
import contextlib, socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
with contextlib.suppress(BrokenPipeError): s.sendall(b'{"op": "echo"}\\n')
print(s.makefile().readline())
"""


@needs_root
def test_a_stranger_is_refused_even_when_the_file_mode_lets_him_in(
    passable: Path, answering: Answering
) -> None:
    server = Server(passable, answering, answering.refused)
    server.start()
    (passable / SOCKET).chmod(0o666)
    become = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/python3", "-c", ASK)
    stranger = subprocess.run([*become, passable / SOCKET], capture_output=True, text=True, check=True)
    server.stop()
    assert "not a member of the group" in stranger.stdout
    assert answering.refusals


def test_the_client_side_is_light_to_import() -> None:
    heavy = "pydantic sqlalchemy apscheduler structlog rich"
    code = f"import sys, snapd.control; print([m for m in {heavy.split()!r} if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )
