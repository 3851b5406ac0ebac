"""Where each key of a TOML document stands: text to line numbers, since tomllib tells no positions. Pure.

A scanner of TOML 1.0 that follows structure only: headers, keys, and where values begin and end. It is meant
for text that tomllib accepts; in any other it stops at what it does not understand, with what it has so far.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from collections.abc import Mapping
from contextlib import suppress

KeyPath = tuple[str | int, ...]
"""Keys from the root down; an element of an array is its index, from 0."""

# Nothing here is possessive or atomic: CPython 3.11.2 gets those wrong. Each text can match in one way only.
_BLANK = re.compile(r"[ \t\r\n]+|#[^\n]*")
_KEY = re.compile(r"""[A-Za-z0-9_-]+|"[^"\\\n]*(?:\\.[^"\\\n]*)*"|'[^'\n]*'""")
_DOT = re.compile(r"[ \t]*\.[ \t]*")
_STRING = re.compile(
    r'"""[^"\\]*(?:(?:\\.|"(?!""))[^"\\]*)*"{3,5}'
    r"|'''[^']*(?:'(?!'')[^']*)*'{3,5}"
    r'|"[^"\\\n]*(?:\\.[^"\\\n]*)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_BARE = re.compile(r"[^\s,\[\]{}#=\"']+(?: \d\d:[^\s,\[\]{}#=\"']+)?")  # a date and its time may be two words

MOST_PARTS = 20  # a config needs five; what tomllib does grows with their square
_ENDLESS_KEY = re.compile(
    rf"(?:^[ \t]*(?:\[\[?[ \t]*)?|[{{,][ \t]*)(?:(?:{_KEY.pattern}){_DOT.pattern}){{{MOST_PARTS}}}",
    re.MULTILINE,
)


def endless_key(text: str) -> int | None:
    """Return the line of the first key with more dotted parts than `MOST_PARTS`, which may take tomllib ages.

    It looks where keys begin: on a line, in a header, after a brace or a comma.
    """
    match = _ENDLESS_KEY.search(text)
    return text.count("\n", 0, match.end()) + 1 if match else None


def locate(text: str) -> dict[KeyPath, int]:
    """Return the line, from 1, of every key and array element of a document; the root `()` is on line 1.

    A table stands where its header is, or where it is first named on the way to a deeper key.
    """
    scanner = _Scanner(text)
    with suppress(_NotTomlError, RecursionError):
        scanner.document()
    return scanner.lines


def line_of(lines: Mapping[KeyPath, int], path: KeyPath) -> int:
    """Return the line of a key, or of the nearest parent that is in the text."""
    while path not in lines and path:
        path = path[:-1]
    return lines.get(path, 1)


class _NotTomlError(Exception):
    """The text is no TOML from here on."""


class _Scanner:
    """Walks over a document once; `lines` grows on the way."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[KeyPath, int] = {(): 1}
        self._line_ends = [match.start() for match in re.finditer("\n", text)]
        self._last_index: dict[KeyPath, int] = {}  # of each array of tables

    def document(self) -> None:
        table: KeyPath = ()
        while self._skip_blank():
            if self.text.startswith("[[", self.at):
                table = self._array_header()
            elif self.text.startswith("[", self.at):
                table = self._header()
            else:
                self._pair(table)

    def _array_header(self) -> KeyPath:
        start, keys = self.at, self._between("[[", "]]")
        array = (*self._resolve(keys[:-1], start), keys[-1])
        self._last_index[array] = self._last_index.get(array, -1) + 1
        self._note(array, start)
        element = (*array, self._last_index[array])
        self._note(element, start, named=True)
        return element

    def _header(self) -> KeyPath:
        start, keys = self.at, self._between("[", "]")
        table = self._resolve(keys, start)
        self._note(table, start, named=True)
        return table

    def _between(self, opening: str, closing: str) -> tuple[str, ...]:
        self.at += len(opening)
        self._skip_blank()
        keys = self._keys()
        self._skip_blank()
        self._expect(closing)
        return keys

    def _resolve(self, keys: tuple[str, ...], start: int) -> KeyPath:
        """Return the path that a header means: below an array of tables it is in the last table."""
        path: KeyPath = ()
        for key in keys:
            path = (*path, key)
            self._note(path, start)
            if path in self._last_index:
                path = (*path, self._last_index[path])
        return path

    def _pair(self, table: KeyPath) -> None:
        start, path = self.at, table
        for key in self._keys():
            path = (*path, key)
            self._note(path, start)
        self._note(path, start, named=True)
        self._skip_blank()
        self._expect("=")
        self._skip_blank()
        self._value(path)

    def _keys(self) -> tuple[str, ...]:
        keys = [self._key()]
        while dot := _DOT.match(self.text, self.at):
            self.at = dot.end()
            keys.append(self._key())
        return tuple(keys)

    def _key(self) -> str:
        key = self._take(_KEY)
        if key.startswith("'"):
            return key[1:-1]
        if not key.startswith('"'):
            return key
        try:
            return str(tomllib.loads(f"key = {key}")["key"])
        except tomllib.TOMLDecodeError:
            raise _NotTomlError from None

    def _value(self, path: KeyPath) -> None:
        match self.text[self.at : self.at + 1]:
            case "[":
                self._array(path)
            case "{":
                self._inline_table(path)
            case '"' | "'":
                self._take(_STRING)
            case _:
                self._take(_BARE)

    def _array(self, path: KeyPath) -> None:
        self._expect("[")
        index = 0
        while self._skip_blank() and not self._took("]"):
            self._note((*path, index), self.at, named=True)
            self._value((*path, index))
            self._skip_blank()
            if not self._took(","):
                self._expect("]")
                return
            index += 1

    def _inline_table(self, path: KeyPath) -> None:
        self._expect("{")
        while self._skip_blank() and not self._took("}"):
            self._pair(path)
            self._skip_blank()
            if not self._took(","):
                self._expect("}")
                return

    def _note(self, path: KeyPath, at: int, *, named: bool = False) -> None:
        """Remember a line. `named` is the key's own place, which counts more than being passed through."""
        if named or path not in self.lines:
            self.lines[path] = bisect_right(self._line_ends, at - 1) + 1

    def _skip_blank(self) -> bool:
        """Skip white space, line ends and comments; false at the end of the text."""
        while blank := _BLANK.match(self.text, self.at):
            self.at = blank.end()
        return self.at < len(self.text)

    def _take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        if match is None:
            raise _NotTomlError
        self.at = match.end()
        return match.group()

    def _took(self, mark: str) -> bool:
        found = self.text.startswith(mark, self.at)
        self.at += len(mark) if found else 0
        return found

    def _expect(self, mark: str) -> None:
        if not self._took(mark):
            raise _NotTomlError
