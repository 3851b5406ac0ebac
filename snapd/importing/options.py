"""The options of tarsnap(1), as its own parser reads them: bundles, `--x=y`, beginnings, old style."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from snapd.importing.words import Word

_WITH_VALUE = (
    *("archive-names", "cachedir", "checkpoint-bytes", "configfile", "creationtime", "csv-file", "directory"),
    *("disk-pause", "exclude", "exclude-from", "file", "files-from", "include", "keyfile", "maxbw"),
    *("maxbw-rate", "maxbw-rate-down", "maxbw-rate-up", "newer", "newer-ctime", "newer-ctime-than"),
    *("newer-mtime", "newer-mtime-than", "newer-than", "passphrase", "progress-bytes", "snaptime"),
    *("strip-components", "cd"),
)
_WITHOUT = (
    *("absolute-paths", "aggressive-networking", "check-links", "chroot", "confirmation", "create"),
    *("debug-network-stats", "dereference", "dry-run", "dry-run-metadata", "dump-config", "extract"),
    *("fast-read", "force-resources", "fsck", "fsck-prune", "hashes", "help", "humanize-numbers"),
    *("initialize-cachedir", "insane-filesystems", "insecure", "interactive", "iso-dates", "keep-going"),
    *("keep-newer-files", "keep-old-files", "list", "list-archives", "lowmem", "modification-time"),
    *("no-aggressive-networking", "no-config-exclude", "no-config-include", "no-default-config"),
    *("no-disk-pause", "no-force-resources", "no-humanize-numbers", "no-insane-filesystems"),
    *("no-iso-dates", "no-maxbw", "no-maxbw-rate-down", "no-maxbw-rate-up", "no-nodump"),
    *("no-print-stats", "no-progress-bytes", "no-quiet", "no-recursion", "no-retry-forever"),
    *("no-same-owner", "no-same-permissions", "no-snaptime", "no-store-atime", "no-totals", "noatime"),
    *("nodump", "noisy-warnings", "norecurse", "normalmem", "nuke", "null", "null-input", "null-output"),
    *("numeric-owner", "one-file-system", "passphrase-stdin", "preserve-permissions", "print-stats"),
    *("quiet", "read-full-blocks", "recover", "resume-extract", "retry-forever", "same-owner"),
    *("same-permissions", "store-atime", "to-stdout", "totals", "unlink", "unlink-first", "verbose"),
    *("verify-config", "version", "verylowmem"),
)
LONG = {**dict.fromkeys(_WITH_VALUE, True), **dict.fromkeys(_WITHOUT, False)}
"""Long options of tarsnap 1.0.41 -> whether a value follows."""

_SHORT = {
    "B": "read-full-blocks",
    "C": "directory",
    "c": "create",
    "d": "delete",
    "f": "file",
    "h": "dereference",
    "H": "H",
    "I": "files-from",
    "k": "keep-old-files",
    "L": "dereference",
    "l": "check-links",
    "m": "modification-time",
    "n": "norecurse",
    "O": "to-stdout",
    "o": "no-same-owner",
    "P": "absolute-paths",
    "p": "preserve-permissions",
    "q": "fast-read",
    "r": "r",
    "S": "S",
    "T": "files-from",
    "t": "list",
    "U": "unlink",
    "v": "verbose",
    "w": "interactive",
    "X": "exclude-from",
    "x": "extract",
}
_SAME = {"cd": "directory", "insecure": "absolute-paths", "no-recursion": "norecurse"}
MODES = frozenset(
    (
        *("create", "delete", "extract", "list", "list-archives", "r", "print-stats", "fsck", "fsck-prune"),
        *("recover", "nuke", "initialize-cachedir", "verify-config", "version", "help"),
    )
)


@dataclass(frozen=True, slots=True)
class Option:
    """One option by its long name (a letter where it has none), its value, and how it was written.

    `name` is empty for what tarsnap does not know, or what lacks its value.
    """

    name: str
    value: Word | None
    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """The words behind `tarsnap`: options, and the words from the first that is none."""

    options: tuple[Option, ...]
    operands: tuple[Word, ...]

    @property
    def mode(self) -> str:
        """What the call does, by the name of its option; `print-stats` beside another mode is no mode."""
        modes = [option.name for option in self.options if option.name in MODES]
        others = [mode for mode in modes if mode != "print-stats"]
        return (others or modes or [""])[0]


def read(words: Sequence[Word]) -> Call:
    """Read the words behind the program's name."""
    left = list(words)
    options: list[Option] = []
    if left and (bundle := left[0].literal) and not bundle.startswith("-"):
        options += _bundle(bundle, left.pop(0).raw, left)
    while left and (text := left[0].text).startswith("-"):
        word = left.pop(0)
        if text == "--":
            options.append(Option("--", None, word.raw))
            break
        options += _long(word, left) if text.startswith("--") else _short(word, left)
    return Call(tuple(options), tuple(left))


def _long(word: Word, left: list[Word]) -> Iterator[Option]:
    given, equals, run_in = word.text.removeprefix("--").partition("=")
    name = _full_name(given)
    if not name or (equals and not LONG[name]):
        yield Option("", None, word.raw)
    elif not LONG[name]:
        yield Option(name, None, word.raw)
    elif equals:
        value = Word.of(run_in) if word.literal is not None else word
        yield Option(name, value, word.raw)
    else:
        yield _with_value(name, word.raw, left)


def _full_name(given: str) -> str:
    """Return the option that a beginning means; an empty text for none or several."""
    found = [given] if given in LONG else [name for name in LONG if name.startswith(given)]
    return _SAME.get(found[0], found[0]) if len(found) == 1 else ""


def _short(word: Word, left: list[Word]) -> Iterator[Option]:
    """Read `-cf NAME`, `-cfNAME`: a letter with a value takes the rest of its word, or the next word."""
    text = word.text
    if word.literal is None and not text[1:]:
        yield Option("", None, word.raw)
        return
    for at, letter in enumerate(text[1:], start=1):
        name = _SHORT.get(letter, "")
        rest = text[at + 1 :]
        if name and LONG.get(name, False):
            if rest or word.literal is None:
                yield Option(name, _behind(word, at + 1), word.raw)
            else:
                yield _with_value(name, word.raw, left)
            return
        yield Option(name, None, word.raw)


def _behind(word: Word, at: int) -> Word:
    """Return a word without its first `at` characters, which are plain text."""
    first, *others = word.pieces
    start = len(first.text) if at >= len(first.text) else at
    cut = type(first)(first.kind, first.text[start:], first.quoted)
    return Word(word.raw, (cut, *others) if cut.text else tuple(others))


def _bundle(letters: str, raw: str, left: list[Word]) -> Iterator[Option]:
    """Read old-style `cf NAME`: the values of all letters follow in order."""
    for letter in letters:
        name = _SHORT.get(letter, "")
        if name and LONG.get(name, False):
            yield _with_value(name, raw, left)
        else:
            yield Option(name, None, raw)


def _with_value(name: str, raw: str, left: list[Word]) -> Option:
    if not left:
        return Option("", None, raw)
    value = left.pop(0)
    return Option(name, value, f"{raw} {value.raw}")
