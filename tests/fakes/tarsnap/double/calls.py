"""The log of every call, and whether two writers were at work at once.

ACCOUNT/calls.jsonl has a line at the start and one at the end of each call; one without an end was killed.
A writer holds a `flock` of its own on SERVER/writing until it is gone; who finds it held adds a line to
SERVER/overlaps.jsonl. Nothing here changes what the client does.
"""

from __future__ import annotations

import fcntl
import json
import os
import time


def append(path: str, line: dict[str, object]) -> None:
    fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o666)
    try:
        os.write(fd, json.dumps(line).encode() + b"\n")
    finally:
        os.close(fd)


class Call:
    """One call in the log of the account; without an account nothing is logged."""

    def __init__(self, account: str | None, argv: list[str]) -> None:
        self.path = None if account is None else f"{account}/calls.jsonl"
        self.id = f"{os.getpid()}-{time.monotonic_ns()}"
        self.tell("start", argv=argv, pid=os.getpid(), ppid=os.getppid())

    def tell(self, event: str, **fields: object) -> None:
        if self.path is not None:
            append(self.path, {"call": self.id, "event": event, "time": time.time(), **fields})

    def end(self, status: int, waits: dict[str, int]) -> None:
        self.tell("end", status=status, waits=waits)


_held: list[int] = []  # kept open until the process is gone


def writing(server: str, argv: list[str]) -> None:
    """Register as a writer; tell when there is another."""
    os.makedirs(server, exist_ok=True)
    fd = os.open(f"{server}/writing", os.O_CREAT | os.O_RDWR, 0o666)
    _held.append(fd)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        other = os.pread(fd, 4096, 0).decode()
        append(f"{server}/overlaps.jsonl", {"pid": os.getpid(), "argv": argv, "beside": other})
        return
    os.ftruncate(fd, 0)
    os.pwrite(fd, json.dumps({"pid": os.getpid(), "argv": argv}).encode()[:4096], 0)
