"""What a restore test takes out of an archive: what checks and dumps name, else a sample. Pure."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from snapd.engines.base import Member

SAMPLE_FILES = 50
SAMPLE_BYTES = 256 * 10**6
_CANDIDATES = 4 * SAMPLE_FILES


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a test needs of an archive, as member paths (no leading slash).

    `dumps` are files and must be there; `paths` are files or trees that checks name, there or not. `whole`
    asks for everything. `ours` is what every archive carries of us and proves nothing.
    """

    dumps: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    whole: bool = False
    ours: str = ""

    @property
    def named(self) -> tuple[str, ...]:
        return self.dumps + self.paths


@dataclass(frozen=True, slots=True)
class Extraction:
    """What to extract: the members and trees in `only`, or the whole archive, or nothing.

    `sizes` are the bytes of every file in it. `sampled` says that chance chose.
    """

    only: tuple[str, ...]
    sizes: dict[str, int]
    whole: bool = False
    sampled: bool = False

    @property
    def nothing(self) -> bool:
        return not self.only and not self.whole

    @property
    def bytes(self) -> int:
        return sum(self.sizes.values())


def member_path(path: str | PurePath) -> str:
    """Return the path that a file has inside an archive."""
    return str(PurePath(path)).strip("/")


def plan_extraction(
    members: Iterable[Member], wanted: Wanted, *, seed: str, max_bytes: int | None = None
) -> Extraction:
    """Decide what to extract of an archive; one pass over its members, which may be many.

    Named members are taken whatever they weigh: the caller compares `bytes` with what it can afford. A sample
    holds at most 50 files with contents and 256 MB, `max_bytes` if that is less; the same `seed` chooses the
    same files, another one others. It holds one file at least if the archive has any with contents.
    """
    if wanted.named or wanted.whole:
        return _named(members, wanted)
    return _sampled(members, wanted.ours, seed, min(SAMPLE_BYTES, max_bytes or SAMPLE_BYTES))


def within(path: str, tree: str) -> bool:
    """Tell whether a member is a tree's root or below it."""
    return not tree or path == tree or path.startswith(f"{tree}/")


def _named(members: Iterable[Member], wanted: Wanted) -> Extraction:
    sizes: dict[str, int] = {}
    present: set[str] = set()
    for member in members:
        trees = [tree for tree in wanted.named if within(member.path, tree)]
        present.update(trees)
        if member.is_file and (trees or (wanted.whole and not _is_ours(member, wanted.ours))):
            sizes[member.path] = member.size
    only = tuple(tree for tree in dict.fromkeys(wanted.named) if tree in present)
    return Extraction(only=() if wanted.whole else only, sizes=sizes, whole=wanted.whole and bool(sizes))


def _sampled(members: Iterable[Member], ours: str, seed: str, max_bytes: int) -> Extraction:
    files = (member for member in members if member.is_file and member.size and not _is_ours(member, ours))
    ranked = heapq.nsmallest(
        _CANDIDATES, ((_rank(seed, member.path), member) for member in files), key=_first
    )
    chosen = _fitting([member for _, member in ranked], max_bytes)
    return Extraction(only=tuple(chosen), sizes=chosen, sampled=True)


def _fitting(candidates: Sequence[Member], max_bytes: int) -> dict[str, int]:
    chosen: dict[str, int] = {}
    left = max_bytes
    for member in candidates:
        if len(chosen) < SAMPLE_FILES and member.size <= left and member.path not in chosen:
            chosen[member.path] = member.size
            left -= member.size
    if not chosen and candidates:
        lightest = min(candidates, key=lambda member: (member.size, member.path))
        chosen[lightest.path] = lightest.size
    return chosen


def _rank(seed: str, path: str) -> bytes:
    return hashlib.blake2b(f"{seed}\0{path}".encode(errors="surrogateescape"), digest_size=8).digest()


def _first(ranked: tuple[bytes, Member]) -> bytes:
    return ranked[0]


def _is_ours(member: Member, ours: str) -> bool:
    return bool(ours) and within(member.path, ours)
