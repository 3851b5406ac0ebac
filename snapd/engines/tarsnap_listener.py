"""Reads what Tarsnap writes to standard error while it works: keeps what matters, and tells of progress."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable

from snapd.engines.tarsnap_outcome import unescaped
from snapd.model import Progress

_MOST = 5000
_LAST = 100
_DONE = re.compile(r"Processed (\d+) (?:files|entries), (\d+) bytes")
_AT = re.compile(r"(?:adding|extracting) (?P<path>.+?)(?: \(\d+ / \d+ bytes\))?")


class Listener:
    """`said` are the lines of one call but those that only name an entry: the first thousands, and the last
    ones, in order. `more` counts those in between. `judge` sees each of them as it comes, and may raise.
    """

    def __init__(
        self,
        progress: Callable[[Progress], None] | None = None,
        judge: Callable[[str], None] | None = None,
    ) -> None:
        self._judge = judge
        self._first: list[str] = []
        self._last: deque[str] = deque(maxlen=_LAST)
        self._kept_back = 0
        self._progress = progress
        self._entries = 0
        self._bytes = 0

    def hear(self, line: str) -> None:
        """Take one line of standard error."""
        if line.startswith(("a ", "x ")) and ": " not in line:
            self._entries += 1
            self._tell(line[2:])
            return
        self._keep(line)
        if self._judge is not None:
            self._judge(line)
        done = _DONE.search(line)
        if done is not None:
            self._entries, self._bytes = max(self._entries, int(done[1])), int(done[2])
            self._tell("")
        elif (at := _AT.fullmatch(line)) is not None:
            self._tell(at["path"])

    def _keep(self, line: str) -> None:
        if len(self._first) < _MOST:
            self._first.append(line)
        else:
            self._kept_back += 1
            self._last.append(line)

    def _tell(self, path: str) -> None:
        if self._progress is not None:
            self._progress(Progress(files=self._entries, bytes_read=self._bytes, path=unescaped(path)))

    @property
    def said(self) -> tuple[str, ...]:
        return (*self._first, *self._last)

    @property
    def more(self) -> int:
        return self._kept_back - len(self._last)
