"""Imports of texts on a machine that is a mapping of files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from snapd.importing import crontab_import, tarsnapper_import
from snapd.importing.draft import Draft
from snapd.importing.finish import finished
from tests.fakes.host import FakeHost

GOLDEN = Path(__file__).parents[1] / "golden" / "import"


JOBS = (GOLDEN / "simple.yaml").read_text(encoding="utf-8")


def read(text: str, **files: str) -> Draft:
    host = FakeHost(files)
    return crontab_import.read(text, "crontab", host, system=False, tarsnap_conf=None)


def config(text: str, **files: str) -> str:
    return finished(read(text, **files), "UTC")


def tarsnapper(text: str, *, schedule: str | None = "@hourly", **files: str) -> Draft:
    return tarsnapper_import.read(text, "jobs.yaml", FakeHost(files), schedule=schedule, tarsnap_conf=None)


def values(document: Any) -> Iterator[str]:
    """Every value of a TOML document, as text."""
    if isinstance(document, dict):
        for value in document.values():
            yield from values(value)
    elif isinstance(document, list):
        for value in document:
            yield from values(value)
    else:
        yield str(document)
