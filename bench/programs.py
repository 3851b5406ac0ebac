"""The programs that are measured, and what stands on PATH in their place to watch them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
HERE = Path(__file__).parent
RIVALS = ROOT / ".venv-bench" / "bin"
LIMIT_S = 600.0

# As pip writes it for an entry point. Bytecode is there after the first start, as after `make install`.
_LAUNCHER = """#!{python}
import sys
sys.path.insert(0, {root!r})
from snapd.__main__ import main
if __name__ == "__main__":
    sys.exit(main())
"""


class NotInstalledError(Exception):
    """Something that the measures need is not on this machine."""


def bench_python() -> Path:
    """Return the interpreter that has the rivals; `make bench` made it."""
    return RIVALS / "python"


def borgmatic() -> str:
    return str(RIVALS / "borgmatic")


def real_borg() -> str:
    found = shutil.which("borg")
    if found is None:
        raise NotInstalledError("borg is not installed (Debian: apt install borgbackup)")
    return found


def require() -> None:
    """Raise NotInstalledError unless everything is there."""
    real_borg()
    if not (RIVALS / "borgmatic").exists():
        raise NotInstalledError("the rivals are not installed: run `make bench`, which makes .venv-bench")


def write_launcher(folder: Path) -> Path:
    """Write `snapd-backup` as an installation has it."""
    path = folder / "snapd-backup"
    path.write_text(_LAUNCHER.format(python=sys.executable, root=str(ROOT)))
    path.chmod(0o755)
    return path


def put_counting(folder: Path, real: str) -> None:
    """Put a program into `folder` that calls the real one of its name and notes when: see `calls`."""
    _put(folder / Path(real).name, "counting.sh", {"@REAL@": real})


def put_stub_borg(folder: Path, *, delete_s: float = 0.0) -> None:
    """Put a `borg` into `folder` that stores nothing, answers at once and notes when it began: see `calls`.

    Each archive that it is to delete takes `delete_s`.
    """
    _put(folder / "borg", "stub_borg.sh", {"@DELETE_MS@": str(round(delete_s * 1000))})


def _put(path: Path, template: str, filled: Mapping[str, str]) -> None:
    text = (HERE / template).read_text()
    for mark, value in filled.items():
        text = text.replace(mark, value)
    path.write_text(text)
    path.chmod(0o755)


@dataclass(frozen=True, slots=True)
class Call:
    """One call of an engine: when it began and ended (seconds since the epoch), and its arguments."""

    began: float
    ended: float
    status: int
    words: tuple[str, ...]

    @property
    def seconds(self) -> float:
        return self.ended - self.began


def calls(folder: Path) -> list[Call]:
    """Read what the programs in `folder` noted, in the order in which the calls ended."""
    path = folder / "calls"
    return [_call(line) for line in path.read_text().splitlines()] if path.exists() else []


def _call(line: str) -> Call:
    began, ended, status, words = line.split("\t", 3)
    return Call(float(began), float(ended), int(status), tuple(words.split(" ")))


def seconds_of(
    argv: Sequence[str], environ: Mapping[str, str], *, good: tuple[int, ...] = (0,), cwd: Path | None = None
) -> float:
    """Run a whole process to its end and return its wall time. Raises RuntimeError for a bad exit status."""
    began = time.monotonic()
    done = subprocess.run(
        argv, env=environ, cwd=cwd, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    taken = time.monotonic() - began
    if done.returncode not in good:
        raise RuntimeError(f"{' '.join(argv)} ended with {done.returncode}: {done.stderr[-2000:]}")
    return taken
