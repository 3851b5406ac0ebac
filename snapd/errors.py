"""The error tree: what went wrong, what the operator can do, and whether trying again may help.

SnapdError
├── ConfigError                 the file is wrong: one problem per place           exit 2
├── UsageError                  the command was asked for something impossible     exit 2
├── NoDaemonError               nobody answers on the control socket               exit 2
├── RefusedError                the daemon refused a request                       exit 1
├── BusyError                   the single lock is held (only with --no-wait)      exit 75
├── HistoryError                the history cannot be used
│   └── HistoryTooNewError      it was written by a newer program                  exit 2
├── SourceError                 nothing trustworthy to archive: fails before any creation
│   └── StagingFullError        no room for a dump                            (code staging-full)
├── LocalDiskFullError          no room for scratch or caches on this machine (code staging-full)
├── RestoreTestError            a restore test could not be carried out
├── EmptyPolicyError            a retention policy that keeps nothing              exit 2
├── InterruptedRunError         the run was cut off on purpose; another follows
├── DefectError                 an exception of ours that nobody foresaw             (code internal)
├── TimeLimitError              a child passed its stall or wall limit             (code timeout)
└── EngineError                 the engine said no; foreign texts are mapped in the adapter
    ├── NetworkError     network       transient
    ├── EngineBusyError  busy          transient: somebody else uses the store
    ├── OutOfSyncError   out-of-sync
    ├── KeyFaultError    key
    ├── AccountError     account
    ├── NotFoundError    not-found
    ├── ExistsError      exists
    ├── NoSpaceError     space
    ├── NoMemoryError    memory        transient
    ├── PartialError     partial
    ├── KilledError      killed        transient: died by a signal that was not ours
    └── EngineUsageError usage         also: the engine is not installed
"""

from __future__ import annotations


class SnapdError(Exception):
    """Root of every error that is shown to an operator.

    `message` is one sentence without a full stop at its end; `hint` says what the operator can do and may
    be empty; `code` is the word recorded in the history and the journal (`ERROR_CODE`); `exit_code` is the
    command's exit status; `retryable` means that the same request may succeed later without anybody acting.
    """

    code: str = "failed"
    exit_code: int = 1
    retryable: bool = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConfigError(SnapdError):
    """The config file is wrong; `problems` holds one line each, in file order, never a secret."""

    code = "config"
    exit_code = 2

    def __init__(self, message: str, *, hint: str = "", problems: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.problems = problems


class UsageError(SnapdError):
    code = "usage"
    exit_code = 2


class NoDaemonError(SnapdError):
    code = "no-daemon"
    exit_code = 2


class RefusedError(SnapdError):
    code = "refused"

    def __init__(self, message: str, *, hint: str = "", exit_code: int = 1) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code


class BusyError(SnapdError):
    code = "lock"
    exit_code = 75
    retryable = True


class HistoryError(SnapdError):
    code = "history"


class HistoryTooNewError(HistoryError):
    exit_code = 2


class SourceError(SnapdError):
    code = "source"


class StagingFullError(SourceError):
    """No room on the disk of the state folder. Not `space`, which is the store's and lets expiry go on."""

    code = "staging-full"


class LocalDiskFullError(SnapdError):
    """No room on a disk of ours that is no store; deleting archives would not help."""

    code = "staging-full"


class RestoreTestError(SnapdError):
    """A restore test failed; `details` are the facts of the run (JSON values), findings among them."""

    code = "restore-test"

    def __init__(self, message: str, *, hint: str = "", details: dict[str, object] | None = None) -> None:
        super().__init__(message, hint=hint)
        self.details = details or {}


class EmptyPolicyError(SnapdError):
    """The retention policy would keep nothing; refused, since it can only be a mistake."""

    code = "policy"
    exit_code = 2


class InterruptedRunError(SnapdError):
    """The run was cut off on purpose; `cause` is `stop`, `backup-due` or `sliced`."""

    code = "interrupted"

    def __init__(self, message: str, *, cause: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.cause = cause


class DefectError(SnapdError):
    """A run raised something that is not in this tree."""

    code = "internal"

    def __init__(self, cause: Exception) -> None:
        super().__init__(
            f"{type(cause).__name__}: {cause}",
            hint="this is a defect of snapd-backup; the journal has the traceback",
        )


class TimeLimitError(SnapdError):
    code = "timeout"
    retryable = True


class EngineError(SnapdError):
    code = "engine"


class NetworkError(EngineError):
    code = "network"
    retryable = True


class EngineBusyError(EngineError):
    code = "busy"
    retryable = True


class OutOfSyncError(EngineError):
    code = "out-of-sync"


class KeyFaultError(EngineError):
    code = "key"


class AccountError(EngineError):
    code = "account"


class NotFoundError(EngineError):
    code = "not-found"


class ExistsError(EngineError):
    code = "exists"


class NoSpaceError(EngineError):
    code = "space"


class NoMemoryError(EngineError):
    code = "memory"
    retryable = True


class PartialError(EngineError):
    code = "partial"


class KilledError(EngineError):
    code = "killed"
    retryable = True


class EngineUsageError(EngineError):
    code = "usage"
