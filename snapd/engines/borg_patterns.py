"""The one meaning of `exclude`, said in Borg's words.

Borg's own shell patterns match whole paths only, and in its fnmatch patterns `*` crosses folders: so every
pattern becomes a regular expression over Borg's paths, which have no leading slash.
"""

from __future__ import annotations

from collections.abc import Iterator

from snapd.engines.base import Selection
from snapd.engines.patterns import expression


def options(selection: Selection) -> Iterator[str]:
    """Yield the arguments of `borg create` for a selection, the strongest first: the first match decides."""
    for path in selection.staged:
        yield f"--pattern=+ pp:{path}"
    for path in selection.never:
        yield f"--pattern=! pp:{path}"
    for pattern in selection.exclude:
        yield f"--exclude=re:{expression(pattern)}"
    if selection.one_file_system:
        yield "--one-file-system"
