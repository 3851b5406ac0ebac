"""`next`: the coming instants of a schedule. Needs neither config nor daemon."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

import click

from snapd.cli.arguments import json_option
from snapd.cli.instants import read_or_now
from snapd.cli.output import fact, print_json
from snapd.cron import Schedule
from snapd.errors import UsageError
from snapd.local_zone import system_timezone


@click.command("next")
@click.argument("expression", metavar="EXPR")
@click.option(
    "--timezone", metavar="TZ", help="An IANA name, such as Europe/London.  [default: the system's]"
)
@click.option("--from", "since", metavar="ISO", help="Show instants after this one.  [default: now]")
@click.option("--count", type=click.IntRange(1, 100_000), default=5, show_default=True, help="How many.")
@json_option
def next_command(expression: str, timezone: str | None, since: str | None, count: int, as_json: bool) -> int:
    """Show the coming instants of a schedule: "0 */2 * * *", "@daily" or "every 15m".

    An ISO instant without an offset is read on the clocks of the time zone.
    """
    zone = timezone or system_timezone()
    try:
        schedule = Schedule.parse(expression, zone)
        start = read_or_now(since, ZoneInfo(zone))
    except ValueError as error:
        raise UsageError(str(error)) from error
    instants = [instant.astimezone(ZoneInfo(zone)) for instant in _coming(schedule, start, count)]
    if as_json:
        print_json({"next": [instant.isoformat() for instant in instants]})
    else:
        for instant in instants:
            fact(instant.strftime("%a %Y-%m-%d %H:%M:%S %z"))
    return 0


def _coming(schedule: Schedule, start: datetime, count: int) -> Iterator[datetime]:
    at: datetime | None = start
    for _ in range(count):
        assert at is not None
        at = schedule.after(at)
        if at is None:
            return
        yield at
