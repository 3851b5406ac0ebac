"""A week of the service in the place of two crontab lines, under a real systemd, and all it told the journal.

The client is the double of tests/fakes/tarsnap, installed as /usr/local/bin/tarsnap. What is modelled of time
is a machine that sleeps from slot to slot and is woken for each: by `clock.c` every program of the box sees
the hours pass, and those that wait notice nothing, as in real sleep. So a week takes a minute or two, no
clock of this machine is touched, and the rest is real: engines run and fail, expiry gives its lock up, the
machine reboots. It is the week in which London's clocks go forward.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from tarsnapper.expire import expire

from tests.fakes.tarsnap.account import Account
from tests.needs import give_up
from tests.systemd import catalogue
from tests.systemd.box import booted, lacking
from tests.systemd.clock import Clock
from tests.systemd.week import CACHEDIR, KEY, Week, waiting

LONDON = ZoneInfo("Europe/London")
MONDAY = date(2027, 3, 22)
MINUTE = timedelta(minutes=1)
BEFORE = 10 * MINUTE  # sleep that is long enough to be told from a busy machine
Became = tuple[datetime, str, str, str | None]  # a row's slot, cause, outcome and archive
JOBS = ("backup:mail", "expire:mail", "restore-test:mail", "backup:web")
CONFIG = f"""
[daemon]
timezone = "Europe/London"

[store.offsite]
engine   = "tarsnap"
keyfile  = "{KEY}"
cachedir = "{CACHEDIR}"

[backup.mail]
store    = "offsite"
schedule = "0 */2 * * *"
archive  = "mail_%Y%m%d-%H%M"
paths    = ["/srv/mail/mail.xybur.net"]
exclude  = ["*.tmp"]

[backup.mail.expire]
schedule = "50 3 * * *"
deltas   = ["1d", "7d", "30d", "365d"]

[backup.mail.restore_test]
schedule = "0 6 * * sun"
[[backup.mail.restore_test.check]]
path = "srv/mail"
newest_within = "1d"

