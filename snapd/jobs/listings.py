"""What a store lists of a set, written to the history; archives that came late are tied to their runs.

A creation that was cut off may leave an archive that only a later write brings to light: Tarsnap finishes the
commit of a former run, whole or as NAME.part, at the next one. So a run that failed may have made an archive.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from snapd.config import BackupSet
from snapd.history import History
from snapd.jobs.base import Work
from snapd.logger import log
from snapd.model import Archive, whole_name


def look(work: Work) -> None:
    """List the store of a set and take that over, with the lock held all the while: of what a run makes or
    deletes between the two, a listing knows nothing.
    """
    record(work.history, work.backup_set, work.engine.archives(), work.now())


def record(
    history: History, backup_set: BackupSet, listing: Iterable[Archive], now: datetime
) -> tuple[Archive, ...]:
    """Take over a complete listing of a store: what is of the set becomes the truth, and is returned."""
    store, name = backup_set.store, backup_set.name
    mine = [archive for archive in listing if backup_set.owns(archive.name)]
    late = _late(history, store, name, mine)
    listed = history.record_listing(store, name, mine, now)
    for archive, run_id in late:
        _tie(history, name, archive, run_id)
    return listed


def _late(history: History, store: str, backup_set: str, mine: list[Archive]) -> list[tuple[Archive, str]]:
    """Return the archives that nobody was sure of and that are seen for the first time, with their runs."""
    tried = history.never_seen(store, backup_set)
    if not tried:
        return []
    used = history.names_used(store)
    return [
        (archive, tried[whole_name(archive.name)])
        for archive in mine
        if archive.name in tried or (whole_name(archive.name) in tried and archive.name not in used)
    ]


def _tie(history: History, backup_set: str, archive: Archive, run_id: str) -> None:
    """Say that an archive came late, and let the run that made it name it once it has ended."""
    log.info(
        "archive-appeared",
        backup_set=backup_set,
        archive=archive.name,
        complete=archive.complete,
        run_id=run_id,
    )
    run = history.run(run_id)
    if run is not None and run.outcome is not None and not run.archive:
        history.update(replace(run, archive=archive.name))
