"""`restore`: bring an archive, or parts of it, back into a folder, in the caller's own process."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import click

from snapd import engines, machine
from snapd.cli import client, credentials, words
from snapd.cli.arguments import json_option, pass_invocation, set_argument
from snapd.cli.choice import Choice, Wanted, choose, instant_of
from snapd.cli.follow import Watcher, watcher
from snapd.cli.holding import locked, pinned
from snapd.cli.invocation import Invocation
from snapd.cli.output import aside, escaped, print_json
from snapd.cli.stand_in import log_quietly
from snapd.cli.table import print_sentence
from snapd.cli.telling import told
from snapd.config import BackupSet, Config, Folders
from snapd.engines.base import Engine, Tools
from snapd.errors import NoDaemonError, SnapdError, UsageError
from snapd.jobs.extraction import member_path
from snapd.model import Archive, Progress
from snapd.proc import Launcher
from snapd.runner import wall_clock
from snapd.state_folder import read
from snapd.views import progress_json


@dataclass(frozen=True, slots=True)
class Task:
    """One restore: what is wanted, where it goes, and what it works with."""

    invocation: Invocation
    config: Config
    backup_set: BackupSet
    wanted: Wanted
    into: Path
    only: tuple[str, ...]
    now: datetime


@click.command("restore")
@set_argument()
@click.argument("paths", metavar="[PATH]...", nargs=-1)
@click.option("--archive", metavar="NAME", help="This archive.  [default: the newest complete one]")
@click.option("--at", metavar="TIME", help="The newest archive made by then, such as 2026-11-20T12:00.")
@click.option("--to", "into", metavar="DIR", required=True, type=click.Path(path_type=Path), help="Where to.")
@click.option("--overwrite", is_flag=True, help="Restore into a folder that is not empty.")
@json_option
@pass_invocation
def restore_command(  # noqa: PLR0917 - click calls it by keyword
    invocation: Invocation,
    backup_set: str,
    paths: tuple[str, ...],
    archive: str | None,
    at: str | None,
    into: Path,
    overwrite: bool,
    as_json: bool,
) -> int:
    """Restore an archive of SET, or the PATHs of it, below the folder DIR.

    Works with and without the daemon. Owners and modes come back as far as you may set them: use sudo.
    """
    if archive and at:
        raise UsageError("--archive and --at exclude each other")
    config = read(invocation.file).config
    target, new = _target(into, overwrite=overwrite)
    task = Task(
        invocation=invocation,
        config=config,
        backup_set=_set(config, backup_set),
        wanted=Wanted(archive, instant_of(at) if at else None),
        into=target,
        only=members(paths),
        now=wall_clock(),
    )
    log_quietly(debug=invocation.debug)
    try:
        chosen = _restore(task)
    finally:
        if new:
            with suppress(OSError):  # something came into it
                target.rmdir()
    if as_json:
        print_json({"restored": _facts(task, chosen.archive)})
    else:
        _print(task, chosen.archive)
    return 0


def _set(config: Config, name: str) -> BackupSet:
    if name not in config.backup:
        raise UsageError(f"there is no backup set {name!r}", hint=f"there is: {', '.join(config.backup)}")
    return config.backup[name]


def members(paths: Sequence[str]) -> tuple[str, ...]:
    """Return paths as an archive knows them; none for all of it."""
    found = tuple(member_path(os.path.normpath(path)) for path in paths)
    return () if any(path in ("", ".") for path in found) else found


def _target(folder: Path, *, overwrite: bool) -> tuple[Path, bool]:
    """Return the absolute target, and whether it is new. Raises UsageError for one that is not empty."""
    try:
        new = not folder.exists()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        full = any(folder.iterdir())
    except OSError as error:
        raise UsageError(f"cannot restore into {folder}: {error.strerror}") from error
    if full and not overwrite:
        raise UsageError(
            f"the folder {folder} is not empty",
            hint="choose another one, or let files in it be replaced with --overwrite",
        )
    return folder.absolute(), new


# -- doing it -------------------------------------------------------------------------------------------


def _restore(task: Task) -> Choice:
    folders = Folders.from_environment(task.invocation.environ)
    if os.geteuid() == 0:
        credentials.provide_here(folders.runtime, task.invocation.environ)
    launcher = Launcher()
    with ExitStack() as stack:
        cache = stack.enter_context(_cache(task.invocation.environ))
        shown = stack.enter_context(watcher(as_json=False))
        engine = _engine(task, launcher, cache, shown)
        try:
            chosen = _choose_with_daemon(task)
            stack.enter_context(pinned(task.invocation.runtime, task.backup_set.name, chosen.archive.name))
        except NoDaemonError:
            lock = locked(folders.state, task.backup_set.name, task.now, aside)
            launcher.lock_fd = stack.enter_context(lock)
            chosen = _choose_from_store(task, engine)
        _say_what(chosen)
        facts = {"set": task.backup_set.name, "archive": chosen.archive.name, "to": str(task.into)}
        with told(task.invocation.runtime, facts, task.only):
            _extract(task, engine, chosen)
    return chosen


def _engine(task: Task, launcher: Launcher, cache: Path, shown: Watcher) -> Engine:
    def tell(progress: Progress) -> None:
        shown.tell({"event": "progress", **progress_json(progress)})

    store = task.backup_set.store
    tools = Tools(
        launcher=launcher, cache=cache / store, limits=machine.limits_of(task.config), progress=tell
    )
    return engines.build(store, task.config.store[store], tools)


def _choose_with_daemon(task: Task) -> Choice:
    """Choose from what the daemon knows; where that does not fit, it lists the store first."""
    request = {"op": "archives", "set": task.backup_set.name, "refresh": False}
    known = client.answer(task.invocation, request)["archives"]
    try:
        return _choose(task, known)
    except UsageError:
        aside("not among the archives last listed: the daemon lists the store again")
        request["refresh"] = True
        return _choose(task, client.answer(task.invocation, request)["archives"])


def _choose(task: Task, known: Sequence[Mapping[str, object]]) -> Choice:
    archives = [
        Archive(
            name=str(item["name"]),
            created=words.instant(str(item["created"])),
            complete=bool(item["complete"]),
            suspect=bool(item["suspect"]),
        )
        for item in known
    ]
    return choose(archives, task.wanted, task.backup_set.name)


def _choose_from_store(task: Task, engine: Engine) -> Choice:
    mine = [item for item in engine.archives() if task.backup_set.owns(item.name)]
    return choose(mine, task.wanted, task.backup_set.name)


def _say_what(chosen: Choice) -> None:
    aside(f"restoring {escaped(chosen.archive.name)}")
    if chosen.note:
        aside(escaped(chosen.note))


def _extract(task: Task, engine: Engine, chosen: Choice) -> None:
    try:
        engine.extract(chosen.archive.name, task.into, task.only)
    except (KeyboardInterrupt, SnapdError):
        if any(task.into.iterdir()):
            aside(f"what was restored so far is in {escaped(task.into)}")
        raise


@contextmanager
def _cache(environ: Mapping[str, str]) -> Iterator[Path]:
    """Yield the caller's own cache folder, or one for this time only where he has none to write to."""
    base = environ.get("XDG_CACHE_HOME") or environ.get("HOME", "") + "/.cache"
    folder = Path(base) / "snapd-backup" / "stores"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except OSError:
        writable = False
    if writable:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="snapd-backup-") as name:
        yield Path(name)


# -- what was done --------------------------------------------------------------------------------------


def _facts(task: Task, archive: Archive) -> dict[str, object]:
    return {
        "backup_set": task.backup_set.name,
        "archive": archive.name,
        "created": archive.created.isoformat(),
        "paths": list(task.only),
        "to": str(task.into),
    }


def _print(task: Task, archive: Archive) -> None:
    what = ", ".join(task.only) if task.only else "everything"
    created = archive.created.isoformat()
    age = f"{words.ago(created, task.now)}, {words.local(created)}"
    print_sentence(escaped(f"restored {what} from archive {archive.name} (made {age}) into {task.into}"))
