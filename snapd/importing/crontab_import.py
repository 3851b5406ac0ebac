"""A crontab to the draft of a config."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from snapd.cron import Schedule
from snapd.errors import UsageError
from snapd.importing import crontab, entry, others
from snapd.importing.account import Fate, Host, Item, Source, carried, changed, not_carried, not_needed
from snapd.importing.assembly import Line, assemble
from snapd.importing.calls import Outcome, Surroundings
from snapd.importing.crontab import Crontab, Entry, Setting
from snapd.importing.draft import Draft, name_places
from snapd.importing.settings import Settings
from snapd.importing.tarsnap_conf import read_conf
from snapd.importing.words import ShellError

MOST_JOBS = 500
_CALLED = ("tarsnap", "tarsnapper")
_SUSPICIOUS = ("backup", "back_up", "tarsnap", "dump", "borg", "restic", "rsync", "duplicity", "snapshot")
_UTC = ("UTC", "UTC0", "GMT", "Etc/UTC")


def read(text: str, file: str, host: Host, *, system: bool, tarsnap_conf: str | None) -> Draft:
    """Read a crontab. `file` names it in messages; `system`: its jobs name their users.

    `tarsnap_conf` is read in place of tarsnap's default config files. Raises UsageError with file and line
    for what cannot be read.
    """
    found = crontab.read(text, system=system or crontab.is_system(text, file))
    draft = Draft(origin=file)
    calling = sum(any(name in job.command for name in _CALLED) for job in found.entries)
    if calling > MOST_JOBS:
        raise UsageError(f"{file} has {calling} jobs that call tarsnap, and at most {MOST_JOBS} are read")
    defaults = read_conf(draft, host, tarsnap_conf)
    lines = [line for job in found.entries for line in _lines(job, host, defaults, file)]
    _refuse_if_nothing(file, lines)
    draft.around += [*_settings(found), *(source for line in lines for source in line.outcome.around)]
    draft.timezone = _timezone(found)
    draft.left += [
        Source(f"line {one.line}", one.text, (not_carried(one.text, one.why),)) for one in found.unread
    ]
    assemble(draft, lines)
    draft.left.sort(
        key=lambda source: [int(number) for number in re.findall(r"line ([0-9]+)$", source.where)]
    )
    draft.left += _tail(found)
    name_places(draft)
    return draft


def due(schedule: str) -> tuple[str, Item]:
    """Return a schedule of a crontab as ours, empty when it is none, and the account of it."""
    try:
        Schedule.parse(schedule, "UTC")
    except ValueError as error:
        return "", not_carried(schedule, str(error))
    return schedule, carried(schedule, "schedule")


def _refuse_if_nothing(file: str, lines: Iterable[Line]) -> None:
    if all(item.fate is Fate.NOT_NEEDED for line in lines for item in line.source.items):
        raise UsageError(
            f"{file} has no job that looks like a backup",
            hint="root's own: sudo crontab -l | snapd-backup import crontab -",
        )


def _lines(job: Entry, host: Host, defaults: Settings, file: str) -> Iterator[Line]:
    """Yield what a job came to, and then each job of a tarsnapper file that it reads."""
    source = Source(f"line {job.line}", _shown(job.text), (), job.comments)
    if not any(name in job.command for name in _CALLED):
        yield Line(replace(source, items=_stays(job)), "", Outcome())
        return
    schedule, of_schedule = due(job.schedule)
    outcome = _outcome(job, host, defaults, file)
    items = (of_schedule, *_user(job), *_stdin(job), *outcome.items)
    yield Line(replace(source, items=items), schedule, outcome)
    for inner, of_inner in outcome.jobs:
        yield Line(inner, schedule, of_inner)


def _outcome(job: Entry, host: Host, defaults: Settings, file: str) -> Outcome:
    local = job.environment.get("TZ", "") not in _UTC
    home = job.environment.get("HOME", "") or host.home(job.user or "root")
    around = Surroundings(host, home, home, defaults, local)
    try:
        return entry.read(job.command, around, job.environment)
    except ShellError as error:
        hint = "a % ends a command of a crontab: write \\%" if job.stdin else "no shell takes this line"
        raise UsageError(f"{file}:{job.line}: {error}", hint=hint) from error


def _shown(text: str) -> str:
    return re.sub(r"\t+", " ", text)


def _stays(job: Entry) -> tuple[Item, ...]:
    """A job that calls neither tarsnap nor tarsnapper stays where it is, unless it may do so in a script."""
    if any(word in job.command.lower() for word in _SUSPICIOUS):
        return (
            not_carried(job.text, "a script is not read; if it makes backups, write a backup set for it"),
        )
    return (
        not_needed(_shown(job.text), "it calls neither tarsnap nor tarsnapper, and stays in the crontab"),
    )


def _user(job: Entry) -> Iterator[Item]:
    if job.user == "root":
        yield not_needed(job.user, "the daemon reads every file")
    elif job.user:
        says = "the daemon has neither this user's home nor its tarsnap.conf: name key and cachedir in full"
        yield not_carried(job.user, says)


def _stdin(job: Entry) -> Iterator[Item]:
    if job.stdin:
        yield not_carried(f"%{job.stdin}", "what a bare % hands to the command is not read")


# -- settings ---------------------------------------------------------------------------------------------


def _settings(found: Crontab) -> Iterator[Source]:
    for setting in found.settings:
        yield Source(f"line {setting.line}", setting.text, (_setting(setting, found),))


def _timezone(found: Crontab) -> str:
    """Return the zone that all schedules mean, an empty text when none is named, or several are."""
    zones = {setting.value for setting in found.settings if setting.name == "CRON_TZ"}
    return next(iter(zones)) if len(zones) == 1 and not any(map(_zone_fault, zones)) else ""


def _zone_fault(zone: str) -> str:
    try:
        Schedule.parse("@daily", zone)
    except ValueError as error:
        return str(error)
    return ""


def _setting(setting: Setting, found: Crontab) -> Item:
    text, name = setting.text, setting.name
    if name == "CRON_TZ":
        return _cron_tz(text, setting.value, found)
    if name in ("MAILTO", "MAILFROM", "CONTENT_TYPE"):
        if not setting.value:
            return not_needed(text, "nobody is mailed")
        says = "nobody is mailed; failures are in the journal and in snapd-backup status"
        return not_carried(text, says)
    used = any(f"${name}" in job.command or f"${{{name}}}" in job.command for job in found.entries)
    return carried(text, "where it is used") if used else others.variable(text, name)


def _cron_tz(text: str, zone: str, found: Crontab) -> Item:
    if fault := _zone_fault(zone):
        return not_carried(text, fault)
    if not _timezone(found):
        return not_carried(text, "all schedules are in one time zone, timezone of [daemon]")
    return changed(text, "timezone of [daemon]; Debian's cron pays no heed to it, cronie does")


def _tail(found: Crontab) -> Iterator[Source]:
    if found.comments:
        yield Source("end of the file", "", (), found.comments)
