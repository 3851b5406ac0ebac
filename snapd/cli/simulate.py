"""`simulate`: a retention policy tried on a list, or over years. Needs neither config nor daemon."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import click

from snapd.cli.archive_list import read_list
from snapd.cli.arguments import json_option
from snapd.cli.instants import LAST_YEAR, read_or_now
from snapd.cli.output import print_json
from snapd.cli.policy import policy_of, policy_options
from snapd.cli.projection import print_projection, print_verdicts, projection_json, verdicts_json
from snapd.cli.ticker import Ticker
from snapd.cron import Schedule, zone_named
from snapd.errors import UsageError
from snapd.local_zone import system_timezone
from snapd.retention import Policy, plan
from snapd.simulation import ONLY_THE_NEWEST, project
from snapd.units import parse_span

MOST_BACKUPS = 5_000_000
_LIST_HINT = "a list of archives to plan for, or how often archives are made"
_DURATION = re.compile(r"\s*[0-9]+\s*[a-z]\s*")
_YEARS = re.compile(r"([0-9]{1,3})\s*y")


@dataclass(frozen=True, slots=True)
class Question:
    """What is tried, at which instant (UTC), and on whose clocks."""

    policy: Policy
    now: datetime
    zone: ZoneInfo


@click.command("simulate")
@click.option(
    "--archives", "file", metavar="FILE", help="A list: name, tab, instant on each line. - is stdin."
)
@click.option("--every", metavar="EXPR", help='When backups are made: 15m, "0 */2 * * *" or "@daily".')
@click.option("--for", "span", metavar="SPAN", help="How long, with --every: 90d or 2y.  [default: 2y]")
@policy_options
@click.option("--now", metavar="ISO", help="When to plan, or when to begin.  [default: now]")
@click.option("--timezone", metavar="TZ", help="An IANA name.  [default: the system's]")
@json_option
def simulate_command(
    *,
    file: str | None,
    every: str | None,
    span: str | None,
    deltas: str | None,
    keep: str | None,
    now: str | None,
    timezone: str | None,
    as_json: bool,
) -> int:
    """Show what a retention policy would keep. Touches nothing.

    With --archives, of a list of archives: which stay and why, and which go. With --every, of backups made on
    time and expired each night: how many are left after a day, a week, a month, a year and at the end, how
    old the oldest is, and where the gaps are.

    \b
    snapd-backup simulate --every 15m --deltas "1h 1d 7d 30d 365d" --for 2y
    snapd-backup simulate --archives list.txt --keep "daily=7,weekly=5"

    Only the newest archive stands above the policy here; a real expiry also keeps min_keep archives, and
    those that are pinned or proven. Instants without an offset are read on the clocks of the time zone.
    """
    try:
        zone = zone_named(timezone or system_timezone())
        at = read_or_now(now, zone)
    except ValueError as error:
        raise UsageError(str(error)) from error
    question = Question(policy_of(deltas, keep, zone.key), at, zone)
    match file, every:
        case str(), None:
            _plan_list(question, file, span, as_json=as_json)
        case None, str():
            _plan_years(question, every, span or "2y", as_json=as_json)
        case _:
            raise UsageError("exactly one of --archives and --every is needed", hint=_LIST_HINT)
    return 0


def _plan_list(question: Question, file: str, span: str | None, *, as_json: bool) -> None:
    if span is not None:
        raise UsageError("--for belongs to --every, and a list needs none")
    verdicts = plan(read_list(file, question.zone), question.policy, ONLY_THE_NEWEST, question.now)
    if as_json:
        print_json(verdicts_json(verdicts))
    else:
        print_verdicts(verdicts, question.zone)


def _plan_years(question: Question, every: str, length: str, *, as_json: bool) -> None:
    try:
        backups = _schedule(every, question.zone.key)
        span = _span(length)
    except ValueError as error:
        raise UsageError(str(error)) from error
    start = question.now
    if (start + span).year >= LAST_YEAR:
        raise UsageError(f"--for {length} leads beyond the year {LAST_YEAR}")
    passed = backups.slots(start, start + span)
    if passed is None:
        raise UsageError(
            f"no backup falls into {length} of {backups.expression}", hint="a longer --for is meant"
        )
    if passed.count > MOST_BACKUPS:
        raise UsageError(
            f"{passed.count:,} backups are too many to simulate", hint="a shorter --for, or a longer --every"
        )
    with Ticker("simulating", _to_terminal) as ticker:
        projection = project(backups, question.policy, start, span, told=ticker.tell)
    if as_json:
        print_json(projection_json(projection, backups, question.policy, start))
    else:
        print_projection(projection, backups, question.policy, length)


def _schedule(text: str, timezone: str) -> Schedule:
    """Read `15m` as `every 15m`, and anything else as the config does."""
    return Schedule.parse(f"every {text}" if _DURATION.fullmatch(text) else text, timezone)


def _span(text: str) -> timedelta:
    """Read a duration, or years of 365 days."""
    years = _YEARS.fullmatch(text.strip())
    return parse_span(f"{int(years[1]) * 365}d" if years else text)


def _to_terminal(text: str) -> None:
    if sys.stderr.isatty():
        click.echo(text, nl=False, err=True)
