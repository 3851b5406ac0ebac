"""SQLite databases, through SQLite's online backup interface, consistent under writers.

SQLite itself runs in a child without our capability (sqlite_child.py): a damaged or hostile database harms
nobody, and the time limits of processes hold for it.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from snapd.config import SqliteDump
from snapd.errors import RestoreTestError, SourceError, StagingFullError
from snapd.model import Problem
from snapd.mounts import private_folders, read_mounts
from snapd.proc import Command, Launcher, Limits, raise_if_cut
from snapd.sources.base import Dump, Prepared, Scalar, Tools

QUERY_LIMIT_S = 300.0
CHECK_STALL_S = 1800.0

_CHILD = Path(__file__).with_name("sqlite_child.py")
_SHARE = (
    "add the service user to the group of the database, give that group write access to the file, its folder "
    "(chmod g+w, chmod g+s) and -wal and -shm; or let the application write a dump into a file and save that"
)


class SqliteSource:
    """One SQLite database."""

    def __init__(self, config: SqliteDump, tools: Tools) -> None:
        self._config = config
        self._tools = tools

    @property
    def name(self) -> str:
        return self._config.name

    def staged(self) -> Path:
        return self._tools.staging / f"{self.name}.sqlite"

    def doctor(self) -> tuple[Problem, ...]:
        path = self._config.path
        hidden = any(path.is_relative_to(folder) for folder in private_folders(read_mounts()))
        problem = _FAILURES["private"] if hidden else _problem(path)
        return (Problem(f"the SQLite database {path} {problem[0]}", hint=problem[1]),) if problem else ()

    @contextlib.contextmanager
    def open(self) -> Iterator[Prepared]:
        copy = self.staged()
        try:
            self._dump(copy)
            yield Prepared(paths=(copy,), dumps=(Dump(self.name, copy, copy.stat().st_size),))
        finally:
            copy.unlink(missing_ok=True)

    def _dump(self, copy: Path) -> None:
        limits = Limits(wall=None, stall=self._tools.stall_s)
        answer = _ask(self._tools.launcher, "dump", self._config.path, copy, limits=limits)
        if "error" in answer:
            raise _failure(self._config.path, answer["error"], answer["message"])
        if answer["bytes"] != copy.stat().st_size:
            raise SourceError(f"the dump of {self._config.path} changed after it was written")

    @contextlib.contextmanager
    def load(self, dump: Path, scratch: Path) -> Iterator[Restored]:
        """Nothing is copied: a dump is one file, and it is opened for reading only."""
        if not dump.is_file() or dump.is_symlink():
            raise RestoreTestError(f"the dump {self.name} is not in what was extracted")
        restored = Restored(self.name, dump, scratch, self._tools.launcher)
        restored.check()
        yield restored


class Restored:
    """An extracted dump, queried in place. `scratch` takes SQLite's temporary files."""

    def __init__(self, name: str, dump: Path, scratch: Path, launcher: Launcher) -> None:
        self._name = name
        self._dump = dump
        self._scratch = scratch
        self._launcher = launcher

    def check(self) -> None:
        """Raises `RestoreTestError` for a database that is damaged or holds no table."""
        answer = self._asked("check", limits=Limits(wall=None, stall=CHECK_STALL_S))
        if "error" in answer:
            what = {"empty": "holds no table", "no-database": "is no SQLite database"}
            said = what.get(answer["error"], f"is damaged: {answer['message']}")
            raise RestoreTestError(f"the dump {self._name} {said}")

    def scalar(self, query: str) -> Scalar:
        limits = Limits(wall=QUERY_LIMIT_S, grace=5.0)
        answer = self._asked("query", limits=limits, sql=query)
        if "error" in answer:
            raise RestoreTestError(f"the query fails on the dump {self._name}: {answer['message']}")
        value: Scalar = answer["value"]
        return value

    def _asked(self, verb: str, *, limits: Limits, sql: str = "") -> dict[str, Any]:
        return _ask(self._launcher, verb, self._dump, limits=limits, sql=sql, temporary=self._scratch)


