"""The config file: TOML text to frozen objects, every error at once.

`parse` is pure: text in, `Config` out, or `ConfigError` whose problems name line, key, what was found and
what would be right. What is wrong on the machine is not looked at here.
"""

from __future__ import annotations

import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, ValidationError

from snapd import deltas, keep
from snapd.config_errors import Fault, faults_of, refusal, refused, show, syntax_refusal
from snapd.config_rules import completed, faults
from snapd.config_stores import (
    BorgStore,
    RateLimit,
    Secret,
    Section,
    Store,
    TarsnapOptions,
    TarsnapStore,
)
from snapd.config_types import (
    AbsolutePath,
    ArchiveText,
    Argv,
    Array,
    Count,
    DeltaSpans,
    DumpName,
    Duration,
    Exclude,
    MemberPath,
    Number,
    Plain,
    Query,
    ScheduleText,
    Share,
    Size,
    Text,
    Timezone,
    is_timezone,
    within,
)
from snapd.errors import ConfigError
from snapd.model import Kind, job_id
from snapd.retention import Policy
from snapd.toml_lines import MOST_PARTS, endless_key

__all__ = [
    "DEFAULT_FILE",
    "LARGEST_FILE",
    "BackupSet",
    "BorgStore",
    "Check",
    "CommandCheck",
    "Config",
    "Daemon",
    "DumpConfig",
    "Expire",
    "Folders",
    "Keep",
    "PathCheck",
    "QueryCheck",
    "RateLimit",
    "RestoreTest",
    "Secret",
    "Section",
    "SqliteDump",
    "Store",
    "TarsnapOptions",
    "TarsnapStore",
    "load",
    "parse",
]

LARGEST_FILE = 2**20  # bytes
DEFAULT_FILE = Path("/etc/snapd-backup/config.toml")


@dataclass(frozen=True, slots=True)
class Folders:
    """Where the daemon may write: the folders that systemd makes, or their defaults."""

    state: Path = Path("/var/lib/snapd-backup")
    cache: Path = Path("/var/cache/snapd-backup")
    runtime: Path = Path("/run/snapd-backup")

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Folders:
        """Take STATE_DIRECTORY, CACHE_DIRECTORY and RUNTIME_DIRECTORY (systemd.exec(5)) where they are set.

        Each may hold several folders, with colons between them: the first is ours.
        """
        given = {
            name: Path(environ[variable].partition(":")[0])
            for name, variable in (
                ("state", "STATE_DIRECTORY"),
                ("cache", "CACHE_DIRECTORY"),
                ("runtime", "RUNTIME_DIRECTORY"),
            )
            if environ.get(variable)
        }
        return cls(**given)


class Daemon(Section):
    timezone: Timezone  # an IANA name; the system's when the file names none
    stall_after: Annotated[Duration, within("1s", "7d")] = timedelta(minutes=30)
    run_limit: Annotated[Duration, within("1s", "30d")] = timedelta(hours=24)
    stop_limit: Annotated[Duration, within("1s", "1h")] = timedelta(seconds=90)
    max_hold: Annotated[Duration, within("1s", "30d")] = timedelta(hours=1)


class SqliteDump(Section):
    engine: Literal["sqlite"]
    path: AbsolutePath = Field(examples=['"/srv/shop/shop.sqlite"'])
    name: DumpName  # default: the stem of `path`; unique in its set
    shrink_limit: Share = 0.5


DumpConfig = SqliteDump


class PathCheck(Section):
    path: MemberPath  # no leading slash
    min_files: Annotated[int, Field(ge=0, le=10**9)] | None = None  # 0: a folder may be empty
    min_bytes: Size | None = None
    newest_within: Duration | None = None


class QueryCheck(Section):
    """`newer_than`, `at_least` or `equals`: exactly one."""

    query: Query
    dump: DumpName  # default: the set's only dump
    newer_than: Duration | None = None
    at_least: Number | None = None
    equals: Plain | None = None


