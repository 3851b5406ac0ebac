"""What Tarsnap says, as our errors. Its texts are English in every locale, and come from the inside out: the
first that is known is the cause, the closing lines only name the operation that failed.

Texts and meanings are those of the client's source, 1.0.39 to 1.0.41.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from snapd.errors import (
    AccountError,
    EngineBusyError,
    EngineError,
    EngineUsageError,
    ExistsError,
    KeyFaultError,
    LocalDiskFullError,
    NetworkError,
    NoMemoryError,
    NotFoundError,
    OutOfSyncError,
    PartialError,
    SnapdError,
)

_PREFIX = "tarsnap: "
_LONGEST = 500  # characters of a message that is shown

UNPAID = (
    "pay at once, at https://www.tarsnap.com/: below zero nothing is stored or restored any more, and after "
    "seven days the account and its archives may be deleted"
)
REPAIR = "`snapd-backup repair {store}` reads the store anew"
_ONE_WRITER = (
    "another machine, another cachedir or another program writes with the same key, or the cachedir was lost "
    f"or is an old copy: find that first; then {REPAIR}"
)
_CONFIG = "compare keyfile, cachedir and extra of the store in the config with tarsnap(1)"
_KEY_COPY = "restore the key file from its safe copy: without the key the archives are lost"
_COMPARE_PHRASE = "compare the store's passphrase with that of the key file"
_MACHINE = "look at the network: is there a proxy, does the firewall let TCP port 9279 out?"
_LET_IN = "`snapd-backup check` says how to let the service use it"


@dataclass(frozen=True, slots=True)
class Known:
    """One text of Tarsnap: what it means, and what the operator does. `retryable` None: as its class says."""

    text: re.Pattern[str]
    kind: type[SnapdError]
    hint: str
    retryable: bool | None = None


def _known(kind: type[SnapdError], hint: str, *texts: str, retryable: bool | None = None) -> Known:
    return Known(re.compile("|".join(texts)), kind, hint, retryable)


_BALANCE = _known(AccountError, UNPAID, r"[Aa]ccount balance [^\n]*is not positive", "add more money to your")

CAUSES: tuple[Known, ...] = (
    # the server's state
    _known(EngineBusyError, "another tarsnap uses the cachedir", "Transaction already in progress"),
    _known(OutOfSyncError, _ONE_WRITER, "[Tt]ransaction interrupted", "Sequence number mismatch"),
    _known(ExistsError, "", "An archive already exists with the name"),
    _known(NotFoundError, "", "Archive does not exist", "Not found in archive"),
    _known(EngineError, "tell the makers of Tarsnap", "Programmer error"),
    # the network
    _known(NetworkError, "look at the name resolution of this machine", "Error looking up "),
    _known(
        NetworkError,
        _MACHINE,
        "Cannot obtain server address",
        "Too many network failures",
        "Error connecting to server",
        "Timeout connecting to server",
        "Timeout communicating with server",
        "Connection closed by server",
        "Network error: ",
        "Network protocol violation by server",
    ),
    # keys
    _known(
        KeyFaultError,
        "mount its disk, or compare the store's keyfile",
        r"fopen\([^\n]*\): No such file or directory",
        retryable=True,
    ),
    _known(KeyFaultError, _LET_IN, r"fopen\([^\n]*\): "),
    _known(KeyFaultError, _KEY_COPY, "Key file has unreasonable size", "Key file is corrupt"),
    _known(KeyFaultError, _COMPARE_PHRASE, "Passphrase is incorrect", "Error decrypting key file"),
    _known(
        KeyFaultError,
        "give the service more memory, or extra options with --force-resources",
        "Decrypting file would (?:require|take) too much",
    ),
    _known(
        KeyFaultError,
        "the key file has a passphrase: give it to the store, or make a key without (tarsnap-keymgmt)",
        "Failed to read from ",
        "EOF reading password",
        "Error reading passphrase",
    ),
    _known(KeyFaultError, _CONFIG, "Key file belongs to wrong machine"),
    _known(
        KeyFaultError,
        "give the store a key that may do this (tarsnap-keymgmt)",
        "The [a-z ]+ key is required",
    ),
    _known(KeyFaultError, _LET_IN, "Cannot read key file"),
    # the command line and the config
    _known(
        EngineUsageError,
        _CONFIG,
        "Keys must be provided",
        "Archive name must be specified",
        "Cannot create an archive with ",
        "Cache directory must be specified",
        "Option mismatch for ",
        r"Option -[^\n]* (?:is not permitted|is not supported|may only be specified|requires an argument)",
        r"Option -[^\n]* does not allow an argument",
        "Ambiguous option",
        "Unrecognized configuration file option",
        "Argument required for configuration file option",
        "Cannot read config file",
        "Cannot have unused command-line args",
        "Must specify one of",
        "Can't specify both",
        "no files or directories specified",
        "Invalid bandwidth rate limit",
        "checkpoint-bytes value must be",
        "could not chdir to",
    ),
    # the cachedir
    _known(
        OutOfSyncError,
        f"mount its disk if that is missing; else {REPAIR}",
        "Cache directory must already exist for ",
    ),
    _known(
        OutOfSyncError,
        f"the cachedir is damaged: {REPAIR}",
        "on-disk directory (?:is|has) ",
        "Error reading cache directory",
        "Link is incorrect length",
        "Cannot parse link as hexadecimal",
        "Directory is not consistent with archive",
        "Archive index does not exist",
        "Chunk not present: ",
    ),
    _known(
        EngineError,
        f"{REPAIR}; if this comes back, it is damage, and a person decides on `tarsnap --fsck-prune`",
        "Chunk is missing or directory is corrupt",
        "Chunk [0-9a-f]+ is (?:corrupt|missing)",
        "Archive index is corrupt",
        "Archive metadata(?: file)? is corrupt",
        "Not pruning corrupted data",
    ),
    _known(
        LocalDiskFullError,
        "make room on the disk of the cachedir",
        "No space left on device",
        "Disk quota exceeded",
    ),
    _known(
        EngineUsageError,
        _LET_IN,
        r"/lockf\): (?!No space|Disk quota)",
        "Could not check if cachedir exists",
        "Failed to ensure that cachedir exists",
        "Read-only file system",
    ),
    _known(
        EngineError,
        "remove the file `cache` in the cachedir, and nothing else: that is safe, and makes one run slow",
        "cached trailer is corrupt",
        "Error writing cached archive entry",
    ),
    # memory
    _known(
        NoMemoryError,
        "Tarsnap needs more memory as the store grows: give it more, or create with --lowmem",
        "Out of memory",
        "Cannot allocate memory",
        "No memory",
    ),
)


def _any(*texts: str) -> re.Pattern[str]:
    return re.compile("|".join(texts))


CLOSING = _any(
    "Error (?:creating new|writing|closing|deleting|reading|opening|recovering) archive",
    "Error (?:listing|fscking) archives",
    "Error reading archive metadata",
    "Error generating archive statistics",
    "Error exit delayed from previous errors",
    "Cannot read archive metadata file",
    "Data on server was modified",
    "Cannot start write transaction",
    "Cannot read data from tarsnap server",
    "Cannot read list of archive fragments",
    "Could not begin fsck",
)
"""Lines that only say which operation failed."""

CHATTER = _any(
    "Removing leading '/' from member names",
    "Not adding cache directory to archive",
    "Not descending into filesystem of type",
    "Connection lost, waiting",
    "Connection re-established",
    "Using cached DNS lookup",
    'created for "--cachedir',
    r"Creating checkpoint\.\.\.",
    r"^ ?done\.$",
    "^(?:tarsnap: )?Deleting archive ",
    "Can't translate pathname",
    r"^Processed \d",
    "^(?:adding|copying|extracting) ",
    "quit signal received or bandwidth limit reached",
    "List of objects to archive includes",
)
"""Lines that tell of nothing wrong."""


def error_of(lines: Iterable[str], store: str) -> SnapdError:
    """Return the error that best says why a call of Tarsnap failed, for the store called `store`.

    `lines` is what it wrote to standard error, in order; several messages may be glued to one line.
    """
    said = "\n".join(lines)
    if _BALANCE.text.search(said):
        return _error(_BALANCE, "the Tarsnap account has no money left", store)
    found = [(match.start(), known) for known in CAUSES if (match := known.text.search(said))]
    if found:
        at, known = min(found, key=lambda pair: pair[0])
        return _error(known, sentence_at(said, at), store)
    return EngineError(_last_words(said), hint="journalctl has what tarsnap said")


def is_unpaid(said: str) -> bool:
    """Tell whether Tarsnap complains of the balance, which counts whatever the exit status is."""
    return _BALANCE.text.search(said) is not None


def _error(known: Known, message: str, store: str) -> SnapdError:
    error = known.kind(message, hint=known.hint.replace("{store}", store))
    if known.retryable is not None:
        error.retryable = known.retryable
    return error


def sentence_at(said: str, at: int) -> str:
    """Return the message around a place in what was said: one line, from the name of the program on."""
    begin = said.rfind("\n", 0, at) + 1
    line, column = said[begin:].partition("\n")[0], at - begin
    start = max(line.rfind(_PREFIX, 0, column + len(_PREFIX)), 0)
    return line[start:].removeprefix(_PREFIX)[:_LONGEST].strip().rstrip(".")


def _last_words(said: str) -> str:
    """Return the first line that is no chatter and no closing line, else the first closing line."""
    lines = [line.strip() for line in said.splitlines() if line.strip() and not CHATTER.search(line)]
    telling = [line for line in lines if not CLOSING.search(line)]
    words = (telling or lines or ["tarsnap failed without a word"])[0]
    return words.removeprefix(_PREFIX)[:_LONGEST].rstrip(".")


_HARMLESS = _any(
    ": Can't set (?:UID=|user=)",
    ": Can't update time for ",
    ": Can't (?:restore|make file) S[GU]ID",
    ": (?:Failed to set|Cannot restore) (?:file flags|extended attribute|(?:default )?(?:acl|ACL))",
    r": Can't create '[^\n]*': Operation not permitted",  # a device
)
"""What an unprivileged user cannot set, and what is not needed to read a file."""


def judge_extraction(line: str) -> None:
    """Raise `PartialError` for a line of an extraction that tells of an entry that could not be written."""
    if _tells_nothing(line) or any(known.text.search(line) for known in (_BALANCE, *CAUSES)):
        return  # what has a cause ends by itself, and is judged then
    raise PartialError(f"an entry could not be extracted: {sentence_at(line, 0)}")


def extraction_fault(lines: Iterable[str], store: str) -> SnapdError | None:
    """Return why an extraction with another exit status than 0 failed; None when nothing but owners, times
    and the like could not be set.
    """
    said = tuple(lines)
    at_its_end = any("Error exit delayed" in line for line in said)
    telling = [line for line in said if not _tells_nothing(line)]
    harmless = any(_HARMLESS.search(line) for line in said)
    return None if at_its_end and harmless and not telling else error_of(telling or said, store)


def _tells_nothing(line: str) -> bool:
    return not line.strip() or any(each.search(line) for each in (_HARMLESS, CHATTER, CLOSING))


def truncated(name: str) -> PartialError:
    """Say that an archive was cut off, and not by us. The backup is still due: trying again is cheap."""
    error = PartialError(
        f"tarsnap cut the archive off and kept what it had as {name}.part",
        hint="somebody sent SIGQUIT, or a limit was reached; the next attempt goes on from there",
    )
    error.retryable = True
    return error