def _ask(
    launcher: Launcher, verb: str, *paths: Path, limits: Limits, sql: str = "", temporary: Path | None = None
) -> dict[str, Any]:
    """Run the child and return its last line; without one it failed, whatever its exit status."""
    command = Command(
        argv=(sys.executable, "-I", str(_CHILD), verb, *map(str, paths)),
        env=_environment(temporary if temporary is not None else paths[-1].parent),
        input=sql.encode() if sql else None,
        limits=limits,
    )
    try:
        finished = launcher.run(command)
    except (FileNotFoundError, PermissionError) as error:
        raise SourceError(f"SQLite cannot be started: {error}", hint="reinstall snapd-backup") from error
    raise_if_cut(finished, "SQLite", launcher.interrupt)
    lines = finished.stdout.splitlines()
    try:
        answer: dict[str, Any] = json.loads(lines[-1])
    except (IndexError, ValueError):
        answer = {"error": "failed", "message": _last_line(finished.stderr)}
    if finished.returncode != 0 and "error" not in answer:
        answer = {"error": "failed", "message": f"ended with status {finished.returncode}"}
    return answer


def _environment(temporary: Path) -> Mapping[str, str]:
    return {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "TZ": "UTC", "SQLITE_TMPDIR": str(temporary)}


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it ended without an answer"])[-1]


_FAILURES = {
    "missing": ("does not exist", "correct the path of the dump; no file was created in its place"),
    "private": (
        "is in a folder of temporary files that the service has for itself (PrivateTmp= of its unit)",
        "move the database elsewhere",
    ),
    "no-file": ("is no regular file", "name the database file itself"),
    "empty": (
        "is empty: it holds no table",
        "name the database that the application really uses; an empty one is never archived",
    ),
    "no-database": (
        "is no SQLite database, or is encrypted",
        "save an encrypted database as a file, or let its application dump it",
    ),
    "malformed": (
        "is damaged",
        "run PRAGMA integrity_check on it, and restore it from an archive before the damage",
    ),
    "unreadable": (
        "cannot be read without privileges, which a dump never has",
        "let the service user's group read the file and its folders (and write the folder, in WAL mode)",
    ),
    "cannot-open": (
        "cannot be opened: SQLite needs to make or write its -wal and -shm files, and may not",
        _SHARE,
    ),
    "read-only": (
        "is in WAL mode, and its -wal and -shm files cannot be made: the folder is read-only to the service",
        f"name the folder in a drop-in of the unit (ReadWritePaths=) and restart the service; {_SHARE}",
    ),
    "lock-out": (
        "is in WAL mode and closed: reading it would leave -wal and -shm files that its owner cannot write",
        _SHARE,
    ),
    "crashed": (
        "was left by a crash in the middle of a write",
        "let the application open it once, which rolls the unfinished write back",
    ),
    "locked": (
        "was locked by a writer all the time",
        "end the long transaction, or let the application use WAL mode, in which writers lock nobody out",
    ),
}


def _failure(path: Path, word: str, message: str) -> SourceError:
    if word == "space":
        return StagingFullError(
            f"no room for the dump of {path} in the staging folder",
            hint="make room on the disk of the state folder: a dump needs as much as the database",
        )
    what, hint = _FAILURES.get(_as_mounted(path, word), ("cannot be dumped", "see what SQLite said"))
    said = message if word not in ("missing", "no-file", "empty") else ""
    error = SourceError(f"the SQLite database {path} {what}" + (f" ({said})" if said else ""), hint=hint)
    error.retryable = word == "locked"
    return error


def _problem(path: Path) -> tuple[str, str] | None:
    """Judge without SQLite: what is there, and whether an unprivileged child may read it.

    access(2) answers for the real user without capabilities, which is how the child runs.
    """
    try:
        if not path.is_file():
            return _FAILURES["no-file"] if path.exists() else _FAILURES["missing"]
        if not os.access(path, os.R_OK):
            return _FAILURES["unreadable"]
        with path.open("rb") as file:
            header = file.read(20)
    except OSError:
        return _FAILURES["unreadable"]
    if not header:
        return _FAILURES["empty"]
    if not header.startswith(b"SQLite format 3\0"):
        return _FAILURES["no-database"]
    in_wal = header[19] == 2
    apart = not Path(f"{path}-wal").exists() and not os.access(path.parent, os.W_OK)
    return _FAILURES[_as_mounted(path, "cannot-open")] if in_wal and apart else None


def _as_mounted(path: Path, word: str) -> str:
    """Say `read-only` where no permission helps: the unit's ProtectSystem= makes most file systems so."""
    if word in ("cannot-open", "lock-out"):
        with contextlib.suppress(OSError):
            if os.statvfs(path.parent).f_flag & os.ST_RDONLY:
                return "read-only"
    return word
