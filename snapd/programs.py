"""Which program a name means, and with what capabilities it starts."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

_UNPRIVILEGED = ("setpriv", "--ambient-caps=-all", "--inh-caps=-all", "--")


def argv_of(argv: Sequence[str], *, path: str, privileged: bool) -> list[str]:
    """Return the argument list to start, its program looked up in `path`.

    Where we have an ambient capability, one that is not `privileged` is started through setpriv(1) without.
    Raises `FileNotFoundError` or `PermissionError` for a program that cannot be started.
    """
    whole = [_found(argv[0], path), *argv[1:]]
    if privileged or not _has_ambient_capability():
        return whole
    return [_found(_UNPRIVILEGED[0], os.defpath), *_UNPRIVILEGED[1:], *whole]


def _found(program: str, path: str) -> str:
    found = shutil.which(program, path=path)
    if found is not None:
        return found
    if shutil.which(program, mode=os.F_OK, path=path) is not None:
        raise PermissionError(errno.EACCES, "not executable", program)
    raise FileNotFoundError(errno.ENOENT, "not found in PATH", program)


def _has_ambient_capability() -> bool:
    """Tell whether children would inherit a capability (capabilities(7), CapAmb)."""
    match = re.search(rb"^CapAmb:\s*([0-9a-f]+)", Path("/proc/self/status").read_bytes(), re.MULTILINE)
    return match is not None and int(match[1], 16) != 0
