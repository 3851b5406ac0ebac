"""What a config that nobody runs yet would make of the archives that exist: plans without a history.

The store is listed with the config's own key. State, cache and lock are in a folder that goes away, so a
daemon that runs beside it is not disturbed; nothing is approved and nothing is deleted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from snapd.cli import words
from snapd.cli.output import aside, error_json
from snapd.cli.plan import NAMED
from snapd.cli.stand_in import log_quietly
from snapd.config import Folders
from snapd.errors import SnapdError
from snapd.foreground import once
from snapd.importing.toml_text import comment
from snapd.operations import Operations
from snapd.state_folder import read

Trial = dict[str, Any]
_BELONG = "belong to no set, and nothing deletes them"


def trials(config: str, *, debug: bool) -> list[Trial]:
    """Return the plans of each store's sets, with an `error` in their place where a store gave no answer.

    Raises ConfigError where the config itself is wrong.
    """
    with TemporaryDirectory(prefix="snapd-backup-import-") as name:
        folder = Path(name)
        file = folder / "config.toml"
        file.write_text(config, encoding="utf-8")
        stores = read(file).config.store
        log_quietly(debug=debug)
        with once(file, Folders(folder / "state", folder / "cache", folder / "run")) as operations:
            return [_trial(operations, store) for store in stores]


def _trial(operations: Operations, store: str) -> Trial:
    aside(f"listing the archives of store {store}, which may take a while …")
    try:
        return {**operations.plans(store), "error": None}
    except SnapdError as error:
        return {"store": store, "sets": [], "strangers": [], **error_json(error)}


def lines(found: Sequence[Trial]) -> Iterator[str]:
    """Yield the plans as comments, to stand below the config."""
    yield ""
    yield "# -- What this config would make of the archives that exist (none was deleted) --"
    for trial in found:
        yield "#"
        if trial["error"]:
            error = trial["error"]
            yield from comment(f"Store {trial['store']} was not listed: {error['message']}.")
            for hint in error["hint"].splitlines():
                yield from comment(hint, indent="  ")
            continue
        for one in trial["sets"]:
            yield from _of_set(one)
        yield from _strangers(trial)


def _of_set(one: Trial) -> Iterator[str]:
    plan = one["plan"]
    head = f"{one['backup_set']}: {_archives(one['archives'])}"
    if plan is None:
        yield from comment(f"{head}, all kept, since it has no expiry.")
        return
    yield from comment(f"{head}, {plan['keep']} to keep, {plan['delete']} to delete.")
    for group in plan["groups"]:
        verdict = "keep" if group["keep"] else "delete"
        first, last = (words.local(group[end]) for end in ("oldest", "newest"))
        span = first if first == last else f"{first} to {last}"
        yield from comment(f"{verdict:6} {group['count']:5}  {group['reason']}: {span}", indent="  ")
    going = [item["name"] for item in reversed(plan["archives"]) if not item["keep"]]
    if going:
        yield from comment(f"to be deleted: {_some(going)}", indent="  ")
    if plan["hold"]:
        yield from comment(f"An expiry would be held: {plan['hold']['reason']}.", indent="  ")


def _strangers(trial: Trial) -> Iterator[str]:
    names = trial["strangers"]
    if names:
        belong = "belongs to no set, and nothing deletes it" if len(names) == 1 else _BELONG
        text = f"{_archives(len(names))} of store {trial['store']} {belong}"
        yield from comment(f"{text}: {_some(sorted(names))}")


def _archives(count: int) -> str:
    return "1 archive" if count == 1 else f"{count} archives"


def _some(names: Sequence[str]) -> str:
    """Return names as a list; of a long one the two ends."""
    hidden = len(names) - 2 * NAMED
    if hidden <= 1:
        return ", ".join(names)
    return ", ".join([*names[:NAMED], f"{hidden} more (--json names them)", *names[-NAMED:]])
