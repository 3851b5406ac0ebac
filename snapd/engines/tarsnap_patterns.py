"""The one meaning of `exclude`, said in Tarsnap's words.

Tarsnap matches with fnmatch(3), FNM_LEADING_DIR and nothing else: `*`, `?` and `[!x]` cross folders, a match
takes everything below it, a pattern that begins with neither `*` nor `/` may begin at any component, and
nothing that is excluded can be included again. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from snapd.engines.patterns import TOKEN, class_of, expression

_SPECIAL = re.compile(r"([\\*?\[])")
_ANY = "*"  # Tarsnap's star: any text, slashes too


def literal(path: str) -> str:
    """Return a pattern that means one path, and what is below it."""
    return _SPECIAL.sub(r"\\\1", path)


def translated(pattern: str) -> tuple[str, ...] | None:
    """Return the patterns of Tarsnap that mean exactly what a pattern of the config means.

    None when there are none: a `*` in the middle of a name (`img*.raw`, `/home/*/.cache`) must not cross
    folders, and Tarsnap's would.
    """
    text = pattern.rstrip("/")
    anchored = text.startswith("/")
    tokens = _simplified(TOKEN.findall(text.lstrip("/")), floating=not anchored)
    if "*" in tokens or any(map(_has_slash, tokens)):
        return None
    below_another = tokens[:2] == ["**", "/"]  # and not the slash that every path begins with
    start = "/" if anchored or below_another else ""
    return tuple(dict.fromkeys(start + body for body in _bodies(tokens)))


def _simplified(tokens: list[str], *, floating: bool) -> list[str]:
    """Turn each `*` into `**` that may cross folders without meaning more, one next to what crosses them."""
    found = list(tokens)
    if floating and found[:1] == ["**/"]:  # any component may be the first anyway
        return _simplified(found[1:], floating=True)
    for at, part in enumerate(found):
        if part == "*" and _may_cross(found, at, floating=floating):
            found[at] = "**"
    return _shortened(found)


def _shortened(tokens: list[str]) -> list[str]:
    """Leave out what adds nothing to a `**` beside it."""
    found: list[str] = []
    for part in tokens:
        after_all = found[-1:] == ["**"] or (part == "**/" and found[-2:] == ["**", "/"])
        if part == "**" and found[-1:] == ["**/"]:
            found[-1] = part
        elif part not in ("**", "**/") or not after_all:
            found.append(part)
    return found


def _has_slash(token: str) -> bool:
    """Tell whether a `[…]` may stand for a slash, so that names are not where they seem to be."""
    parts = class_of(token)
    return parts is not None and not parts[0] and re.match(expression(token), "/") is not None


def _may_cross(tokens: list[str], at: int, *, floating: bool) -> bool:
    before, after = tokens[at - 1] if at else None, tokens[at + 1 : at + 2]
    return (
        not after  # all below a match is excluded anyway
        or (floating and before is None)  # all above a name is passed over anyway
        or before in ("**", "**/")
        or after == ["**"]
        or tokens[at + 1 : at + 3] in (["/", "**/"], ["/", "**"])
    )


def _bodies(tokens: list[str]) -> Iterator[str]:
    """Yield every way to write the tokens: `**/` stands for no folder, or for any."""
    if not tokens:
        yield ""
        return
    for rest in _bodies(tokens[1:]):
        for word in _words(tokens[0]):
            yield word + rest


def _words(token: str) -> Iterable[str]:
    match token:
        case "**/":
            return ("", f"{_ANY}/")
        case "**":
            return (_ANY,)
        case "?":
            return ("[!/]",)
        case _:
            return (_class(token),)


def _class(token: str) -> str:
    parts = class_of(token)
    if parts is None:
        return literal(token)
    negated, inside = parts
    text = re.sub(r"([\\\[\]])", r"\\\1", inside)
    if negated:
        return f"[!/{text}]"
    return f"[\\{text}]" if text[0] in "!^" else f"[{text}]"
