"""What every command is called with: the global options, and where the daemon is. Imports next to nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

RUNTIME_FOLDER = "/run/snapd-backup"


@dataclass(frozen=True, slots=True)
class Invocation:
    """The global options, and the environment they were given in."""

    file: Path
    debug: bool
    environ: Mapping[str, str]

    @property
    def runtime(self) -> Path:
        """The folder of the control socket, without reading any config."""
        return runtime_folder(self.environ)


def invocation_of(file: str, *, debug: bool, environ: Mapping[str, str]) -> Invocation:
    return Invocation(Path(file).absolute(), debug, environ)


def runtime_folder(environ: Mapping[str, str]) -> Path:
    """Return where the control socket is: RUNTIME_DIRECTORY (systemd.exec(5)), or the service's folder."""
    first = environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return Path(first or RUNTIME_FOLDER)
