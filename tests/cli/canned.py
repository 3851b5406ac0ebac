"""What a daemon might answer, in the shapes of docs/json.md, and a control socket that says it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

from snapd.control import PEER_UID, Event, Peer, Request, Server

Answer = Callable[[Request], Generator[Event | None]]

NOW = "2026-11-23T12:00:00+00:00"


def run(kind: str = "backup", backup_set: str = "mail", **changes: Any) -> dict[str, Any]:
    """A run that ended well an hour ago."""
    return {
        "run_id": "5f0c2b7a91de",
        "job": f"{kind}:{backup_set}",
        "kind": kind,
        "backup_set": backup_set,
        "slot": "2026-11-23T11:00:00+00:00",
        "last_slot": None,
        "slots": 1,
        "cause": "schedule",
        "attempts": 1,
        "failures": 0,
        "not_before": None,
        "started": "2026-11-23T11:00:00+00:00",
        "ended": "2026-11-23T11:00:42+00:00",
        "duration_s": 42.0,
        "outcome": "ok",
        "archive": f"{backup_set}_20261123-1100" if kind == "backup" else None,
        "bytes_total": 8_000_000_000 if kind == "backup" else None,
        "bytes_new": 1_200_000 if kind == "backup" else None,
        "error_code": None,
        "message": None,
        "hint": None,
        "details": {},
        **changes,
    }


def unfinished(**changes: Any) -> dict[str, Any]:
    """A run that is due and has not started."""
    bare = {"started": None, "ended": None, "duration_s": None, "outcome": None, "archive": None}
    return run(**{**bare, "attempts": 0, "bytes_total": None, "bytes_new": None, **changes})


def restore(backup_set: str = "mail", **changes: Any) -> dict[str, Any]:
    """A restore by hand that ended well half an hour ago."""
    return {
        "at": "2026-11-23T11:30:00+00:00",
        "backup_set": backup_set,
        "archive": f"{backup_set}_20261123-1100",
        "to": "/root/restored",
        "paths": [],
        "duration_s": 12.5,
        "uid": 0,
        "outcome": "ok",
        "error": None,
        **changes,
    }


LIGHTS_ON = {
    "fresh": {"on": True, "why": "latest archive 1h 0m ago"},
    "proven": {"on": True, "why": "restored 6h ago"},
    "encrypted": {"on": True, "why": "encrypted by the engine"},
    "off-site": {"on": True, "why": "on another machine"},
    "key copied": {"on": True, "why": "the key's copy was confirmed 12d ago"},
}


def off(why: str) -> dict[str, Any]:
    return {"on": False, "why": why}


def job(schedule: str | None, following: str | None, **changes: Any) -> dict[str, Any]:
    return {"schedule": schedule, "next": following, "last": None, "unfinished": None, **changes}


def backup_set(name: str = "mail", **changes: Any) -> dict[str, Any]:
    """A set with all lights on."""
    return {
        "name": name,
        "store": "offsite",
        "engine": "borg",
        "paused_until": None,
        "lights": LIGHTS_ON,
        "archives": 24,
        "newest": {
            "name": f"{name}_20261123-1100",
            "created": "2026-11-23T11:00:00+00:00",
            "complete": True,
            "suspect": False,
            "listed": NOW,
        },
        "pinned_lost": [],
        "expiry": None,
        "jobs": {"backup": job("0 */2 * * *", "2026-11-23T13:00:00+00:00", last=run(backup_set=name))},
        **changes,
    }


def status(*sets: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "version": "0.1.0",
        "now": NOW,
        "pid": 812,
        "started": "2026-11-20T08:00:00+00:00",
        "config": {"file": "/etc/snapd-backup/config.toml", "accepted": NOW, "refused": []},
        "running": [],
        "lock": None,
        "reading": None,
        "next": {"job": "backup:mail", "slot": "2026-11-23T13:00:00+00:00"},
        "history": {"unwritten": 0, "rebuilt": None},
        "problems": [],
        "sets": list(sets),
        **changes,
    }


def done(**facts: Any) -> Event:
    return {"event": "done", **facts}


def error(message: str, hint: str = "", *, code: str = "usage", status: int = 2) -> Event:
    return {"event": "error", "message": message, "hint": hint, "code": code, "exit": status}


class FakeDaemon:
    """Answers every request of one kind with the same events, over a real control socket.

    `requests` are those that came. An answer that is a function gets the request and yields the events; after
    `None` the server looks whether the client is still there. `gone` is set when a client left in the middle.
    """

    def __init__(self, folder: Path) -> None:
        self.answers: dict[str, Sequence[Event | None] | Answer] = {}
        self.requests: list[Request] = []
        self.gone = threading.Event()
        self._server = Server(folder, self._answer, self._refused)

    def start(self) -> None:
        self._server.start()

    def stop(self) -> None:
        self._server.stop()

    def _answer(self, request: Request) -> Generator[Event | None]:
        self.requests.append({key: value for key, value in request.items() if key != PEER_UID})
        answer = self.answers[request["op"]]
        try:
            if callable(answer):
                yield from answer(request)
            else:
                yield from answer
        except GeneratorExit:
            self.gone.set()
            raise

    def _refused(self, reason: str, peer: Peer | None) -> None:
        raise AssertionError(f"the socket refused {peer}: {reason}")
