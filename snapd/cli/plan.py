"""The plan of an expiry as a table: what would go, what stays, and why."""

from __future__ import annotations

from typing import Any

from snapd.cli import words
from snapd.cli.output import escaped, fact
from snapd.cli.table import Cell, Row, print_rows, print_sentence, print_table


def print_plan(plan: dict[str, Any], *, approved: bool) -> None:
    """Print every archive with its verdict, then what an expiry would do."""
    given = set(plan["approved"])
    print_table(("VERDICT", "CREATED", "ARCHIVE", "WHY"), [_row(item, given) for item in plan["archives"]])
    if plan["archives"]:
        fact()
    fact(f"{plan['keep']} to keep, {plan['delete']} to delete.")
    hold = plan["hold"]
    name = escaped(plan["backup_set"])
    if approved:
        print_sentence(
            f"Approved for 7 days: the {plan['delete']} names above. The next expiry deletes those that are "
            f"still planned then; now: snapd-backup expire {name}"
        )
    elif hold:
        print_rows([(Cell(f"Expiry is held: {escaped(hold['reason'])}.", "yellow"),)])
        if hold["approvable"] and plan["delete"]:
            fact(f"If the plan is what you want: snapd-backup expire {name} --approve")


def _row(item: dict[str, Any], approved: set[str]) -> Row:
    verdict = Cell("keep", "green") if item["keep"] else Cell("delete", "red")
    marks = [
        word for word, there in (("incomplete", not item["complete"]), ("suspect", item["suspect"])) if there
    ]
    why = item["reasons"] or ["no rule keeps it"]
    if item["name"] in approved:
        why = [*why, "approved"]
    return (
        verdict,
        words.local(item["created"]),
        escaped(item["name"]),
        escaped(", ".join([*why, *marks])),
    )
