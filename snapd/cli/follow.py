"""Following what happens: one refreshed line on a terminal, lines in a pipe, JSON lines for programs.

Progress goes to standard error, so that standard output holds the facts alone.
"""

from __future__ import annotations

import sys
import time
from contextlib import closing
from typing import Protocol, Self

from snapd.cli import words
from snapd.cli.client import Events
from snapd.cli.lazily import load
from snapd.cli.output import aside, escaped, print_json_line
from snapd.control import Event
from snapd.errors import RefusedError

PROGRESS_S = 10.0
"""In a pipe a line of progress comes at most this often."""


class Watcher(Protocol):
    """Shows events as they come, between its `with` and its end."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def tell(self, event: Event) -> None: ...


def follow(events: Events, *, as_json: bool, advice: str = "") -> Event:
    """Show events to the end and return the last one, `done`.

    Ctrl-C ends the following; `advice` says then how to look at what goes on in the daemon.
    """
    last: Event = {"event": ""}
    foreground = False
    try:
        with closing(events), watcher(as_json=as_json) as shown:
            for event in events:
                foreground = foreground or event["event"] == "foreground"
                shown.tell(event)
                last = event
    except KeyboardInterrupt:
        if advice and not foreground:
            aside(f"not following any more; the run goes on: {advice}")
        raise
    if last["event"] != "done":
        raise RefusedError("the answer ended early")
    return last


def watcher(*, as_json: bool) -> Watcher:
    """Return what shows events here."""
    if as_json:
        return JsonLines()
    if sys.stderr.isatty():
        drawn: Watcher = load("drawn").Drawn()
        return drawn
    return Lines()


class JsonLines:
    """Every event as it came, one JSON object a line."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def tell(self, event: Event) -> None:
        print_json_line(event)


class Lines:
    """A line for each event; of progress only now and then."""

    def __init__(self) -> None:
        self._told = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def tell(self, event: Event) -> None:
        if event["event"] == "progress":
            if time.monotonic() - self._told < PROGRESS_S:
                return
            self._told = time.monotonic()
        line = sentence(event)
        if line:
            aside(line)


def sentence(event: Event) -> str:  # noqa: PLR0911 - one sentence each
    """Return an event in words; empty for one that has nothing to say, or that a newer daemon sends."""
    match event:
        case {"event": "foreground"}:
            return "no daemon answers; this command does the work itself"
        case {"event": "queued", "run": run}:
            state = "runs already, joining it" if run["started"] else "is due"
            return f"{words.job(run['job'])} {state} (run {escaped(run['run_id'])})"
        case {"event": "waiting", "holder": holder}:
            return f"waiting for the lock, held by {escaped(holder)}"
        case {"event": "started", "attempt": attempt}:
            return "started" if attempt == 1 else f"started, attempt {attempt}"
        case {"event": "progress"}:
            return words.progress(event)
        case {"event": "retry", "message": message}:
            at = f"; next attempt at {words.local(event['at'])}" if event.get("at") else ""
            hint = [f"  {escaped(line)}" for line in event.get("hint", "").splitlines()]
            return "\n".join([f"failed: {escaped(message)}{at}", *hint])
        case {"event": "repairing", "store": store}:
            return f"repairing store {escaped(store)}, as soon as the lock is free"
        case {"event": "listing", "store": store}:
            return f"listing the archives of store {escaped(store)}"
        case _:
            return ""
