"""What a child writes: split into lines, bounded, its secrets masked. Pure: bytes in, text out."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable


class Mask:
    """Replaces secrets by `***`; those of several lines also line by line."""

    def __init__(self, secrets: tuple[str, ...]) -> None:
        parts = {part for secret in secrets for part in (secret, *secret.splitlines()) if part.strip()}
        self._parts = sorted(parts, key=len, reverse=True)
        self.longest = max((len(part.encode()) for part in parts), default=0)

    def apply(self, text: str, *, cut: bool) -> str:
        """Mask `text`; when it was `cut` at its end, also leave out what may be the beginning of a secret."""
        for part in self._parts:
            text = text.replace(part, "***")
        return text[: len(text) - self.longest + 1] if cut and self.longest else text


class Lines:
    """Splits a stream into masked, bounded lines."""

    def __init__(
        self, emit: Callable[[str], None], secrets: tuple[str, ...], *, bound: int, ends: bytes
    ) -> None:
        self._emit = emit
        self._mask = Mask(secrets)
        self._bound = bound
        self._room = bound + self._mask.longest
        self._ends = re.compile(ends)
        self._line = bytearray()
        self._cut = False

    def feed(self, chunk: bytes) -> None:
        *whole, rest = self._ends.split(chunk)
        for part in whole:
            self._take(part)
            self._flush()
        self._take(rest)

    def finish(self) -> None:
        if self._line:
            self._flush()

    def _take(self, part: bytes) -> None:
        room = self._room - len(self._line)
        self._cut = self._cut or len(part) > room
        self._line += part[:room]

    def _flush(self) -> None:
        text = self._mask.apply(self._line.decode(errors="replace"), cut=self._cut)
        self._line.clear()
        self._cut = False
        self._emit(text[: self._bound])


class Tail:
    """The last lines, up to a number of characters."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._size = 0
        self._lines: deque[str] = deque()

    def add(self, line: str) -> None:
        self._lines.append(line)
        self._size += len(line) + 1
        while self._size > self._bound:
            self._size -= len(self._lines.popleft()) + 1

    def text(self) -> str:
        return "\n".join(self._lines)


class Kept:
    """The beginning of a stream, up to a number of bytes."""

    def __init__(self, bound: int, secrets: tuple[str, ...]) -> None:
        self._bound = bound
        self._mask = Mask(secrets)
        self._bytes = bytearray()
        self._truncated = False

    def feed(self, chunk: bytes) -> None:
        room = self._bound - len(self._bytes)
        self._truncated = self._truncated or len(chunk) > room
        self._bytes += chunk[:room]

    def text(self) -> tuple[str, bool]:
        text = self._bytes.decode(errors="replace")
        return self._mask.apply(text, cut=self._truncated), self._truncated
