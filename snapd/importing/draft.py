"""A config in the making: stores and backup sets, each with the lines that it was made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from snapd.importing.account import Item, Source, not_carried
from snapd.importing.settings import Settings

KEYFILE = "/root/tarsnap.key"  # where tarsnap's manual puts it
CACHEDIR = "/usr/local/tarsnap-cache"  # as in the tarsnap.conf that comes with it


@dataclass(slots=True)
class StoreDraft:
    """A store. What is empty in `settings` was said nowhere."""

    name: str
    settings: Settings


@dataclass(slots=True)
class SetDraft:
    """A backup set. `schedule` and `expire_schedule` are empty where none could be carried over."""

    name: str
    store: str
    archive: str
    paths: tuple[str, ...]
    exclude: tuple[str, ...]
    one_file_system: bool
    schedule: str = ""
    adopt: tuple[str, ...] = ()
    deltas: tuple[str, ...] = ()
    expire_schedule: str = ""
    settings: Settings = field(default_factory=Settings)  # as its own lines said
    sources: list[Source] = field(default_factory=list)


@dataclass(slots=True)
class Draft:
    """What an import came to. `around` is what holds for all of it, `left` what made no backup set."""

    origin: str
    stores: list[StoreDraft] = field(default_factory=list)
    sets: list[SetDraft] = field(default_factory=list)
    around: list[Source] = field(default_factory=list)
    left: list[Source] = field(default_factory=list)
    timezone: str = ""

    def sources(self) -> Iterator[Source]:
        """Every part of the input, in the order of the config."""
        yield from self.around
        for backup_set in self.sets:
            yield from backup_set.sources
        yield from self.left

    def items(self) -> Iterator[tuple[Source, Item]]:
        return ((source, item) for source in self.sources() for item in source.items)


def name_places(draft: Draft) -> None:
    """Say which keyfile and cachedir are guesses."""
    for store in draft.stores:
        guesses = [
            not_carried(key, f"nothing names the {key} of store {store.name}; {usual} is the usual place")
            for key, value, usual in (
                ("keyfile", store.settings.keyfile, KEYFILE),
                ("cachedir", store.settings.cachedir, CACHEDIR),
            )
            if not value
        ]
        if guesses:
            draft.around.append(Source(f"store {store.name}", "", tuple(guesses)))
