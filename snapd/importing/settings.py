"""What options of tarsnap(1), on a command line or in its files, say about a store and a backup set."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from snapd.importing import excludes
from snapd.importing.account import Host, Item, carried, not_carried, not_needed
from snapd.importing.options import LONG, Option
from snapd.importing.words import Word
from snapd.units import parse_size

_OF_STORE = (
    *("aggressive-networking", "no-aggressive-networking", "disk-pause", "no-disk-pause", "force-resources"),
    *("no-force-resources", "lowmem", "no-retry-forever", "noisy-warnings", "normalmem", "retry-forever"),
    *("verylowmem",),
)
_OF_CONTENT = (
    *("check-links", "dereference", "insane-filesystems", "no-insane-filesystems", "no-nodump"),
    *("no-store-atime", "noatime", "nodump", "store-atime"),
)
_NOT_NEEDED = {
    **dict.fromkeys(
        ("print-stats", "no-print-stats", "humanize-numbers", "no-humanize-numbers", "totals", "no-totals"),
        "sizes are in the history and the journal of every run",
    ),
    **dict.fromkeys(
        ("verbose", "quiet", "no-quiet", "progress-bytes", "no-progress-bytes", "debug-network-stats"),
        "what tarsnap says is read by the daemon",
    ),
    **dict.fromkeys(
        ("no-maxbw", "no-maxbw-rate-down", "no-maxbw-rate-up", "no-snaptime", "dump-config", "iso-dates"),
        "that is so without it",
    ),
    "no-default-config": "the daemon reads none of tarsnap's config files",
    "no-config-exclude": "what was excluded elsewhere was left out here",
    "no-config-include": "the daemon reads none of tarsnap's config files",
    "keep-going": "an archive that is gone already is no failure here either",
    "--": "paths cannot be taken for options here",
}
_NOT_CARRIED = {
    "maxbw": "there is no limit on what one run may upload; rate_limit of the store bounds bytes per second",
    "files-from": "a list of paths is not read; write them into paths",
    "include": "there is no include; name the wanted paths in paths, or exclude the others",
    "snaptime": "snapshots of file systems are not known here; a change within its second may be missed",
    "creationtime": "an archive has the time at which it was made",
    "norecurse": "a path is archived with all that is below it",
    "passphrase-stdin": 'the key\'s passphrase: add passphrase = { credential = "tarsnap" } to the store',
    "csv-file": "statistics are not written to a file; the history has them",
    "archive-names": "a list of names is not read; a retention policy decides what goes",
}
_SIZES = ("checkpoint-bytes", "maxbw-rate", "maxbw-rate-up", "maxbw-rate-down")
_GIVEN_TWICE = "it was said before, and the first is taken"


@dataclass(frozen=True, slots=True)
class Settings:
    """What is set; empty for what is not. Paths are absolute, sizes and rates as our config writes them.

    `extra` are options for the store, `content` those that change what is archived.
    """

    keyfile: str = ""
    cachedir: str = ""
    passphrase: str = ""
    checkpoint_bytes: str = ""
    rate_up: str = ""
    rate_down: str = ""
    one_file_system: bool = False
    exclude: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    content: tuple[str, ...] = ()

    def over(self, others: Settings, *, excludes_too: bool = True) -> Settings:
        """Return these settings, completed by those of a config file: the first wins, excludes add up."""
        return Settings(
            keyfile=self.keyfile or others.keyfile,
            cachedir=self.cachedir or others.cachedir,
            passphrase=self.passphrase or others.passphrase,
            checkpoint_bytes=self.checkpoint_bytes or others.checkpoint_bytes,
            rate_up=self.rate_up or others.rate_up,
            rate_down=self.rate_down or others.rate_down,
            one_file_system=self.one_file_system or others.one_file_system,
            exclude=_unique(self.exclude, others.exclude if excludes_too else ()),
            extra=_unique(self.extra, others.extra),
            content=_unique(self.content, others.content),
        )


def read(
    options: Iterable[Option], host: Host, *, folder: str, home: str
) -> tuple[Settings, tuple[Item, ...]]:
    """Read the options that are settings, with an item for each. Relative paths are in `folder`."""
    settings, at = Settings(), _At(host, folder, home)
    items: list[Item] = []
    for option in options:
        settings, found = _with(settings, option, at)
        items += found
    return settings, tuple(items)


def absolute(path: str, folder: str, home: str) -> str:
    """Return a path from the root, without `.` and `..`."""
    if path == "~" or path.startswith("~/"):
        path = home + path[1:]
    whole = posixpath.normpath(posixpath.join(folder, path))
    return "/" + whole.lstrip("/")


def _with(settings: Settings, option: Option, at: _At) -> tuple[Settings, list[Item]]:
    name, text = option.name, option.text
    if not name:
        return settings, [not_carried(text, "tarsnap has no such option, or its value is missing")]
    if name in _NOT_NEEDED:
        return settings, [not_needed(text, _NOT_NEEDED[name])]
    if option.value is None:
        return _flag(settings, name, text)
    value = option.value.literal
    if value is None:
        return settings, [not_carried(text, "its value is only known when the command runs")]
    if not value.isprintable():
        return settings, [not_carried(text, "it holds a control character")]
    return _valued(settings, name, value, text, at)


@dataclass(frozen=True, slots=True)
class _At:
    """Where a value is read."""

    host: Host
    folder: str
    home: str

    def path(self, given: str) -> str:
        return absolute(given, self.folder, self.home)


def _flag(settings: Settings, name: str, text: str) -> tuple[Settings, list[Item]]:
    if name == "one-file-system":
        return replace(settings, one_file_system=True), [carried(text, "one_file_system")]
    if name in _OF_STORE:
        return replace(settings, extra=_unique(settings.extra, (f"--{name}",))), [carried(text, "extra")]
    if name in _OF_CONTENT:
        return replace(settings, content=_unique(settings.content, (f"--{name}",))), [carried(text, "extra")]
    return settings, [not_carried(text, _NOT_CARRIED.get(name, "the config has no key for it"))]


def _valued(settings: Settings, name: str, value: str, text: str, at: _At) -> tuple[Settings, list[Item]]:
    if name == "exclude":
        return _exclude(settings, value, text)
    if name == "exclude-from":
        return _exclude_from(settings, at.path(value), text, at.host)
    if name in ("keyfile", "cachedir"):
        return _set(settings, name, at.path(value), text)
    if name == "passphrase":
        return _passphrase(settings, value, text, at)
    if name in _SIZES:
        return _size(settings, name, value, text)
    return _other_value(settings, name, value, text)


def _other_value(settings: Settings, name: str, value: str, text: str) -> tuple[Settings, list[Item]]:
    if name == "disk-pause":
        extra = _unique(settings.extra, (f"--disk-pause={value}",))
        return replace(settings, extra=extra), [carried(text, "extra")]
    return settings, [not_carried(text, _NOT_CARRIED.get(name, "the config has no key for it"))]


def _set(settings: Settings, field: str, value: str, text: str) -> tuple[Settings, list[Item]]:
    if getattr(settings, field):
        return settings, [not_carried(text, _GIVEN_TWICE)]
    changes: dict[str, Any] = {field: value}
    return replace(settings, **changes), [carried(text, field)]


def _exclude(settings: Settings, pattern: str, text: str) -> tuple[Settings, list[Item]]:
    ours, item = excludes.translated(text, pattern)
    return replace(settings, exclude=_unique(settings.exclude, (ours,) if ours else ())), [item]


def _exclude_from(settings: Settings, path: str, text: str, host: Host) -> tuple[Settings, list[Item]]:
    """Take the patterns of a file of `-X`, one a line."""
    content = host.text(path)
    if content is None:
        says = "the file could not be read; write its patterns into exclude"
        return settings, [not_carried(text, says)]
    items = [carried(text, "exclude")]
    for line in filter(None, content.split("\n")):
        settings, found = _exclude(settings, line, f"{path}: {line}")
        items += found
    return settings, items


def _passphrase(settings: Settings, value: str, text: str, at: _At) -> tuple[Settings, list[Item]]:
    if not value.startswith("file:"):
        says = 'hand the passphrase over as passphrase = { credential = "tarsnap" } or { file = "/…" }'
        return settings, [not_carried(text, says)]
    return _set(settings, "passphrase", at.path(value.removeprefix("file:")), text)


def _size(settings: Settings, name: str, value: str, text: str) -> tuple[Settings, list[Item]]:
    try:
        size = parse_size(value)
    except ValueError as error:
        return settings, [not_carried(text, str(error))]
    low, high = (10**6, 2**63 - 1) if name == "checkpoint-bytes" else (8000, 10**9)
    if not low <= size <= high:
        return settings, [not_carried(text, "tarsnap refuses a value that small or large")]
    if name == "checkpoint-bytes":
        return _set(settings, "checkpoint_bytes", value, text)
    if name != "maxbw-rate":
        return _set(settings, "rate_up" if name.endswith("up") else "rate_down", value, text)
    settings, items = _set(settings, "rate_up", value, text)
    return replace(settings, rate_down=settings.rate_down or value), items


def _unique(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*first, *second)))


# -- tarsnap's own config files ---------------------------------------------------------------------------


def of_file(text: str, host: Host, *, home: str) -> tuple[Settings, tuple[Item, ...]]:
    """Read a tarsnap.conf: an option and its value a line, without dashes (tarsnap.conf(5)).

    An option that only makes sense elsewhere, such as `list-archives`, is not carried over.
    """
    options = [_option(line.strip()) for line in text.split("\n")]
    return read([option for option in options if option is not None], host, folder=home, home=home)


def _option(line: str) -> Option | None:
    if not line or line.startswith("#"):
        return None
    name, _, value = line.replace("\t", " ").partition(" ")
    if LONG.get(name, False):
        return Option(name if value.strip() else "", Word.of(value.strip()), line)
    return Option(name if name in LONG and not value.strip() else "", None, line)
