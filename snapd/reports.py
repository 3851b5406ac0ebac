"""What the journal says of a run: one line at its start and one at its end (docs/journal.md)."""

from __future__ import annotations

from typing import Any

from snapd.history import Run
from snapd.logger import log
from snapd.model import Outcome

_LEVELS = {
    Outcome.OK: "info",
    Outcome.WARNING: "warning",
    Outcome.FAILED: "error",
    Outcome.INTERRUPTED: "warning",
}


def waiting(run: Run, holder: str) -> None:
    log.info("lock-waiting", **_who(run), holder=holder)


def started(run: Run) -> None:
    log.info("run-started", **_who(run), cause=run.cause, slot=run.slot.isoformat(), attempt=run.attempts)


def handed_over(run: Run) -> None:
    log.info("run-handed-over", **_who(run))


def sliced(run: Run, seconds: float) -> None:
    log.info("run-sliced", **_who(run), duration_s=round(seconds, 3))


def ended(run: Run, seconds: float) -> None:
    """Log the end of an attempt: its outcome, or when it is tried again."""
    facts = {
        **_who(run),
        "duration_s": round(seconds, 3),
        "archive": run.archive or None,
        "bytes_new": run.bytes_new,
        "error_code": run.error_code or None,
        "reason": run.message or None,
        "hint": run.hint or None,
    }
    if run.outcome is None:
        retry_at = run.not_before.isoformat() if run.not_before else None
        log.warning("run-retry", **facts, retry_at=retry_at, failures=run.failures)
    else:
        getattr(log, _LEVELS[run.outcome])("run-ended", **facts, outcome=run.outcome)


def defect(run: Run) -> None:
    """Log the traceback of the exception at hand."""
    log.exception("run-defect", **_who(run))


def lane_defect() -> None:
    """Log the traceback of the exception at hand, which hit the lane between two runs."""
    log.exception("run-defect")


def crash_loop(run: Run) -> None:
    log.error("crash-loop", **_who(run), error_code=run.error_code, hint=run.hint)


def _who(run: Run) -> dict[str, Any]:
    return {"run_id": run.run_id, "backup_set": run.backup_set, "kind": run.kind}
