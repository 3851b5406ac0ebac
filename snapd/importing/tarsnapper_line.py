"""A call of tarsnapper 0.5 without its config file: `tarsnapper --target … --deltas … - expire`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from snapd.importing import names, options, settings, tarsnapper_file
from snapd.importing.account import (
    CALL,
    Fate,
    Item,
    Source,
    carried,
    changed,
    not_carried,
    not_needed,
    taken_back,
)
from snapd.importing.calls import NO_PATH, NO_PATTERN, Creation, Expiry, Outcome, Surroundings
from snapd.importing.names import SeriesError
from snapd.importing.settings import Settings, absolute
from snapd.importing.tarsnapper import DATEFORMAT, valid_deltas
from snapd.importing.words import Kind, Word

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
        return _of_file(call, around, words[0].raw)
    if not call.command or "--target" not in call.given:
        return Outcome((not_carried(whole, "it has no command, or no --target"),))
    return _job(call, around, words[0].raw)


def _parsed(words: Sequence[Word]) -> _Call:
    call = _Call()
    left = list(words[1:])
    while left:
        word = left.pop(0)
        text = word.text
        if text == "-":
            call.items.append(carried(word.raw, CALL))
        elif text.startswith("-"):
            _option(call, word, left)
        elif not call.command and text in _COMMANDS:
            call.command = text
            call.items.append(carried(word.raw, CALL))
        elif call.command:
            call.jobs.append(word)
        else:
            call.items.append(not_carried(word.raw, "tarsnapper knows no such command"))
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
    """Read the one job that a call without a config file describes."""
    found, of_tarsnap = _settings(call, around)
    template, of_target = _template(call.given["--target"], call.texts["--target"])
    strange = tuple(not_carried(word.raw, "a job is only known with a config file") for word in call.jobs)
    if template is None:
        return Outcome((*call.items, *taken_back(of_tarsnap), *strange, of_target, *_rest(call, "--target")))
    dateformat = (call.given.get("--dateformat") or [Word.of("")])[0].literal or ""
    if call.command == "make":
        made = _creation(call, around, template, dateformat or DATEFORMAT, found)
    else:
        made = Outcome(_unused(call, "--sources", "an expiry has no paths"))
        of_tarsnap = _of_creating_line(of_tarsnap)
    if "--no-expire" in call.given:
        whole = made + Outcome(_unused(call, "--deltas", "--no-expire was said"))
    else:
        whole = made + _expiry(call, template, dateformat, found)
    items = (carried(program, CALL), *call.items, *of_tarsnap, *strange, of_target)
    if not whole.creations and not whole.expiries:
        items = taken_back(items)
    return Outcome((*items, *_of_dateformat(call, whole))) + whole


def _of_creating_line(items: tuple[Item, ...]) -> tuple[Item, ...]:
    """Account for what an expiry hands to tarsnap: the store has what the line says that creates."""
    says = "its store is as the line says that creates these archives"
    return tuple(not_needed(item.text, says) if item.fate is Fate.CARRIED else item for item in items)


def _of_dateformat(call: _Call, whole: Outcome) -> tuple[Item, ...]:
    if "--dateformat" not in call.texts:
        return ()
    known = bool(whole.expiries) or any(creation.series for creation in whole.creations)
    text = call.texts["--dateformat"]
    return (carried(text, "archive") if known else not_carried(text, "no pattern could be made with it"),)


def _of_file(call: _Call, around: Surroundings, program: str) -> Outcome:
    """Read the jobs of the file of `--config`: all of them, or those that are named."""
    text = call.texts["--config"]
    given = call.given["--config"]
    path = absolute(given[0].literal or "", around.folder, around.home) if given else ""
    content = around.host.text(path)
    if content is None or not call.command:
        says = "the file could not be read: snapd-backup import tarsnapper FILE makes a config of it"
        lost = taken_back((carried(program, CALL), *_settings(call, around)[1], *call.items))
        named = (not_carried(word.raw, "it is a job of that file") for word in call.jobs)
        return Outcome((*lost, not_carried(text, says), *named, *_rest(call, "--config")))
    found, items = _settings(call, around)
    if call.command == "expire":
        items = _of_creating_line(items)
    read_ones = tarsnapper_file.read(content, path, replace(around, defaults=found), label=path)
    wanted = {word.text for word in call.jobs}
    jobs = [(source, job) for source, job in read_ones.jobs if not wanted or source.text[4:] in wanted]
    unknown = wanted - {source.text[4:] for source, _ in jobs}
    account = (
        *(carried(word.raw, "its backup set") for word in call.jobs if word.text not in unknown),
        *(not_carried(name, f"{path} has no such job") for name in sorted(unknown)),
        carried(text, "the backup sets of its jobs"),
    )
    outcome = Outcome((carried(program, CALL), *call.items, *items, *account, *_rest(call, "--config")))
    if call.command == "expire":  # the jobs are told of where they are made
        expiries = tuple(expiry for _, job in jobs for expiry in job.expiries)
        return outcome + Outcome((), (), expiries)
    if "--no-expire" in call.given:
        jobs = [(_without_deltas(source), replace(job, expiries=())) for source, job in jobs]
    return outcome + Outcome(jobs=tuple(jobs), around=read_ones.around)


def _without_deltas(source: Source) -> Source:
    says = "this call does not expire"
    items = (not_needed(item.text, says) if item.says == "deltas" else item for item in source.items)
    return replace(source, items=tuple(items))


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
    items = [carried("--sources", "paths")] if "--sources" in call.texts else []
    paths: list[str] = []
    for word in call.given.get("--sources", []):
        path = word.literal
        if path is None or not path.isprintable() or not path:
            items.append(not_carried(word.raw, "the path is only known when the command runs"))
        else:
            paths.append(absolute(path, around.folder, around.home))
            items.append(_path_item(word.raw, path, paths[-1]))
    if not paths:
        return Outcome((*taken_back(items), not_carried("make", NO_PATH)))
    try:
        series = names.template(template, name="None", dateformat=dateformat)
    except SeriesError as error:
        series = None
        items.append(not_carried(call.texts["--target"], f"{error}; {NO_PATTERN}"))
    hint = template.replace("${date}", "").replace("$date", "")
    return Outcome(tuple(items), (Creation(hint, series, tuple(paths), found),))


def _path_item(text: str, given: str, path: str) -> Item:
    if given.rstrip("/") == path.rstrip("/"):
        return carried(text, "paths")
    return changed(text, f"written from the root, {path}, and so is it in the archive")


def _expiry(call: _Call, template: str, dateformat: str, found: Settings) -> Outcome:
    deltas = [word.literal or word.raw for word in call.given.get("--deltas", [])]
    text = call.texts.get("--deltas", "--deltas")
    if fault := valid_deltas(deltas):
        return Outcome((not_carried(text, f"{fault}: say what to keep in [backup.NAME.expire]"),))
    try:
        before, behind = names.template_ends(template, name="None")
        date = names.strftime_pattern(dateformat)
    except SeriesError as error:
        return Outcome((not_carried(text, f"{error}; nothing of it is expired"),))
    return Outcome((carried(text, "deltas"),), (), (Expiry(before, behind, tuple(deltas), found, date),))


def _unused(call: _Call, name: str, says: str) -> tuple[Item, ...]:
    return (not_needed(call.texts[name], says),) if name in call.texts else ()


def _rest(call: _Call, *but: str) -> Iterator[Item]:
    """Account for options whose meaning went with another one."""
    told = (*but, "--quiet", "--verbose", "--no-expire")
    for name, text in call.texts.items():
        if name not in told:
            yield not_carried(text, "it goes with what is not carried over")
