"""The YAML file of tarsnapper 0.5: every key of it, as creations and expiries.

Each job stands for one set. What tarsnapper itself refuses (an unknown key, two forms of one key) is told,
and the rest of the job is read all the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from snapd.importing import excludes, names, others
from snapd.importing.account import Item, Source, carried, changed, not_carried, not_needed, taken_back
from snapd.importing.calls import NO_PATTERN, Creation, Expiry, Outcome, Surroundings
from snapd.importing.names import Series, SeriesError
from snapd.importing.settings import Settings, absolute
from snapd.importing.tarsnapper import DATEFORMAT, valid_deltas
from snapd.importing.words import ShellError, Word, tokens
from snapd.importing.yaml_tree import Many, Table, Text, Tree, table

_TWINS = {"source": "sources", "alias": "aliases", "exclude": "excludes", "delta": "deltas"}
_NO_SUCH_KEY = "tarsnapper knows no such key"


@dataclass(frozen=True, slots=True)
class _Globals:
    """What holds for every job that does not say otherwise."""

    target: str = ""
    dateformat: str = ""
    deltas: tuple[str, ...] = ()
    named: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Jobs:
    """What a file holds: the account of its global keys, and each job with what it came to."""

    around: tuple[Source, ...]
    jobs: tuple[tuple[Source, Outcome], ...]


def read(text: str, file: str, around: Surroundings, *, label: str = "") -> Jobs:
    """Read a file of tarsnapper. `label` stands before its line numbers where there are several files.

    Raises UsageError with file and line for what is no YAML, or no table.
    """
    document = table(text, file)
    fields = dict(document.fields)
    shared = _globals(fields)
    found = list(_jobs(fields.get("jobs"), label, shared, around))
    sources = [_global(name, tree, document, label) for name, tree in document.fields if name != "jobs"]
    if (pattern := fields.get("include-jobs")) is not None:
        included, source = _included(pattern, label, shared, around)
        found += included
        sources.append(source)
    return Jobs(tuple(source for source in sources if source.items), tuple(found))


# -- global keys ------------------------------------------------------------------------------------------


def _globals(fields: dict[str, Tree]) -> _Globals:
    named = fields.get("delta-names")
    return _Globals(
        target=_text(fields.get("target")),
        dateformat=_text(fields.get("dateformat")),
        deltas=tuple(_text(fields.get("deltas")).split()),
        named={name: tuple(_text(tree).split()) for name, tree in named.fields}
        if isinstance(named, Table)
        else {},
    )


def _global(name: str, tree: Tree, document: Table, label: str) -> Source:
    where = _where(label, tree)
    shown = f"{name}: {_shown(tree)}"
    if sum(known == name for known, _ in document.fields) > 1 and dict(document.fields)[name] is not tree:
        return Source(where, shown, (not_carried(shown, "it is said again further down, and that is taken"),))
    if name in ("target", "dateformat", "deltas"):
        return Source(where, shown, (carried(shown, "what its jobs say"),))
    if name == "delta-names":
        return Source(where, shown, tuple(_named(tree)))
    if name == "include-jobs":
        return Source(where, shown, ())
    return Source(where, shown, (not_carried(shown, _NO_SUCH_KEY),))


def _named(tree: Tree) -> Iterator[Item]:
    if not isinstance(tree, Table):
        yield not_carried(f"delta-names: {_shown(tree)}", "found no table of names")
        return
    for name, deltas in tree.fields:
        yield carried(f"{name}: {_shown(deltas)}", "what its jobs say")


def _included(
    pattern: Tree, label: str, shared: _Globals, around: Surroundings
) -> tuple[list[tuple[Source, Outcome]], Source]:
    """Read the files that `include-jobs` matches; each is a table of jobs."""
    shown = f"include-jobs: {_shown(pattern)}"
    found: list[tuple[Source, Outcome]] = []
    items: list[Item] = []
    paths = around.host.matching(_text(pattern))
    for path in paths:
        text = around.host.text(path)
        if text is None:
            items.append(not_carried(path, "the file could not be read"))
        else:
            found += _jobs(table(text, path), path, shared, around)
            items.append(carried(path, "its jobs"))
    if not paths:
        items.append(
            not_carried(shown, "no file matches; its jobs, if there are any, are not in this config")
        )
    else:
        items.append(carried(shown, "the jobs of its files"))
    return found, Source(_where(label, pattern), shown, tuple(items))


# -- jobs -------------------------------------------------------------------------------------------------


def _jobs(
    tree: Tree | None, label: str, shared: _Globals, around: Surroundings
) -> Iterator[tuple[Source, Outcome]]:
    if isinstance(tree, Table):
        for at, (name, job) in enumerate(tree.fields):
            again = any(name == later for later, _ in tree.fields[at + 1 :])
            yield _Job(name, job, label, shared, around).read(again=again)
    elif tree is not None and _shown(tree):
        shown = f"jobs: {_shown(tree)}"
        yield (
            Source(_where(label, tree), shown, (not_carried(shown, "found no table of jobs"),)),
            Outcome(),
        )


class _Job:
    """One job on its way to a creation and an expiry."""

    def __init__(self, name: str, tree: Tree, label: str, shared: _Globals, around: Surroundings) -> None:
        self._name, self._tree, self._label = name, tree, label
        self._shared, self._around = shared, around
        self._fields = dict(tree.fields) if isinstance(tree, Table) else {}
        self._items: list[Item] = []

    def read(self, *, again: bool) -> tuple[Source, Outcome]:
        """Return the account of the job, and what it came to. `again`: the name comes once more below."""
        whole = f"{self._name}: {_shown(self._tree)}"
        if again:
            self._items.append(not_carried(whole, "a job of this name comes further down, and that is taken"))
            return self._source(), Outcome()
        if not isinstance(self._tree, Table) and _shown(self._tree):
            self._items.append(not_carried(whole, "found no table of keys"))
            return self._source(), Outcome()
        outcome = self._outcome()
        self._rest()
        return self._source(), outcome

    def _source(self) -> Source:
        return Source(_where(self._label, self._tree), f"job {self._name}", tuple(self._items))

    def _outcome(self) -> Outcome:
        template = self._text("target") or self._shared.target
        if not template:
            self._items.append(not_carried(f"job {self._name}", "it has no target, nor has the file"))
            self._told(
                "source",
                "sources",
                "alias",
                "aliases",
                "delta",
                "deltas",
                "dateformat",
                "exclude",
                "excludes",
            )
            return Outcome()
        given = self._text("dateformat") or self._shared.dateformat
        series = self._series(template, given or DATEFORMAT)
        creations = self._creation(series, self._aliases(template, given or DATEFORMAT))
        return Outcome((), creations, self._expiry(template, given))

    def _series(self, template: str, dateformat: str) -> Series | None:
        try:
            found = names.template(template, name=self._name, dateformat=dateformat)
        except SeriesError as error:
            self._items.append(not_carried(template, f"{error}; {NO_PATTERN}"))
            self._told("target", "dateformat", says=f"{error}; {NO_PATTERN}")
            return None
        self._carry("archive", "target", "dateformat")
        return found

    def _aliases(self, template: str, dateformat: str) -> tuple[str, ...]:
        adopt: list[str] = []
        for key, alias in self._many("alias", "aliases"):
            text = f"{key}: {alias}"
            try:
                adopt.append(names.template(template, name=alias, dateformat=dateformat).pattern)
            except SeriesError as error:
                self._items.append(not_carried(text, f"{error}; archives of this name are nobody's"))
            else:
                named = "$name" in template or "${name}" in template
                says = "its target has no $name, so it has the same archives"
                self._items.append(carried(text, "adopt") if named else not_needed(text, says))
        return tuple(dict.fromkeys(adopt))

    def _creation(self, series: Series | None, adopt: tuple[str, ...]) -> tuple[Creation, ...]:
        paths = [path for key, text in self._many("source", "sources") if (path := self._path(key, text))]
        patterns = [
            ours for key, text in self._many("exclude", "excludes") if (ours := self._exclude(key, text))
        ]
        if not paths:
            says = "it has no source, so there is no backup set for it"
            self._items = [*taken_back(self._items), not_carried(f"job {self._name}", says)]
            return ()
        own = series.pattern if series else ""
        defaults = self._around.defaults
        made = Creation(
            self._name,
            series,
            tuple(dict.fromkeys(paths)),
            _with_excludes(defaults, patterns),
            tuple(pattern for pattern in adopt if pattern != own),
        )
        return (made,)

    def _path(self, key: str, text: str) -> str:
        shown = f"{key}: {text}"
        if not text or not text.isprintable():
            self._items.append(
                not_carried(shown, "no path of the config is empty or holds control characters")
            )
            return ""
        path = absolute(f"./{text}" if text.startswith("~") else text, self._around.folder, self._around.home)
        as_it_was = text.rstrip("/") == path.rstrip("/")
        says = f"written from the root, {path}, and so is it in the archive"
        self._items.append(carried(shown, "paths") if as_it_was else changed(shown, says))
        return path

    def _exclude(self, key: str, text: str) -> str:
        ours, item = excludes.translated(f"{key}: {text}", text)
        self._items.append(item)
        return ours or ""

    def _expiry(self, template: str, dateformat: str) -> tuple[Expiry, ...]:
        deltas, shown = self._deltas()
        if not deltas:
            return ()
        if fault := valid_deltas(deltas):
            self._items.append(not_carried(shown, f"{fault}: say what to keep in [backup.NAME.expire]"))
            return ()
        try:
            before, behind = names.template_ends(template, name=self._name)
            date = names.strftime_pattern(dateformat)
        except SeriesError as error:
            self._items.append(not_carried(shown, f"{error}; nothing of it is expired"))
            return ()
        self._items.append(carried(shown, "deltas"))
        return (Expiry(before, behind, deltas, self._around.defaults, date),)

    def _deltas(self) -> tuple[tuple[str, ...], str]:
        """Return the deltas of the job, and how they were said; none where it expires nothing."""
        self._one_form("delta", "deltas")
        if name := self._text("delta"):
            shown = f"delta: {name}"
            if name in self._shared.named:
                return self._shared.named[name], shown
            self._items.append(not_carried(shown, "there is no such entry of delta-names"))
            return (), shown
        own = self._text("deltas").split()
        return tuple(own or self._shared.deltas), f"deltas: {' '.join(own or self._shared.deltas)}"

    # -- keys -------------------------------------------------------------------------------------------

    def _text(self, key: str) -> str:
        return _text(self._fields.get(key))

    def _many(self, one: str, several: str) -> Iterator[tuple[str, str]]:
        """Yield the values of a key that has two forms, with the form."""
        self._one_form(one, several)
        key = one if one in self._fields else several
        for tree in _items(self._fields.get(key)):
            if isinstance(tree, Text):
                yield key, tree.text
            else:
                self._items.append(not_carried(f"{key}: {_shown(tree)}", "found no text"))

    def _one_form(self, one: str, several: str) -> None:
        if one in self._fields and several in self._fields:
            shown = f"{several}: {_shown(self._fields[several])}"
            item = not_carried(shown, f"{one} is there too, and tarsnapper refuses to take both")
            if item not in self._items:
                self._items.append(item)

    def _carry(self, says: str, *keys: str) -> None:
        self._items += [
            carried(f"{key}: {_shown(self._fields[key])}", says) for key in keys if key in self._fields
        ]

    def _told(self, *keys: str, says: str = "it goes with the target") -> None:
        self._items += [
            not_carried(f"{key}: {_shown(self._fields[key])}", says) for key in keys if key in self._fields
        ]

    def _rest(self) -> None:
        """Account for the keys that make no creation and no expiry, and for those that nobody knows."""
        known = {*_TWINS, *_TWINS.values(), "target", "dateformat"}
        fields = self._tree.fields if isinstance(self._tree, Table) else ()
        for key, tree in fields:
            shown = f"{key}: {_shown(tree)}"
            if self._fields[key] is not tree:
                self._items.append(not_carried(shown, "it is said again further down, and that is taken"))
            elif key == "force":
                self._items.append(_force(shown, _text(tree)))
            elif key in ("exec_before", "exec_after"):
                self._items.append(_command(shown, _text(tree)))
            elif key not in known:
                self._items.append(not_carried(shown, _NO_SUCH_KEY))


def _where(label: str, tree: Tree) -> str:
    return f"{label} line {tree.line}".strip()


def _force(shown: str, value: str) -> Item:
    if value.lower() in ("true", "yes", "on"):
        return not_needed(shown, "a backup is always tried")
    return changed(
        shown, "a source that is missing makes the run fail, and is told; before, it was passed over"
    )


def _command(shown: str, command: str) -> Item:
    """Account for a command that tarsnapper runs before or after."""
    try:
        words = [token for token in tokens(command) if isinstance(token, Word)]
    except ShellError:
        words = []
    if not words:
        return not_carried(shown, "no command is run beside a backup")
    item = others.account(others.unwrapped(tuple(words))[1], shown, "", feeds=False)
    return Item(shown, item.fate, item.says)


def _with_excludes(settings: Settings, patterns: Iterable[str]) -> Settings:
    return replace(settings, exclude=tuple(dict.fromkeys((*patterns, *settings.exclude))))


def _text(tree: Tree | None) -> str:
    return tree.text.strip() if isinstance(tree, Text) else ""


def _items(tree: Tree | None) -> tuple[Tree, ...]:
    if isinstance(tree, Many):
        return tree.items
    return () if tree is None or (isinstance(tree, Text) and not tree.text) else (tree,)


def _shown(tree: Tree) -> str:
    """Return a value on one line."""
    match tree:
        case Text():
            return re.sub(r"\s+", " ", tree.text)
        case Many():
            return f"[{', '.join(map(_shown, tree.items))}]"
        case Table():
            return f"{{{', '.join(f'{key}: {_shown(value)}' for key, value in tree.fields)}}}"
