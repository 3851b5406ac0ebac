"""What expiry and the operator decided: completed policies, approvals, pauses; and notes of the daemon."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from snapd.history.disk import Disk
from snapd.history.rows import plain, to_instant, to_text

_APPROVAL_LASTS = timedelta(days=7)


class ApprovalFacts:
    """Rows of `expiries`, `approvals`, `pauses` and `notes`."""

    def __init__(self) -> None:
        self._disk: Disk

    def completed_policy(self, backup_set: str) -> str | None:
        """Fingerprint of the policy of the last completed expiry; None when none was ever completed."""
        return self._text("SELECT policy FROM expiries WHERE backup_set = ?", backup_set)

    def record_expiry(self, backup_set: str, policy: str, now: datetime) -> None:
        """Remember that an expiry under this policy was carried out to its end."""
        put = "INSERT OR REPLACE INTO expiries (backup_set, policy, completed) VALUES (?, ?, ?)"
        self._disk.write((put, (backup_set, policy, to_text(now))))

    def approve(
        self, backup_set: str, names: Sequence[str], policy: str, now: datetime, *, further: bool = False
    ) -> None:
        """Remember the names an operator approved for deletion under a policy.

        Replaces an older approval, unless these are `further` names of the same one.
        """
        put = "INSERT OR REPLACE INTO approvals (backup_set, name, policy, approved) VALUES (?, ?, ?, ?)"
        drop = ("DELETE FROM approvals WHERE backup_set = ?", (backup_set,))
        self._disk.write(
            *([] if further else [drop]),
            *[(put, (backup_set, plain(name), policy, to_text(now))) for name in names],
        )

    def approved(self, backup_set: str, policy: str, now: datetime) -> frozenset[str]:
        """Names approved under this policy within the last 7 days; none from the future."""
        names = self._disk.read(
            lambda row: str(row["name"]),
            "SELECT name FROM approvals WHERE backup_set = ? AND policy = ? AND approved BETWEEN ? AND ?",
            backup_set,
            policy,
            to_text(now - _APPROVAL_LASTS),
            to_text(now),
        )
        return frozenset(names)

    def withdraw_approval(self, backup_set: str) -> None:
        """Forget what was approved for a set."""
        self._disk.write(("DELETE FROM approvals WHERE backup_set = ?", (backup_set,)))

    def pause(self, backup_set: str, until: datetime | None) -> None:
        """Pause a set's jobs until an instant; None resumes."""
        if until is None:
            self._disk.write(("DELETE FROM pauses WHERE backup_set = ?", (backup_set,)))
        else:
            put = "INSERT OR REPLACE INTO pauses (backup_set, until) VALUES (?, ?)"
            self._disk.write((put, (backup_set, to_text(until))))

    def paused_until(self, backup_set: str, now: datetime) -> datetime | None:
        """The instant at which a pause ends; None when there is none any more."""
        text = self._text("SELECT until FROM pauses WHERE backup_set = ?", backup_set)
        until = to_instant(text) if text else None
        return until if until is not None and until > now else None

    def note(self, key: str, value: str | None) -> None:
        """Keep one fact about the daemon itself (None forgets it): `clean-stop`, `rebuilt`."""
        if value is None:
            self._disk.write(("DELETE FROM notes WHERE key = ?", (key,)))
        else:
            self._disk.write(("INSERT OR REPLACE INTO notes (key, value) VALUES (?, ?)", (key, plain(value))))

    def noted(self, key: str) -> str | None:
        """A fact that was noted; `rebuilt` is the instant at which damage made us start from nothing."""
        return self._text("SELECT value FROM notes WHERE key = ?", key)

    def _text(self, sql: str, key: str) -> str | None:
        found = self._disk.read(lambda row: str(row[0]), sql, key)
        return found[0] if found else None
