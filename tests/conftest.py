"""What every test takes for granted."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapd.interrupt import stay_interruptible


def pytest_configure() -> None:
    """Children heed SIGINT and SIGQUIT, also when a script started the tests with `&`."""
    stay_interruptible()


@pytest.fixture
def passable() -> Iterator[Path]:
    """A folder that others can pass through. `tmp_path` is not: pytest closes its root at every start."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield folder