[backup.web]
store    = "offsite"
schedule = "55 3 * * *"
archive  = "web_%Y%m%d-%H%M"
paths    = ["/srv/web"]
"""
MAIL = "/srv/mail/mail.xybur.net"
HOURS = range(0, 24, 2)
DELTAS = [timedelta(days=days) for days in (1, 7, 30, 365)]
MIN_KEEP = 3


def at(day: int, hour: int, minute: int = 0) -> datetime:
    """An instant of the week by the clocks of London; day 0 is Monday."""
    that = MONDAY + timedelta(days=day)
    return datetime(that.year, that.month, that.day, hour, minute, tzinfo=LONDON).astimezone(UTC)


BEGIN = at(0, 0) - BEFORE
OLD = f"mail_{BEGIN:%Y%m%d-%H%M}"
COLLISION = at(1, 3, 50)  # the expiry has only begun to delete when another backup is due
OVERSLEPT = at(2, 8)
OVERSLEPT_BY = timedelta(seconds=20)
CUT_OFF = at(2, 22)  # no network at this slot, nor a minute later, but five minutes after that
ANSWERED_AT = at(2, 22, 6)
DOWN_AT = at(3, 13)
MISSED = at(3, 14)
UP_AT = at(3, 14, 30)
SLOTS = [at(day, hour) for day in range(7) for hour in HOURS]
NIGHTS = [at(day, 3, 50) for day in range(7)]
MORNINGS = [at(day, 3, 55) for day in range(7)]


@pytest.fixture
def week() -> Iterator[Week]:
    reason = lacking("gcc")
    if reason:
        give_up(reason)
    # Below neither /tmp nor /var/tmp: the service has its own.
    folder = Path(tempfile.mkdtemp(prefix="snapd-backup-account-", dir="/srv"))
    clocks: list[Clock] = []
    try:
        account = Account(folder)
        with booted(lambda box: clocks.append(Clock(box, BEGIN)), binds=(folder,)) as box:
            yield Week(box, clocks[0], account, account.new_key())
    finally:
        shutil.rmtree(folder)


@pytest.mark.systemd
@pytest.mark.timeout(600)
def test_a_week_of_the_crontabs_replacement(week: Week) -> None:
    week.write(f"{MAIL}/shadow", "root's alone\n")
    week.write(f"{MAIL}/lock.tmp", "not worth it\n")
    week.write("/srv/web/index", "hello\n")
    assert week.live_as_a_crontab(MAIL) == OLD
    week.move_over(CONFIG)
    live_through(week)
    every_slot_became_what_it_should(week)
    the_store_holds_what_tarsnapper_would_have_kept(week)
    the_archives_hold_what_only_root_may_read(week)
    the_lights_are_on(week)
    the_journal_is_as_its_page_promises(week)
    the_journal_tells_what_went_wrong_and_no_more(week)


def live_through(week: Week) -> None:
    for day in range(7):
        week.pass_until(at(day, 0, 30))
        week.write(f"{MAIL}/cur/{day}", f"mail of day {day}\n")
        for moment, happens in EVENTS:
            if at(day, 0) < moment < at(day, 23):
                week.pass_until(moment - BEFORE)
                happens(week)
    week.pass_until(at(6, 23))


def a_backup_comes_due_while_the_expiry_deletes(week: Week) -> None:
    """The collision of the crontab: Tarsnap cannot create while archives are being deleted."""
    week.account.at("delete.middle", "pause", key=week.key)
    week.come_to(COLLISION)
    week.account.wait_at("delete.middle", week.key)
    before = len(week.writings())
    week.come_to(MORNINGS[1])
    assert [run["job"] for run in waiting(week.status())] == ["expire:mail", "backup:web"]
    week.account.go("delete.middle", week.key)
    week.settle()
    begun, first, *others = (what for _, what in week.writings()[before - 1 :])
    assert begun.startswith("delete ")
    assert first.startswith("create web_")  # right after the batch that was under way
    assert any(what.startswith("delete ") for what in others)


def the_machine_is_woken_too_late(week: Week) -> None:
    week.clock.sleep_until(OVERSLEPT + OVERSLEPT_BY)
    week.settle()


def the_network_fails_twice(week: Week) -> None:
    week.account.at("create.opened", "network", key=week.key, times=2)
    week.pass_until(ANSWERED_AT + MINUTE)
    week.account.forget_points(week.key)


def the_machine_is_rebooted(week: Week) -> None:
    week.clock.sleep_until(DOWN_AT)
    week.reboot_until(UP_AT)
    week.settle()


EVENTS: tuple[tuple[datetime, Callable[[Week], None]], ...] = (
    (COLLISION, a_backup_comes_due_while_the_expiry_deletes),
    (OVERSLEPT, the_machine_is_woken_too_late),
    (CUT_OFF, the_network_fails_twice),
    (DOWN_AT, the_machine_is_rebooted),
)


# -- what is to be found at the end -------------------------------------------------------------------


def every_slot_became_what_it_should(week: Week) -> None:
    def became(job: str) -> list[Became]:
        return [
            (datetime.fromisoformat(row["slot"]), row["cause"], row["outcome"], row["archive"])
            for row in week.rows(job)
        ]

    backups: list[Became] = [(slot, "schedule", "ok", archive) for slot, archive in made().items()]
    when = SLOTS.index(MISSED)
    backups[when : when + 1] = [
        (MISSED, "schedule", "missed", None),
        (MISSED, "catch-up", "ok", made()[MISSED]),
    ]
    assert became("backup:mail") == backups
    webs = [(slot, "schedule", "ok", f"web_{slot:%Y%m%d-%H%M}") for slot in MORNINGS]
    assert became("backup:web") == webs
    assert became("expire:mail") == [(slot, "schedule", "ok", None) for slot in NIGHTS]
    assert became("restore-test:mail") == [(at(6, 6), "schedule", "ok", made()[at(6, 6)])]
    assert week.account.overlaps(week.key) == []
    for started, what in week.writings():  # the client saw the time that the daemon saw
        assert what.startswith("delete ") or what.endswith(f"_{started:%Y%m%d-%H%M}")


def made() -> dict[datetime, str]:
    """Slot -> the archive of it, named after the minute in which it was begun."""
    begun = {slot: slot for slot in SLOTS} | {CUT_OFF: ANSWERED_AT, MISSED: UP_AT}
    return {slot: f"mail_{instant:%Y%m%d-%H%M}" for slot, instant in begun.items()}


def the_store_holds_what_tarsnapper_would_have_kept(week: Week) -> None:
    """Each night it is asked what to keep of what there is; the newest three stay whatever it says."""
    there = {OLD: BEGIN}
    to_come = {name: datetime.strptime(f"{name}+0000", "mail_%Y%m%d-%H%M%z") for name in made().values()}
    for night in NIGHTS:
        there |= {name: created for name, created in to_come.items() if created < night}
        to_come = {name: created for name, created in to_come.items() if created >= night}
        stay = {*expire(there, [*DELTAS]), *sorted(there)[-MIN_KEEP:]}
        there = {name: created for name, created in there.items() if name in stay}
    stored = [name for name in week.account.names(week.key) if name.startswith("mail_")]
    assert stored == sorted([*there, *to_come])
    assert len(stored) < len(SLOTS) / 2


def the_archives_hold_what_only_root_may_read(week: Week) -> None:
    newest = week.account.contents(week.key, made()[SLOTS[-1]])
    below = MAIL.removeprefix("/")
    mail = {f"{below}/cur/{day}": f"mail of day {day}\n".encode() for day in range(7)}
    saved = {path: content for path, content in newest.items() if path.startswith(below)}
    assert saved == {**mail, f"{below}/shadow": b"root's alone\n"}


def the_lights_are_on(week: Week) -> None:
    sets = {found["name"]: found["lights"] for found in week.status()["sets"]}
    off = {
        name: [label for label, light in lights.items() if not light["on"]] for name, lights in sets.items()
    }
    assert off == {"mail": ["key copied"], "web": ["proven", "key copied"]}
    line = week.box.show("StatusText")
    assert line == "idle; next backup:mail at Sun 23:00:00; lights off: proven (web), key copied (all sets)"
    assert line in week.box.systemctl("status", "snapd-backup")


def the_journal_is_as_its_page_promises(week: Week) -> None:
    entries = week.journal()
    assert catalogue.faults(entries, catalogue.read_page()) == []
    assert {entry["SYSLOG_IDENTIFIER"] for entry in entries} == {"snapd-backup"}
    assert [entry["TRACEBACK"] for entry in entries if "TRACEBACK" in entry] == []
    secret = week.account.key(week.key).secret
    assert secret not in week.box.run("journalctl", "-q", "--all", "-o", "export").stdout
    lines = Counter((entry["EVENT"], entry["RUN_ID"]) for entry in entries if "RUN_ID" in entry)
    rows = [row for job in JOBS for row in week.rows(job)]
    for row in rows:
        run = row["run_id"]
        missed = row["outcome"] == "missed"
        assert lines["slots-missed", run] == missed
        assert lines["run-ended", run] == (not missed)
        assert lines["run-started", run] == row["attempts"]
        assert lines["run-retry", run] == max(row["attempts"] - 1, 0)
    assert {run for _, run in lines} == {row["run_id"] for row in rows}
    alone = {entry["EVENT"] for entry in entries if "RUN_ID" not in entry}
    assert alone == {"daemon-ready", "daemon-stopping", "daemon-stopped"}


def the_journal_tells_what_went_wrong_and_no_more(week: Week) -> None:
    told = [
        (entry["EVENT"], entry.get("ERROR_CODE"), entry.get("RETRY_AT", entry.get("FIRST_SLOT", ""))[:16])
        for entry in week.journal()
        if int(entry["PRIORITY"]) < 6
    ]
    assert told == [
        ("run-retry", "network", f"{CUT_OFF + MINUTE:%Y-%m-%dT%H:%M}"),
        ("run-retry", "network", f"{ANSWERED_AT:%Y-%m-%dT%H:%M}"),
        ("slots-missed", None, f"{MISSED:%Y-%m-%dT%H:%M}"),
    ]
    said = Counter(entry["EVENT"] for entry in week.journal())
    assert (said["daemon-ready"], said["daemon-stopped"]) == (2, 1)
    assert said["expiry-planned"] == len(NIGHTS)
