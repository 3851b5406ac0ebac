"""Write the catalogue of snapd/events.py into docs/journal.md, between its marks. Run by `make docs`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

PAGE = Path(__file__).with_name("journal.md")
EVENT_COLUMNS = ("EVENT", "MESSAGE_ID", "PRIORITY", "when", "MESSAGE", "fields")
sys.path.insert(0, str(PAGE.parent.parent))

from snapd.event_fields import FIELDS  # noqa: E402 - a script beside the package
from snapd.events import EVENTS  # noqa: E402


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _filled(text: str, mark: str, table: str) -> str:
    pattern = rf"(<!-- {mark} -->\n).*?(<!-- end of {mark} -->)"
    return re.sub(pattern, lambda match: f"{match[1]}{table}\n{match[2]}", text, flags=re.DOTALL)


def written(text: str) -> str:
    """Return the page with both tables as the catalogue has them now."""
    events = (
        (
            f"`{name}`",
            f"`{event.message_id}`",
            ", ".join(map(str, event.priorities)),
            event.meaning,
            f"`{event.sentence}`",
            ", ".join(f"`{field.upper()}`" for field in event.fields),
        )
        for name, event in EVENTS.items()
    )
    fields = ((f"`{name.upper()}`", meaning) for name, meaning in FIELDS.items())
    text = _filled(text, "events", _table(EVENT_COLUMNS, events))
    return _filled(text, "fields", _table(("field", "meaning"), fields))


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
