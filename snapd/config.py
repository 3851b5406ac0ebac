"""The config file: TOML text to frozen objects, every error at once.

`parse` is pure: text in, `Config` out, or `ConfigError` whose problems name line, key, what was found and what
would be right. What is wrong on the machine is not looked at here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from snapd.model import ArchivePattern, Kind

DEFAULT_FILE = Path("/etc/snapd-backup/config.toml")


@dataclass(frozen=True, slots=True)
class Folders:
    """Where the daemon may write: the folders that systemd makes, or their defaults."""

    state: Path = Path("/var/lib/snapd-backup")
    cache: Path = Path("/var/cache/snapd-backup")
    runtime: Path = Path("/run/snapd-backup")

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Folders:
        """Take STATE_DIRECTORY, CACHE_DIRECTORY and RUNTIME_DIRECTORY (systemd.exec(5)) where they are set."""
        raise NotImplementedError


class Section(BaseModel):
    """A table of the config: frozen, and strict about keys and types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Secret(Section):
    """Where a secret is to be had: exactly one of a systemd credential, a file, a command's first line."""

    credential: str | None = None
    file: Path | None = None
    command: tuple[str, ...] | None = None


class Daemon(Section):
    timezone: str  # an IANA name; the system's when the file names none
    stall_after: timedelta = timedelta(minutes=30)
    run_limit: timedelta = timedelta(hours=24)
    stop_limit: timedelta = timedelta(seconds=90)


class BorgStore(Section):
    engine: Literal["borg"]
    repository: str
    passphrase: Secret
    compression: str = "auto,zstd"
    ssh_command: str | None = None
    remote_path: str | None = None


Store = BorgStore  # a discriminated union over `engine` as more follow


class SqliteDump(Section):
    engine: Literal["sqlite"]
    path: Path
    name: str  # default: the stem of `path`; unique in its set
    shrink_limit: float = 0.5


DumpConfig = SqliteDump


class PathCheck(Section):
    path: str
    min_files: int | None = None
    min_bytes: int | None = None
    newest_within: timedelta | None = None


class QueryCheck(Section):
    """`newer_than`, `at_least` or `equals`: exactly one."""

    query: str
    dump: str  # default: the set's only dump
    newer_than: timedelta | None = None
    at_least: int | float | None = None
    equals: str | int | float | None = None


class CommandCheck(Section):
    command: tuple[str, ...]
    time_limit: timedelta = timedelta(minutes=10)


Check = PathCheck | QueryCheck | CommandCheck


class Expire(Section):
    schedule: str
    deltas: tuple[timedelta, ...]
    min_keep: int = 3


class RestoreTest(Section):
    schedule: str
    pick: Literal["newest", "rotate"] = "newest"
    proven_within: timedelta = timedelta(days=90)
    max_download: int | None = None  # bytes
    check: tuple[Check, ...] = ()


class BackupSet(Section):
    name: str  # the key of its table
    store: str
    schedule: str | None = None
    archive: ArchivePattern  # default: NAME_%Y%m%d-%H%M%S
    paths: tuple[Path, ...] = ()
    exclude: tuple[str, ...] = ()
    one_file_system: bool = False
    dump: tuple[DumpConfig, ...] = ()
    expire: Expire | None = None
    restore_test: RestoreTest | None = None

    def schedule_of(self, kind: Kind) -> str | None:
        """The schedule of one of its jobs, None when it has none (such a job runs when asked only)."""
        match kind:
            case Kind.BACKUP:
                return self.schedule
            case Kind.RESTORE_TEST:
                return self.restore_test.schedule if self.restore_test else None
            case Kind.EXPIRE:
                return self.expire.schedule if self.expire else None


class Config(Section):
    daemon: Daemon
    store: Mapping[str, Store]
    backup: Mapping[str, BackupSet]

    def schedules(self) -> dict[str, str]:
        """Job id -> schedule expression, for every scheduled job of every set."""
        raise NotImplementedError


def parse(text: str, *, file: str, system_timezone: str) -> Config:
    """Turn TOML text into a config. `file` only names the text in messages.

    Raises `ConfigError` with every problem found.
    """
    raise NotImplementedError
