"""Carry the checks of a restore test out, on what was restored; `snapd.checks` judges what is seen."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import assert_never

from snapd.checks import Judged, Tree, judge_command, judge_path, judge_query
from snapd.config import Check, CommandCheck, PathCheck, QueryCheck
from snapd.errors import RestoreTestError, TimeLimitError
from snapd.jobs.extraction import member_path
from snapd.model import Finding
from snapd.proc import Command, Finished, Launcher, Limits, raise_if_cut
from snapd.sources.base import Queryable

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_GRACE_S = 10.0


@dataclass(frozen=True, slots=True)
class Restored:
    """What a test has to look at: the folder that files were extracted into, the dumps that loaded by name,
    a folder for temporary files, and when the archive was created.
    """

    folder: Path
    databases: Mapping[str, Queryable]
    temporary: Path
    created: datetime


def carry_out(check: Check, restored: Restored, launcher: Launcher) -> Judged:
    """Carry one check out. Raises `InterruptedRunError`; whatever else goes wrong is a finding."""
    match check:
        case PathCheck():
            return judge_path(
                check.path,
                see(restored.folder, member_path(check.path)),
                min_files=check.min_files,
                min_bytes=check.min_bytes,
                newest_within=check.newest_within,
                created=restored.created,
            )
        case QueryCheck():
            return _query(check, restored)
        case CommandCheck():
            return _command(check, restored, launcher)
        case _ as unknown:
            assert_never(unknown)


def see(folder: Path, path: str) -> Tree | None:
    """Count the files of a restored path; None when it is not there. Links are neither followed nor counted:
    they may lead to the live files, which prove nothing.
    """
    root = folder / path
    if not Path(os.path.realpath(root.parent)).is_relative_to(os.path.realpath(folder)):
        return None
    try:
        found = [root.lstat()]
    except OSError:
        return None
    for parent, _, names in os.walk(root):
        found += [os.lstat(os.path.join(parent, name)) for name in names]  # noqa: PTH118 - may be very many
    files = [status for status in found if stat.S_ISREG(status.st_mode)]
    newest = max((status.st_mtime for status in files), default=None)
    return Tree(
        files=len(files),
        bytes=sum(status.st_size for status in files),
        newest=None if newest is None else datetime.fromtimestamp(newest, UTC),
    )


def _query(check: QueryCheck, restored: Restored) -> Judged:
    def told(text: str, passed: bool | None) -> Judged:
        return Judged(Finding(f"query {check.query}", "an answer", text, passed))

    database = restored.databases.get(check.dump)
    if database is None:
        return told(f"the dump {check.dump} did not load", None)
    try:
        value = database.scalar(check.query)
    except RestoreTestError as error:
        return told(error.message, False)
    except TimeLimitError as error:
        return told(error.message, None)
    return judge_query(
        check.query,
        value,
        newer_than=check.newer_than,
        at_least=check.at_least,
        equals=check.equals,
        created=restored.created,
    )


def _command(check: CommandCheck, restored: Restored, launcher: Launcher) -> Judged:
    limits = Limits(wall=check.time_limit.total_seconds(), grace=_GRACE_S)
    env = {
        "PATH": _PATH,
        "LC_ALL": "C.UTF-8",
        "HOME": str(restored.temporary),
        "TMPDIR": str(restored.temporary),
        "RESTORED": str(restored.folder),
    }
    try:
        finished = launcher.run(Command(check.command, env, cwd=restored.folder, limits=limits))
    except OSError as error:  # the program is missing here: nothing is said of the archive
        return Judged(Finding(f"command {check.command[0]}", "a program to run", str(error), None))
    return judge_command(
        check.command, _exit_status(finished, launcher), finished.stderr, time_limit=check.time_limit
    )


def _exit_status(finished: Finished, launcher: Launcher) -> int | None:
    if finished.ended == "interrupted":
        raise_if_cut(finished, "a check", launcher.interrupt)
    return None if finished.ended else finished.returncode
