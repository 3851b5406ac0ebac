"""One call of tarsnap(1) or tarsnapper: what it creates, what it expires, and what became of each word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from snapd.importing import names, options, settings
from snapd.importing.account import (
    CALL,
    Host,
    Item,
    Source,
    carried,
    changed,
    not_carried,
    not_needed,
    taken_back,
)
from snapd.importing.names import Series, SeriesError
from snapd.importing.options import Call, Option
from snapd.importing.settings import Settings, absolute
from snapd.importing.words import Word


@dataclass(frozen=True, slots=True)
class Creation:
    """Archives that a line or a job makes. `series` is None for names that no pattern says; `name` is a hint
    for the backup set's. `adopt` are further patterns of the same archives.
    """

    name: str
    series: Series | None
    paths: tuple[str, ...]
    settings: Settings
    adopt: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Expiry:
    """Archives that tarsnapper expires: those between `before` and `behind`, which are pattern texts."""

    before: str
    behind: str
    deltas: tuple[str, ...]
    settings: Settings
    date: str = ""  # the pattern of the date, where tarsnapper was told one


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one call, or one whole line, came to."""

    items: tuple[Item, ...] = ()
    creations: tuple[Creation, ...] = ()
    expiries: tuple[Expiry, ...] = ()
    jobs: tuple[tuple[Source, Outcome], ...] = ()  # of a file that the call reads, each with its own account
    around: tuple[Source, ...] = ()  # what that file says of all its jobs

    def __add__(self, other: Outcome) -> Outcome:
        return Outcome(
            self.items + other.items,
            self.creations + other.creations,
            self.expiries + other.expiries,
            self.jobs + other.jobs,
            self.around + other.around,
        )


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a call meets: the machine, the folder it works in, what tarsnap's default config files set."""

    host: Host
    folder: str
    home: str
    defaults: Settings = field(default_factory=Settings)
    local_time: bool = True  # whether date(1) prints local time


NO_PATH = "no path of it could be carried over, so there is no backup set for it"
NO_PATTERN = "new archives are named otherwise, and those that exist are nobody's: delete them yourself"
_WILD = "wildcards are not followed; write down the folder, and exclude the rest"
_OTHER_MODES = {
    "delete": "an archive is deleted by the retention policy, [backup.NAME.expire], and not by its name",
    "list-archives": "snapd-backup archives SET lists them",
    "print-stats": "sizes are in the history and the journal of every run",
    "list": "snapd-backup archives SET lists them",
    "verify-config": "snapd-backup check looks at the config",
    "extract": "a restore test does this, and looks at what it got",
    "fsck": "a store out of step is repaired on request only",
    "fsck-prune": "a store out of step is repaired on request only, and nothing damaged is deleted",
}
_HARMLESS_MODES = ("list-archives", "print-stats", "list", "verify-config", "version", "help")


def tarsnap(words: Sequence[Word], around: Surroundings) -> Outcome:
    """Read one call of tarsnap; the first word is the program."""
    call = options.read(words[1:])
    dry = [option for option in call.options if option.name in ("dry-run", "dry-run-metadata")]
    if call.mode == "create" and not dry:
        return Outcome((carried(words[0].raw, CALL),)) + _create(call, around)
    whole = " ".join(word.raw for word in words)
    if dry:
        return Outcome((not_needed(whole, "a dry run makes no archive"),))
    if call.mode in _HARMLESS_MODES:
        return Outcome((not_needed(whole, _OTHER_MODES.get(call.mode, "it changes nothing")),))
    says = _OTHER_MODES.get(call.mode, "what this call does could not be read")
    return Outcome((not_carried(whole, says),))


def _create(call: Call, around: Surroundings) -> Outcome:
    ours = ("create", "file", "directory", "configfile")
    found, items = settings.read(
        [option for option in call.options if option.name not in ours],
        around.host,
        folder=around.folder,
        home=around.home,
    )
    found, of_files = _over_files(found, call, around)
    series, hint, of_name = _series(call, around)
    paths, of_paths = _paths(call, around)
    mode = tuple(carried(option.text, CALL) for option in call.options if option.name == "create")
    accounts = mode + items + of_files + of_name + of_paths
    if not paths:
        text = " ".join(word.raw for word in call.operands) or "tarsnap -c"
        return Outcome((*taken_back(accounts), not_carried(text, NO_PATH)))
    return Outcome(accounts, (Creation(hint, series, paths, found),))


