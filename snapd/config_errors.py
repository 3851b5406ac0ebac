"""What an operator reads when the config is wrong: faults found, put into sentences with file, line and key.

A found value is shown escaped and short, and never below a secret key. Pydantic's own texts are not used:
they carry inputs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, time
from difflib import get_close_matches
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from snapd.errors import ConfigError
from snapd.toml_lines import KeyPath, line_of, locate

SECRET_KEYS = frozenset({"passphrase"})
_LONGEST = 60  # characters of a found value
_MOST = 1000  # problems listed
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]{1,60}")
_WHERE_SECRETS_ARE = (
    'say where the secret is, as { credential = "NAME" }, { file = "/…" } or { command = ["…"] }'
)
_NOT_GIVEN = frozenset({("BackupSet", "name")})  # fields that no key of the file sets
_NAMED = (("store",), ("backup",))  # tables of named tables
_WORDS = ("deltas", "command")  # arrays that elsewhere are written as one text
_TABLES = ("model_type", "dict_type", "mapping_type", "model_attributes_type")
_INSTEAD = {  # keys of other programs that are too like a key of ours, by the name of their section
    **{
        ("Keep", word): "there is no rule for shorter periods than hourly; use last, or within"
        for word in ("minutely", "secondly")
    },
    **{
        ("Keep", f"within_{word}"): f"give a count, as {word} = 5"
        for word in ("hourly", "daily", "weekly", "monthly", "yearly")
    },
    **{
        ("Expire", f"keep_{word}"): f"write keep = {{ {word} = {number} }}"
        for word, number in (
            *(("last", 10), ("hourly", 24), ("daily", 7), ("weekly", 5), ("monthly", 12), ("yearly", 10)),
            ("within", '"30d"'),
        )
    },
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong: at which key, and a sentence that holds what was found and what would be right."""

    path: KeyPath
    sentence: str


def show(value: object) -> str:
    """Return a found value as TOML has it, escaped, at most about 60 characters."""
    match value:
        case str():
            shown = _quoted(value)
        case int() if abs(value) >= 10**_LONGEST:
            shown = f"a number of more than {_LONGEST} digits"
        case dict():
            shown = "a table" if value else "an empty table"
        case list() | tuple():
            shown = "an array" if value else "an empty array"
        case date() | time():
            shown = f"the date or time {value.isoformat()}"
        case _:
            shown = str(value).lower()  # TOML writes true, false, nan and inf so
    return shown


def dotted(path: KeyPath) -> str:
    """Return a key path as an operator writes it; elements of an array are counted from 1."""
    steps = (f"[{step + 1}]" if isinstance(step, int) else f".{_key(step)}" for step in path)
    return "".join(steps).removeprefix(".")


def suggestion(found: str, known: Iterable[str]) -> str:
    """Return the known word that was probably meant, or an empty text."""
    return next(iter(get_close_matches(found[:_LONGEST], known, n=1)), "")


def listed(words: Iterable[str], last: str = "and") -> str:
    """Return words as prose: `a, b and c`."""
    *most, final = words
    return f"{', '.join(most)} {last} {final}" if most else final


def refusal(faults: Iterable[Fault], *, text: str, file: str) -> ConfigError:
    """Return the error for all faults of a text, in file order, each one line."""
    lines = locate(text)
    placed = sorted({(line_of(lines, fault.path), fault) for fault in _worth_telling(faults)}, key=_in_order)
    problems = [_line(file, line, fault) for line, fault in placed]
    hidden = len(problems) - _MOST
    if hidden > 0:
        problems[_MOST:] = [f"{_name(file)}: and {hidden} more"]
    return refused(problems, file=file, count=len(placed))


def refused(problems: Iterable[str], *, file: str, count: int = 1) -> ConfigError:
    """Return the error for finished lines."""
    return ConfigError(
        f"{_name(file)} has {count} error{'' if count == 1 else 's'}",
        hint="Correct the file, then run snapd-backup check.",
        problems=tuple(problems),
    )


def syntax_refusal(error: ValueError, *, text: str, file: str) -> ConfigError:
    """Return the error for a text that tomllib refused."""
    found = re.search(r" \(at line (\d+), column (\d+)\)$", str(error))
    said = re.sub(r" \(at .*\)$", "", str(error))
    sentence = next(
        (ours for theirs, ours in _SYNTAX if said.startswith(theirs)), said[:1].lower() + said[1:]
    )
    line = found[1] if found else text.rstrip("\n").count("\n") + 1
    column = f" (column {found[2]})" if found else ""
    return refused([f"{_name(file)}:{line}: {_escaped(sentence, 200)}{column}"], file=file)


