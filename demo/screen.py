"""The terminal of the demo: a narrator, typed commands, and the daemon's lines, one after the other."""

from __future__ import annotations

import os
import re
import shutil
import sys
import textwrap
import threading
from collections.abc import Sequence

WIDTH = min(shutil.get_terminal_size().columns, 100)
_LEVELS = {"INFO": "32", "WARNING": "33", "ERROR": "31", "CRITICAL": "31"}
_LINE = re.compile(r"(?P<time>\d\d:\d\d:\d\d) (?P<level>[A-Z]+) +(?P<rest>.*)", re.DOTALL)
_FACTS = re.compile(r"(?: [a-z_]+=(?:\"(?:[^\"\\]|\\.)*\"|[^\s\"]+))+$")
_COLOUR = sys.stdout.isatty() and "NO_COLOR" not in os.environ


def painted(text: str, colour: str) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m" if _COLOUR and text else text


class Screen:
    """The terminal, shared by the narrator and the daemon's lines. Hold `lock` to keep the others waiting."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._apart = True  # an empty line was just printed

    def say(self, text: str) -> None:
        """Print the narrator's words: a paragraph of their own."""
        lines = textwrap.wrap(" ".join(text.split()), WIDTH - 2)
        with self.lock:
            self.space()
            print(*(painted(line, "1") for line in lines), sep="\n")
            self._apart = False
            self.space()

    def space(self) -> None:
        """Print an empty line unless there is one."""
        if not self._apart:
            print(flush=True)
        self._apart = True

    def show(self, line: str) -> None:
        """Print a line of the daemon, without the fields behind its sentence, wrapped below itself."""
        found = _LINE.fullmatch(line)
        stamp, level, rest = (found["time"], found["level"], found["rest"]) if found else ("", "", line)
        text = _FACTS.sub("", f" {rest}").strip() or rest
        first, *more = textwrap.wrap(text, WIDTH - 19) or [""]
        head = f"{painted(f'{stamp:8}', '2')} {painted(f'{level.lower():7}', _LEVELS.get(level, '0'))}"
        with self.lock:
            print(f"  {head} {first}", *(" " * 19 + part for part in more), sep="\n", flush=True)
            self._apart = False

    def prompt(self, words: Sequence[str]) -> None:
        """Print a command as it was typed."""
        with self.lock:
            self.space()
            print(painted("$", "2"), painted(f"snapd-backup {' '.join(words)}", "36"), flush=True)
            self._apart = False


screen = Screen()
