"""What a test wants to happen: read from files, since a daemon hands its children a bare environment.

Later ones win: ACCOUNT/switches.json, SERVER/switches.json, the JSON in the variable TARSNAP_DOUBLE.
The names and their defaults are in DEFAULTS.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any

DEFAULTS: dict[str, Any] = {
    "version": "1.0.41",  # as installed, unless a switch says otherwise
    "network": "ok",  # no-name (lookup fails), no-connection, read-only (writes fail)
    "network_delay_s": 0.05,  # what stands for the seconds until "Too many network failures"
    "balance": "positive",  # none: creations, reads, lists and fsck (with the write key) are refused
    "points": {},  # POINT -> {"action": ...}, see points.py
    "list_fails_at": None,  # n: the listing fails instead of showing its nth record, counted from 1
    "list_delay_s": 0.0,  # of each archive listed
    "delete_delay_s": 0.0,  # of each archive deleted
    "create_delay_s": 0.0,  # of each block and each entry that is stored
    "read_delay_s": 0.0,  # of each entry that is extracted
    "start_delay_s": 0.0,  # of every call that reaches the server
    "checkpoint_every": None,  # n: a checkpoint after each n blocks, in place of --checkpoint-bytes
    "key_needs": None,  # more than there is, to decrypt a passphrased key: "too much memory", …
    "sysconfdir": "/usr/local/etc",
}

_CHOICES = {
    "version": ("1.0.39", "1.0.40", "1.0.41"),
    "network": ("ok", "no-name", "no-connection", "read-only"),
    "balance": ("positive", "none"),
    "key_needs": (None, "too much memory", "too much CPU time", "too much memory and CPU time"),
}


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            found: dict[str, Any] = json.load(file)
    except FileNotFoundError:
        return {}
    return found


class Switches:
    """All switches, read once a process."""

    def __init__(self, account: str | None, version: str) -> None:
        self.account = account
        self.values = DEFAULTS | {"version": version}
        self.waits: dict[str, int] = {}  # how often each delay was slept
        self._installed = version
        self.take_files()

    def take_files(self, server: str | None = None) -> None:
        """Read all of them again, those of a server too."""
        self.values = DEFAULTS | {"version": self._installed}
        if self.account is not None:
            self._take(_read(f"{self.account}/switches.json"))
        if server is not None:
            self._take(_read(f"{server}/switches.json"))
        self._take(json.loads(os.environ.get("TARSNAP_DOUBLE") or "{}"))

    def _take(self, found: dict[str, Any]) -> None:
        for name, value in found.items():
            if name not in DEFAULTS or value not in _CHOICES.get(name, (value,)):
                raise SystemExit(f"tarsnap double: no such switch: {name} = {value!r}")
        self.values.update(found)

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def wait(self, name: str) -> None:
        """Sleep as long as a switch says, and count it."""
        if self.values[name]:
            self.waits[name] = self.waits.get(name, 0) + 1
            time.sleep(self.values[name])

    @property
    def version(self) -> tuple[int, ...]:
        return tuple(int(part) for part in self.values["version"].split("."))
