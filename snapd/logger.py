"""structlog's logger, which is imported when something is first said.

structlog brings rich and asyncio with it, a fifth of what `check` takes, and most commands say nothing.
`snapd.log` configures it; `snapd.events` has the events.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Logger:
    """`log.info("run-ended", backup_set="mail")`: the levels of `structlog.get_logger()`, by its rules."""

    def __getattr__(self, level: str) -> Callable[..., Any]:
        import structlog  # noqa: PLC0415

        method: Callable[..., Any] = getattr(structlog.get_logger(), level)
        return method


log = Logger()
