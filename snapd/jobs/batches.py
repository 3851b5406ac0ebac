"""How many archives the next batch of an expiry deletes. Pure."""

from __future__ import annotations

BUDGET_S = 30.0
"""What a batch may take, in seconds: a backup that becomes due meanwhile waits for the rest of it.

Borg deletes an archive in a second, Tarsnap from a large set in 10 to 15 minutes (Tarsnap/tarsnap#557).
"""

FIRST = 1
"""Nothing is known yet of how long an archive takes."""

_GROWTH = 4


def next_size(size: int, seconds: float, most: int) -> int:
    """Return the size of the batch that follows one of `size` archives which took `seconds`.

    As many as the budget allows at that pace: one at least, since less cannot be deleted, `most` at most, and
    not more than four times the last one, which may have met the easy archives.
    """
    pace = max(seconds, 0.0) / size
    fitting = most if pace * most <= BUDGET_S else int(BUDGET_S / pace)
    return max(1, min(fitting, most, _GROWTH * size))
