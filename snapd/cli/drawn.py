"""Progress on a terminal: one line, refreshed in place."""

from __future__ import annotations

from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Column
from rich.text import Text

from snapd.cli.follow import sentence
from snapd.cli.output import escaped
from snapd.control import Event


class Drawn:
    """A spinner, what goes on, how far it is, and the path it is at."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._progress = Progress(
            SpinnerColumn(finished_text=" "),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=16),
            TimeElapsedColumn(),
            TextColumn(
                "{task.fields[path]}",
                markup=False,
                style="dim",
                table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"),
            ),
            console=self._console,
            transient=True,
            expand=True,
        )
        self._task = self._progress.add_task("asking", total=None, path="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def tell(self, event: Event) -> None:
        line = sentence(event)
        if event["event"] == "progress":
            path = escaped(event["path"]).rpartition("/")[2]
            total = event["bytes_total"] or None
            self._progress.update(
                self._task, description=line or "running", completed=event["bytes"], total=total, path=path
            )
            return
        if not line:
            return
        if event["event"] in ("waiting", "retry", "foreground"):
            self._progress.console.print(Text(line), highlight=False)
        self._progress.update(self._task, description=_first_words(line), path="")


def _first_words(line: str) -> str:
    return line.partition("\n")[0].partition(" (")[0].partition(",")[0]
