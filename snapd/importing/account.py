"""The account of an import: what became of every part of the input."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Fate(StrEnum):
    """What became of a part of the input. Only `NOT_CARRIED` needs a person."""

    CARRIED = "carried"  # it is a value of the config; `says` names the key
    CHANGED = "changed"  # it is a value of the config, and means something else than before
    NOT_NEEDED = "not-needed"  # the daemon does it by itself, or nothing of it is left to do
    NOT_CARRIED = "not-carried"  # the config cannot say it, or we could not read it


CALL = "the call itself"  # in place of a key: the program and its mode


@dataclass(frozen=True, slots=True)
class Item:
    """A part of the input as it was written, what became of it, and a sentence (for a value: its key)."""

    text: str
    fate: Fate
    says: str


@dataclass(frozen=True, slots=True)
class Source:
    """A line of a crontab, or a job of a tarsnapper file, and the account of it.

    `where` names it for an operator: `line 3`. `text` is all of it, `comments` stood above it.
    """

    where: str
    text: str
    items: tuple[Item, ...]
    comments: tuple[str, ...] = ()


class Host(Protocol):
    """What an import may ask of the machine."""

    @property
    def hostname(self) -> str: ...

    def home(self, user: str) -> str:
        """Return the home of a user, an absolute path."""
        ...

    def text(self, path: str) -> str | None:
        """Return what is in a file; None when it is missing, unreadable, no regular file or no short text."""
        ...

    def is_hidden(self, path: str) -> bool:
        """Whether it cannot even be told what a file is, since only another user may look."""
        ...

    def matching(self, pattern: str) -> tuple[str, ...]:
        """Return the paths that a glob pattern matches, sorted."""
        ...


def carried(text: str, key: str) -> Item:
    return Item(text, Fate.CARRIED, key)


def changed(text: str, says: str) -> Item:
    return Item(text, Fate.CHANGED, says)


def not_needed(text: str, says: str) -> Item:
    return Item(text, Fate.NOT_NEEDED, says)


def not_carried(text: str, says: str) -> Item:
    return Item(text, Fate.NOT_CARRIED, says)


def taken_back(items: Iterable[Item]) -> tuple[Item, ...]:
    """Return the account of what makes no backup set after all; the call itself has no value to lose."""
    says = "there is no backup set that it could be in"
    lost = (Fate.CARRIED, Fate.CHANGED)
    return tuple(
        not_carried(item.text, says) if item.fate in lost and item.says != CALL else item for item in items
    )


def open_items(items: Iterable[Item]) -> Sequence[Item]:
    """Return what a person must look at."""
    return [item for item in items if item.fate is Fate.NOT_CARRIED]
