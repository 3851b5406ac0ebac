"""Without a daemon: the same operations in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from snapd.config import Folders
from snapd.errors import NoDaemonError
from snapd.followers import Event
from snapd.history import History
from snapd.operations import InUse, Operations
from snapd.overview import describe
from snapd.runner import Runner, wall_clock
from snapd.state_folder import Loaded, claim, make_folders, read
from snapd.upkeep import Upkeep


@contextmanager
def once(file: Path, folders: Folders) -> Iterator[Operations]:
    """Without a daemon: the same operations in this process, with a live runner but no scheduler.

    Raises RefusedError when a daemon runs after all, and ConfigError for a bad file: the last accepted one is
    for daemons only.
    """
    make_folders(folders)
    accepted = read(file)
    now = wall_clock()
    lock = claim(folders, now)
    history = History(folders.state, now=now)
    in_use = InUse()
    runner = Runner(lambda: accepted, history, folders, in_use=in_use.names, only_asked=True)
    situation = describe(Loaded(accepted), file, folders, accepted_at=now, started=now)
    operations = Operations(
        lambda: situation,
        history,
        runner,
        problems=Upkeep(lambda: accepted, history, folders, wall_clock, alone=runner.alone).look,
        coming=list,
        reload=_no_daemon,
        in_use=in_use,
    )
    try:
        runner.recover(now)
        runner.start()
        yield operations
    finally:
        runner.stop(accepted.config.daemon.stop_limit.total_seconds())
        history.close()
        lock.release()


def _no_daemon() -> Event:
    raise NoDaemonError("no daemon runs that could reload", hint="start it: systemctl start snapd-backup")
