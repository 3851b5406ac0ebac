"""The journal against docs/journal.md, as a reader of that page would check it; the code is not asked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs/journal.md"
EVERYWHERE = {"MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER", "EVENT", "MESSAGE_ID"}

# What journald itself adds to an entry that came by its native protocol: systemd.journal-fields(7).
JOURNALS_OWN = re.compile(r"_.+|SYSLOG_TIMESTAMP")


@dataclass(frozen=True)
class Event:
    """A row of the page's table."""

    message_id: str
    priorities: frozenset[str]
    fields: frozenset[str]


def read_page() -> dict[str, Event]:
    """The events that the page promises, by name."""
    text = PAGE.read_text(encoding="utf-8")
    table = text.split("<!-- events -->\n", 1)[1].split("<!-- end of events -->", 1)[0]
    head, _, *rows = ([cell.strip() for cell in line.split(" | ")] for line in _lines(table))
    found = (dict(zip(head, row, strict=True)) for row in rows)
    return {
        row["EVENT"].strip("`"): Event(
            row["MESSAGE_ID"].strip("`"),
            frozenset(row["PRIORITY"].split(", ")),
            frozenset(re.findall(r"`(\w+)`", row["fields"])),
        )
        for row in found
    }


def _lines(table: str) -> Iterator[str]:
    for line in table.splitlines():
        yield f"{line.removeprefix('|').removesuffix('|')} "


def faults(entries: Iterable[Mapping[str, Any]], page: Mapping[str, Event]) -> list[str]:
    """Say what of these entries the page does not promise, one line a fault."""
    return [f"{fault}: {entry}" for entry in entries for fault in _faults(entry, page)]


def _faults(entry: Mapping[str, Any], page: Mapping[str, Event]) -> Iterator[str]:
    event = page.get(str(entry.get("EVENT")))
    if event is None:
        yield "not in the catalogue"
        return
    fields = {name for name in entry if not JOURNALS_OWN.fullmatch(name)}
    if entry.get("MESSAGE_ID") != event.message_id:
        yield "another MESSAGE_ID"
    if entry.get("PRIORITY") not in event.priorities:
        yield "another PRIORITY"
    if lacking := EVERYWHERE - fields:
        yield f"without {', '.join(sorted(lacking))}"
    if more := fields - EVERYWHERE - event.fields:
        yield f"has {', '.join(sorted(more))}"
    if empty := sorted(name for name in fields if entry[name] in ("", None)):
        yield f"empty {', '.join(empty)}"
    if "\n" in str(entry.get("MESSAGE")):
        yield "more than a line"