class CommandCheck(Section):
    command: Argv
    time_limit: Duration = timedelta(minutes=10)


def _check_kind(value: Any) -> str | None:
    """Tell which check a table is, by the one key that only such a check has."""
    if isinstance(value, Section):
        return type(value).__name__
    kinds = {"path": "PathCheck", "query": "QueryCheck", "command": "CommandCheck"}
    found = [kind for key, kind in kinds.items() if isinstance(value, dict) and key in value]
    return found[0] if len(found) == 1 else None


Check = Annotated[
    Annotated[PathCheck, Tag("PathCheck")]
    | Annotated[QueryCheck, Tag("QueryCheck")]
    | Annotated[CommandCheck, Tag("CommandCheck")],
    Discriminator(_check_kind, custom_error_type="check_kind", custom_error_message="no check"),
]


class Keep(Section):
    """Rules as restic means them, at least one; see `snapd.keep.Keep`."""

    last: Count | None = None
    hourly: Count | None = None
    daily: Count | None = None
    weekly: Count | None = None
    monthly: Count | None = None
    yearly: Count | None = None
    within: Duration | None = None


class Expire(Section):
    """`deltas` or `keep`: exactly one."""

    schedule: ScheduleText = Field(examples=['"50 3 * * *"'])
    deltas: DeltaSpans | None = None
    keep: Keep | None = None
    min_keep: Count = 3
    partial_after: Duration = timedelta(days=7)
    max_share: Share = 0.5

    def policy(self, timezone: str) -> Policy:
        """What to keep; `timezone` is the IANA zone that calendar periods mean."""
        if self.keep is not None:
            return keep.Keep(timezone=timezone, **self.keep.model_dump(exclude_none=True))
        return deltas.Deltas(self.deltas or ())


class RestoreTest(Section):
    schedule: ScheduleText = Field(examples=['"0 6 * * sun"'])
    pick: Literal["newest", "rotate"] = "newest"
    proven_within: Duration = timedelta(days=90)
    max_download: Size | None = None  # bytes
    check: Annotated[tuple[Check, ...], Array] = ()


class BackupSet(Section):
    name: str  # the key of its table
    store: Text = Field(examples=['"local"'])
    schedule: ScheduleText | None = None
    archive: ArchiveText  # default: NAME_%Y%m%d-%H%M%S
    adopt: Annotated[tuple[ArchiveText, ...], Array] = ()
    paths: Annotated[tuple[AbsolutePath, ...], Array] = ()
    exclude: Annotated[tuple[Exclude, ...], Array] = ()
    one_file_system: bool = False
    dump: Annotated[tuple[DumpConfig, ...], Array] = ()
    expire: Expire | None = None
    restore_test: RestoreTest | None = None

    def owns(self, archive: str) -> bool:
        """Whether an archive of the set's store is this set's: the one door for that question.

        It is by its name alone, incomplete ones included; whatever is not recognised is a stranger's.
        """
        return any(pattern.parse(archive) is not None for pattern in (self.archive, *self.adopt))

    def schedule_of(self, kind: Kind) -> str | None:
        """The schedule of one of its jobs, None when it has none (such a job runs when asked only)."""
        match kind:
            case Kind.BACKUP:
                return self.schedule
            case Kind.RESTORE_TEST:
                return self.restore_test.schedule if self.restore_test else None
            case Kind.EXPIRE:
                return self.expire.schedule if self.expire else None

    def has(self, kind: Kind) -> bool:
        """Whether the set has a job of this kind, scheduled or not."""
        sections = {Kind.RESTORE_TEST: self.restore_test, Kind.EXPIRE: self.expire}
        return kind is Kind.BACKUP or sections[kind] is not None


