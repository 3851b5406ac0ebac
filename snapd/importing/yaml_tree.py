"""YAML as a tree of texts, lists and tables that know their lines, and nothing else.

PyYAML composes the nodes; none is ever constructed, so no tag can make an object. Aliases are followed,
within bounds that no file of a person reaches.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from snapd.errors import UsageError

LARGEST = 2**18  # characters; PyYAML reads about 100,000 a second
_MOST = 20_000  # values, with what aliases repeat
_DEEPEST = 12
_STANDARD = "tag:yaml.org,2002:"
_TAGS = frozenset(
    _STANDARD + name for name in ("str", "int", "float", "bool", "null", "timestamp", "seq", "map")
)
_MERGE = _STANDARD + "merge"


@dataclass(frozen=True, slots=True)
class Text:
    """A scalar as it was written, without its quotes; an empty text for a value that was left out."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Many:
    line: int
    items: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Keys in their order; one that is given twice is there twice."""

    line: int
    fields: tuple[tuple[str, Tree], ...]


Tree = Text | Many | Table


def table(text: str, file: str) -> Table:
    """Read a text whose top is a table. Raises UsageError with file and line for anything else."""
    if len(text) > LARGEST:
        raise UsageError(f"{file} is larger than 256 KiB, which no file of tarsnapper is")
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        tree = _Reader(file).read(node, 0) if node is not None else Table(1, ())
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UsageError(f"{file}:{line}: no YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise UsageError(f"{file}:1: no YAML: {str(error).splitlines()[0]}") from error
    except RecursionError:
        raise UsageError(f"{file}:1: it is nested too deep") from None
    if not isinstance(tree, Table):
        raise UsageError(f"{file}:{tree.line}: found no table of keys; a file of tarsnapper is one")
    return tree


class _Reader:
    def __init__(self, file: str) -> None:
        self._file = file
        self._count = 0

    def read(self, node: Any, depth: int) -> Tree:
        """Turn a node of PyYAML into a tree. Its own classes are told by `id`, since it has no types."""
        line = node.start_mark.line + 1
        self._count += 1
        if depth > _DEEPEST:
            raise UsageError(f"{self._file}:{line}: it is nested too deep")
        if self._count > _MOST:
            raise UsageError(f"{self._file}:{line}: its aliases repeat more than {_MOST} values")
        if node.tag not in _TAGS:
            raise UsageError(f"{self._file}:{line}: the tag {node.tag[:40]} is not read; take it away")
        if node.id == "scalar":
            return Text(line, "" if node.tag == f"{_STANDARD}null" else node.value)
        if node.id == "sequence":
            return Many(line, tuple(self.read(item, depth + 1) for item in node.value))
        return Table(line, tuple(self._fields(node, depth)))

    def _fields(self, node: Any, depth: int) -> Iterator[tuple[str, Tree]]:
        """Yield the fields of a mapping; what `<<` brings in comes first, so that the mapping's own win."""
        merged = [value for key, value in node.value if key.tag == _MERGE]
        own = [(key, value) for key, value in node.value if key.tag != _MERGE]
        names = {key.value for key, _ in own if key.id == "scalar"}
        for value in merged:
            for one in value.value if value.id == "sequence" else [value]:
                tree = self.read(one, depth + 1)
                if isinstance(tree, Table):
                    yield from ((name, field) for name, field in tree.fields if name not in names)
        for key, value in own:
            if key.id != "scalar":
                raise UsageError(f"{self._file}:{key.start_mark.line + 1}: a key is a word")
            yield key.value, self.read(value, depth + 1)
