"""What was extracted, found by the names that an engine lists: a byte that is no UTF-8 is listed as `?`."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path, PurePath


class Shown:
    """The files below a folder. Reads a folder once, and only where a listed name may stand for others."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names: dict[Path, dict[str, list[str]]] = {}

    def sizes(self, path: str) -> frozenset[int]:
        """Return the bytes of what a listed path stands for: nothing when it is missing, rarely several."""
        found = [self._folder / path]
        if "?" in path:
            found = [self._folder]
            for name in PurePath(path).parts:
                found = [parent / real for parent in found for real in self._real(parent, name)]
        sizes = (_size(file) for file in found)
        return frozenset(size for size in sizes if size is not None)

    def _real(self, parent: Path, name: str) -> list[str]:
        if "?" not in name:
            return [name]
        if parent not in self._names:
            self._names[parent] = _by_shown_name(parent)
        return self._names[parent].get(name, [])


def _by_shown_name(folder: Path) -> dict[str, list[str]]:
    names: dict[str, list[str]] = defaultdict(list)
    if folder.is_dir() and not folder.is_symlink():  # a link may lead to the live files, which prove nothing
        for real in os.listdir(os.fsencode(folder)):  # noqa: PTH208 - pathlib has no names as bytes
            text = real.decode("utf-8", "surrogateescape")
            names[text.encode("utf-8", "replace").decode()].append(os.fsdecode(real))
    return names


def _size(path: Path) -> int | None:
    try:
        return path.lstat().st_size
    except OSError:
        return None
