"""The one meaning of `exclude`, as an expression over paths without their leading slash."""

from __future__ import annotations

import re

TOKEN = re.compile(r"\*\*/|\*\*|\*|\?|\[!?\]?[^\]]*\]|.", re.DOTALL)
_WILD = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


def expression(pattern: str) -> str:
    """Return one exclude pattern as a regular expression that finds its path and everything below it.

    `*`, `?` and `[…]` stay within a folder, `**` crosses folders. A slash at the end changes nothing; a
    pattern with a slash inside, but none in front, matches whole names anywhere (`cache/tmp`).
    """
    text = pattern.rstrip("/")
    start = "^" if text.startswith("/") else "(?:^|/)"
    body = "".join(_translated(token) for token in TOKEN.findall(text.lstrip("/")))
    return rf"(?s){start}{body}(?:/|\Z)"


def _translated(token: str) -> str:
    if token in _WILD:
        return _WILD[token]
    parts = class_of(token)
    if parts is None:
        return re.escape(token)
    return _class(*parts)


def class_of(token: str) -> tuple[bool, str] | None:
    """Return whether `[…]` is negated, and what is in it; None for what is meant literally."""
    if len(token) <= 2 or not token.startswith("["):
        return None
    negated = token.startswith("[!") and len(token) > 3
    inside = token[2 if negated else 1 : -1]
    try:
        re.compile(_class(negated, inside))
    except re.error:
        return None
    return negated, inside


def _class(negated: bool, inside: str) -> str:
    text = inside.replace("\\", r"\\").replace("[", r"\[").replace("]", r"\]")
    return f"[^/{text}]" if negated else f"[\\{text}]" if text.startswith("^") else f"[{text}]"
