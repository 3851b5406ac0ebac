"""Questions to the daemon, or, where a command can do without one, to the same operations in this process."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any

from snapd.cli.invocation import Invocation
from snapd.cli.lazily import load
from snapd.control import Event, Request, ask
from snapd.errors import NoDaemonError, RefusedError

Events = Generator[Event]


def answer(invocation: Invocation, request: Request) -> Event:
    """Ask the daemon and return its last event. Raises NoDaemonError when nobody answers."""
    return last(ask(invocation.runtime, request))


def last(events: Iterable[Event]) -> Event:
    """Return the event that ends an answer."""
    for event in events:
        if event["event"] == "done":
            return event
    raise RefusedError("the answer ended early")


def status(invocation: Invocation, backup_set: str = "") -> dict[str, Any]:
    """Return what `status` shows, of one set or of all."""
    found: dict[str, Any] = answer(invocation, {"op": "status", "set": backup_set or None})["status"]
    return found


def events(invocation: Invocation, request: Request) -> Events:
    """Yield the events of an answer: the daemon's, or without one those of this process in its place.

    In this process the first event is `foreground`; closing the generator ends a run that it made.
    Without a daemon root becomes the owner of the state folder, and starts this command anew as that user.
    Raises NoDaemonError when nobody answers and the caller may not stand in.
    """
    try:
        yield from ask(invocation.runtime, request)
    except NoDaemonError as error:
        missing = error
    else:
        return
    yield from load("stand_in").events(invocation, request, missing)
