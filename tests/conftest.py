"""What every test takes for granted."""

from __future__ import annotations

from snapd.interrupt import stay_interruptible


def pytest_configure() -> None:
    """Children heed SIGINT, also when a script started the tests with `&`."""
    stay_interruptible()
