"""One booted box for all tests of this folder; where none can be booted, CI fails and a person hears why."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.systemd.box import Box, booted, lacking
from tests.systemd.product import Product


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of the box in one process, for there is one box."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.xdist_group("systemd"))


@pytest.fixture(scope="session")
def box() -> Iterator[Box]:
    reason = lacking()
    if reason:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    with booted() as box:
        yield box


@pytest.fixture
def product(box: Box) -> Iterator[Product]:
    product = Product(box)
    try:
        product.reset()
        yield product
    finally:
        product.end()
