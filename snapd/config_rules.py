"""Rules between the keys of a config: what a key means when it is left out, and what must agree.

They look at the tables as tomllib gives them, so that they speak even where the models refuse something else;
what has the wrong type is passed over here, since the models tell of it. Pure.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import combinations
from pathlib import PurePosixPath
from typing import Any

from snapd.config_errors import SECRET_KEYS, Fault, dotted, listed, show, suggestion
from snapd.model import ArchivePattern
from snapd.toml_lines import KeyPath

Table = dict[str, Any]
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_EXPECTATIONS = ("newer_than", "at_least", "equals")
_PLACES = ("credential", "file", "command")
_POLICIES = ("deltas", "keep")
_OWN_PLACES = frozenset({"repository", "keyfile", "cachedir"})  # keys that no two stores share
_UNNAMED = "unnamed"  # stands for what a fault of its own says is missing


def completed(document: Table, timezone: str) -> Table:
    """Return the document with the defaults that depend on other keys; nothing of `document` is changed."""
    sets = {name: _completed_set(name, given) for name, given in _tables(document, "backup")}
    others = {name: given for name, given in _table(document, "backup").items() if name not in sets}
    backup = {**others, **sets} if isinstance(document.get("backup", {}), dict) else document["backup"]
    daemon = document.get("daemon", {})
    if isinstance(daemon, dict):
        daemon = {"timezone": timezone, **daemon}
    return {"store": {}, **document, "backup": backup, "daemon": daemon}


def faults(document: Table) -> Iterator[Fault]:
    """Yield what does not agree in a document as it was written."""
    yield from _store_faults(document)
    yield from _set_faults(document)
    yield from _shared_places(document)
    yield from _overlaps(document)
    yield from _slashes(document)


def default_archive(name: str) -> str:
    """Return the archive pattern of a set that gives none."""
    return f"{name}_%Y%m%d-%H%M%S"


# -- defaults ---------------------------------------------------------------------------------------------


def _completed_set(name: str, given: Table) -> Table:
    archive = default_archive(name if _is_name(name) else _UNNAMED)
    whole = {"archive": archive, **given, "name": name}
    if isinstance(given.get("dump"), list):
        whole["dump"] = [_completed_dump(dump) for dump in given["dump"]]
    test = given.get("restore_test")
    if isinstance(test, dict) and isinstance(test.get("check"), list):
        dumps = _dump_names(given)
        whole["restore_test"] = {**test, "check": [_completed_check(check, dumps) for check in test["check"]]}
    return whole


def _completed_dump(dump: Any) -> Any:
    return {"name": _dump_name(dump), **dump} if isinstance(dump, dict) else dump


def _completed_check(check: Any, dumps: list[str]) -> Any:
    if not isinstance(check, dict) or "query" not in check:
        return check
    return {"dump": dumps[0] if dumps else _UNNAMED, **check}


def _dump_names(given: Table) -> list[str]:
    dumps = given.get("dump")
    return [_dump_name(dump) for dump in dumps if isinstance(dump, dict)] if isinstance(dumps, list) else []


def _dump_name(dump: Table) -> str:
    """Return the name of a dump: as given, else the stem of its path."""
    name, path = dump.get("name"), dump.get("path")
    if isinstance(name, str):
        return name
    return (PurePosixPath(path).stem if isinstance(path, str) else "") or _UNNAMED


# -- stores -----------------------------------------------------------------------------------------------


def _store_faults(document: Table) -> Iterator[Fault]:
    if document.get("store", {}) == {} and not suggestion("store", document.keys() - {"store"}):
        yield Fault(("store",), "there is no store; add one, such as [store.local]")
    for name, store in _tables(document, "store"):
        path = ("store", name)
        yield from _name_faults(path, "store")
        yield from _secret_faults(path, store)


def _secret_faults(path: KeyPath, store: Table) -> Iterator[Fault]:
    for key in SECRET_KEYS & store.keys():
        if isinstance(store[key], dict) and (
            sentence := _not_exactly_one(store[key], _PLACES, "a secret is in exactly one place")
        ):
            yield Fault((*path, key), sentence)


def _shared_places(document: Table) -> Iterator[Fault]:
    """Two stores in one place would not know of each other's archives, or of each other's writes."""
    first: dict[tuple[str, str], str] = {}
    for name, store in _tables(document, "store"):
        for key in _OWN_PLACES & store.keys():
            place = store[key]
            if not isinstance(place, str) or not place:
                continue
            known = first.setdefault((key, posixpath.normpath(place).replace("//", "/")), name)
            if known != name:
                yield Fault(
                    ("store", name, key),
                    f"is the {key} of store {show(known)} already: keep one of the two stores, and name it "
                    f"in the backup sets of both; found {show(place)}",
                )


# -- backup sets ------------------------------------------------------------------------------------------


def _set_faults(document: Table) -> Iterator[Fault]:
    if document.get("backup", {}) == {} and not suggestion("backup", document.keys() - {"backup"}):
        yield Fault(("backup",), "there is no backup set; add at least one [backup.NAME]")
    for name, given in _tables(document, "backup"):
        path = ("backup", name)
        yield from _name_faults(path, "backup set")
        yield from _unknown_store(path, given, document)
        yield from _content_faults(path, given)
        yield from _policy_faults((*path, "expire"), given)
        yield from _check_faults((*path, "restore_test", "check"), given)


def _name_faults(path: tuple[str, str], what: str) -> Iterator[Fault]:
    if not _is_name(path[1]):
        yield Fault(
            path,
            f"the name of a {what} starts with a lower-case letter, and holds at most 64 of a-z, 0-9, - "
            f"and _; found {show(path[1])}",
        )


def _unknown_store(path: KeyPath, given: Table, document: Table) -> Iterator[Fault]:
    store, known = given.get("store"), _table(document, "store")
    if not isinstance(store, str) or store in known:
        return
    close = suggestion(store, known)
    cure = f"did you mean {show(close)}?" if close else f"add a [store.{store}]" if _is_name(store) else ""
    stores = "" if close or not known else f", or name {_some(known)}"
    yield Fault((*path, "store"), f"there is no store {show(store)}; {cure or 'name a store'}{stores}")


def _content_faults(path: KeyPath, given: Table) -> Iterator[Fault]:
    if "name" in given:
        yield Fault((*path, "name"), "unknown key; a backup set is named by its table, [backup.NAME]")
    if given.get("paths", []) == [] and given.get("dump", []) == []:
        table = f"[[{dotted((*path, 'dump'))}]]"
        yield Fault(path, f'saves nothing: give it paths, such as paths = ["/etc"], or a dump, {table}')
    names = Counter[str]()
    for index, dump in enumerate(given["dump"] if isinstance(given.get("dump"), list) else ()):
        if not isinstance(dump, dict):
            continue
        name = _dump_name(dump)
        names[name] += 1
        if names[name] == 2 and name != _UNNAMED:
            yield Fault(
                (*path, "dump", index, "name"),
                f'two dumps of this set are called {show(name)}; give one of them another, as name = "…"',
            )


def _policy_faults(path: KeyPath, given: Table) -> Iterator[Fault]:
    expire = given.get("expire")
    if not isinstance(expire, dict):
        return
    given_policies = [key for key in _POLICIES if key in expire]
    if not given_policies:
        cure = 'deltas = ["1d", "7d", "30d", "365d"], or keep = { daily = 7, weekly = 5, monthly = 12 }'
        yield Fault(path, f"does not say what to keep; give it {cure}")
    if len(given_policies) > 1:
        yield Fault((*path, "keep"), "deltas and keep both say what to keep: leave out one of the two")
    if expire.get("keep") == {}:
        yield Fault((*path, "keep"), "keeps nothing; give it a rule, such as { daily = 7 }")


def _check_faults(path: KeyPath, given: Table) -> Iterator[Fault]:
    checks = _table(given, "restore_test").get("check")
    dumps = _dump_names(given)
    for index, check in enumerate(checks if isinstance(checks, list) else ()):
        if not isinstance(check, dict) or "query" not in check or check.keys() & {"path", "command"}:
            continue
        if sentence := _not_exactly_one(check, _EXPECTATIONS, "a query has exactly one expectation"):
            yield Fault((*path, index), sentence)
        if sentence := _dump_fault(check, dumps):
            yield Fault((*path, index, "dump"), sentence)


def _dump_fault(check: Table, dumps: list[str]) -> str:
    names = _some(dict.fromkeys(dumps))
    if not dumps:
        return "a query needs a dump to run on, and this set has none: add one, or use a path check"
    if "dump" not in check and len(dumps) > 1:
        return f"missing; this set has the dumps {names}: say which one the query runs on"
    wanted = check.get("dump", dumps[0])
    if not isinstance(wanted, str) or wanted in dumps:
        return ""
    close = suggestion(wanted, dumps)
    cure = f"did you mean {show(close)}?" if close else f"it has {names}"
    return f"there is no dump {show(wanted)} in this set; {cure}"


def _overlaps(document: Table) -> Iterator[Fault]:
    """Archives of a set are told by their names alone: what two sets recognise, one expires for the other."""
    own_first = sorted(_patterns(document), key=lambda found: found[0][2] == "adopt")
    for (path, store, pattern), (other_path, other_store, other) in combinations(own_first, 2):
        if store != other_store or path[1] == other_path[1] or not _may_overlap(pattern.text, other.text):
            continue
        if pattern.overlaps(other):
            yield Fault(
                other_path,
                f"{show(other.text)} can name the same archive as {show(pattern.text)} of backup set "
                f"{show(path[1])}, also in store {show(store)}, so each would expire the other's archives; "
                "give one of the two an archive pattern with another beginning",
            )


def _slashes(document: Table) -> Iterator[Fault]:
    """Tarsnap takes any name, and tarsnapper's own example has a slash; Borg takes none."""
    stores = _table(document, "store")
    for path, store, pattern in _patterns(document):
        if "/" in pattern.text and _table(stores, store).get("engine") == "borg":
            yield Fault(path, f"a Borg archive's name must not hold a slash; found {show(pattern.text)}")