_SYNTAX = (
    ("Cannot declare", "this table was declared before: write all its keys in one place"),
    ("Cannot overwrite a value", "this key was given before: keep one of the two"),
    ("Cannot mutate immutable namespace", "this table was written as { … } before: add the key there"),
    ("Duplicate inline table key", "this key was given before in the same { … }: keep one of the two"),
    ("Invalid value", "no value begins like this: text goes in quotes, such as schedule = \"@daily\""),
    ("Expected '=' after a key", "a key is followed by = and a value, such as schedule = \"@daily\""),
    ("Expected newline or end of document", "one line holds one key and value, and something follows here"),
    ("Exceeds the limit", "a number has more digits than any machine can count"),
    ("Unclosed array", "an array is not closed: ] is missing"),
    ("Unterminated string", "a string is not closed: its last quote is missing"),
    ("Illegal character '\\n'", "a string is not closed on its line: its last quote is missing"),
)  # fmt: skip


def _in_order(placed: tuple[int, Fault]) -> tuple[int, str, str]:
    line, fault = placed
    return line, dotted(fault.path), fault.sentence


def _worth_telling(faults: Iterable[Fault]) -> list[Fault]:
    """Leave out what follows from an engine that is missing or unknown: its keys cannot be judged."""
    found = list(faults)
    blind = {fault.path[:-1] for fault in found if _is_engine(fault.path)}
    return [fault for fault in found if _is_engine(fault.path) or blind.isdisjoint(_tables_above(fault.path))]


def _is_engine(path: KeyPath) -> bool:
    match path:
        case ("store", _, "engine") | ("backup", _, "dump", _, "engine"):
            return True
        case _:
            return False


def _tables_above(path: KeyPath) -> Iterator[KeyPath]:
    return (path[:depth] for depth in range(len(path) + 1))


def _line(file: str, line: int, fault: Fault) -> str:
    key = f"{dotted(fault.path)}: " if fault.path else ""
    return f"{_name(file)}:{line}: {key}{_escaped(fault.sentence, 1000)}"


def _escaped(text: str, longest: int = _LONGEST) -> str:
    shown = "".join(ch if ch.isprintable() else ascii(ch)[1:-1] for ch in text[: longest + 1])
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def _name(file: str) -> str:
    return _escaped(file, 4096)


def _quoted(text: str) -> str:
    escaped = text[: _LONGEST + 1].replace("\\", "\\\\").replace('"', '\\"')
    return f'"{_escaped(escaped)}"'


def _key(key: str) -> str:
    return key if _PLAIN_KEY.fullmatch(key) else _quoted(key)


# -- from pydantic ----------------------------------------------------------------------------------------


def faults_of(error: ValidationError, root: type[BaseModel]) -> Iterator[Fault]:
    """Turn pydantic's errors about a `root` into faults."""
    for found in error.errors(include_url=False):
        path, sections = _walk(root, found["loc"])
        if found["type"] == "engine":
            yield _engine_fault(path, found["input"], sections)
            continue
        if not SECRET_KEYS.isdisjoint(path):
            yield _secret_fault(path, found, sections)
            continue
        yield Fault(path, _sentence(found, path, sections))


def _secret_fault(path: KeyPath, found: Mapping[str, Any], sections: list[type[BaseModel]]) -> Fault:
    """Say what is wrong with a secret and show nothing of it, not even an unknown key."""
    depth = next(index for index, step in enumerate(path) if step in SECRET_KEYS) + 1
    secret = path[:depth]
    if found["type"] == "missing":
        return Fault(path, f"missing; {_WHERE_SECRETS_ARE}")
    if found["type"] in _TABLES and len(path) == depth:
        return Fault(secret, f"a secret is never written here: {_WHERE_SECRETS_ARE}")
    if found["type"] == "extra_forbidden":
        close = suggestion(str(path[-1]), _keys(sections))
        cure = f'did you mean "{close}"?' if close else _WHERE_SECRETS_ARE
        return Fault(secret, f"unknown key; {cure}")
    return Fault(path, _expected({**found, "input": None}, path))


def _engine_fault(path: KeyPath, found: object, sections: list[type[BaseModel]]) -> Fault:
    """Say which engines there are, for a table that names none of them."""
    if not isinstance(found, dict):
        return Fault(path, _with_found(f"must be a table, such as [{dotted(path)}]", found))
    known = [show(get_args(section.model_fields["engine"].annotation)[0]) for section in sections]
    where = (*path, "engine")
    if "engine" not in found:
        return Fault(where, f"missing; this version knows {listed(known)}")
    return Fault(where, f"this version knows {listed(known)}; found {show(found['engine'])}")


