"""Archives that an operator wants kept, whatever the policy says."""

from __future__ import annotations

import sqlite3

from snapd.history.disk import Disk
from snapd.history.facts import Pin
from snapd.history.rows import plain, to_instant, to_text

_PUT_PIN = """
    INSERT OR REPLACE INTO pins (store, archive, backup_set, pinned, uid, reason) VALUES (?, ?, ?, ?, ?, ?)
"""
_PINS_OF = "SELECT * FROM pins WHERE store = ? OR backup_set = ? ORDER BY pinned DESC, archive DESC"
_PINS_ON = "SELECT * FROM pins WHERE archive = ? ORDER BY store"


class PinFacts:
    """Rows of `pins`, which stay until they are taken back: their archives may be gone meanwhile."""

    def __init__(self) -> None:
        self._disk: Disk

    def pin(self, pin: Pin) -> None:
        """Remember a pin; replaces an older one of the same archive."""
        name, reason = plain(pin.archive), plain(pin.reason)
        put = (pin.store, name, pin.backup_set, to_text(pin.pinned), pin.uid, reason)
        self._disk.write((_PUT_PIN, put))

    def unpin(self, store: str, archive: str) -> None:
        """Forget a pin; nothing happens where there is none."""
        self._disk.write(("DELETE FROM pins WHERE store = ? AND archive = ?", (store, plain(archive))))

    def pins(self, store: str, backup_set: str) -> tuple[Pin, ...]:
        """Return what was pinned in this store, or for this set, newest pin first.

        Either is enough: a store or a set that was renamed in the config must not lose its pins.
        """
        return tuple(self._disk.read(_pin_of, _PINS_OF, store, backup_set))

    def pins_on(self, archive: str) -> tuple[Pin, ...]:
        """Return the pins on archives of this name: one for each store that has one."""
        return tuple(self._disk.read(_pin_of, _PINS_ON, plain(archive)))


def _pin_of(row: sqlite3.Row) -> Pin:
    return Pin(
        store=row["store"],
        archive=row["archive"],
        backup_set=row["backup_set"],
        pinned=to_instant(row["pinned"]),
        uid=row["uid"],
        reason=row["reason"],
    )
