"""A machine that an import may ask: its files are a mapping."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase


@dataclass(frozen=True)
class FakeHost:
    files: Mapping[str, str] = field(default_factory=dict)
    hostname: str = "box"
    hidden: frozenset[str] = frozenset()

    def home(self, user: str) -> str:
        return "/root" if user == "root" else f"/home/{user}"

    def text(self, path: str) -> str | None:
        return self.files.get(path)

    def is_hidden(self, path: str) -> bool:
        return path in self.hidden

    def matching(self, pattern: str) -> tuple[str, ...]:
        return tuple(sorted(path for path in self.files if fnmatchcase(path, pattern)))
