"""Which paths are meant: exclusions anywhere in a path, inclusions from its start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .output import FatalError, reason, warn

if TYPE_CHECKING:
    import re

    from .commandline import Options


class Patterns:
    """Exclusions beat inclusions; where there are inclusions, nothing else is meant."""

    def __init__(self) -> None:
        self._exclude: list[str] = []
        self._include: list[str] = []
        self._matched: dict[str, bool] = {}

    def exclude(self, pattern: str) -> None:
        self._exclude.append(_trimmed(pattern))

    def include(self, pattern: str) -> None:
        pattern = _trimmed(pattern)
        self._include.append(pattern)
        self._matched.setdefault(pattern, False)

    def excluded(self, path: str) -> bool:
        if any(_excludes(pattern, path) for pattern in self._exclude):
            return True
        if not self._include:
            return False
        matching = [pattern for pattern in self._include if _matches(pattern, path)]
        if matching:  # tick off one that never matched before, if there is one
            fresh = [pattern for pattern in matching if not self._matched[pattern]]
            self._matched[(fresh or matching)[0]] = True
        return not matching

    @property
    def unmatched(self) -> list[str]:
        return [pattern for pattern, matched in self._matched.items() if not matched]


def _trimmed(pattern: str) -> str:
    return pattern.removesuffix("/")


def _excludes(pattern: str, path: str) -> bool:
    if pattern.startswith(("*", "/")):
        return _matches(pattern, path)
    starts = [0, *(at + 1 for at, letter in enumerate(path) if letter == "/")]
    return any(_matches(pattern, path[at:]) for at in starts)


def _matches(pattern: str, path: str) -> bool:
    return _regex(_bare(pattern)).match(_bare(path)) is not None


def _bare(path: str) -> str:
    return path[2:].lstrip("/") if path.startswith("./") else path


_CACHE: dict[str, re.Pattern[str]] = {}


def _regex(pattern: str) -> re.Pattern[str]:
    """Compile a shell pattern in which wildcards cross slashes, and that also means what is below it."""
    import re

    if pattern in _CACHE:
        return _CACHE[pattern]
    parts, at = [], 0
    while at < len(pattern):
        letter = pattern[at]
        at += 1
        end = pattern.find("]", at + 1 + (pattern[at : at + 1] in ("!", "^")))
        if letter == "*":
            parts.append(".*")
        elif letter == "?":
            parts.append(".")
        elif letter == "[" and end > 0:
            inside = pattern[at:end].replace("\\", "\\\\").replace("[", "\\[")
            parts.append("[" + ("^" + inside[1:] if inside[0] in "!^" else inside) + "]")
            at = end + 1
        elif letter == "\\" and at < len(pattern):
            parts.append(re.escape(pattern[at]))
            at += 1
        else:
            parts.append(re.escape(letter))
    _CACHE[pattern] = re.compile("".join(parts) + r"(?:/.*)?\Z", re.DOTALL)
    return _CACHE[pattern]


def lines_of(path: str, separator: str = "\n") -> list[str]:
    """Read the lines of a file, `-` meaning stdin; empty ones are left out. Raises `FatalError`."""
    try:
        if path == "-":
            with open(0, "rb", closefd=False) as file:
                content = file.read()
        else:
            with open(path, "rb") as file:
                content = file.read()
    except OSError as error:
        raise FatalError(f"Couldn't open {path}: {reason(error)}") from None
    return [line for line in content.decode("utf-8", "surrogateescape").split(separator) if line]


def of(options: Options, *, words: bool) -> Patterns:
    """Collect the patterns of a call; `words` are patterns too when an archive is read."""
    patterns = Patterns()
    separator = "\0" if options.flags & {"null", "null-input"} else "\n"
    for path in options.exclude_files:
        for pattern in lines_of(path, separator):
            patterns.exclude(pattern)
    for pattern in options.exclude:
        patterns.exclude(pattern)
    for pattern in options.include:
        patterns.include(pattern)
    if words:
        for pattern in options.paths:
            patterns.include(pattern)
        if "T" in options.values:
            for pattern in lines_of(options.values["T"], separator):
                patterns.include(pattern)
    return patterns


def warn_unmatched(patterns: Patterns) -> bool:
    """Say which inclusions matched nothing; true when there are any."""
    for pattern in reversed(patterns.unmatched):
        warn(f"{pattern}: Not found in archive")
    return bool(patterns.unmatched)
