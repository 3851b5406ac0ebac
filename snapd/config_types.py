"""The types of config values: how each is written, and what it becomes.

Every validator takes what TOML holds or the finished value. Its ValueError says in one sentence what would be
right, and never what was found: `config_errors` adds that, unless it is a secret. The words of `units`,
`cron` and `model` do name the value, so they are never used for a secret.
"""

from __future__ import annotations

import math
import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BeforeValidator, Field, Strict, ValidationInfo
from pydantic_core import PydanticCustomError

from snapd.config_errors import suggestion
from snapd.cron import Schedule
from snapd.deltas import as_written
from snapd.model import ArchivePattern
from snapd.units import format_duration, parse_duration, parse_size, parse_span

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_LINES = "\n\t"  # control characters that a query or a script may hold
_LONGEST_PATH = 4095  # bytes, PATH_MAX
_LONGEST_NAME = 128  # bytes of a dump's name, which becomes a file name
_LARGEST = 2**63 - 1
_ADDRESS = re.compile(r"ssh://[^/\s]+/.+|[^\s:/-][^\s:/]*:.+")
_COMPRESSION = re.compile(
    r"(obfuscate,\d+,)?(none|(auto,)?(lz4|zstd(,([1-9]|1\d|2[0-2]))?|zlib(,\d)?|lzma(,\d)?))", re.ASCII
)
_OPTION = re.compile(r"--[a-z][a-z-]+")
_SET_BY_US = (
    # modes
    *("create", "delete", "extract", "fsck", "fsck-prune", "help", "initialize-cachedir", "list"),
    *("list-archives", "nuke", "print-stats", "no-print-stats", "recover", "verify-config", "version"),
    # set from the config, or by the adapter
    *("archive-names", "cachedir", "checkpoint-bytes", "configfile", "creationtime", "exclude", "file"),
    *("exclude-from", "fast-read", "hashes", "humanize-numbers", "no-humanize-numbers", "include"),
    *("iso-dates", "no-iso-dates", "keep-going", "keyfile", "maxbw-rate", "maxbw-rate-down"),
    *("maxbw-rate-up", "no-maxbw-rate-down", "no-maxbw-rate-up", "no-default-config", "null"),
    *("null-input", "null-output", "numeric-owner", "one-file-system", "passphrase", "passphrase-stdin"),
    *("progress-bytes", "no-progress-bytes", "verbose"),
    # what makes less, or something else, of an archive or of its messages; what asks, or writes elsewhere
    *("absolute-paths", "cd", "chroot", "confirmation", "csv-file", "directory", "dry-run"),
    *("dry-run-metadata", "dump-config", "files-from", "insecure", "interactive", "keep-newer-files"),
    *("keep-old-files", "maxbw", "no-maxbw", "newer", "newer-ctime", "newer-ctime-than", "newer-mtime"),
    *("newer-mtime-than", "newer-than", "norecurse", "no-recursion", "quiet", "no-quiet"),
    *("resume-extract", "strip-components", "to-stdout", "totals", "no-totals"),
)
"""Long options of tarsnap(1) that the config may not give; a beginning of one means it as well."""


