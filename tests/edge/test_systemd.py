"""The messages to systemd, read from a real datagram socket."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from snapd.systemd import Notifier, watchdog_interval


@pytest.fixture
def listening(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "notify"))
        server.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield server


@pytest.fixture
def notifier(listening: socket.socket) -> Iterator[Notifier]:
    notifier = Notifier()
    yield notifier
    notifier.close()


@pytest.mark.parametrize(
    ("say", "heard"),
    [
        (Notifier.ready, "READY=1"),
        (Notifier.watchdog, "WATCHDOG=1"),
        (Notifier.stopping, "STOPPING=1"),
        (lambda notifier: notifier.extend(2.5), "EXTEND_TIMEOUT_USEC=2500000"),
        (lambda notifier: notifier.status("backup of mail runs"), "STATUS=backup of mail runs"),
        (lambda notifier: notifier.status("ünïcode → ok"), "STATUS=ünïcode → ok"),
        (lambda notifier: notifier.status("two\nlines READY=1\x1b[0m"), "STATUS=two lines READY=1 [0m"),
        (lambda notifier: notifier.status("\udcff"), "STATUS="),
    ],
)
def test_each_message_reaches_systemd_in_its_own_words(
    listening: socket.socket, notifier: Notifier, say: Callable[[Notifier], None], heard: str
) -> None:
    say(notifier)
    assert listening.recv(4096).decode() == heard


def test_a_reload_names_the_instant_it_began(listening: socket.socket, notifier: Notifier) -> None:
    before = time.monotonic_ns() // 1000
    notifier.reloading()
    state, instant = listening.recv(4096).decode().split("\n")
    assert state == "RELOADING=1"
    assert before <= int(instant.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000


def test_a_long_status_is_cut(listening: socket.socket, notifier: Notifier) -> None:
    notifier.status("x" * 10_000)
    assert len(listening.recv(65536)) == len("STATUS=") + 500


def test_without_systemd_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notifier = Notifier()
    notifier.ready()
    notifier.close()


def test_a_systemd_that_reads_nothing_holds_nobody_up(listening: socket.socket, notifier: Notifier) -> None:
    """The queue of a datagram socket is short: a blocking send would wait for ever."""
    for _ in range(int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text()) + 3):
        notifier.watchdog()
    assert listening.recv(4096) == b"WATCHDOG=1"


def test_a_systemd_that_went_away_is_no_error(listening: socket.socket, notifier: Notifier) -> None:
    listening.close()
    notifier.watchdog()


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({"WATCHDOG_USEC": "60000000"}, 30.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 1.5),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({}, None),
    ],
)
def test_pings_are_due_at_half_the_watchdog_limit(environ: dict[str, str], seconds: float | None) -> None:
    assert watchdog_interval(environ) == seconds