class Config(Section):
    daemon: Daemon
    store: Mapping[str, Store]
    backup: Mapping[str, BackupSet]

    def jobs(self) -> tuple[str, ...]:
        """Id of every job, scheduled or not."""
        return tuple(
            job_id(kind, name)
            for name, backup_set in self.backup.items()
            for kind in Kind
            if backup_set.has(kind)
        )

    def schedules(self) -> dict[str, str]:
        """Job id -> schedule expression, for every scheduled job of every set."""
        return {
            job_id(kind, name): expression
            for name, backup_set in self.backup.items()
            for kind in Kind
            if (expression := backup_set.schedule_of(kind)) is not None
        }


def load(path: Path, system_timezone: str) -> tuple[Config, str]:
    """Read and parse a config file; return the config and the text it was made of.

    Raises `ConfigError`, also for a file that is missing, unreadable, too big, or not UTF-8.
    """
    content = _content(path)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        sentence = f"not UTF-8: found the byte 0x{content[error.start]:02x}; save the file as UTF-8"
        raise refused([f"{path}:{line}: {sentence}"], file=str(path)) from None
    return parse(text, file=str(path), system_timezone=system_timezone), text


def parse(text: str, *, file: str, system_timezone: str) -> Config:
    """Turn TOML text into a config. `file` only names the text in messages.

    Raises `ConfigError` with every problem found.
    """
    document = _document(text, file)
    timezone, found = _timezone(document, system_timezone)
    found += faults(document)
    config = _validated(completed(document, timezone), timezone, found)
    if found or config is None:
        raise refusal(found, text=text, file=file)
    return config


def _content(path: Path) -> bytes:
    """Read a file that is small and regular; a pipe or a device could keep us waiting."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise ConfigError(
                f"{path} is a folder", hint=f"Name the file, such as {path / DEFAULT_FILE.name}."
            )
        if not stat.S_ISREG(mode):
            raise ConfigError(f"{path} is no regular file", hint="Name a file.")
        with path.open("rb") as opened:
            return opened.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        raise ConfigError(
            f"there is no config file {path}", hint="Write one after config.example.toml, or name another."
        ) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no file has such a name"
        raise ConfigError(
            f"the config file {path} cannot be read: {reason}",
            hint="Let user and group snapd-backup read it.",
        ) from error


def _document(text: str, file: str) -> dict[str, Any]:
    if len(text) > LARGEST_FILE:
        raise refused([f"{file}:1: the file is larger than 1 MiB, which no config is"], file=file)
    if text.startswith("\ufeff"):
        sentence = "the file starts with a byte order mark; save it as UTF-8 without one"
        raise refused([f"{file}:1: {sentence}"], file=file)
    if (line := endless_key(text)) is not None:
        sentence = f"this key has more than {MOST_PARTS} parts, and no key of a config has"
        raise refused([f"{file}:{line}: {sentence}"], file=file)
    try:
        return tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError, and numbers with too many digits
        raise syntax_refusal(error, text=text, file=file) from None
    except RecursionError:
        raise refused([f"{file}:1: arrays or tables are nested too deep"], file=file) from None


def _timezone(document: dict[str, Any], system_timezone: str) -> tuple[str, list[Fault]]:
    """Return the zone that schedules mean, a sound one whatever the file says."""
    daemon = document.get("daemon")
    given = daemon.get("timezone") if isinstance(daemon, dict) else None
    if isinstance(given, str) and is_timezone(given):
        return given, []
    if is_timezone(system_timezone):
        return system_timezone, []
    cure = 'name one here, such as "Europe/London"'
    sentence = f"the system's time zone {show(system_timezone)} is not known; {cure}"
    return "UTC", [] if given is not None else [Fault(("daemon", "timezone"), sentence)]


def _validated(document: dict[str, Any], timezone: str, found: list[Fault]) -> Config | None:
    """Return the config, or add what is wrong to `found`."""
    try:
        return Config.model_validate(document, context={"timezone": timezone})
    except ValidationError as error:
        found += faults_of(error, Config)
        return None
