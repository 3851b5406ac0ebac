"""Exclude patterns of tarsnap(1) as ours.

There a `*` crosses folders (fnmatch(3) with FNM_LEADING_DIR and nothing else), where ours stays within one
and `**` crosses them; so each star is written as what means the same. A leading `./` means nothing there.
"""

from __future__ import annotations

import re

from snapd.importing.account import Item, carried, changed, not_carried

_TOKEN = re.compile(r"\*+|\[[!^]?\]?[^\]]*\]|.", re.DOTALL)


def translated(text: str, pattern: str) -> tuple[str | None, Item]:
    """Return our pattern, None when there is none, and the account. `text` is the option as written."""
    if fault := _fault(pattern):
        return None, not_carried(text, f"{fault}; what it excluded is archived from now on")
    ours = our_pattern(pattern)
    if ours != pattern:
        return ours, changed(text, f"written as {ours} here: a * of tarsnap crosses folders, ours does as **")
    return ours, carried(text, "exclude")


def our_pattern(pattern: str) -> str:
    """Return the pattern that excludes the same paths, and what is below them."""
    parts = _TOKEN.findall(re.sub(r"^(\./+)+", "", pattern))
    if parts[0].startswith("*") and parts[1:2] == ["/"]:  # below any folder, and ours is looked for anywhere
        del parts[:2]
    return "".join(_ours(parts, at) for at in range(len(parts)))


def _ours(parts: list[str], at: int) -> str:
    part, following = parts[at], parts[at + 1 : at + 2]
    if part.startswith("[^"):
        return f"[!{part[2:]}"
    if not part.startswith("*"):
        return part
    if following == ["/"]:
        return "*/**"
    return "**" if at and following else "*"  # at the ends one is enough: ours takes all that is below, too


def _fault(pattern: str) -> str:
    if "\\" in pattern:
        return "a backslash means itself in our patterns"
    if not pattern.isprintable() or not pattern.strip():
        return "it is empty, or holds a character that cannot be printed"
    if ".." in pattern.split("/"):
        return 'it holds ".."'
    if pattern.strip("/") in ("", "*", "**"):
        return "it excludes everything"
    return ""
