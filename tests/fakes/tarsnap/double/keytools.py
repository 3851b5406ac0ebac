"""The programs `tarsnap-keymgmt` and `tarsnap-keygen`."""

from __future__ import annotations

import json
import os
import signal
import sys

from . import keyfile, output, passphrases
from .calls import Call
from .keyfile import Key
from .output import FailedError, FatalError, say, tell, warn
from .switches import Switches

_KEYMGMT_USAGE = """usage: tarsnap-keymgmt --outkeyfile F [-r] [-w] [-d] [--nuke] [--passphrased] key-file ...
       tarsnap-keymgmt --print-key-id key-file
       tarsnap-keymgmt --print-key-permissions key-file
       tarsnap-keymgmt --version"""
_KEYGEN_USAGE = """usage: tarsnap-keygen --keyfile key-file --user user-name --machine machine [--passphrased]
       tarsnap-keygen --version"""
_VALUED = (
    "--outkeyfile",
    "--passphrase",
    "--keyfile",
    "--user",
    "--machine",
    "--passphrase-mem",
    "--passphrase-time",
)


class Words:
    """Options and the words that are left, as getopt takes them apart."""

    def __init__(self, argv: list[str], known: tuple[str, ...], usage: str) -> None:
        self.flags: dict[str, str] = {}
        words = list(argv)
        while words and words[0].startswith("-"):
            word = words.pop(0)
            name, equals, value = word.partition("=")
            for option in [name] if name.startswith("--") else [f"-{letter}" for letter in name[1:]]:
                if option not in known:
                    raise FatalError(usage)
                self.flags[option] = (
                    value if equals or option not in _VALUED else words.pop(0) if words else ""
                )
        self.rest = words


def main(settings: str) -> int:
    """Run the tool that argv[0] names."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with open(settings, "rb") as file:
        installed = json.load(file)
    switches = Switches(installed["account"], installed["version"])
    name = os.path.basename(sys.argv[0])
    output.PROGRAM[0] = name
    call = Call(switches.account, sys.argv)
    try:
        (_keygen if name == "tarsnap-keygen" else _keymgmt)(sys.argv[1:], switches)
        status = 0
    except FatalError as error:
        tell(str(error))
        status = 1
    except FailedError:
        status = 1
    call.end(status, switches.waits)
    return status


def _keymgmt(argv: list[str], switches: Switches) -> None:
    prints = ("--print-key-id", "--print-key-permissions")
    known = (
        "-r",
        "-w",
        "-d",
        "--nuke",
        "--passphrased",
        "--passphrase",
        "--outkeyfile",
        "--version",
        *prints,
    )
    words = Words(argv, known, _KEYMGMT_USAGE)
    flags = words.flags
    if "--version" in flags:
        tell(f"tarsnap-keymgmt {switches['version']}")
        return
    if "--print-key-id" in flags or "--print-key-permissions" in flags:
        if len(words.rest) != 1:
            raise FatalError(_KEYMGMT_USAGE)
        key = _read(words.rest[0], flags)
        say(str(key.machine) if "--print-key-id" in flags else _permissions_text(key))
        return
    if not flags.get("--outkeyfile") or not words.rest:
        raise FatalError(_KEYMGMT_USAGE)
    _cut(words)


def _permissions_text(key: Key) -> str:
    permissions = key.permissions
    able = [text for name, text in (("read", "reading"), ("write", "writing")) if name in permissions]
    if "delete" in permissions:
        able.append("deleting" if "read" in permissions else "nuking")
    text = ", ".join([*able[:-1], f"and {able[-1]}"]) if len(able) > 2 else " and ".join(able)
    return f"This key has permissions for: {text or 'nothing'}."


def _read(path: str, flags: dict[str, str]) -> Key:
    try:
        return keyfile.read(path, passphrases.source(flags.get("--passphrase")))
    except FailedError:
        warn(f"Cannot read key file: {path}")
        raise


def _cut(words: Words) -> None:
    flags = words.flags
    wanted = {name for flag, name in (("-r", "read"), ("-w", "write"), ("--nuke", "delete")) if flag in flags}
    wanted |= {"read", "delete"} if "-d" in flags else set()
    keys = [_read(path, flags) for path in words.rest]
    first = keys[0]
    for path, key in zip(words.rest, keys, strict=True):
        if key.machine != first.machine:
            warn(f"Key file belongs to wrong machine: {path}")
            raise FailedError
    held = frozenset().union(*(key.permissions for key in keys))
    new = Key(first.machine, first.server, first.secret, held & wanted)
    _write(flags["--outkeyfile"], new, flags)


def _write(path: str, key: Key, flags: dict[str, str]) -> None:
    passphrase = None
    if "--passphrased" in flags:
        tell("Please enter passphrase for keyfile encryption: ")
        passphrase = sys.stdin.readline().rstrip("\n")
    try:
        keyfile.write(path, key, passphrase=passphrase)
    except FileExistsError:
        raise FatalError(f"{output.PROGRAM[0]}: Key file already exists, not overwriting: {path}") from None


def _keygen(argv: list[str], switches: Switches) -> None:
    """Register a machine. Any user with any password will do; the account's folder is the server."""
    known = (
        "--keyfile",
        "--user",
        "--machine",
        "--passphrased",
        "--passphrase-mem",
        "--passphrase-time",
        "--version",
    )
    flags = Words(argv, known, _KEYGEN_USAGE).flags
    if "--version" in flags:
        tell(f"tarsnap-keygen {switches['version']}")
        return
    if not all(flags.get(option) for option in ("--keyfile", "--user", "--machine")):
        raise FatalError(_KEYGEN_USAGE)
    if os.path.lexists(flags["--keyfile"]):
        raise FatalError(f"tarsnap-keygen: Key file already exists, not overwriting: {flags['--keyfile']}")
    if switches["network"] == "no-name":
        warn("Cannot obtain server address")
        raise FailedError
    if not sys.stdin.readline():
        warn("EOF reading password")
        raise FailedError
    if switches["balance"] != "positive":
        warn(f"Cannot register with server: Account balance for user {flags['--user']} is not positive")
        raise FailedError
    _write(flags["--keyfile"], new_key(switches.account or os.getcwd()), flags)


def new_key(account: str) -> Key:
    """Make a machine of its own below an account."""
    machine = int.from_bytes(os.urandom(7), "big")
    server = f"{account}/servers/{machine}"
    os.makedirs(server)
    return Key(machine, server, os.urandom(32).hex(), keyfile.PERMISSIONS)
