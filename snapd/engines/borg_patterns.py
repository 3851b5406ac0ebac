"""The one meaning of `exclude`, said in Borg's words.

Borg's own shell patterns match whole paths only, and in its fnmatch patterns `*` crosses folders: so every
pattern becomes a regular expression over Borg's paths, which have no leading slash.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from snapd.engines.base import Selection

_TOKEN = re.compile(r"\*\*/|\*\*|\*|\?|\[!?\]?[^\]]*\]|.", re.DOTALL)
_WILD = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


def options(selection: Selection) -> Iterator[str]:
    """Yield the arguments of `borg create` for a selection, the strongest first: the first match decides."""
    for path in selection.staged:
        yield f"--pattern=+ pp:{path}"
    for path in selection.never:
        yield f"--pattern=! pp:{path}"
    for pattern in selection.exclude:
        yield f"--exclude=re:{expression(pattern)}"
    if selection.one_file_system:
        yield "--one-file-system"


def expression(pattern: str) -> str:
    """Return one exclude pattern as a regular expression that finds its path and everything below it.

    `*`, `?` and `[…]` stay within a folder, `**` crosses folders. A slash at the end changes nothing; a
    pattern with a slash inside, but none in front, matches whole names anywhere (`cache/tmp`).
    """
    text = pattern.rstrip("/")
    start = "^" if text.startswith("/") else "(?:^|/)"
    body = "".join(_translated(token) for token in _TOKEN.findall(text.lstrip("/")))
    return rf"(?s){start}{body}(?:/|\Z)"


def _translated(token: str) -> str:
    if token in _WILD:
        return _WILD[token]
    if len(token) > 2 and token.startswith("["):
        return _class(token)
    return re.escape(token)


def _class(token: str) -> str:
    """Translate `[a-z]` and `[!a-z]`; what is no valid class is meant literally."""
    negated = token.startswith("[!") and len(token) > 3
    inside = token[2 if negated else 1 : -1].replace("\\", r"\\").replace("[", r"\[").replace("]", r"\]")
    text = f"[^/{inside}]" if negated else f"[{inside}]" if not inside.startswith("^") else f"[\\{inside}]"
    try:
        re.compile(text)
    except re.error:
        return re.escape(token)
    return text
