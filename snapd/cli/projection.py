"""What `simulate` shows: verdicts on a list, and years to come with a timeline of what they leave."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from snapd.cli import words
from snapd.cli.output import escaped, fact, unicode_ok
from snapd.cli.table import Cell, Row, print_sentence, print_table, terminal_width
from snapd.cron import Schedule
from snapd.deltas import Deltas
from snapd.keep import Keep
from snapd.model import Verdict
from snapd.retention import Policy
from snapd.simulation import Gap, Generation, Projection, Seen
from snapd.units import format_duration

_WIDEST = 60  # columns of the timeline
_NARROWEST = 16
_BESIDE = 48  # columns that the rest of its table takes, at most


# -- a list -----------------------------------------------------------------------------------------------


def verdicts_json(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Newest first."""
    return {
        "keep": [{"name": v.archive.name, "reasons": list(v.reasons)} for v in verdicts if v.keep],
        "delete": [{"name": v.archive.name} for v in verdicts if not v.keep],
    }


def print_verdicts(verdicts: Sequence[Verdict], zone: ZoneInfo) -> None:
    rows: list[Row] = [
        (
            Cell("keep", "green") if verdict.keep else Cell("delete", "red"),
            verdict.archive.created.astimezone(zone).strftime("%Y-%m-%d %H:%M"),
            escaped(verdict.archive.name),
            ", ".join(verdict.reasons) or "no rule keeps it",
        )
        for verdict in verdicts
    ]
    print_table(("VERDICT", "CREATED", "ARCHIVE", "WHY"), rows)
    if rows:
        fact()
    kept = sum(verdict.keep for verdict in verdicts)
    fact(f"{kept} to keep, {len(verdicts) - kept} to delete.")


# -- years ------------------------------------------------------------------------------------------------


def projection_json(
    projection: Projection, backups: Schedule, policy: Policy, start: datetime
) -> dict[str, Any]:
    return {
        "schedule": backups.expression,
        "timezone": backups.timezone,
        "policy": policy.text,
        "from": start.isoformat(),
        "until": projection.moments[-1].at.isoformat(),
        "after": [
            {
                "after_s": _seconds(moment.after),
                "at": moment.at.isoformat(),
                "made": moment.made,
                "kept": moment.kept,
                "oldest_age_s": _seconds(moment.oldest_age),
            }
            for moment in projection.moments
        ],
        "generations": [
            {
                "newest_age_s": _seconds(seen.generation.newest),
                "oldest_age_s": _seconds(seen.generation.oldest),
                "step_s": _seconds(seen.generation.step),
                "kept": len(seen.ages),
                "largest_gap": _gap_json(seen.gap),
                "worst_gap": _gap_json(seen.worst),
            }
            for seen in projection.generations
        ],
        "archives": [
            {"created": verdict.archive.created.isoformat(), "reasons": list(verdict.reasons)}
            for verdict in projection.verdicts
        ],
    }


def _gap_json(gap: Gap | None) -> dict[str, Any] | None:
    if gap is None:
        return None
    length = _seconds(gap.length)
    return {"older": gap.older.isoformat(), "newer": gap.newer.isoformat(), "gap_s": length}


def _seconds(span: timedelta | None) -> float | None:
    return None if span is None else span.total_seconds()


def print_projection(projection: Projection, backups: Schedule, policy: Policy, length: str) -> None:
    print_sentence(f"Backups {_when(backups)} for {length}, expired nightly by {_in_words(policy)}.")
    fact()
    print_table(
        ("AFTER", "MADE", "KEPT", "OLDEST"),
        [
            (
                _short(moment.after),
                f"{moment.made:,}",
                f"{moment.kept:,}",
                words.span(moment.oldest_age),
            )
            for moment in projection.moments
        ],
    )
    fact()
    fact(f"The {len(projection.verdicts):,} archives that are left, newest first:")
    fact()
    print_table(("AGE", "ONE IN", "KEPT", "GAP", "WORST", "TIMELINE"), list(_rows(projection)))
    fact()
    print_sentence("GAP is the longest time between two archives at the end, WORST of any night.")


def _when(backups: Schedule) -> str:
    every = backups.expression.startswith("every ")
    return f"{backups.expression}" if every else f'at "{backups.expression}" in {backups.timezone}'


def _in_words(policy: Policy) -> str:
    match policy:
        case Deltas():
            return f"deltas {' '.join(_short(span) for span in sorted(policy.spans))}"
        case Keep():
            return f"{policy.rules} in {policy.timezone}"


def _rows(projection: Projection) -> Iterator[Row]:
    furthest = projection.moments[-1].oldest_age
    width = min(max((terminal_width() or 80) - _BESIDE, _NARROWEST), _WIDEST)
    for seen in projection.generations:
        if not seen.ages and (seen.generation.oldest is None or seen.generation.newest >= furthest):
            continue  # there is nothing yet that could be so old
        yield (
            _ages(seen.generation),
            _short(seen.generation.step) if seen.generation.step else "",
            f"{len(seen.ages):,}",
            words.span(seen.gap.length) if seen.gap else "",
            words.span(seen.worst.length) if seen.worst else "",
            Cell(timeline(seen, furthest, width), "cyan"),
        )


def _ages(generation: Generation) -> str:
    if generation.oldest is None:
        return f"over {_short(generation.newest)}" if generation.newest else "any"
    newest = _short(generation.newest) if generation.newest else "0"
    return f"{newest} to {_short(generation.oldest)}"


def _short(span: timedelta) -> str:
    return format_duration(span)


def timeline(seen: Seen, furthest: timedelta, width: int) -> str:
    """Draw the ages of a generation, newest on the left: a block where there is an archive, else a dot."""
    block, dot = ("█", "·") if unicode_ok() else ("#", ".")
    begin = seen.generation.newest
    end = furthest if seen.generation.oldest is None else min(seen.generation.oldest, furthest)
    cells = [dot] * width
    for age in seen.ages:
        share = (age - begin) / (end - begin) if end > begin else 0.0
        cells[min(int(share * width), width - 1)] = block
    return "".join(cells)
