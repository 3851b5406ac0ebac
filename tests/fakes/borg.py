"""Real Borg for tests: a repository below a temporary folder, made by copying one that was made once."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from snapd.config import BorgStore, Secret
from snapd.engines.base import RunLimits, Tools
from snapd.engines.borg import BorgEngine
from snapd.model import Progress
from snapd.proc import Interrupt, Launcher
from tests.needs import give_up

PASSPHRASE = "correct-horse-battery"


def require_borg() -> None:
    """Skip where Borg is not installed; in CI that is a failure."""
    if shutil.which("borg") is None:
        give_up("borg is not installed (Debian: apt-get install borgbackup)")


class BorgLab:
    """One repository with its passphrase file and cache, all below `folder`."""

    def __init__(self, folder: Path, *, template: Path | None = None) -> None:
        self.folder = folder
        self.repository = folder / "repository"
        self.passphrase = folder / "passphrase"
        self.passphrase.write_text(f"{PASSPHRASE}\n")
        self.passphrase.chmod(0o600)
        self.interrupt = Interrupt()
        if template is not None:
            shutil.copytree(template, self.repository)

    def store(self, **changes: object) -> BorgStore:
        store = BorgStore(
            engine="borg", repository=str(self.repository), passphrase=Secret(file=self.passphrase)
        )
        return store.model_copy(update=changes)

    def engine(
        self,
        *,
        progress: Callable[[Progress], None] = lambda _progress: None,
        limits: RunLimits = RunLimits(),  # noqa: B008 - frozen
        cache: str = "cache",
        lock_fd: int | None = None,
        **changes: object,
    ) -> BorgEngine:
        launcher = Launcher(lock_fd=lock_fd, interrupt=self.interrupt)
        tools = Tools(launcher, self.folder / cache, limits=limits, progress=progress)
        return BorgEngine("local", self.store(**changes), tools)

    def borg(self, *args: str) -> str:
        """Run borg by hand, as a stranger would, and return its output."""
        env = {
            "PATH": os.environ["PATH"],
            "BORG_BASE_DIR": str(self.folder / "stranger"),
            "BORG_PASSPHRASE": PASSPHRASE,
            "BORG_HOST_ID": "stranger",
            "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
            "LC_ALL": "C.UTF-8",
        }
        done = subprocess.run(("borg", *args), env=env, check=True, capture_output=True, text=True)
        return done.stdout


def make_template(folder: Path) -> Path:
    """Make a repository to copy, through the engine itself."""
    lab = BorgLab(folder)
    lab.engine().init()
    return lab.repository
