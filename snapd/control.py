"""The control socket: requests in, events out. Daemon side and client side.

A stream socket, one JSON request line, then events as JSON lines. The first line a client must survive is
`{"event": "error", …}`; the last of a good answer is `{"event": "done", …}`. docs/json.md has the contract.
Imports next to nothing, so that `status` starts fast.
"""

from __future__ import annotations

import contextlib
import grp
import json
import os
import pwd
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snapd.errors import NoDaemonError, RefusedError, SnapdError, UsageError

SOCKET = "control"
LARGEST_REQUEST = 64 * 1024
REQUEST_S = 5.0
ACCEPT_PAUSE_S = 0.1
ANSWER_S = 30.0
CONNECTIONS = 32
BACKLOG = 128

Request = dict[str, Any]
Event = dict[str, Any]
PEER_UID = "peer_uid"
"""Key of a request under which the server says who asks; a client cannot set it."""

Answer = Callable[[Request], Generator[Event | None]]
"""Yields events; None means "nothing new: is the client still there?". Closed when the client is gone."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end, as the kernel says (SO_PEERCRED, unix(7))."""

    pid: int
    uid: int
    gid: int


# -- daemon side --------------------------------------------------------------------------------------


class Server:
    """Answers requests, each in a thread of its own; bounded in number, size and time.

    Peers must be root, ourselves, or a member of the socket's group. `refused(reason, peer)` is called for
    everything that was turned away; it must not raise. `request_s`: how long a request may take to arrive.
    """

    def __init__(
        self,
        folder: Path,
        answer: Answer,
        refused: Callable[[str, Peer | None], None],
        *,
        request_s: float = REQUEST_S,
    ) -> None:
        self._request_s = request_s
        self._path = folder / SOCKET
        self._answer = answer
        self._refused = refused
        self._slots = threading.BoundedSemaphore(CONNECTIONS)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._closing = threading.Event()

    def start(self) -> None:
        """Listen and answer from now on. Replaces a socket that nobody answers on."""
        self._path.unlink(missing_ok=True)
        self._socket.bind(os.fspath(self._path))
        self._path.chmod(0o660)
        self._socket.listen(BACKLOG)
        threading.Thread(target=self._accept, name="control", daemon=True).start()

    def stop(self) -> None:
        self._closing.set()
        self._path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _address = self._socket.accept()
            except OSError:  # out of descriptors, perhaps: others end
                self._closing.wait(ACCEPT_PAUSE_S)
                continue
            if not self._slots.acquire(blocking=False):
                self._refused(f"more than {CONNECTIONS} connections at once", None)
                connection.close()
                continue
            try:
                threading.Thread(target=self._serve, args=(connection,), name="control", daemon=True).start()
            except RuntimeError:  # out of threads
                self._slots.release()
                connection.close()

    def _serve(self, connection: socket.socket) -> None:
        peer: Peer | None = None
        try:
            with connection:
                peer = _peer(connection)
                self._converse(connection, peer)
        except OSError as error:  # gone, or too slow
            self._refused(str(error), peer)
        except Exception as error:  # noqa: BLE001 - one conversation must never end the socket
            self._refused(f"{type(error).__name__}: {error}", peer)
        finally:
            self._slots.release()

    def _converse(self, connection: socket.socket, peer: Peer) -> None:
        try:
            self._admit(peer)
            request = {
                **_parse(_read_line(connection, time.monotonic() + self._request_s)),
                PEER_UID: peer.uid,
            }
        except (SnapdError, ValueError, TimeoutError) as error:
            text = "the request took too long" if isinstance(error, TimeoutError) else str(error)
            self._refused(text, peer)
            with contextlib.suppress(OSError):
                _send(connection, error_event(RefusedError(text, exit_code=2)))
            return
        connection.settimeout(ANSWER_S)
        with contextlib.closing(self._answer(request)) as events, contextlib.suppress(ConnectionError):
            for event in events:
                if event is not None:
                    _send(connection, event)
                elif _hung_up(connection):
                    return

    def _admit(self, peer: Peer) -> None:
        if peer.uid in (0, os.geteuid()):
            return
        group = self._path.stat().st_gid
        if peer.gid != group and group not in _groups_of(peer):
            raise RefusedError(f"user {peer.uid} is not a member of the group {_group_name(group)}")


