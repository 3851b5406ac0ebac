"""The program `tarsnap`: from its words to its exit status."""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import TYPE_CHECKING

from . import output
from .calls import Call, writing
from .commandline import Options, parse
from .output import FailedError, FatalError, UsageError, encode, warn, write
from .session import Session
from .switches import Switches

if TYPE_CHECKING:
    from .keyfile import Key

_WRITERS = ("c", "d", "fsck", "fsck-prune", "recover", "nuke")
_HELP = "{0}: create and manipulate archives on the Tarsnap backup service\n"


def main(settings: str) -> int:
    """Run the client; `settings` is the file that `install.py` left beside the program."""
    for number in (signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    with open(settings, "rb") as file:
        installed = json.load(file)
    switches = Switches(installed["account"], installed["version"])
    output.PROGRAM[0] = os.path.basename(sys.argv[0])
    call = Call(switches.account, sys.argv)
    try:
        status = _run(switches, sys.argv[1:])
    except FatalError as error:
        warn(str(error))
        status = 1
    except UsageError:
        write(2, encode(output.USAGE.format(output.PROGRAM[0])))
        status = 1
    call.end(status, switches.waits)
    return status


def _run(switches: Switches, argv: list[str]) -> int:
    from . import checks, settings

    options = parse(argv, switches.version)
    if options.flags & {"help", "version"}:
        if "version" not in options.flags:
            write(1, encode(_HELP.format(output.PROGRAM[0]) + output.USAGE.format(output.PROGRAM[0])))
        write(1, encode(f"tarsnap {switches['version']}\n"))
        return 0
    settings.settle(options, sysconfdir=switches["sysconfdir"])
    checks.required_parts(options)
    checks.permitted(options)
    if options.mode == "verify-config":
        return 0
    key = _key(options, switches)
    cachedir = checks.ensure_cachedir(options)
    checks.permissions(options, key)
    if key is not None:
        switches.take_files(key.server)
        if options.mode in _WRITERS and not options.dry_run:
            writing(key.server, argv)
    session = Session(options, switches, key, cachedir, argv)
    _carry_out(session)
    return session.end()


def _key(options: Options, switches: Switches) -> Key | None:
    from . import keyfile, passphrases

    path = options.text("keyfile")
    if path is None:
        return None
    try:
        lacks = None if options.on("force-resources") else switches["key_needs"]
        return keyfile.read(path, passphrases.source(options.text("passphrase")), lacks=lacks)
    except FailedError:
        if options.dry_run and options.keyfile_from_config:
            if options.settings.pop("cachedir", None) is not None:
                warn("Ignoring cachedir due to missing or invalid keyfile in config file.")
            return None
        raise FatalError(f"Cannot read key file: {path}") from None


def _carry_out(session: Session) -> None:
    mode = session.options.mode
    if mode == "c":
        from .creating import create

        create(session)
    elif mode == "d":
        from .deleting import delete

        delete(session)
    elif mode in ("t", "x"):
        from .extracting import read_archive

        read_archive(session)
    elif mode == "r":
        from .extracting import as_tar

        as_tar(session)
    elif mode == "list-archives":
        from .reading import list_archives

        list_archives(session)
    elif mode == "print-stats":
        from .stats import print_stats

        print_stats(session)
    else:
        from . import repairing

        modes = {
            "fsck": repairing.fsck,
            "fsck-prune": repairing.fsck,
            "recover": repairing.recover,
            "nuke": repairing.nuke,
            "initialize-cachedir": repairing.initialize,
        }
        modes[mode](session)