def _one_line(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("must not hold control characters, line ends or tabs")
    return text


def _text(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    return _one_line(text)


def _script(text: str) -> str:
    if _CONTROL.search(text.translate(dict.fromkeys(map(ord, _LINES)))):
        raise ValueError("must not hold control characters, apart from line ends and tabs")
    return text


def _query(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    return _script(text)


def _argv(argv: tuple[str, ...]) -> tuple[str, ...]:
    if not argv or not argv[0].strip():
        raise PydanticCustomError("rule", "must begin with the program to run")
    return argv


def _steps(text: str) -> None:
    """Refuse what no path holds."""
    if ".." in text.split("/"):
        raise ValueError('must not hold "..": write where it leads')
    if len(text.encode()) > _LONGEST_PATH:
        raise ValueError(f"is longer than a path may be, {_LONGEST_PATH} bytes")


def _absolute(value: Any) -> Any:
    if not isinstance(value, str):
        return _only(value, Path, 'must be a path, in quotes, such as "/srv/mail"')
    text = _text(value)
    if text.startswith("~"):
        raise ValueError('must be a path from the root, such as "/root"; ~ is not expanded')
    if not text.startswith("/"):
        raise ValueError('must be a path from the root, such as "/srv/mail"')
    _steps(text)
    return Path("/" + text.lstrip("/"))


def _member(text: str) -> str:
    """Drop the leading slash: archives hold none."""
    _steps(text)
    member = "/".join(step for step in text.split("/") if step not in ("", "."))
    if not member:
        raise ValueError('must name something below the root, such as "srv/mail"')
    return member


def _exclude(pattern: str) -> str:
    _steps(pattern)
    if pattern.strip("/") in ("", "*", "**"):
        raise ValueError("must not exclude everything")
    return pattern


def _only(value: Any, kind: type, sentence: str) -> Any:
    if not isinstance(value, kind):
        raise ValueError(sentence)  # noqa: TRY004 - pydantic takes a TypeError for a fault of ours
    return value


def _duration(value: Any) -> Any:
    if not isinstance(value, str):
        return _only(
            value, timedelta, 'must be a duration, in quotes, such as "30s", "15m", "2h", "7d" or "1w"'
        )
    return parse_span(value)


def within(shortest: str, longest: str) -> AfterValidator:
    """Bound a duration, both ends included."""

    def check(duration: timedelta) -> timedelta:
        low, high = parse_duration(shortest), parse_duration(longest)
        if low <= duration <= high:
            return duration
        raise ValueError(f"must be between {format_duration(low)} and {format_duration(high)}")

    return AfterValidator(check)


def _deltas(deltas: tuple[timedelta, ...]) -> tuple[timedelta, ...]:
    try:
        return as_written(deltas).spans
    except ValueError as error:
        raise PydanticCustomError("rule", str(error)) from None


def _size(value: Any) -> Any:
    if isinstance(value, str) and len(value) <= 40:
        value = parse_size(value)
    elif not isinstance(value, int) or isinstance(value, bool):
        raise ValueError('must be a size, such as "500M" or "2G", or a number of bytes')
    if not 1 <= value <= _LARGEST:
        raise ValueError("must be at least one byte, and less than 8 EiB")
    return value


def _checkpoint_size(value: Any) -> Any:
    """Take bytes, at least as many as tarsnap(1) wants for --checkpoint-bytes."""
    size = _size(value)
    if size < 10**6:
        raise ValueError('must be at least "1M"')
    return size


def bandwidth(value: Any) -> Any:
    """Take bytes per second, within the bounds of tarsnap(1), --maxbw-rate."""
    rate = _size(value)
    if not 8000 <= rate <= 10**9:
        raise ValueError('must be between "8k" and "1G", in bytes per second')
    return rate


def _tarsnap_option(text: str) -> str:
    name = text.partition("=")[0]
    if not _OPTION.fullmatch(name):
        raise ValueError('must be one long option in one word, such as "--lowmem" or "--disk-pause=10"')
    if any(ours.startswith(name.removeprefix("--")) for ours in _SET_BY_US):
        raise ValueError("is set by this program, or would change what its archives are")
    return text


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("must be a number")
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return _one_line(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("must be a string or a number")
    return value


def _schedule(expression: str, info: ValidationInfo) -> str:
    Schedule.parse(expression, (info.context or {}).get("timezone", "UTC"))
    return expression


def _archive(value: Any) -> Any:
    if not isinstance(value, str):
        return _only(value, ArchivePattern, 'must be a pattern, in quotes, such as "mail_%Y%m%d-%H%M%S"')
    if len(value) > 150:
        raise ValueError("must have at most 150 characters")
    if value.startswith("-"):
        raise ValueError("must not begin with -, which programs take for an option")
    return ArchivePattern(value)


def is_timezone(name: str) -> bool:
    """Tell whether this machine knows an IANA time zone."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # OSError: the name of a folder, or far too long
        return False
    return True


def _timezone(name: str) -> str:
    if is_timezone(name):
        return name
    close = suggestion(name, available_timezones())
    cure = f'did you mean "{close}"?' if close else 'IANA names are meant, such as "Europe/London"'
    raise ValueError(f"{name!r} is no time zone; {cure}")


def _repository(text: str) -> str:
    if text.startswith("/"):
        _steps(text)
    elif not _ADDRESS.fullmatch(text):
        raise ValueError("must be a path from the root, or ssh://[USER@]HOST[:PORT]/PATH, or HOST:PATH")
    return text


def _compression(text: str) -> str:
    if not _COMPRESSION.fullmatch(text):
        raise ValueError('must be one of Borg\'s: "none", "lz4", "zstd,3", "zlib,6", "lzma,6", "auto,zstd"')
    return text


def _credential(text: str) -> str:
    if "/" in text or text in (".", "..") or len(text.encode()) > 255:
        raise ValueError("must be the name of a systemd credential, without a slash")
    return text


def _dump_name(text: str) -> str:
    if "/" in text or text in (".", "..") or len(text.encode()) > _LONGEST_NAME:
        raise ValueError(
            f'must be a plain name without a slash, at most {_LONGEST_NAME} bytes: add name = "…"'
        )
    return text


Array = Strict(False)  # TOML has lists where the models have tuples
Text = Annotated[str, AfterValidator(_text)]
Query = Annotated[str, AfterValidator(_query)]
Argv = Annotated[tuple[Annotated[str, AfterValidator(_script)], ...], Array, AfterValidator(_argv)]
AbsolutePath = Annotated[Path, BeforeValidator(_absolute)]
MemberPath = Annotated[Text, AfterValidator(_member)]
Exclude = Annotated[Text, AfterValidator(_exclude)]
Duration = Annotated[timedelta, BeforeValidator(_duration)]
DeltaSpans = Annotated[tuple[Duration, ...], Array, AfterValidator(_deltas)]
Size = Annotated[int, BeforeValidator(_size)]
Count = Annotated[int, Field(ge=1, le=10**9)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Number = Annotated[int | float, BeforeValidator(_number)]
Plain = Annotated[str | int | float, BeforeValidator(_plain)]
ScheduleText = Annotated[Text, AfterValidator(_schedule)]
ArchiveText = Annotated[ArchivePattern, BeforeValidator(_archive)]
Timezone = Annotated[Text, AfterValidator(_timezone)]
Repository = Annotated[Text, AfterValidator(_repository)]
Compression = Annotated[Text, AfterValidator(_compression)]
Bandwidth = Annotated[int, BeforeValidator(bandwidth)]
CheckpointSize = Annotated[int, BeforeValidator(_checkpoint_size)]
TarsnapOption = Annotated[Text, AfterValidator(_tarsnap_option)]
Credential = Annotated[Text, AfterValidator(_credential)]
DumpName = Annotated[Text, AfterValidator(_dump_name)]
