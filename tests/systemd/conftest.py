"""One booted box for all tests of this folder; where none can be booted, CI fails and a person hears why."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.needs import give_up
from tests.systemd.box import Box, booted, lacking
from tests.systemd.product import Product


@pytest.fixture(scope="session")
def box() -> Iterator[Box]:
    reason = lacking()
    if reason:
        give_up(reason)
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
