"""What the program says, and how it fails."""

from __future__ import annotations

import os

PROGRAM = ["tarsnap"]  # the base name of argv[0], set at start


class FatalError(Exception):
    """A direct exit with status 1: the message is told, nothing follows it."""


class UsageError(Exception):
    """A direct exit with status 1 and the usage text."""


class FailedError(Exception):
    """An operation failed; its cause was told already, the closing lines are still to come."""


class MissingError(FailedError):
    """The archive does not exist."""


class CancelledError(FailedError):
    """Somebody else cancelled the transaction on the server."""


def encode(text: str) -> bytes:
    """Give back the bytes that a word of the command line or a file name was made of."""
    return text.encode("utf-8", "surrogateescape")


def write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def tell(text: str) -> None:
    """Write a line to stderr, without the program's name."""
    write(2, encode(text) + b"\n")


def glue(text: str) -> None:
    """Write to stderr with neither name nor newline: the next message lands on the same line."""
    write(2, encode(text))


def warn(text: str) -> None:
    """Write a line to stderr, with the program's name."""
    write(2, encode(f"{PROGRAM[0]}: {text}\n"))


def reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)


def say(text: str) -> None:
    """Write a line to stdout, at once: what was said before a failure has been said."""
    write(1, encode(text) + b"\n")


def yes(question: str) -> bool:
    """Ask on stderr and read an answer. Raises `FatalError` at the end of the input."""
    write(2, encode(f"{question}? "))
    answer = b""
    while not answer.endswith(b"\n"):
        letter = os.read(0, 1)
        if not letter:
            raise FatalError("Keyboard read failed")
        answer += letter
    return answer.lstrip()[:1] in (b"y", b"Y")


USAGE = """Usage:
  List:          {0} [options...] -tf <archive>
  Extract:       {0} [options...] -xf <archive>
  Create:        {0} [options...] -cf <archive> [filenames...]
  Delete:        {0} [options...] -df <archive>
  Tar output:    {0} [options...] -rf <archive>
  List archives: {0} [options...] --list-archives
  Print stats:   {0} [options...] --print-stats
  Help:    {0} --help
"""
