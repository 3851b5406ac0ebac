"""Lays the double's programs down in a folder: `tarsnap`, `tarsnap-keymgmt`, `tarsnap-keygen`.

The folder stands for itself: it may be copied anywhere, and needs nothing but a Python >= 3.11.
"""

from __future__ import annotations

import compileall
import json
import os
import shutil
import sys
from pathlib import Path

_SOURCE = Path(__file__).resolve().parent / "double"
_PROGRAMS = {"tarsnap": "main", "tarsnap-keymgmt": "keytools", "tarsnap-keygen": "keytools"}
_LAUNCHER = """#!{python} -IS
# A test double of the client. It stores nothing outside this machine: never trust it with a backup.
import os, sys
_place = os.path.dirname(os.path.realpath(__file__)) + "/.tarsnap-double"
sys.path.insert(0, _place)
from double.{module} import main
_status = main(_place + "/settings.json")
sys.stdout.flush()
os._exit(_status)
"""


def install(
    folder: Path, *, account: Path | None = None, version: str = "1.0.41", python: str | None = None
) -> Path:
    """Write the programs into `folder` (made when missing, programs replaced) and give `tarsnap`'s path.

    `account` is where calls are logged and switches are looked for; keys know their servers themselves.
    `python` is the interpreter to run with, by default the one behind the running one.
    """
    interpreter = python or os.path.realpath(sys.executable)
    place = folder / ".tarsnap-double"
    place.mkdir(parents=True, exist_ok=True)
    compileall.compile_dir(_SOURCE, quiet=2)
    shutil.copytree(_SOURCE, place / "double", dirs_exist_ok=True)
    settings = {"account": str(account.resolve()) if account is not None else None, "version": version}
    (place / "settings.json").write_text(json.dumps(settings))
    for program, module in _PROGRAMS.items():
        path = folder / program
        path.write_text(_LAUNCHER.format(python=interpreter, module=module))
        path.chmod(0o755)
    return folder / "tarsnap"
