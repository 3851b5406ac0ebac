"""Modules that are imported only when they are needed, because they are slow to import."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def load(name: str) -> Any:
    """Return a module of the command line by its name below `snapd.cli`."""
    return import_module(f"snapd.cli.{name}")