def _over_files(found: Settings, call: Call, around: Surroundings) -> tuple[Settings, tuple[Item, ...]]:
    """Complete what the command line sets by its config files, then by the default ones."""
    given = {option.name for option in call.options}
    excludes_too = "no-config-exclude" not in given
    items: list[Item] = []
    for option in call.options:
        if option.name == "configfile":
            of_file, account = _config_file(option, around)
            found = found.over(of_file, excludes_too=excludes_too)
            items += account
    if "no-default-config" not in given:
        found = found.over(around.defaults, excludes_too=excludes_too)
    return found, tuple(items)


def _config_file(option: Option, around: Surroundings) -> tuple[Settings, tuple[Item, ...]]:
    given = option.value.literal if option.value else None
    path = absolute(given, around.folder, around.home) if given else ""
    text = around.host.text(path) if path else None
    if text is None:
        return Settings(), (not_carried(option.text, "the file could not be read; write down what it sets"),)
    found, items = settings.of_file(text, around.host, home=around.home)
    named = tuple(Item(f"{path}: {item.text}", item.fate, item.says) for item in items)
    return found, (carried(option.text, "what it sets"), *named)


def _series(call: Call, around: Surroundings) -> tuple[Series | None, str, tuple[Item, ...]]:
    """Return the series, what to call the set by, and the account of the name."""
    given = [option for option in call.options if option.name == "file" and option.value]
    if not given:
        return None, "", (not_carried("tarsnap -c", "it has no name for its archive"),)
    option, *others = given
    assert option.value is not None
    surplus = tuple(not_carried(other.text, "an archive has one name") for other in others)
    hint = option.value.text
    try:
        found = names.series(option.value, hostname=around.host.hostname)
    except SeriesError as error:
        return None, hint, (not_carried(option.text, f"{error}; {NO_PATTERN}"), *surplus)
    return found, names.ends(found.pattern)[0], (_name_item(option.text, found, around), *surplus)


def _name_item(text: str, found: Series, around: Surroundings) -> Item:
    notes = []
    if found.local and around.local_time:
        notes.append(
            "names held local time, and hold UTC now; the age of an archive is not taken from its name"
        )
    if found.hostname:
        notes.append(f"this machine is {around.host.hostname}")
    return changed(text, "; ".join(notes)) if notes else carried(text, "archive")


def _paths(call: Call, around: Surroundings) -> tuple[tuple[str, ...], tuple[Item, ...]]:
    """Return the absolute paths to save. `-C` changes the folder for what follows it, among paths too."""
    folder, items = around.folder, []
    for option in call.options:
        if option.name == "directory":
            folder, item = _change_folder(option.value, option.text, folder, around)
            items.append(item)
    paths: list[str] = []
    left = list(call.operands)
    while left:
        word = left.pop(0)
        if word.text.startswith("-C"):
            value = Word.of(word.text[2:]) if word.text != "-C" else left.pop(0) if left else None
            raw = f"{word.raw} {value.raw}" if value and word.text == "-C" else word.raw
            folder, item = _change_folder(value, raw, folder, around)
        else:
            item = _path(word, folder, around, paths)
        items.append(item)
    return tuple(dict.fromkeys(paths)), tuple(items)


def _change_folder(value: Word | None, text: str, folder: str, around: Surroundings) -> tuple[str, Item]:
    given = value.literal if value else None
    if not given or not given.isprintable():
        return folder, not_carried(text, "the folder is only known when the command runs")
    says = "paths are written from the root here, and so are they in the archive"
    return absolute(given, folder, around.home), changed(text, says)


def _path(word: Word, folder: str, around: Surroundings, paths: list[str]) -> Item:
    """Add the path that a word means to `paths`, and account for it."""
    text = word.literal
    if word.is_wild:
        return not_carried(word.raw, _WILD)
    if text is None:
        return not_carried(word.raw, "the path is only known when the command runs")
    if text.startswith("@"):
        return not_carried(word.raw, "one archive is not made out of another one; write down the paths")
    if not text or not text.isprintable() or len(text.encode(errors="replace")) > 4000:
        return not_carried(word.raw, "no path of the config is empty, endless, or holds control characters")
    paths.append(absolute(text, folder, around.home))
    if text.startswith("/") and ".." not in text.split("/"):
        return carried(word.raw, "paths")
    return changed(word.raw, f"written from the root, {paths[-1]}, and so is it in the archive")
