"""The program behind tarsnap_excludes.py: lists what patterns exclude, in a process of its own.

    python -I walk_child.py < REQUEST

REQUEST is a JSON object: `roots` to walk, regular `expressions` over paths without their leading slash,
`pruned` paths that are not looked into, `one_file_system`, and `most` paths to name. The answer is one too:
`paths`, in the order of the walk, and how many `more` there are. What is excluded is not descended into, and
what cannot be read is passed over. It imports only the standard library, so that it starts at once; a mount
that does not answer costs nobody more than this process.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from typing import Any


def main() -> int:
    json.dump(answer(json.load(sys.stdin)), sys.stdout)
    return 0


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Carry a request out."""
    found: list[str] = []
    more = 0
    for path in _excluded(request):
        if len(found) < request["most"]:
            found.append(path)
        else:
            more += 1
    return {"paths": found, "more": more}


def _excluded(request: dict[str, Any]) -> Iterator[str]:
    searches = [re.compile(expression).search for expression in request["expressions"]]
    pruned = frozenset(request["pruned"])
    for root in request["roots"]:
        device = _device(root) if request["one_file_system"] else None
        waiting = [(root, True)]
        while waiting:
            path, is_folder = waiting.pop()
            if path in pruned:
                continue
            if any(search(path.lstrip("/")) for search in searches):
                yield path
            elif is_folder and (device is None or _device(path) == device):
                waiting += _entries(path)


def _entries(folder: str) -> list[tuple[str, bool]]:
    """Return what is in a folder, and whether each is one; a link is none."""
    try:
        with os.scandir(folder) as entries:
            return [(entry.path, entry.is_dir(follow_symlinks=False)) for entry in entries]
    except OSError:
        return []


def _device(path: str) -> int | None:
    try:
        return os.lstat(path).st_dev
    except OSError:
        return None


if __name__ == "__main__":
    sys.exit(main())
