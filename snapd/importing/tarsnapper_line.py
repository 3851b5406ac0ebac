"""A call of tarsnapper 0.5 without its config file: `tarsnapper --target … --deltas … - expire`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from snapd.importing import names, options, settings
from snapd.importing.account import Item, carried, changed, not_carried, not_needed
from snapd.importing.calls import NO_PATH, NO_PATTERN, Creation, Expiry, Outcome, Surroundings
from snapd.importing.names import SeriesError
from snapd.importing.settings import Settings, absolute
from snapd.importing.words import Kind, Word

DATEFORMAT = "%Y%m%d-%H%M%S"  # what tarsnapper writes when it is told nothing
_ALIASES = {
    "-c": "--config",
    "-d": "--deltas",
    "-f": "--dateformat",
    "-q": "--quiet",
    "-v": "--verbose",
    "-o": "--option",
}
_TAKES = {
    "--config": 1,
    "--target": 1,
    "--dateformat": 1,
    "--deltas": None,
    "--sources": None,
    "--option": None,
    "--quiet": 0,
    "--verbose": 0,
    "--dry-run": 0,
    "--no-expire": 0,
}
"""How many words follow an option; None for all up to the next one."""
_COMMANDS = ("make", "expire", "list")
_DELTA = re.compile(r"0*[1-9][0-9]{0,8}[shd]")


@dataclass
class _Call:
    """What was read so far."""

    given: dict[str, list[Word]] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    command: str = ""
    jobs: list[Word] = field(default_factory=list)
    tarsnap: list[list[Word]] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)


def read(words: Sequence[Word], around: Surroundings) -> Outcome:
    """Read one call; the first word is the program."""
    call = _parsed(words)
    whole = " ".join(word.raw for word in words)
    if "--dry-run" in call.given:
        return Outcome((not_needed(whole, "a dry run changes nothing"),))
    if call.command == "list":
        return Outcome((not_needed(whole, "snapd-backup archives SET lists them"),))
    if "--config" in call.given:
        says = "its config file is another import: snapd-backup import tarsnapper FILE, with this --schedule"
        return Outcome((not_carried(whole, says),))
    if not call.command or "--target" not in call.given:
        return Outcome((not_carried(whole, "it has no command, or no --target"),))
    return _job(call, around, words[0].raw)


def valid_deltas(deltas: Sequence[str]) -> str:
    """Return what keeps deltas of tarsnapper from being ours, an empty text when nothing does."""
    if len(deltas) < 2:
        return "at least two deltas are needed, a spacing and how far back it reaches"
    if not all(_DELTA.fullmatch(delta) for delta in deltas):
        return "a delta is a whole number above zero and s, h or d"
    if len({_seconds(delta) for delta in deltas}) < len(deltas):
        return "two deltas are equal"
    return ""


def _seconds(delta: str) -> int:
    return int(delta[:-1]) * {"s": 1, "h": 3600, "d": 86400}[delta[-1]]


def _parsed(words: Sequence[Word]) -> _Call:
    call = _Call()
    left = list(words[1:])
    while left:
        word = left.pop(0)
        text = word.text
        if text == "-":
            call.items.append(carried(word.raw, "what it does"))
        elif text.startswith("-"):
            _option(call, word, left)
        elif not call.command and text in _COMMANDS:
            call.command = text
            call.items.append(carried(word.raw, "what it does"))
        elif call.command:
            call.jobs.append(word)
        else:
            call.items.append(not_carried(word.raw, "tarsnapper knows no such command"))
    call.items += [not_carried(word.raw, "a job is only known with a config file") for word in call.jobs]
    return call


def _option(call: _Call, word: Word, left: list[Word]) -> None:
    name, equals, run_in = word.text.partition("=")
    name = _full_name(name)
    if name not in _TAKES:
        call.items.append(not_carried(word.raw, "tarsnapper knows no such option"))
        return
    values = [Word.of(run_in)] if equals else _values(_TAKES[name], left)
    text = " ".join(part.raw for part in (word, *(() if equals else values)))
    if name == "--option":
        call.tarsnap.append(values)
        return
    if name in call.given:
        call.items.append(not_carried(call.texts[name], "it is said again behind, and the last is taken"))
    call.given[name], call.texts[name] = values, text
    if name in ("--quiet", "--verbose"):
        call.items.append(not_needed(text, "what is done is in the journal"))
    if name == "--no-expire":
        call.items.append(carried(text, "no [backup.NAME.expire]"))


def _full_name(name: str) -> str:
    if name in _ALIASES:
        return _ALIASES[name]
    found = [known for known in _TAKES if name.startswith("--") and known.startswith(name)]
    return name if name in _TAKES else found[0] if len(found) == 1 else name


def _values(count: int | None, left: list[Word]) -> list[Word]:
    """Take the values of an option off the front: `count`, or all before the next word with a dash."""
    if count is None:
        count = next((at for at, word in enumerate(left) if word.text.startswith("-")), len(left))
    taken = left[:count]
    del left[:count]
    return taken


def _job(call: _Call, around: Surroundings, program: str) -> Outcome:
    found, items = _settings(call, around)
    outcome = Outcome((carried(program, "engine"), *call.items, *items))
    target, dateformat = call.given["--target"], call.given.get("--dateformat", [])
    text = call.texts["--target"]
    template, item = _template(target, text)
    if template is None:
        return outcome + Outcome((item, *_rest(call, "--target")))
    form = dateformat[0].literal if dateformat else ""
    if call.command == "make":
        outcome += _creation(call, around, template, form or DATEFORMAT, found)
    else:
        outcome += Outcome(tuple(_unused(call, "--sources", "an expiry has no paths")))
    if call.command == "make" and "--no-expire" in call.given:
        return outcome + Outcome((item, *_unused(call, "--deltas", "--no-expire was said")))
    return outcome + Outcome((item,)) + _expiry(call, template, form or "", found)


def _settings(call: _Call, around: Surroundings) -> tuple[Settings, tuple[Item, ...]]:
    """Read what is passed along to tarsnap by `-o NAME VALUE`."""
    handed: list[Word] = []
    for name, *values in filter(None, call.tarsnap):
        dashes = "-" if len(name.text) == 1 else "--"
        handed += [Word(f"-o {name.raw}", Word.of(dashes + name.text).pieces), *values]
    read_ones = options.read(handed)
    found, items = settings.read(read_ones.options, around.host, folder=around.folder, home=around.home)
    surplus = tuple(not_carried(f"-o {word.raw}", "no option of tarsnap") for word in read_ones.operands)
    excludes_too = not any(option.name == "no-config-exclude" for option in read_ones.options)
    return found.over(around.defaults, excludes_too=excludes_too), (*items, *surplus)


def _template(target: list[Word], text: str) -> tuple[str | None, Item]:
    """Return the target with `$date`. One that the shell took away is put back, and told of."""
    if not target:
        return None, not_carried(text, "it has no value")
    word = target[0]
    if (literal := word.literal) is not None:
        return literal, carried(text, "archive")
    if (
        all(piece.kind is Kind.TEXT or piece.text in ("date", "name") for piece in word.pieces)
        and not word.is_wild
    ):
        joined = "".join(
            piece.text if piece.kind is Kind.TEXT else f"${{{piece.text}}}" for piece in word.pieces
        )
        says = "the shell put nothing in place of $date, so this line has expired nothing so far"
        return joined, changed(text, says)
    return None, not_carried(text, "its value is only known when the command runs")


def _creation(call: _Call, around: Surroundings, template: str, dateformat: str, found: Settings) -> Outcome:
    items: list[Item] = []
    paths: list[str] = []
    for word in call.given.get("--sources", []):
        path = word.literal
        if path is None or not path.isprintable() or not path:
            items.append(not_carried(word.raw, "the path is only known when the command runs"))
        else:
            paths.append(absolute(path, around.folder, around.home))
            items.append(carried(word.raw, "paths"))
    if "--sources" in call.texts:
        items.append(carried("--sources", "paths"))
    if not paths:
        return Outcome((*items, not_carried("make", NO_PATH)))
    try:
        series = names.template(template, name="None", dateformat=dateformat)
        items += _unused_dateformat(call, "")
    except SeriesError as error:
        series = None
        says = f"{error}; {NO_PATTERN}"
        items += _unused_dateformat(call, says) or [not_carried(call.texts["--target"], says)]
    hint = template.replace("$date", "").replace("${date}", "")
    return Outcome(tuple(items), (Creation(hint, series, tuple(paths), found),))


def _unused_dateformat(call: _Call, fault: str) -> list[Item]:
    text = call.texts.get("--dateformat")
    if text is None:
        return []
    return [not_carried(text, fault) if fault else carried(text, "archive")]


def _expiry(call: _Call, template: str, dateformat: str, found: Settings) -> Outcome:
    deltas = [word.literal or word.raw for word in call.given.get("--deltas", [])]
    text = call.texts.get("--deltas", call.texts["--target"])
    if fault := valid_deltas(deltas):
        return Outcome((not_carried(text, f"{fault}: say what to keep in [backup.NAME.expire]"),))
    try:
        before, behind = names.template_ends(template, name="None")
        date = names.strftime_pattern(dateformat)
    except SeriesError as error:
        return Outcome((not_carried(text, f"{error}; nothing of it is expired"),))
    items = [carried(text, "deltas")]
    if call.command == "expire":
        items += _unused_dateformat(call, "")
    return Outcome(tuple(items), (), (Expiry(before, behind, tuple(deltas), found, date),))


def _unused(call: _Call, name: str, says: str) -> list[Item]:
    return [not_needed(call.texts[name], says)] if name in call.texts else []


def _rest(call: _Call, *but: str) -> list[Item]:
    """Account for options whose meaning went with another one."""
    names_left = [
        name for name in call.texts if name not in but and name not in ("--quiet", "--verbose", "--no-expire")
    ]
    return [not_carried(call.texts[name], "it goes with the target") for name in names_left]
