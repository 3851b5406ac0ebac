"""Where the passphrase of a key comes from."""

from __future__ import annotations

import os
from collections.abc import Callable

from .output import FailedError, FatalError, encode, reason, warn, write


def source(wanted: str | None) -> Callable[[str], str]:
    """Give what asks for the passphrase of a key file. Raises `FatalError` for an unknown source."""
    method, _, argument = (wanted or "dev:tty-stdin").partition(":")
    if method == "env":
        return lambda _path: _from_environment(argument)
    if method == "file":
        return lambda _path: _from_file(argument)
    if method == "dev" and argument in ("tty-stdin", "stdin-once", "tty-once"):
        return lambda path: _asked(path, argument)
    raise FatalError(f"Invalid --passphrase argument: {wanted}")


def _from_environment(name: str) -> str:
    value = os.environ.get(name)
    if value is None:
        warn(f"Failed to read from ${{{name}}}")
        raise FailedError
    return value


def _from_file(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.readline().rstrip("\n")
    except OSError as error:
        warn(f"fopen({path}): {reason(error)}")
        raise FailedError from None


def _asked(path: str, device: str) -> str:
    """Ask on the terminal, else on stdin."""
    fd = 0
    if device != "stdin-once":
        try:
            fd = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
        except OSError as error:
            if device == "tty-once":
                warn(f"fopen(/dev/tty): {reason(error)}")
                raise FailedError from None
    if device != "stdin-once" or os.isatty(fd):
        write(2, encode(f"Please enter passphrase for keyfile {path}: "))
    with open(fd, "rb", closefd=fd != 0, buffering=0) as file:
        line = file.readline()
    if not line:
        warn("EOF reading password")
        warn("Error reading passphrase")
        raise FailedError
    return line.decode("utf-8", "surrogateescape").rstrip("\n")
