"""Which paths `tarsnap -c` is told to archive."""

from __future__ import annotations

import os
from pathlib import Path

from snapd.engines.base import Selection


def roots(selection: Selection) -> tuple[str, ...]:
    """Return the paths to archive: from the root, so that none is a directive (`@…`, `-C…`), and none that
    the walk of another one comes to anyway, since Tarsnap would store it twice.
    """
    paths = list(dict.fromkeys(os.path.normpath(path) for path in selection.paths))
    if not all(path.startswith("/") for path in paths):
        raise ValueError("a path to archive is not from the root")
    across = not selection.one_file_system
    return tuple(
        path for path in paths if not any(_comes_to(other, path, across) for other in paths if other != path)
    )


def _comes_to(root: str, path: str, across: bool) -> bool:
    """Tell whether the walk of `root`, which follows no link, comes to `path`."""
    if not Path(path).is_relative_to(root):
        return False
    between = [step for step in (Path(path), *Path(path).parents) if step.is_relative_to(root)]
    if any(step.is_symlink() for step in between[1:]):
        return False
    try:
        return across or len({step.lstat().st_dev for step in between}) == 1
    except OSError:
        return False
