"""What stands around a call of tarsnap in a line: programs that start it, and commands beside it."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass

from snapd.importing.account import Item, not_carried, not_needed
from snapd.importing.words import Word


@dataclass(frozen=True, slots=True)
class _Wrapper:
    """A program that starts another one: letters and long options with a value, words before the command."""

    says: str
    letters: str = ""
    long: tuple[str, ...] = ()
    operands: int = 0
    lost: bool = False


_SOLE = "the daemon does one thing at a time: one lock for every run that touches a store"
_PRIORITY = "priorities are the unit's: systemctl edit snapd-backup, Nice= and IOSchedulingClass="
_WRAPPERS = {
    "env": _Wrapper("the daemon's environment is its own", "uCS", ("unset", "chdir", "split-string")),
    "nice": _Wrapper(_PRIORITY, "n", ("adjustment",), lost=True),
    "ionice": _Wrapper(_PRIORITY, "cn", ("class", "classdata"), lost=True),
    "chrt": _Wrapper(_PRIORITY, "TPD", (), operands=1, lost=True),
    "flock": _Wrapper(_SOLE, "wE", ("timeout", "wait", "conflict-exit-code"), operands=1),
    "timeout": _Wrapper(
        "a creation has no such limit; it is ended when it did nothing at all for stall_after",
        "ks",
        ("kill-after", "signal"),
        operands=1,
        lost=True,
    ),
    "sudo": _Wrapper("the daemon reads every file by itself", "ugpCrTh", ("user", "group", "prompt")),
    "doas": _Wrapper("the daemon reads every file by itself", "uC"),
    "chronic": _Wrapper("what tarsnap says is in the journal"),
    "nohup": _Wrapper("the daemon hangs up on nobody"),
    "setsid": _Wrapper("each run has a session of its own"),
    "exec": _Wrapper("no shell is needed"),
    "command": _Wrapper("no shell is needed"),
    "time": _Wrapper("how long it took is in the history", "fo", ("format", "output")),
    "stdbuf": _Wrapper("what tarsnap says is in the journal", "ioe", ("input", "output", "error")),
    "systemd-cat": _Wrapper("what tarsnap says is in the journal", "tp", ("identifier", "priority")),
    "systemd-inhibit": _Wrapper(
        "the machine is not kept awake; a slot that was slept through is caught up",
        "",
        ("what", "who", "why", "mode"),
        lost=True,
    ),
}
_DUMPS = {
    "pg_dump": "PostgreSQL",
    "pg_dumpall": "PostgreSQL",
    "pg_basebackup": "PostgreSQL",
    "mysqldump": "MariaDB",
    "mariadb-dump": "MariaDB",
    "mariabackup": "MariaDB",
    "mongodump": "MongoDB",
    "redis-cli": "Redis",
}
_TESTING = (
    *("test", "[", "[[", "mountpoint", "findmnt", "pgrep", "which", "command", "type", "hash", "ping"),
    "on_ac_power",
)
_REPLACED = ("tarsnap", "tarsnapper")
_READING = ("logger", "tee", "ts", "cat", "grep", "egrep", "sed", "awk", "head", "tail", "systemd-cat")
_NOT_NEEDED = {
    **dict.fromkeys(
        ("echo", "printf", "logger", "true", ":", "exit", "date", "wait", "set", "umask", "export", "ulimit"),
        "every run is in the history and the journal",
    ),
    "sleep": _SOLE,
}
_NOT_CARRIED = {
    **dict.fromkeys(
        ("mail", "mailx", "sendmail", "msmtp", "mutt", "curl", "wget", "nc", "ntfy"),
        "nobody is told by this; failures are in the journal and in snapd-backup status",
    ),
    **dict.fromkeys(
        _TESTING,
        "a condition; the daemon starts the backup, and says what was missing",
    ),
    "sqlite3": 'a SQLite database is a dump of its set: [[backup.NAME.dump]], engine = "sqlite", path = "/…"',
}
_HARMLESS_VARIABLES = ("PATH", "LANG", "LANGUAGE", "SHELL", "HOME", "LOGNAME", "USER", "TERM", "BASH_ENV")
_SCRIPT = ("-c", "--command")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")


def program(words: Sequence[Word]) -> str:
    """Return the name of the program that a command starts, without its folder."""
    return posixpath.basename(words[0].literal or "") if words else ""


def variable(text: str, name: str) -> Item:
    """Account for `NAME=value` in the environment of a command."""
    if name in _HARMLESS_VARIABLES or name.startswith("LC_"):
        return not_needed(text, "the daemon's environment is its own")
    if name == "TZ":
        return not_needed(text, "names of archives are in UTC")
    return not_carried(text, "the daemon hands no variables to tarsnap")


def unwrapped(words: tuple[Word, ...]) -> tuple[tuple[Item, ...], tuple[Word, ...]]:
    """Take programs that start another one off the front; return the account, and the command itself."""
    items: list[Item] = []
    while (name := program(words)) in _WRAPPERS:
        wrapper = _WRAPPERS[name]
        at = _command_at(words, wrapper)
        if at is None or (name == "command" and words[1].text in ("-v", "-V")):
            break
        plain = [word for word in words[:at] if not _ASSIGNMENT.match(word.raw)]
        text = " ".join(word.raw for word in plain)
        items.append((not_carried if wrapper.lost else not_needed)(text, wrapper.says))
        items += [
            variable(word.raw, word.raw.partition("=")[0])
            for word in words[:at]
            if _ASSIGNMENT.match(word.raw)
        ]
        words = words[at:]
        if words[0].text in _SCRIPT:  # flock(1) has a shell of its own
            words = (Word.of("sh"), Word.of("-c"), *words[1:])
    return tuple(items), words


def _command_at(words: tuple[Word, ...], wrapper: _Wrapper) -> int | None:
    """Return where the started command begins; None when there is none."""
    at = 1
    while at < len(words) and words[at].text.startswith("-") and words[at].text != "-":
        text = words[at].text
        at += 1
        if text == "--":
            break
        if text.startswith("--"):
            at += text.removeprefix("--") in wrapper.long
        else:
            at += text[-1] in wrapper.letters and text[1:-1].isalpha() | (len(text) == 2)
    at += wrapper.operands
    while wrapper is _WRAPPERS["env"] and at < len(words) and _ASSIGNMENT.match(words[at].raw):
        at += 1
    return at if at < len(words) else None


def shell_script(words: tuple[Word, ...]) -> str | None:
    """Return the script of `sh -c 'script'`; None for a call that is more than that."""
    flags = [word.text for word in words[1:-1]]
    if len(flags) == 1 and re.fullmatch(r"-[elu]*c", flags[0]):
        return words[-1].literal
    return None


def account(words: Sequence[Word], text: str, joint: str, *, feeds: bool) -> Item:
    """Say what becomes of a command that is no call of tarsnap. `joint` stands before it."""
    name = program(words)
    if joint == "|" and name in _READING:
        return not_needed(f"| {text}", "what tarsnap says is in the journal")
    if name in _TESTING and any(posixpath.basename(word.text) in _REPLACED for word in words[1:]):
        return not_needed(text, "snapd-backup check says when tarsnap is not installed")
    if name in _NOT_NEEDED:
        return not_needed(text, _NOT_NEEDED[name])
    if name in _DUMPS:
        return not_carried(text, _dump(_DUMPS[name]))
    if name in _NOT_CARRIED:
        return not_carried(text, _NOT_CARRIED[name])
    says = "its output does not reach the archive" if feeds else "this command is not run any more"
    return not_carried(text, f"{says}; what it prepares must be done otherwise")


def _dump(database: str) -> str:
    until_then = "leave this command in the crontab, ahead of the backup, and its file in paths"
    if database in ("PostgreSQL", "MariaDB"):
        return f"dumps of {database} by the daemon come in a later release; until then {until_then}"
    return f"the daemon makes no dumps of {database}; {until_then}"