def _patterns(document: Table) -> Iterator[tuple[KeyPath, str, ArchivePattern]]:
    """Yield path, store and pattern of every pattern that is right: each set's own, and those it adopts."""
    for name, given in _tables(document, "backup"):
        store, adopt = given.get("store"), given.get("adopt")
        texts: list[tuple[KeyPath, Any]] = [
            (("backup", name, "archive"), given.get("archive", default_archive(name)))
        ]
        for index, text in enumerate(adopt if isinstance(adopt, list) else ()):
            texts.append((("backup", name, "adopt", index), text))
        for path, text in texts:
            if isinstance(store, str) and isinstance(text, str) and len(text) <= 1000:
                with suppress(ValueError):
                    yield path, store, ArchivePattern(text)


def _may_overlap(one: str, other: str) -> bool:
    """Rule pairs out quickly: if two patterns share a name, one's fixed beginning begins the other's."""
    a, b = one.partition("%")[0], other.partition("%")[0]
    return a.startswith(b) or b.startswith(a)


# -- small words ------------------------------------------------------------------------------------------


def _not_exactly_one(table: Table, keys: tuple[str, ...], rule: str) -> str:
    given = [key for key in keys if key in table]
    if len(given) == 1:
        return ""
    return f"{rule}, {listed(keys, 'or')}; found {listed(given) if given else 'none of them'}"


def _some(names: Iterable[str]) -> str:
    """Return names as prose, not too many of them."""
    known = [show(name) for name in names if name != _UNNAMED]
    return listed(known if len(known) <= 8 else [*known[:7], f"{len(known) - 7} more"]) if known else "none"


def _is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


def _table(parent: Table, key: str) -> Table:
    value = parent.get(key)
    return value if isinstance(value, dict) else {}


def _tables(parent: Table, key: str) -> Iterator[tuple[str, Table]]:
    """Yield the tables inside a table."""
    return ((name, value) for name, value in _table(parent, key).items() if isinstance(value, dict))
