"""Restores that an operator made by hand: events beside the runs, told by whoever made them."""

from __future__ import annotations

from snapd.history.disk import Disk
from snapd.history.facts import Restore
from snapd.history.rows import put_restore, restore_of

_NEWEST = "SELECT * FROM restores ORDER BY at DESC, archive DESC, target DESC LIMIT ?"
_NEWEST_OF_SET = """
    SELECT * FROM restores WHERE backup_set = ? ORDER BY at DESC, archive DESC, target DESC LIMIT ?
"""


class RestoreFacts:
    """Rows of `restores`."""

    def __init__(self) -> None:
        self._disk: Disk

    def record_restore(self, restore: Restore) -> None:
        """Remember a restore that was made, or tried."""
        self._disk.write(put_restore(restore), detail=True)

    def restores(self, backup_set: str = "", limit: int = 50) -> tuple[Restore, ...]:
        """Restores of a set, or of all, newest first."""
        if backup_set:
            return tuple(self._disk.read(restore_of, _NEWEST_OF_SET, backup_set, limit))
        return tuple(self._disk.read(restore_of, _NEWEST, limit))
