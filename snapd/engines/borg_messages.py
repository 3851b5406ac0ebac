"""What Borg says, as our errors: its `--log-json` lines, read and judged.

Borg's message ids are listed in its documentation, "All about the command line" and "Frontends".
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from snapd.errors import (
    AccountError,
    EngineBusyError,
    EngineError,
    EngineUsageError,
    ExistsError,
    KeyFaultError,
    NetworkError,
    NoMemoryError,
    NoSpaceError,
    NotFoundError,
    OutOfSyncError,
    PartialError,
)
from snapd.model import Progress

_MOST_MESSAGES = 1000
_MOST_UNREAD = 5000
_LAST_WORDS = 50
_LONGEST = 500  # characters of one message

_SPACE = "free some on the store's disk, or let expiry delete more"
_ANY_SPACE = f"{_SPACE}; the disk of the store's cache folder may be full, too"
_KEY = "compare the store's passphrase with the one the repository was made with"
_DAMAGED = "the repository is damaged: keep a copy of it, then repair the store"

_BY_ID: dict[str, tuple[type[EngineError], str]] = {
    "Repository.DoesNotExist": (
        NotFoundError,
        "compare the store's repository in the config, or create it once",
    ),
    "Repository.InvalidRepository": (EngineUsageError, "compare the store's repository in the config"),
    "Repository.InvalidRepositoryConfig": (EngineUsageError, "look at the file config in the repository"),
    "Repository.AtticRepository": (EngineUsageError, "convert it with borg upgrade, by hand"),
    "Repository.ParentPathDoesNotExist": (EngineUsageError, "create the folder above the repository"),
    "Repository.AlreadyExists": (
        ExistsError,
        "an existing repository is used as it is; no need to create it",
    ),
    "Repository.PathAlreadyExists": (ExistsError, "choose a folder that does not exist or is empty"),
    "Repository.CheckNeeded": (EngineError, _DAMAGED),
    "Repository.ObjectNotFound": (EngineError, _DAMAGED),
    "Archive.DoesNotExist": (NotFoundError, ""),
    "Archive.AlreadyExists": (ExistsError, ""),
    "InsufficientFreeSpaceError": (NoSpaceError, _SPACE),
    "StorageQuotaExceeded": (NoSpaceError, "raise the quota of the repository, or let expiry delete more"),
    "MemoryLimitExceeded": (NoMemoryError, ""),
    "LockTimeout": (EngineBusyError, "another borg uses the repository"),
    "LockError": (EngineBusyError, "another borg uses the repository"),
    "NotLocked": (EngineBusyError, "another borg broke the lock of this one"),
    "NotMyLock": (EngineBusyError, "another borg broke the lock of this one"),
    "PassphraseWrong": (KeyFaultError, _KEY),
    "NoPassphraseFailure": (KeyFaultError, _KEY),
    "PasscommandFailure": (KeyFaultError, _KEY),
    "PasswordRetriesExceeded": (KeyFaultError, _KEY),
    "KeyfileNotFoundError": (
        KeyFaultError,
        "the repository's key is in a file that this machine does not have",
    ),
    "KeyfileInvalidError": (KeyFaultError, "bring the key back with borg key import"),
    "KeyfileMismatchError": (KeyFaultError, "the key belongs to another repository"),
    "RepoKeyNotFoundError": (KeyFaultError, "bring the key back with borg key import"),
    "EncryptionMethodMismatch": (
        KeyFaultError,
        "the repository was encrypted otherwise before: find out who replaced it",
    ),
    "TAMRequiredError": (KeyFaultError, "the repository lacks its seal: find out who changed it"),
    "TAMInvalid": (KeyFaultError, "the seal of the repository is wrong: find out who changed it"),
    "RepositoryReplay": (
        OutOfSyncError,
        "it is older than when last used: find out who brought an old copy back",
    ),
    "RepositoryIDNotUnique": (OutOfSyncError, "another repository with the same id is in use"),
    "RepositoryAccessAborted": (
        EngineUsageError,
        "it was at another place when last used: if you moved it, remove the store's cache folder",
    ),
    "CacheInitAbortedError": (EngineUsageError, ""),
    "NoManifestError": (EngineError, _DAMAGED),
    "IntegrityError": (EngineError, _DAMAGED),
    "FileIntegrityError": (EngineError, _DAMAGED),
    "ChunksIndexError": (EngineError, _DAMAGED),
    "DecompressionError": (EngineError, _DAMAGED),
    "ConnectionClosed": (NetworkError, "look at the network and at borg on the other machine"),
    "ConnectionClosedWithHint": (NetworkError, "look at the network and at borg on the other machine"),
    "ConnectionBrokenWithHint": (NetworkError, "look at the network and at borg on the other machine"),
    "PathNotAllowed": (AccountError, "the other machine does not let us use this path (borg serve)"),
    "RPCServerOutdated": (EngineUsageError, "install a newer borg on the other machine"),
    "MandatoryFeatureUnsupported": (EngineUsageError, "install a newer borg"),
    "UnsupportedManifestError": (EngineUsageError, "install a newer borg"),
    "UnsupportedPayloadError": (EngineUsageError, "install a newer borg"),
}

_MAY_COME = ("Repository.DoesNotExist", "Repository.ParentPathDoesNotExist")
"""The disk of a repository may be mounted later: tried again."""

_BY_TEXT: tuple[tuple[re.Pattern[str], type[EngineError], str], ...] = tuple(
    (re.compile(expression), kind, hint)
    for expression, kind, hint in (
        (r"\[Errno (28|122)\]|No space left on device|Not enough free space", NoSpaceError, _ANY_SPACE),
        (r"\bMemoryError\b|\[Errno 12\]", NoMemoryError, ""),
        (
            r"Permission denied \((?:publickey|password|keyboard|gssapi)|Host key verification failed",
            KeyFaultError,
            "log in once by hand with ssh as the service's user",
        ),
        (
            r"borg.*(?:command not found|: not found)",
            EngineUsageError,
            "install borg on the other machine, or set remote_path",
        ),
        (
            r"Could not resolve|Connection (?:refused|reset)|unreachable|No route|Broken pipe|timed out",
            NetworkError,
            "look at the network and at the other machine",
        ),
        (
            r"\[Errno (?:13|30)\]|Read-only file system",
            EngineUsageError,
            "let the service's user write to the repository and to the store's cache folder",
        ),
        (r"\[Errno 5\]", EngineError, "a disk has failed: look at the kernel's messages"),
    )
)


@dataclass(frozen=True, slots=True)
class Message:
    """One log message of Borg: its level (`WARNING`, `ERROR` …), its id or an empty text, its words."""

    level: str
    msgid: str
    text: str


_HEALED = ("Killed stale lock ", "Removed stale ")
"""How Borg tells that it cleared the lock of a process that is gone: its business, nothing is lacking."""


class Listener:
    """Reads the lines of one borg call.

    `messages` are its warnings and errors, the first thousand; `unread` are files that it says it could not
    read, the first thousands, and `more_unread` counts the others. `judge` sees every warning as it comes
    and may raise, which ends the call. `mask` is a secret that must never show.
    """

    def __init__(
        self,
        *,
        mask: str = "",
        progress: Callable[[Progress], None] | None = None,
        judge: Callable[[Message], None] | None = None,
    ) -> None:
        self.messages: list[Message] = []
        self.unread: list[str] = []
        self.more_unread = 0
        self.words: deque[str] = deque(maxlen=_LAST_WORDS)
        self._mask = mask
        self._progress = progress
        self._judge = judge

    def hear(self, line: str) -> None:
        """Take one line of standard error."""
        entry = _parsed(line)
        match entry.get("type"):
            case "log_message":
                self._message(entry)
            case "file_status" if entry.get("status") == "E":
                self._unread(str(entry.get("path", "")))
            case "archive_progress" | "progress_percent" if self._progress is not None:
                shown = _progress(entry)
                if shown is not None:
                    self._progress(shown)
            case None:
                self.words.append(self._masked(line)[:_LONGEST])
            case _:
                pass

    def _unread(self, path: str) -> None:
        if len(self.unread) < _MOST_UNREAD:
            self.unread.append(self._masked(path))
        else:
            self.more_unread += 1

    def _message(self, entry: dict[str, object]) -> None:
        level = str(entry.get("levelname", ""))
        text = self._masked(str(entry.get("message", "")))
        if level != "WARNING" or text.startswith("Remote:"):  # ssh's own words come as warnings
            self.words.append(text[-_LONGEST:])  # a traceback tells its error last
        if level not in ("WARNING", "ERROR", "CRITICAL") or text.startswith(_HEALED):
            return
        message = Message(level, str(entry.get("msgid", "")), text)
        if len(self.messages) < _MOST_MESSAGES:
            self.messages.append(message)
        if level == "WARNING" and self._judge is not None:
            self._judge(message)

    def _masked(self, text: str) -> str:
        return text.replace(self._mask, "***") if self._mask else text

    @property
    def warnings(self) -> tuple[str, ...]:
        return tuple(message.text for message in self.messages if message.level == "WARNING")


def _parsed(line: str) -> dict[str, object]:
    if not line.startswith("{"):
        return {}
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):  # nested too deep
        return {}
    return entry if isinstance(entry, dict) else {}


def _progress(entry: dict[str, object]) -> Progress | None:
    match entry:
        case {
            "type": "archive_progress",
            "nfiles": int(files),
            "original_size": int(size),
            "path": str(path),
        }:
            return Progress(files=files, bytes_read=size, path=path)
        case {"msgid": "extract", "current": int(done), "total": int(total), "info": [str(path), *_]}:
            return Progress(bytes_read=done, bytes_total=total, path=path)
        case _:
            return None


def error_of(listener: Listener) -> EngineError:
    """Return the error that best says why a borg call failed: by message id, else by its words."""
    errors = [message for message in listener.messages if message.level != "WARNING"]
    for message in reversed(errors):
        known = _BY_ID.get(message.msgid) or _BY_ID.get(message.msgid.rpartition(".")[2])
        if known is not None and not (known[0] is NetworkError and _said(listener) is not None):
            error = known[0](_sentence(message.text), hint=known[1])
            error.retryable = error.retryable or message.msgid in _MAY_COME
            return error
    return _said(listener) or EngineError(
        _last_words(errors, listener), hint="journalctl has all that borg said"
    )


def _said(listener: Listener) -> EngineError | None:
    errors = (message.text for message in listener.messages if message.level != "WARNING")
    said = "\n".join([*errors, *listener.words])
    for expression, kind, hint in _BY_TEXT:
        match = expression.search(said)
        if match is not None:
            start = said.rfind("\n", 0, match.start()) + 1
            return kind(_sentence(said[start:].partition("\n")[0]), hint=hint)
    return None


def _last_words(errors: list[Message], listener: Listener) -> str:
    if errors:
        return _sentence(errors[-1].text)
    return _sentence(listener.words[-1]) if listener.words else "borg failed without a word"


def _sentence(text: str) -> str:
    first = next((line.strip() for line in text.splitlines() if line.strip()), "borg failed")
    return first.removeprefix("Remote: ")[:_LONGEST].rstrip(".")


# -- warnings of an extraction --------------------------------------------------------------------------

_NEVER_MATCHED = re.compile(r"Include pattern '(?P<path>.*)' never matched\.", re.DOTALL)
_HARMLESS = re.compile(
    r"when setting extended attribute|: attrs: \[Errno (?:1|95)\]|\[Errno (?:1|95)\].*security\.", re.DOTALL
)


def judge_extraction(message: Message) -> None:
    """Raise for a warning that means contents are missing.

    Owners, attributes and devices that an unprivileged user cannot set are no error. Raises `NotFoundError`
    for a member that is not there, `NoSpaceError`, and `PartialError` for anything else.
    """
    missing = _NEVER_MATCHED.fullmatch(message.text)
    if missing is not None:
        raise NotFoundError(f"{missing['path']} is not in the archive")
    if _HARMLESS.search(message.text):
        return
    if "[Errno 28]" in message.text:
        raise NoSpaceError(_sentence(message.text), hint="free some where the archive is extracted to")
    raise PartialError(f"an entry could not be extracted: {_sentence(message.text)}")
