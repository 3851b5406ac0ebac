"""The stores of a config: a section for each engine, and the union of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag

from snapd.config_types import (
    AbsolutePath,
    Argv,
    Array,
    Bandwidth,
    CheckpointSize,
    Compression,
    Credential,
    Repository,
    TarsnapOption,
    Text,
    bandwidth,
)


class Section(BaseModel):
    """A table of the config: frozen, and strict about keys and types.

    Rules between keys are in `config_rules`, and are checked by `parse` alone.
    """

    # Built at the first parse: most commands import the config without reading one.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)


class Secret(Section):
    """Where a secret is to be had: exactly one of a systemd credential, a file, a command's first line."""

    credential: Credential | None = None
    file: AbsolutePath | None = None
    command: Argv | None = None


class BorgStore(Section):
    engine: Literal["borg"]
    repository: Repository = Field(examples=['"/srv/backup/borg"'])
    passphrase: Secret
    compression: Compression = "auto,zstd"
    ssh_command: Text | None = None
    remote_path: Text | None = None

    @property
    def local_folder(self) -> Path | None:
        """Where the store lies on this machine, so that no archive holds it; None for another machine's."""
        return Path(self.repository) if self.repository.startswith("/") else None


class RateLimit(Section):
    """Bytes per second, as tarsnap(1) takes them for --maxbw-rate-up and --maxbw-rate-down."""

    up: Bandwidth | None = None
    down: Bandwidth | None = None


def _both_ways(value: Any) -> Any:
    """Take one rate for both directions."""
    if isinstance(value, dict | RateLimit):
        return value
    rate = bandwidth(value)
    return RateLimit(up=rate, down=rate)


Options = Annotated[tuple[TarsnapOption, ...], Array]


class TarsnapOptions(Section):
    """Options of tarsnap(1) that this program has no key for, by what is done."""

    create: Options = ()
    list: Options = ()
    members: Options = ()
    extract: Options = ()
    delete: Options = ()
    stats: Options = ()
    repair: Options = ()


class TarsnapStore(Section):
    engine: Literal["tarsnap"]
    keyfile: AbsolutePath = Field(examples=['"/etc/snapd-backup/tarsnap.key"'])
    cachedir: AbsolutePath = Field(examples=['"/var/cache/snapd-backup/tarsnap"'])
    passphrase: Secret | None = None  # of a key file that has one
    rate_limit: Annotated[RateLimit, BeforeValidator(_both_ways)] | None = None
    checkpoint_bytes: CheckpointSize = 10**9
    extra: TarsnapOptions | None = None

    @property
    def local_folder(self) -> Path:
        """What of the store lies on this machine, so that no archive holds it: the client's own record."""
        return self.cachedir


def _engine(value: Any) -> str | None:
    """Tell which store a table is."""
    if isinstance(value, Section):
        return type(value).__name__
    engine = value.get("engine") if isinstance(value, dict) else None
    return {"borg": "BorgStore", "tarsnap": "TarsnapStore"}.get(engine) if isinstance(engine, str) else None


Store = Annotated[
    Annotated[BorgStore, Tag("BorgStore")] | Annotated[TarsnapStore, Tag("TarsnapStore")],
    Discriminator(_engine, custom_error_type="engine", custom_error_message="no engine"),
]
