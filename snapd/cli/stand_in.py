"""In the daemon's place: its operations in this process, as the owner of its state, under the same locks."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import structlog

from snapd import log
from snapd.cli.invocation import Invocation
from snapd.cli.output import aside
from snapd.cli.owner import become_owner
from snapd.config import Folders
from snapd.control import Event, Request, told_error
from snapd.errors import NoDaemonError
from snapd.foreground import once
from snapd.lock import SingleLock
from snapd.operations import Operations

_JOURNAL = Path("/run/systemd/journal/socket")


def events(invocation: Invocation, request: Request, missing: NoDaemonError) -> Iterator[Event]:
    """Yield the events of an answer, the first of them `foreground`. Raises what the daemon would say."""
    folders = Folders.from_environment(invocation.environ)
    become_owner(folders, invocation.environ, missing)
    log_quietly(debug=invocation.debug)
    with once(invocation.file, folders) as operations:
        yield {"event": "foreground"}
        try:
            yield from _answer(operations, request)
        except (KeyboardInterrupt, GeneratorExit):
            aside("ending what runs gently …")
            raise


def _answer(operations: Operations, request: Request) -> Iterator[Event]:
    with closing(operations.answer(request)) as answer:
        for event in answer:
            if event is None:
                continue
            if event["event"] == "error":
                raise told_error(event)
            yield event


def lock_holder(invocation: Invocation) -> dict[str, Any] | None:
    """Return who holds the single lock, as the daemon would tell it."""
    try:
        holder = SingleLock(Folders.from_environment(invocation.environ).state).holder()
    except PermissionError:
        return None  # whoever may not look may not run anything either, and is told so
    if holder is None:
        return None
    return {
        "pid": holder.pid,
        "run_id": holder.run_id,
        "job": holder.job,
        "since": holder.since.isoformat(),
    }


def log_quietly(*, debug: bool) -> None:
    """Write events to the journal where there is one; to the terminal only with `debug`."""
    log.configure(journal=not debug and _JOURNAL.exists(), debug=debug)
    if not debug and not _JOURNAL.exists():
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
