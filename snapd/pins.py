"""Pinning and unpinning: which archive an operator means, and whether it is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from snapd.config import BackupSet
from snapd.errors import UsageError
from snapd.followers import Answer, Event
from snapd.gates import Few
from snapd.history import History, Pin
from snapd.jobs import listings
from snapd.logger import log
from snapd.model import Kind, job_id
from snapd.runner import Runner
from snapd.views import pin_json

LONGEST_REASON = 500  # characters


class Pins:
    """Answers to `pin` and `unpin`. Safe to call from several threads."""

    def __init__(
        self, sets: Callable[[], Mapping[str, BackupSet]], history: History, runner: Runner, listings: Few
    ) -> None:
        self._sets = sets
        self._history = history
        self._runner = runner
        self._listings = listings

    def pin(self, archive: str, *, only: str, reason: str, uid: int) -> Answer:
        """Keep an archive from expiry until it is unpinned. `only` names its set; empty: told by the name.

        An archive that was never listed is looked for in its store first. Raises UsageError for one that is
        not there, or that is not clearly of one set.
        """
        if len(reason) > LONGEST_REASON:
            raise UsageError(f"the reason must have at most {LONGEST_REASON} characters")
        backup_set = self._owner(archive, only)
        if not self._knows(backup_set, archive):
            yield {"event": "listing", "store": backup_set.store}
            self._list(backup_set)
            if not self._knows(backup_set, archive):
                raise UsageError(
                    f"store {backup_set.store!r} has no archive {archive!r}",
                    hint=f"see what there is: snapd-backup archives {backup_set.name}",
                )
        pin = Pin(backup_set.store, archive, backup_set.name, self._runner.clock(), uid, reason)
        self._history.pin(pin)
        log.info(
            "pinned", backup_set=pin.backup_set, archive=pin.archive, reason=reason or None, peer_uid=uid
        )
        yield self._told(pin, expiring=self._expiring(backup_set.store))

    def unpin(self, archive: str, *, only: str, uid: int) -> Event:
        """Take a pin back. Raises UsageError where there is none, or more than one."""
        found = [pin for pin in self._history.pins_on(archive) if only in ("", pin.backup_set)]
        if not found:
            of = f" in the backup set {only!r}" if only else ""
            hint = "see what is pinned: snapd-backup archives SET"
            raise UsageError(f"{archive!r} is not pinned{of}", hint=hint)
        if len(found) > 1:
            raise _ambiguous(archive, [pin.backup_set for pin in found])
        pin = found[0]
        self._history.unpin(pin.store, pin.archive)
        log.info("unpinned", backup_set=pin.backup_set, archive=pin.archive, peer_uid=uid)
        return self._told(pin, expiring=False)

    def _told(self, pin: Pin, *, expiring: bool) -> Event:
        return {"event": "done", "pin": pin_json(pin), "expiring": expiring}

    def _owner(self, archive: str, only: str) -> BackupSet:
        """Return the set whose name this is; several may own it where they are in different stores."""
        sets = self._sets()
        if only and only not in sets:
            raise UsageError(f"there is no backup set {only!r}", hint=f"there is: {', '.join(sets)}")
        owners = [name for name, item in sets.items() if only in ("", name) and item.owns(archive)]
        if not owners:
            whose = f"the backup set {only!r}" if only else "any backup set"
            raise UsageError(
                f"{archive!r} is no archive of {whose}",
                hint="name one as `snapd-backup archives SET` shows it; what other sets may own is said by "
                "`archive` and `adopt` in the config",
            )
        if len(owners) > 1:
            raise _ambiguous(archive, owners)
        return sets[owners[0]]

    def _knows(self, backup_set: BackupSet, archive: str) -> bool:
        known = self._history.known_archives(backup_set.name)
        return any((item.archive.name, item.store) == (archive, backup_set.store) for item in known)

    def _list(self, backup_set: BackupSet) -> None:
        """Write down what the store has of a set."""
        with self._listings.place():
            self._runner.look(job_id(Kind.BACKUP, backup_set.name), listings.look)

    def _expiring(self, store: str) -> bool:
        """Whether an expiry of the store runs: its batch under way may hold the archive."""
        sets = self._sets()
        running = [current.run for current in self._runner.current() if current.run.kind is Kind.EXPIRE]
        return any(run.backup_set in sets and sets[run.backup_set].store == store for run in running)


def _ambiguous(archive: str, sets: list[str]) -> UsageError:
    return UsageError(
        f"{archive!r} may be an archive of {' or of '.join(sets)}", hint=f"say which: --set {sets[0]}"
    )
