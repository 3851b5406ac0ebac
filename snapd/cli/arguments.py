"""Arguments and options that several commands share."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from snapd.cli import DEFAULT_FILE
from snapd.cli.invocation import Invocation, runtime_folder
from snapd.control import ask
from snapd.errors import SnapdError

F = TypeVar("F", bound=Callable[..., Any])


class SetName(click.types.StringParamType):
    """The name of a backup set, which the shell completes. Whether there is such a set, others say."""

    name = "set"

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,  # noqa: ARG002 - click calls it
        incomplete: str,
    ) -> list[CompletionItem]:
        file = Path(ctx.find_root().params.get("file") or DEFAULT_FILE)
        return [CompletionItem(name) for name in _set_names(file) if name.startswith(incomplete)]


def _set_names(file: Path) -> list[str]:
    """Ask the daemon, else look into the config without judging it; nothing when neither can be had."""
    try:
        for event in ask(runtime_folder(os.environ), {"op": "status", "set": None}):
            return [item["name"] for item in event["status"]["sets"]]
    except (SnapdError, OSError, ValueError, KeyError):
        pass
    try:
        return list(tomllib.loads(file.read_text(encoding="utf-8")).get("backup", {}))
    except (OSError, ValueError, AttributeError):
        return []


def set_argument(*, required: bool = True) -> Callable[[F], F]:
    """The argument SET."""
    return click.argument(
        "backup_set", metavar="SET" if required else "[SET]", type=SetName(), required=required
    )


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, as docs/json.md states it.")
pass_invocation = click.make_pass_decorator(Invocation)
