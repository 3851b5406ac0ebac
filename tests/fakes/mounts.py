"""Mounts for tests: in a mount namespace of one child, gone with it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.needs import give_up

ROOT = Path(__file__).resolve().parents[2]
_UNSHARE = (
    ("unshare", "--mount") if os.geteuid() == 0 else ("unshare", "--user", "--map-root-user", "--mount")
)
_SH = ("sh", "-c", 'eval "$0" && exec "$@"')

HUNG = """
import ctypes, os

def hang(folder):
    \"\"\"Mount a file system that never answers: one in user space, of which nobody is the server.\"\"\"
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"dead", os.fsencode(folder), b"fuse", 0, options) != 0:
        raise OSError(ctypes.get_errno(), "mount")
"""


def among_mounts(commands: str, argv: Sequence[str]) -> str:
    """Run mount commands and then a program, in a mount namespace of their own; return what it prints.

    Skips where that is not allowed; in CI it fails.
    """
    tried = subprocess.run((*_UNSHARE, *_SH, "true", "true"), capture_output=True, text=True, check=False)
    if tried.returncode:
        reason = f"nothing can be mounted here: {tried.stderr.strip()}"
        give_up(reason)
    whole = (*_UNSHARE, *_SH, commands, *argv)
    done = subprocess.run(whole, cwd=ROOT, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout


def beside_hung_mounts(program: str, *args: object) -> str:
    """Run a Python program that may call `hang(folder)`; return what it prints."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        reason = "there is no /dev/fuse to make a mount that hangs"
        give_up(reason)
    return among_mounts("true", (sys.executable, "-c", HUNG + program, *map(str, args)))
