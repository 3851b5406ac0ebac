"""The lines of a crontab, as crontab(5) of Debian's cron and of cronie has them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_SETTING = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|([A-Za-z_][A-Za-z0-9_]*))\s*=(.*)""", re.DOTALL)
_ENTRY = re.compile(r"\s*(@\S+|\S+(?:\s+\S+){4})\s+(\S.*)", re.DOTALL)
_USER = re.compile(r"[a-z_][a-z0-9_.-]*\$?")
_SYSTEM_FILES = ("/etc/crontab", "/etc/cron.d/")
LONGEST_LINE = 10_000  # characters; cron itself takes commands of up to 998
PROGRAMS = frozenset(
    (
        *(
            "tarsnap",
            "tarsnapper",
            "env",
            "nice",
            "ionice",
            "flock",
            "timeout",
            "cd",
            "sh",
            "bash",
            "test",
            "[",
        ),
        *("sudo", "chronic", "nohup", "exec", "if", "for", "while", "case", "sleep", "command", "pg_dump"),
        *("mysqldump", "mariadb-dump", "pg_dumpall", "sqlite3", "echo", "certbot", "run-parts", "find"),
    )
)
"""First words of a command that are no user's name."""
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Setting:
    """`NAME=value`, which holds for the entries below it. The value is not expanded (crontab(5))."""

    line: int
    text: str
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One job. `command` has its percent signs unescaped; `stdin` is what followed the first bare one.

    `user` is empty in a user's own crontab. `comments` stood above it, `environment` are the settings so far.
    """

    line: int
    text: str
    schedule: str
    command: str
    stdin: str = ""
    user: str = ""
    comments: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unread:
    """A line that is no comment, no setting and no job, and one sentence on why."""

    line: int
    text: str
    why: str


@dataclass(frozen=True, slots=True)
class Crontab:
    settings: tuple[Setting, ...]
    entries: tuple[Entry, ...]
    unread: tuple[Unread, ...]
    comments: tuple[str, ...]  # that stood below the last job


def read(text: str, *, system: bool) -> Crontab:
    """Read a crontab. `system`: each job names its user, as in /etc/crontab."""
    settings: list[Setting] = []
    entries: list[Entry] = []
    unread: list[Unread] = []
    comments: list[str] = []
    for number, line in _lines(text):
        if len(line) > LONGEST_LINE:
            unread.append(
                Unread(number, f"{line[:60]}…", f"no line of a crontab has {LONGEST_LINE} characters")
            )
        elif line.lstrip().startswith("#"):
            comments.append(line.strip())
        elif match := _SETTING.fullmatch(line):
            settings.append(Setting(number, line.strip(), _name(match), _unquoted(match[4].strip())))
        elif match := _ENTRY.fullmatch(line):
            environment = {setting.name: setting.value for setting in settings}
            entry = _entry(number, line, match, system=system)
            entries.append(_with(entry, tuple(comments), environment))
            comments.clear()
        else:
            unread.append(Unread(number, line.strip(), "it is no comment, no NAME=value and no job"))
    return Crontab(tuple(settings), tuple(entries), tuple(unread), tuple(comments))


def is_system(text: str, file: str) -> bool:
    """Tell whether jobs name their user: by the file's place, else by what their first words look like."""
    if file.startswith(_SYSTEM_FILES):
        return True
    matches = [_ENTRY.fullmatch(line) for _, line in _lines(text) if not _is_no_job(line)]
    commands = [match[2].split() for match in matches if match]
    return all(_may_be_user(words[0]) for words in commands) and any(_names_user(words) for words in commands)


def _is_no_job(line: str) -> bool:
    return line.lstrip().startswith("#") or _SETTING.fullmatch(line) is not None


def _may_be_user(word: str) -> bool:
    return _USER.fullmatch(word) is not None and word not in PROGRAMS


def _names_user(words: list[str]) -> bool:
    """Tell whether the first word of a command is surely a user's name."""
    follows = words[1] if len(words) > 1 else ""
    program = follows.rpartition("/")[2] in PROGRAMS or _ASSIGNMENT.fullmatch(follows) is not None
    return _may_be_user(words[0]) and (words[0] == "root" or program)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not blank, counted from 1; a carriage return at an end is no part of one."""
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line.rstrip("\r")


def _name(match: re.Match[str]) -> str:
    return next(group for group in match.groups()[:3] if group is not None)


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value


def _entry(number: int, line: str, match: re.Match[str], *, system: bool) -> Entry:
    rest, user = match[2], ""
    if system:
        user, rest = [*rest.split(maxsplit=1), ""][:2]
    command, stdin = _percents(rest.strip())
    schedule = " ".join(match[1].split())
    return Entry(number, line.strip(), schedule, command, stdin, user)


def _with(entry: Entry, comments: tuple[str, ...], environment: dict[str, str]) -> Entry:
    return Entry(
        entry.line, entry.text, entry.schedule, entry.command, entry.stdin, entry.user, comments, environment
    )


def _percents(command: str) -> tuple[str, str]:
    """Split at the first bare percent sign; bare ones behind it are line ends (crontab(5))."""
    parts = re.split(r"(?<!\\)%", command)
    first, *others = (part.replace("\\%", "%") for part in parts)
    return first.strip(), "\n".join(others)
