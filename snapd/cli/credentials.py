"""Credentials while no daemon runs: what the unit would load, at a place where the program looks for it.

systemd lays a service's credentials down at its start (systemd.exec(5), LoadCredential=). For a command in
the daemon's place root makes a folder of links to the same files; it holds no secret itself, and whoever may
not read the files may not read them through it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from snapd.proc import Command, Launcher, Limits
from snapd.secret import CREDENTIALS

UNIT = "snapd-backup.service"
_LIMITS = Limits(wall=10.0, grace=1.0)


def provide(runtime: Path, environ: Mapping[str, str], *, laid_down: Path = CREDENTIALS) -> Path | None:
    """Return a folder with the credentials of the unit; None where they are at hand, or there are none.

    Only for root. `laid_down` is where a running daemon's are. The folder lies beside the runtime folder,
    which the service could write to.
    """
    if environ.get("CREDENTIALS_DIRECTORY") or laid_down.exists():
        return None
    sources = loaded_by(_unit_text(environ))
    if not sources:
        return None
    folder = runtime.with_name(f"{runtime.name}-credentials")
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    folder.chmod(0o755)
    for name, source in sources.items():
        _link(folder / name, source)
    return folder


def provide_here(runtime: Path, environ: Mapping[str, str]) -> None:
    """Let this process find the credentials of the unit. Only for root."""
    folder = provide(runtime, environ)
    if folder is not None:
        os.environ["CREDENTIALS_DIRECTORY"] = str(folder)


def loaded_by(unit: str) -> dict[str, Path]:
    """Return name and file of each credential that a unit loads; an empty value forgets those before it."""
    found: dict[str, Path] = {}
    for value in _assignments(unit.splitlines()):
        if not value:
            found.clear()
        name, _, source = value.partition(":")
        if name and "/" not in name and source.startswith("/"):
            found[name] = Path(source)
    return found


def _assignments(lines: Iterable[str]) -> Iterable[str]:
    for line in lines:
        key, separator, value = line.partition("=")
        if separator and key.strip() == "LoadCredential":
            yield value.strip()


def _unit_text(environ: Mapping[str, str]) -> str:
    """Return the unit with its drop-ins, in systemd's order; empty where there is no systemd or no unit."""
    env = {"PATH": environ.get("PATH", os.defpath), "SYSTEMD_PAGER": "", "LC_ALL": "C.UTF-8"}
    try:
        finished = Launcher().run(Command(("systemctl", "cat", "--", UNIT), env=env, limits=_LIMITS))
    except OSError:
        return ""
    return finished.stdout if finished.returncode == 0 else ""


def _link(path: Path, source: Path) -> None:
    """Point a link at a file, in one step for whoever reads it now."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        draft.unlink()
    draft.symlink_to(source)
    draft.replace(path)
