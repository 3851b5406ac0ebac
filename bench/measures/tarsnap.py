"""A Tarsnap run and a nightly expiry, ours beside tarsnapper's, on the same double of the client.

The double answers from this machine's disk, without a network: what is left is what the callers cost, and how
often they call. With the real client each call pays for the network besides.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from bench.place import Place, place
from bench.programs import RIVALS, Call, calls, put_counting, seconds_of
from bench.results import Row, ours, rival
from bench.samples import alternate
from tests.fakes.tarsnap.account import Account

BUDGET_MS = 50.0
MOST_CALLS = 2
STEP = timedelta(hours=2)

CONFIG = """
[daemon]
timezone = "UTC"
[store.offsite]
engine = "tarsnap"
keyfile = "{root}/ours.key"
cachedir = "{root}/ours"
[backup.mail]
store = "offsite"
schedule = "@yearly"
archive = "mail_%Y%m%d-%H%M%S"
paths = ["{root}/saved"]
[backup.mail.expire]
schedule = "@yearly"
deltas = ["1d", "7d", "30d", "365d"]
"""
DELTAS = ("1d", "7d", "30d", "365d")


class Side:
    """One of the two: a key and a cachedir of its own, and every call that it made."""

    def __init__(self, at: Place, account: Account, name: str) -> None:
        self._at = at
        self._account = account
        self.key = account.new_key(name=f"{name}.key").rename(at.root / f"{name}.key")
        self.cachedir = at.root / name
        self.made: list[float] = []
        self.wall_ms: list[float] = []
        self.fill(3)

    def fill(self, archives: int) -> None:
        """Store archives as a set has them after that many backups, the newest a few minutes old."""
        newest = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)
        made = [newest - number * STEP for number in range(archives)]
        names = {f"mail_{at:%Y%m%d-%H%M%S}": int(at.timestamp()) for at in made}
        kept = self._account.names(self.key)
        self._account.fill(
            self.key, self.cachedir, {name: at for name, at in names.items() if name not in kept}
        )

    def taken(self, act: Callable[[], float]) -> float:
        """Do what returns its seconds; return the milliseconds of it in which no call of the client ran."""
        before = len(self._calls())
        seconds = act()
        new = self._calls()[before:]
        self.made.append(len(new))
        self.wall_ms.append(1000 * seconds)
        return 1000 * (seconds - sum(call.seconds for call in new))

    def forget(self) -> None:
        self.made.clear()
        self.wall_ms.clear()

    def _calls(self) -> list[Call]:
        return [call for call in calls(self._at.bin) if str(self.key) in call.words]


def measure(quick: bool) -> list[Row]:
    with place() as at:
        account = Account(at.root / "account")
        mine, theirs = Side(at, account, "ours"), Side(at, account, "theirs")
        for program in ("tarsnap", "tarsnap-keymgmt"):
            put_counting(at.bin, str(account.bin / program))
        at.config.write_text(CONFIG.format(root=at.root))
        with at.daemon():
            rows = list(_runs(at, mine, theirs, rounds=4 if quick else 20))
            return [*rows, *_expiry(at, mine, theirs, archives=200 if quick else 1000)]


def _tarsnapper(at: Place, side: Side, *words: str) -> float:
    argv = [
        *(str(RIVALS / "tarsnapper"), "-q", "-o", "no-default-config", "-o", "keyfile", str(side.key)),
        *("-o", "cachedir", str(side.cachedir), "--target", "mail_$date", "--dateformat", "%Y%m%d-%H%M%S"),
        *("--sources", str(at.root / "saved"), "--deltas", *DELTAS, "-", *words),
    ]
    return seconds_of(argv, at.environ)


def _ours(at: Place, kind: str) -> float:
    return float(at.run(kind, "mail")["duration_s"])


def _runs(at: Place, mine: Side, theirs: Side, *, rounds: int) -> Iterator[Row]:
    def make() -> float:
        time.sleep(1.1)  # tarsnapper names archives by the second, and does not try another name
        return theirs.taken(lambda: _tarsnapper(at, theirs, "make", "--no-expire"))

    takers = {"ours": lambda: mine.taken(lambda: _ours(at, "backup")), "tarsnapper": make}
    alternate(1, takers)  # the first of each fills caches
    for side in (mine, theirs):
        side.forget()
    taken = alternate(rounds, takers)
    yield Row(
        "our part of a Tarsnap run: its duration less the client's calls",
        "ms",
        ours(taken["ours"]),
        BUDGET_MS,
        beside=(rival("`tarsnapper make --no-expire`, less its calls", taken["tarsnapper"]),),
    )
    yield Row(
        "calls of a Tarsnap run",
        "calls",
        ours(mine.made),
        MOST_CALLS,
        judged_by="high",
        beside=(rival("tarsnapper", theirs.made),),
        note="ours sees the archive in the store afterwards; tarsnapper does not look",
    )
    yield Row(
        "a Tarsnap run as a whole, 200 small files",
        "ms",
        ours(mine.wall_ms),
        beside=(rival("`tarsnapper make --no-expire`", theirs.wall_ms),),
    )


def _expiry(at: Place, mine: Side, theirs: Side, *, archives: int) -> Iterator[Row]:
    """Thin what a crontab left: archives of every two hours, nothing of them ever deleted."""
    for side in (mine, theirs):
        side.fill(archives)
        side.forget()
    at.ask(op="plan", set="mail", approve=True)
    taken = alternate(
        1,
        {
            "ours": lambda: mine.taken(lambda: _ours(at, "expire")),
            "tarsnapper": lambda: theirs.taken(lambda: _tarsnapper(at, theirs, "expire")),
        },
    )
    what = f"an expiry of {archives:,} archives"
    yield Row(f"{what}: as a whole", "ms", ours(mine.wall_ms), beside=(rival("tarsnapper", theirs.wall_ms),))
    yield Row(
        f"{what}: less the client's calls",
        "ms",
        ours(taken["ours"]),
        beside=(rival("tarsnapper", taken["tarsnapper"]),),
    )
    yield Row(
        f"{what}: calls",
        "calls",
        ours(mine.made),
        beside=(rival("tarsnapper", theirs.made),),
        note="ours deletes in batches and lets a due backup in between; tarsnapper deletes up to 500 a call",
    )
