"""Points of a run where a test can make something happen.

create: `create.start` (before the lock), `create.before-transaction`, `create.opened` (from here on signals
are handled), `create.entry` (before each entry is looked at), `create.file` (between looking at a file and
opening it), `create.block` (before each block is stored), `create.checkpointed` (after a checkpoint in the
middle), `create.before-commit` (between final checkpoint and commit), `create.committed` (the server has
committed, the cachedir does not know yet), `create.after-commit` (before the exit).
delete, for each archive: `delete.start` (before the lock), `delete.before-transaction`, `delete.middle`, and
the last three as above.
fsck: `fsck.middle` (before each archive), and the last three. Others: `list.record`, `read.entry`.

A file that looks unchanged since a former run is not opened: only new ones come to `create.file` and
`create.block`.

The switch `points` maps a point to what happens there:

- `action`: a signal's name (the program sends it to itself); "network" (the connection is lost for good,
  which nobody notices behind the commit); "fail" (the same with a text of your own, in `text`); "say" (tell
  `text` and go on); "run" (a shell command, in `command`); "pause" (write POINTS/at-POINT with our pid, wait
  until POINTS/go-POINT appears or a handled signal comes; then do the action in `then`, if there is one);
- `at`: at the nth time the point is reached in a process (1); `archive`: only for the archive of that name;
  `path`: only for the entry of that path (as it was found on disk, or as it is stored);
- `times`: how often in all, over all processes (1); 0 means always.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from .output import FailedError, warn
from .switches import Switches

_PATIENCE_S = 300.0  # of a pause: the test that asked for it has failed and forgot the process
_ENDS = ("before-commit", "committed", "after-commit")
NAMES = (
    *("create.start", "create.before-transaction", "create.opened", "create.entry", "create.file"),
    *("create.block", "create.checkpointed", "delete.start", "delete.before-transaction", "delete.middle"),
    *("fsck.middle", "list.record", "read.entry"),
    *(f"{kind}.{end}" for kind in ("create", "delete", "fsck") for end in _ENDS),
)


class Points:
    """The points of one process. `folder` is SERVER/points; `handled` says that a pause must end early."""

    def __init__(self, folder: str, switches: Switches) -> None:
        self.folder = folder
        self.wanted: dict[str, dict[str, Any]] = switches["points"]
        unknown = sorted(set(self.wanted) - set(NAMES))
        if unknown:
            raise SystemExit(f"tarsnap double: no such point: {', '.join(unknown)}")
        self.reached: dict[str, int] = {}
        self.handled = False

    def reach(self, name: str, archive: str | None = None, path: str | None = None) -> None:
        """Do what the test wants at this point. Raises `FailedError` when the network is to be lost here."""
        wanted = self.wanted.get(name)
        if wanted is None or wanted.get("archive", archive) != archive or wanted.get("path", path) != path:
            return
        self.reached[name] = self.reached.get(name, 0) + 1
        if self.reached[name] < wanted.get("at", 1) or not self._take_a_turn(name, wanted.get("times", 1)):
            return
        self._act(name, wanted["action"], wanted)

    def _take_a_turn(self, name: str, times: int) -> bool:
        """Count this one, over all processes; false when the point has acted `times` times already."""
        os.makedirs(self.folder, exist_ok=True)
        turn = 1
        while times == 0 or turn <= times:
            try:
                os.close(os.open(f"{self.folder}/acted-{name}.{turn}", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            except FileExistsError:
                turn += 1
            else:
                return True
        return False

    def _act(self, name: str, action: str, wanted: dict[str, Any]) -> None:
        if action == "pause":
            self._pause(name)
            if "then" in wanted:
                self._act(name, wanted["then"], wanted)
        elif action == "run":
            os.system(wanted["command"])
        elif action == "say":
            warn(wanted["text"])
        elif action == "network" and name.endswith(".after-commit"):
            return  # nothing is sent any more
        elif action in ("network", "fail"):
            warn(wanted.get("text", "Too many network failures"))
            raise FailedError
        else:
            os.kill(os.getpid(), signal.Signals[action])

    def _pause(self, name: str) -> None:
        with open(f"{self.folder}/at-{name}.new", "w") as file:
            file.write(str(os.getpid()))
        os.rename(f"{self.folder}/at-{name}.new", f"{self.folder}/at-{name}")
        limit = time.monotonic() + _PATIENCE_S
        while not self.handled and not os.path.exists(f"{self.folder}/go-{name}"):
            if time.monotonic() > limit:
                raise SystemExit(f"tarsnap double: nobody let it go on from {name}")
            time.sleep(0.002)
