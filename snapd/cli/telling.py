"""How a restore gets into the daemon's history: the command tells it when it is over."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from snapd.cli import client
from snapd.cli.output import aside, escaped
from snapd.control import LARGEST_REQUEST, ask
from snapd.errors import NoDaemonError, SnapdError
from snapd.views import LONGEST_TEXT, MOST_PATHS

PATIENCE_S = 10.0
_ROOM = LARGEST_REQUEST // 2


@contextmanager
def told(runtime: Path, facts: Mapping[str, str], paths: Sequence[str]) -> Iterator[None]:
    """Tell the daemon, where one answers, how the restore within the block ended.

    `facts` are `set`, `archive` and `to`. Whatever the daemon says to it, the restore ends as it would.
    """
    began = time.monotonic()
    error: str | None = "it ended early"
    try:
        yield
        error = None
    except KeyboardInterrupt:
        error = "interrupted"
        raise
    except Exception as fault:
        error = str(fault) or type(fault).__name__
        raise
    finally:
        seconds = round(time.monotonic() - began, 3)
        _tell(runtime, {**facts, "paths": fitting(paths), "seconds": seconds, "error": _cut(error)})


def fitting(paths: Sequence[str]) -> list[str]:
    """Return the paths that a request has room for; the last item says how many more there are."""
    kept: list[str] = []
    room = _ROOM
    for path in paths:
        room -= len(json.dumps(path)) + len(", ")
        if room < 0 or len(kept) == MOST_PATHS - 1:
            return [*kept, f"… and {len(paths) - len(kept)} more"]
        kept.append(path)
    return kept


def _cut(error: str | None) -> str | None:
    return None if error is None else error[: LONGEST_TEXT // 4]


def _tell(runtime: Path, facts: Mapping[str, object]) -> None:
    try:
        client.last(ask(runtime, {"op": "restored", **facts}, patience_s=PATIENCE_S))
    except NoDaemonError:
        return
    except (SnapdError, OSError, ValueError, LookupError) as error:
        aside(escaped(f"the daemon did not take this restore into its history: {error}"))