def _sentence(found: Mapping[str, Any], path: KeyPath, sections: list[type[BaseModel]]) -> str:
    match found["type"]:
        case "extra_forbidden":
            return _unknown_key(str(path[-1]), sections)
        case "missing":
            return _missing(str(path[-1]), sections)
        case "literal_error":
            return _choice(str(path[-1]), found)
        case "check_kind":
            return _check_kind(found["input"])
        case "rule":
            return _expected(found, path)
        case _:
            return _with_found(_expected(found, path), found["input"])


def _unknown_key(key: str, sections: list[type[BaseModel]]) -> str:
    for section in sections:
        if instead := _INSTEAD.get((section.__name__, key)):
            return f"unknown key; {instead}"
    keys = _keys(sections)
    close = suggestion(key, keys)
    return f'unknown key; did you mean "{close}"?' if close else f"unknown key; known here: {', '.join(keys)}"


def _missing(key: str, sections: list[type[BaseModel]]) -> str:
    field = next((s.model_fields[key] for s in sections if key in s.model_fields), None)
    examples = field.examples if field else None
    choices = [f'"{word}"' for word in get_args(field.annotation)] if field and key == "engine" else []
    if choices:
        return f"missing; this version knows {listed(choices)}"
    return f"missing; give one, such as {key} = {examples[0]}" if examples else "missing"


def _choice(key: str, found: Mapping[str, Any]) -> str:
    choices = found["ctx"]["expected"].replace("'", '"')
    knows = f"this version knows {choices}" if key == "engine" else f"must be {choices}"
    return f"{knows}; found {show(found['input'])}"


def _check_kind(found: object) -> str:
    rule = "a check has exactly one of path, query and command"
    if not isinstance(found, dict):
        return f"{rule}, in a table; found {show(found)}"
    kinds = [kind for kind in ("path", "query", "command") if kind in found]
    return f"{rule}; found {listed(kinds) if kinds else 'none of them'}"


_RIGHT = {  # by pydantic's word for the error
    "string_type": "must be a string, in quotes",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a number",
    "bool_type": "must be true or false",
}


def _expected(found: Mapping[str, Any], path: KeyPath) -> str:
    """Say what would be right."""
    limits, kind = found.get("ctx", {}), found["type"]
    match kind:
        case "value_error":
            right = str(limits["error"])
        case "rule":
            right = str(found["msg"])
        case "greater_than_equal":
            right = f"must be at least {limits['ge']}"
        case "less_than_equal":
            right = f"must be at most {limits['le']}"
        case "tuple_type":
            right = _array(path, found["input"])
        case _ if kind in _TABLES:
            right = f"must be a table, such as [{dotted(path)}{'.NAME' if path in _NAMED else ''}]"
        case _:
            right = _RIGHT.get(kind, "has a value of the wrong kind")
    return right


def _array(path: KeyPath, found: object) -> str:
    if isinstance(found, dict):
        return f"must be an array of tables: write [[{dotted(path)}]]"
    if isinstance(found, str):
        words = found.split()[:8] if path[-1] in _WORDS else [found]
        return f"must be an array, in square brackets: [{', '.join(map(show, words))}]"
    return "must be an array, in square brackets"


def _with_found(sentence: str, value: object) -> str:
    """Add what was found, unless the sentence tells it; if it does, in our own spelling."""
    if isinstance(value, str):
        sentence = sentence.replace(repr(value), show(value))
        if show(value) in sentence:
            return sentence
    return f"{sentence}; found {show(value)}"


# -- where in the models -----------------------------------------------------------------------------------


def _walk(root: type[BaseModel], loc: tuple[str | int, ...]) -> tuple[KeyPath, list[type[BaseModel]]]:
    """Follow pydantic's location through the models.

    Returns the key path (pydantic also names the member of a union, which is no key) and the sections that
    the last key may belong to.
    """
    sections, names_follow = [root], False
    path: list[str | int] = []
    for step in loc[:-1]:
        if not names_follow and (named := [section for section in sections if section.__name__ == step]):
            sections = named
            continue
        path.append(step)
        fields = [section.model_fields[str(step)] for section in sections if step in section.model_fields]
        if names_follow:
            names_follow = False
        elif fields:
            sections = [section for field in fields for section in _sections(field.annotation)]
            names_follow = any(get_origin(field.annotation) is Mapping for field in fields)
    return (*path, *loc[-1:]), sections


def _sections(annotation: object) -> Iterator[type[BaseModel]]:
    """Yield the sections that a field leads to."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        return
    for inner in get_args(annotation):
        yield from _sections(inner)


def _keys(sections: Iterable[type[BaseModel]]) -> list[str]:
    """Return the keys that belong into sections; a set's name is the key of its table."""
    keys = dict.fromkeys(key for section in sections for key in section.model_fields)
    return [key for key in keys if not any((section.__name__, key) in _NOT_GIVEN for section in sections)]
