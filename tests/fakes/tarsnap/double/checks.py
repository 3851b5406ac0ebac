"""What must be right before anything is done, in the order in which the client looks."""

from __future__ import annotations

import os

from . import options as known
from .commandline import Options
from .keyfile import Key
from .output import FatalError, encode, reason, tell, warn

_NEEDS_NO_NAME = (
    "print-stats",
    "list-archives",
    "recover",
    "fsck",
    "fsck-prune",
    "initialize-cachedir",
    "nuke",
)
_MANY_NAMES = ("print-stats", "d")
_NEEDS_CACHEDIR = ("c", "d", "recover", "fsck", "fsck-prune", "initialize-cachedir", "print-stats")
_NEEDS_DIRECTORY = ("d", "print-stats", "recover")


def required_parts(options: Options) -> None:
    """Names, the cachedir and its `directory`. Raises `FatalError`."""
    mode, text, names = options.mode, options.mode_text, options.names
    lists_by_hash = mode == "list-archives" and options.version >= (1, 0, 41)
    if not names and mode not in (*_NEEDS_NO_NAME, "verify-config"):
        raise FatalError("Archive name must be specified")
    if len(names) > 1 and mode not in _MANY_NAMES and not lists_by_hash:
        raise FatalError(f"Option -f may only be specified once in mode {text}")
    if mode == "c" and len(encode(names[0])) > 1023:
        raise FatalError("Cannot create an archive with a name > 1023 characters")
    if mode == "c" and not names[0]:
        raise FatalError("Cannot create an archive with an empty name")
    cachedir = options.text("cachedir")
    if cachedir is None and mode in _NEEDS_CACHEDIR and not (mode == "c" and options.dry_run):
        raise FatalError(f"Cache directory must be specified for {text}")
    if mode in _NEEDS_DIRECTORY and options.version >= (1, 0, 41):
        try:
            os.stat(f"{cachedir}/directory")
        except (FileNotFoundError, NotADirectoryError):
            raise FatalError(
                f"Cache directory must already exist for {text}; check --cachedir and/or run --fsck"
            ) from None
        except OSError as error:
            raise FatalError(f"Could not check if cachedir exists: {reason(error)}") from None


def permitted(options: Options) -> None:
    """Options that the mode does not know, and words that it has no use for. Raises `FatalError`."""
    mode = options.mode
    names_in = (*"cxtdr", "print-stats")
    if options.version >= (1, 0, 41):
        names_in = (*names_in, "list-archives")
    if options.names and mode not in names_in:
        raise FatalError(f"Option -f is not permitted in mode {options.mode_text}")
    given = set(options.flags)
    given |= {"newer"} if given & {"newer-ctime", "newer-ctime-than", "newer-than"} else set()
    given |= {"newer-mtime"} if "newer-mtime-than" in given else set()
    for option, shown, modes in known.ONLY:
        if option in given and mode not in modes:
            raise FatalError(f"Option {shown} is not permitted in mode {options.mode_text}")
    if options.paths and mode not in "cxt" and options.version >= (1, 0, 40):
        raise FatalError("Cannot have unused command-line args in this mode.")
    if "dry-run-metadata" in given and options.print_stats:
        raise FatalError("--dry-run-metadata is incompatible with --print-stats")


def ensure_cachedir(options: Options) -> str | None:
    """Make the cachedir, parents too, and say so; every mode does. Gives its real path."""
    wanted = options.text("cachedir")
    if wanted is None:
        return None
    missing = []
    path = os.path.abspath(wanted)
    while not os.path.isdir(path):
        if os.path.lexists(path):
            warn(f"{path} exists but is not a directory")
            raise FatalError("Failed to ensure that cachedir exists")
        missing.append(path)
        path = os.path.dirname(path)
    for path in reversed(missing):
        try:
            os.mkdir(path, 0o700)
        except OSError as error:
            warn(f"mkdir({path}): {reason(error)}")
            raise FatalError("Failed to ensure that cachedir exists") from None
        tell(f'Directory {path} created for "--cachedir {wanted}"')
    return os.path.realpath(wanted)


def permissions(options: Options, key: Key | None) -> None:
    """Whether the key can do what the mode does. Raises `FatalError`."""
    if key is None:
        if not options.dry_run:
            raise FatalError("Keys must be provided via --keyfile option")
        if options.text("cachedir") is not None:
            raise FatalError("Option mismatch for --dry-run: cachedir specified but no keyfile")
        if options.print_stats:
            warn("Performing dry-run archival without keys\n         (sizes may be slightly inaccurate)")
        return
    mode = options.mode
    if mode in ("fsck", "recover") and not key.permissions & {"write", "delete"}:
        raise FatalError(
            f"The write or delete authorization key is required for {options.mode_text} but is not available"
        )
    for permission in _needed(options):
        if permission not in key.permissions:
            named = "delete authorization" if permission == "delete" else permission
            raise FatalError(f"The {named} key is required for {options.mode_text} but is not available")


def _needed(options: Options) -> tuple[str, ...]:
    mode = options.mode
    if mode == "c":
        return ("read", "write") if _reads_an_archive(options.paths) else ("write",)
    if mode == "fsck":
        return ("read",)
    if mode in ("list-archives", "r", "t", "x") or (mode == "print-stats" and options.names):
        return ("read",)
    return {"d": ("read", "delete"), "fsck-prune": ("read", "delete"), "nuke": ("delete",)}.get(mode, ())


def _reads_an_archive(paths: list[str]) -> bool:
    """Whether `@@NAME` is among the paths, but not as the folder of a `-C`."""
    folder = False
    for path in paths:
        if path.startswith("@@") and not folder:
            return True
        folder = path == "-C" and not folder
    return False
