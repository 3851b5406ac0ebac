"""Requests to a daemon's operations without a socket: on a scene of its own, answers as they travel."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from snapd import machine
from snapd.followers import Event
from snapd.operations import InUse, Operations
from snapd.overview import describe
from snapd.state_folder import Loaded
from tests.fakes.scene import START, Scene


def operations_on(scene: Scene, in_use: InUse | None = None) -> Operations:
    """What a daemon would answer that runs on this scene. A reload changes nothing."""
    situation = describe(
        Loaded(scene.accepted, refused=()),
        Path("/etc/snapd-backup/config.toml"),
        scene.folders,
        accepted_at=START,
        started=START,
    )
    return Operations(
        lambda: situation,
        scene.history,
        scene.runner,
        problems=lambda: machine.problems(scene.accepted.config, scene.folders),
        coming=lambda: [(START + timedelta(minutes=15), "backup:mail")],
        reload=lambda: {"event": "done", "added": [], "removed": [], "changed": []},
        in_use=in_use or InUse(),
    )


def events(operations: Operations, **request: Any) -> list[Event]:
    return [event for event in operations.answer(request) if event is not None]


def answer(operations: Operations, **request: Any) -> Event:
    """The last event of an answer, as it travels."""
    event: Event = json.loads(json.dumps(events(operations, **request)[-1]))
    return event


def error(operations: Operations, **request: Any) -> str:
    event = answer(operations, **request)
    assert event["event"] == "error"
    return str(event["message"])