def _group_name(group: int) -> str:
    try:
        return grp.getgrgid(group).gr_name
    except KeyError:
        return str(group)


def _groups_of(peer: Peer) -> list[int]:
    try:
        return os.getgrouplist(pwd.getpwuid(peer.uid).pw_name, peer.gid)
    except KeyError:
        return []


def _peer(connection: socket.socket) -> Peer:
    return Peer(*struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)))


def _read_line(connection: socket.socket, deadline: float) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        connection.settimeout(max(deadline - time.monotonic(), 0.001))
        chunk = connection.recv(LARGEST_REQUEST + 1 - len(line))
        if not chunk:
            raise ValueError("the request ended early")
        line += chunk
        if len(line) > LARGEST_REQUEST:
            raise ValueError("the request is too long")
    return line


def _parse(line: bytes) -> Request:
    try:
        request = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError("the request is no JSON") from error
    if not isinstance(request, dict) or not isinstance(request.get("op"), str):
        raise ValueError("the request is no object with an `op`")  # noqa: TRY004 - a wrong text, not a wrong call
    return request


def _send(connection: socket.socket, event: Event) -> None:
    connection.sendall(json.dumps(event, ensure_ascii=True).encode() + b"\n")


def _hung_up(connection: socket.socket) -> bool:
    readable, _, _ = select.select([connection], [], [], 0)
    return bool(readable) and connection.recv(1, socket.MSG_PEEK) == b""


def error_event(error: SnapdError) -> Event:
    """How an error travels to a client; `Client` raises it there again."""
    return {
        "event": "error",
        "message": error.message,
        "hint": error.hint,
        "code": error.code,
        "exit": error.exit_code,
    }


def told_error(event: Event) -> RefusedError:
    """Return the error of an `error` event, as the other side meant it."""
    error = RefusedError(event["message"], hint=event["hint"], exit_code=event["exit"])
    error.code = event["code"]
    return error


# -- client side --------------------------------------------------------------------------------------


def ask(folder: Path, request: Request, *, patience_s: float | None = None) -> Generator[Event]:
    """Send one request and yield the events of its answer, up to and with `done`.

    With `patience_s` a daemon that is silent for so long counts as one that went away.

    Raises NoDaemonError when nobody listens, UsageError when we may not talk to the socket, RefusedError with
    the daemon's own words, or when the answer ends early (the daemon went away).
    """
    connection = _connect(folder / SOCKET, patience_s)
    with connection, connection.makefile("rb") as lines:
        try:
            with contextlib.suppress(BrokenPipeError):  # refused before it was read: the reason is there
                _send(connection, request)
            yield from _events(lines)
        except TimeoutError as error:
            raise RefusedError(f"the daemon said nothing for {patience_s:.0f}s", hint=_SEE_STATUS) from error
        except ConnectionError as error:
            raise RefusedError("the daemon closed the connection", hint=_SEE_STATUS) from error


_SEE_STATUS = "see `systemctl status snapd-backup`"


def _events(lines: Any) -> Iterator[Event]:
    for line in lines:
        event: Event = json.loads(line)
        if event["event"] == "error":
            raise told_error(event)
        yield event
        if event["event"] == "done":
            return
    raise RefusedError("the daemon ended before it answered", hint=_SEE_STATUS)


def _connect(path: Path, patience_s: float | None) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(patience_s)
    try:
        connection.connect(os.fspath(path))
    except PermissionError as error:
        connection.close()
        raise UsageError(
            f"you may not talk to the daemon at {path}",
            hint="use sudo, or join the group: adduser YOU snapd-backup, then log in again",
        ) from error
    except OSError as error:
        connection.close()
        raise NoDaemonError(
            f"no daemon answers at {path}", hint="start it: systemctl start snapd-backup"
        ) from error
    return connection
