"""What a test wants to happen: read from files, since a daemon hands its children a bare environment.

Later ones win: ACCOUNT/switches.json, SERVER/switches.json, the JSON in the variable TARSNAP_DOUBLE.
The names and their defaults are in DEFAULTS.
"""

from __future__ import annotations

import json
import os
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
    "sysconfdir": "/usr/local/etc",
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
        if account is not None:
            self.take(_read(f"{account}/switches.json"))
        self._environment = os.environ.get("TARSNAP_DOUBLE", "")
        self.take(json.loads(self._environment or "{}"))

    def take_server(self, server: str) -> None:
        self.take(_read(f"{server}/switches.json"))
        self.take(json.loads(self._environment or "{}"))

    def take(self, found: dict[str, Any]) -> None:
        unknown = sorted(set(found) - set(DEFAULTS))
        if unknown:
            raise SystemExit(f"tarsnap double: no such switch: {', '.join(unknown)}")
        self.values.update(found)

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    @property
    def version(self) -> tuple[int, ...]:
        return tuple(int(part) for part in self.values["version"].split("."))
