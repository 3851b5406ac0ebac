"""What is left out of an archive, as options of `tarsnap -c`.

Most patterns say exactly what they mean in Tarsnap's words. The others are replaced by the paths that they
exclude now: what appears under such a name after the look is archived, which does no harm.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from snapd.engines.base import RunLimits, Selection
from snapd.engines.patterns import expression
from snapd.engines.tarsnap_patterns import literal, translated
from snapd.errors import InterruptedRunError, SnapdError
from snapd.proc import Command, Launcher, Limits, raise_if_cut

MOST_PATHS = 2000  # Tarsnap compares every path with each
MOST_BYTES = 2**19  # of the argument list, which execve(2) bounds
_CHILD = Path(__file__).with_name("walk_child.py")


@dataclass(frozen=True, slots=True)
class Excludes:
    """Patterns of Tarsnap, and what of the wish they do not say: sentences for the operator."""

    patterns: tuple[str, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Walked:
    """Paths that patterns exclude now, the first of them; and how many more there are."""

    paths: tuple[str, ...]
    more: int


def excludes(selection: Selection, roots: tuple[str, ...], launcher: Launcher, limits: RunLimits) -> Excludes:
    """Return the excludes of a selection whose walk begins at `roots`.

    Looks for paths where it must, for as long as a creation may take. Raises `InterruptedRunError`.
    """
    plain: list[str] = [literal(str(path)) for path in selection.never]
    looked_for: list[str] = []
    staged = tuple(_staged(selection))
    for pattern in selection.exclude:
        patterns = None if _hits(pattern, staged) else translated(pattern)
        if patterns is None:
            looked_for.append(pattern)
        else:
            plain += patterns
    if not looked_for:
        return Excludes(tuple(plain))
    found, warnings = _look_for(looked_for, selection, roots, launcher, limits)
    return Excludes((*plain, *found), warnings)


def _staged(selection: Selection) -> Iterator[str]:
    """Yield our dumps, and all that lies in them: they go in whatever a pattern says."""
    for path in selection.staged:
        yield str(path)
        for folder, folders, files in os.walk(path):
            yield from (str(Path(folder, name)) for name in (*folders, *files))


def _hits(pattern: str, paths: tuple[str, ...]) -> bool:
    search = re.compile(expression(pattern)).search
    return any(search(path.lstrip("/")) for path in paths)


def _look_for(
    patterns: list[str], selection: Selection, roots: tuple[str, ...], launcher: Launcher, limits: RunLimits
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    shown = ", ".join(patterns)
    try:
        told = _walk(patterns, selection, roots, launcher, limits)
    except InterruptedRunError:
        raise
    except (SnapdError, OSError, ValueError) as error:
        return (), (f"nothing was left out for {shown}: the files could not be looked through ({error})",)
    found: list[str] = []
    room = MOST_BYTES
    for path in told.paths:
        room -= len(os.fsencode(path))
        if room < 0:
            break
        found.append(literal(path))
    missed = told.more + len(told.paths) - len(found)
    note = (
        f"{shown}: more is to be left out than Tarsnap can be told of, so {missed} paths are in the archive"
    )
    return tuple(found), (note,) if missed else ()


def _walk(
    patterns: list[str], selection: Selection, roots: tuple[str, ...], launcher: Launcher, limits: RunLimits
) -> Walked:
    request = {
        "roots": roots,
        "expressions": [expression(pattern) for pattern in patterns],
        "pruned": [str(path) for path in (*selection.staged, *selection.never)],
        "one_file_system": selection.one_file_system,
        "most": MOST_PATHS,
    }
    command = Command(
        argv=(sys.executable, "-I", str(_CHILD)),
        env={"LC_ALL": "C.UTF-8"},
        input=json.dumps(request).encode(),
        limits=Limits(wall=None, stall=limits.stall_s, grace=limits.grace_s),
        privileged=True,  # it looks at what the creation stores, with the same rights
    )
    finished = launcher.run(command)
    raise_if_cut(finished, "the look for what is excluded", launcher.interrupt)
    if finished.returncode != 0 or finished.truncated:
        raise ValueError(f"exit status {finished.returncode}")
    told = json.loads(finished.stdout)
    return Walked(tuple(told["paths"]), int(told["more"]))
