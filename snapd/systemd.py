"""Talks to systemd: sd_notify(3) messages, and the watchdog's interval. Without systemd nothing happens."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

from sdnotify import SystemdNotifier

SEND_S = 0.2  # a manager that does not read must not hold us up
STATUS_LIMIT = 500  # characters; `systemctl status` shows one line


class Notifier:
    """Sends to the socket that $NOTIFY_SOCKET names, if it names one. A lost message is no error.

    `environ` only says whether there is one: sdnotify looks its address up in the process's own environment.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._systemd = SystemdNotifier() if environ.get("NOTIFY_SOCKET") else None
        if self._systemd is not None and self._systemd.socket is not None:
            self._systemd.socket.settimeout(SEND_S)

    def close(self) -> None:
        if self._systemd is not None and self._systemd.socket is not None:
            self._systemd.socket.close()

    def ready(self) -> None:
        """The start or the reload has ended."""
        self._send("READY=1")

    def reloading(self) -> None:
        """A reload begins; `ready` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def status(self, text: str) -> None:
        """Show one line in `systemctl status`."""
        line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        self._send(f"STATUS={line[:STATUS_LIMIT]}")

    def watchdog(self) -> None:
        """Say that the work goes on."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def extend(self, seconds: float) -> None:
        """Ask for this many seconds more, from now, for the start or the stop that is under way."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1_000_000)}")

    def _send(self, message: str) -> None:
        if self._systemd is not None:
            # sdnotify encodes in Latin-1 and swallows what that cannot: hand it UTF-8, one character a byte.
            self._systemd.notify(message.encode("utf-8", "replace").decode("latin-1"))


def watchdog_interval(environ: Mapping[str, str]) -> float | None:
    """Return the seconds between two pings, half of what systemd allows; None when it expects none of us.

    WATCHDOG_PID names the process it expects them of (sd_watchdog_enabled(3)).
    """
    try:
        limit_us = int(environ["WATCHDOG_USEC"])
        expected_of = int(environ.get("WATCHDOG_PID") or os.getpid())
    except (KeyError, ValueError):
        return None
    return limit_us / 2_000_000 if limit_us > 0 and expected_of == os.getpid() else None
