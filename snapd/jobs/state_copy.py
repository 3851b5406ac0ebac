"""What each archive carries of ours, so that it can be understood on a machine that has nothing of it."""

from __future__ import annotations

import json
from pathlib import Path

from snapd.errors import HistoryError
from snapd.jobs.base import Work

_RESTORE = """\
This archive was made by snapd-backup: backup set {backup_set}, store {store}, engine {engine}.

With snapd-backup on a new machine
  1. Put config.toml from this folder at /etc/snapd-backup/config.toml.
  2. Put the key or passphrase of the store where [store.{store}] in it says. It is not in the archive.
  3. snapd-backup restore {backup_set} --to /some/empty/folder

Without snapd-backup
  {engine} restores the archive by itself: see its manual for list and extract, and [store.{store}] in
  config.toml for the address. Paths in the archive are those of the machine it was made on{dumps}
"""


def write_state_copy(work: Work, folder: Path) -> Path:
    """Write the config, a small export of the history and directions into a new folder; return it.

    Nothing of it is secret: a config names where secrets are, not what they are. The text depends on nothing
    but config and history, so that deduplication works.
    """
    folder.mkdir(mode=0o700)
    state = json.dumps(_export(work), indent=2, sort_keys=True, ensure_ascii=False)
    (folder / "config.toml").write_text(work.config_text, encoding="utf-8")
    (folder / "state.json").write_text(state + "\n", encoding="utf-8")
    (folder / "RESTORE.txt").write_text(_directions(work, folder.parent), encoding="utf-8")
    return folder


def _export(work: Work) -> dict[str, object]:
    head: dict[str, object] = {
        "format": 1,
        "backup_set": work.backup_set.name,
        "store": work.backup_set.store,
    }
    try:
        return head | {"state": work.history.export(work.backup_set.store, work.backup_set.name)}
    except HistoryError as error:  # a damaged history does not stop a backup
        return head | {"state": None, "missing": error.message}


def _directions(work: Work, staging: Path) -> str:
    backup_set = work.backup_set
    lines = [
        f"\n    {staging}/dumps/{dump.name}/: the {dump.engine} database {dump.path}; copy it to its place"
        for dump in backup_set.dump
    ]
    return _RESTORE.format(
        backup_set=backup_set.name,
        store=backup_set.store,
        engine=work.config.store[backup_set.store].engine,
        dumps=".\n  Databases are dumped into files:" + "".join(lines) if lines else ".",
    )
