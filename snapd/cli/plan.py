"""The plan of an expiry, for a reader: what would stay and what would go, why, and what holds it."""

from __future__ import annotations

from typing import Any

from snapd.cli import words
from snapd.cli.output import coloured, escaped, fact
from snapd.cli.table import Cell, Row, print_rows, print_sentence, print_table

SHORT = 20  # archives that are shown one by one in any case
NAMED = 5  # names to go that are shown at each end of a long list


def print_plan(plan: dict[str, Any], *, everything: bool = False, names: bool = False) -> None:
    """Print the groups, and what would go.

    A short plan, or `everything`: each archive with its verdict. A long one: the oldest and the newest names
    that would go, or with `names` all of them.
    """
    short = len(plan["archives"]) <= SHORT
    if everything or short:
        given = set(plan["approved"])
        rows = [_row(item, given) for item in plan["archives"]]
        print_table(("VERDICT", "CREATED", "ARCHIVE", "WHY"), rows)
    else:
        going = [item["name"] for item in reversed(plan["archives"]) if not item["keep"]]
        _print_names(going, plan["backup_set"], all_of_them=names)
    if plan["archives"]:
        fact()
    if not short:
        _print_groups("KEEP", [group for group in plan["groups"] if group["keep"]])
        _print_groups("DELETE", [group for group in plan["groups"] if not group["keep"]])
    approved = f", of which {len(plan['approved'])} are approved" if plan["approved"] else ""
    fact(f"{plan['keep']} to keep, {plan['delete']} to delete{approved}.")


def print_hold(plan: dict[str, Any]) -> None:
    """Print what holds the plan back, and what to do about it."""
    hold = plan["hold"]
    if hold is None:
        return
    print_rows([(Cell(f"Expiry is held: {escaped(hold['reason'])}.", "yellow"),)])
    for line in hold["hint"].splitlines():
        print_sentence(escaped(line), indent="  ")


def _print_groups(head: str, groups: list[dict[str, Any]]) -> None:
    if not groups:
        return
    print_table(
        (head, "OLDEST", "NEWEST", "WHY"),
        [
            (
                str(group["count"]),
                words.local(group["oldest"]),
                words.local(group["newest"]),
                escaped(group["reason"]),
            )
            for group in groups
        ],
    )
    if len(groups) > 1 and groups[0]["keep"]:
        fact("(An archive may stay for several reasons.)")
    fact()


def _print_names(names: list[str], backup_set: str, *, all_of_them: bool) -> None:
    """Print what would go; of a long list the two ends."""
    if not names:
        return
    fact(coloured("To be deleted, the oldest first:", "red"))
    cut = len(names) - 2 * NAMED
    shown = [f"  {escaped(name)}" for name in names]
    if not all_of_them and cut > 1:
        shown[NAMED:-NAMED] = [f"  ... {cut} more: snapd-backup expire {escaped(backup_set)} --plan --all"]
    for line in shown:
        fact(line)


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
