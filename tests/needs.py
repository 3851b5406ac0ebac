"""What a test needs of the machine. Without it the test is skipped and says why; in CI it runs, and fails."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest

CI = bool(os.environ.get("CI"))

needs_root = pytest.mark.skipif(
    os.geteuid() != 0 and not CI, reason="only root can become or stand in for another user"
)


def needs(*commands: str) -> pytest.MarkDecorator:
    missing = [name for name in commands if shutil.which(name) is None]
    return pytest.mark.skipif(bool(missing) and not CI, reason=f"not installed: {', '.join(missing)}")


def give_up(reason: str) -> NoReturn:
    """Skip the test that runs; in CI fail it."""
    if CI:
        pytest.fail(reason)
    pytest.skip(reason)
