"""From words to options: the command line first, then what config files add."""

from __future__ import annotations

from collections.abc import Iterator

from . import options as known
from .output import FatalError, UsageError, warn


class Options:
    """What one call was asked to do.

    `flags` holds every option given, by its short letter or long name; `values` those that take one value;
    `settings` what may come from config files as well, the first of each kind.
    """

    def __init__(self, version: tuple[int, ...]) -> None:
        self.version = version
        self.words: list[str] = []
        self.mode = ""
        self.flags: set[str] = set()
        self.verbose = 0
        self.values: dict[str, str] = {}
        self.settings: dict[str, str | bool] = {}
        self.names: list[str] = []
        self.exclude: list[str] = []
        self.include: list[str] = []
        self.exclude_files: list[str] = []
        self.config_files: list[str] = []
        self.folder: list[str] = []  # the words of -C, in order
        self.paths: list[str] = []
        self.keyfile_from_config = False
        self.creation_time: int | None = None
        self.delayed: list[tuple[str, str | None]] = []

    @property
    def mode_text(self) -> str:
        return known.MODES.get(self.mode, f"--{self.mode}")

    def on(self, setting: str) -> bool:
        return self.settings.get(setting) is True

    def text(self, setting: str) -> str | None:
        found = self.settings.get(setting)
        return found if isinstance(found, str) else None

    @property
    def dry_run(self) -> bool:
        return "dry-run" in self.flags or "dry-run-metadata" in self.flags

    @property
    def print_stats(self) -> bool:
        return self.on("print-stats")


def parse(argv: list[str], version: tuple[int, ...]) -> Options:
    """Read the words after the program's name; `help` and `version` are flags.

    Raises `FatalError` and `UsageError`.
    """
    options = Options(version)
    options.words = argv
    words = list(argv)
    for option, value in _each(words, version):
        _take(options, option, value)
        if option in ("help", "version"):
            return options
    options.paths = words
    if not options.mode and "print-stats" in options.flags:
        options.mode = "print-stats"
        options.delayed.remove(("print-stats", None))
        options.settings["print-stats"] = True
    if not options.mode and "h" in options.flags:
        options.flags.add("help")
        return options
    if not options.mode:
        raise FatalError(
            "Must specify one of -c, -d, -r, -t, -x, --list-archives, --print-stats,"
            " --fsck, --fsck-prune, or --nuke"
        )
    if options.dry_run and not options.names:
        options.names.append("(dry-run)")
    return options


def _each(words: list[str], version: tuple[int, ...]) -> Iterator[tuple[str, str | None]]:
    """Take the options off the front of `words`: up to the first word that is none, or behind `--`."""
    if words and not words[0].startswith("-"):
        yield from _bundle(words.pop(0), words, old=True)
    while words and words[0].startswith("-"):
        word = words.pop(0)
        if word == "--":
            return
        if word.startswith("--"):
            yield _long(word[2:], words, version, "--")
        else:
            yield from _short(word[1:], words, version)


def _short(bundle: str, words: list[str], version: tuple[int, ...]) -> Iterator[tuple[str, str | None]]:
    if bundle.startswith("W"):
        rest = bundle[1:] or _next(words, "Option -W requires an argument")
        yield _long(rest, words, version, "-W ")
        return
    yield from _bundle(bundle, words, old=False)


def _bundle(bundle: str, words: list[str], *, old: bool) -> Iterator[tuple[str, str | None]]:
    """Single letters in one word; `old` is the form without a dash, whose values all follow the word."""
    while bundle:
        letter, bundle = bundle[0], bundle[1:]
        at = known.SHORT.find(letter)
        if at < 0 or letter == ":":
            raise UsageError
        if known.SHORT[at + 1 : at + 2] != ":":
            yield letter, None
        elif old:
            yield letter, _next(words, f"Option {letter} requires an argument")
        else:
            yield letter, bundle or _next(words, f"Option -{letter} requires an argument")
            return


def _next(words: list[str], complaint: str) -> str:
    if not words:
        warn(complaint)
        raise UsageError
    return words.pop(0)


def _long(word: str, words: list[str], version: tuple[int, ...], prefix: str) -> tuple[str, str | None]:
    name, equals, value = word.partition("=")
    there = [each for each in sorted(known.LONG) if version >= known.SINCE.get(each, (0,))]
    found = [each for each in there if each.startswith(name)] if name else []
    if name in found:
        found = [name]
    if not found:
        warn(f"Option {prefix}{word} is not supported")
        raise UsageError
    if len(found) > 1:
        warn(f"Ambiguous option {prefix}{word} (matches --{found[1]} and --{found[0]})")
        raise UsageError
    key, valued = known.LONG[found[0]]
    if valued:
        return key, value if equals else _next(words, f"Option {prefix}{found[0]} requires an argument")
    if equals:
        warn(f"Option {prefix}{found[0]} does not allow an argument")
        raise UsageError
    return key, None


def _take(options: Options, option: str, value: str | None) -> None:
    if option in known.MODES:
        if options.mode:
            raise FatalError(f"Can't specify both {known.MODES[option]} and {options.mode_text}")
        options.mode = option
        options.verbose += option == "t"
        return
    options.flags.add(option)
    if option in known.SETTINGS:
        options.delayed.append((option, value))
    elif option == "v":
        options.verbose += 1
    elif value is not None:
        _take_value(options, option, value)


def _take_value(options: Options, option: str, value: str) -> None:
    lists = {"f": options.names, "X": options.exclude_files, "configfile": options.config_files}
    if option in lists:
        lists[option].append(value)
    elif option == "C":
        if not value:
            raise FatalError("Meaningless option: -C ''")
        options.folder.append(value)
    elif option == "creationtime":
        options.creation_time = _creation_time(value)
    elif option in ("csv-file", "archive-names") and option in options.values:
        raise FatalError(f"Two --{option} options given.")
    elif option == "s":
        warn("-s is not supported by this version of tarsnap")
        raise UsageError
    else:
        options.values["T" if option == "I" else option] = value
        if option == "archive-names":
            from .patterns import lines_of

            options.names += lines_of(value)


def _creation_time(value: str) -> int:
    """Read a number as strtol does with base 0: a prefix decides the base, what follows is dropped."""
    number = leading_number(value)
    if not number:
        raise FatalError(f"Invalid --creationtime argument: {value}")
    return number


def leading_number(text: str) -> int:
    text = text.strip()
    sign = -1 if text.startswith("-") else 1
    text = text.lstrip("+-").lower()
    base = 16 if text.startswith("0x") else 8 if text.startswith("0") else 10
    digits = text[2:] if base == 16 else text
    number = 0
    for digit in digits:
        figure = "0123456789abcdef".find(digit)
        if not 0 <= figure < base:
            break
        number = number * base + figure
    return sign * number
