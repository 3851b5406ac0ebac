"""What the program tells the journal: one catalogue of events, written natively or as readable lines.

`configure` sets structlog up once per process. Everywhere else an event is
`snapd.logger.log.info("run-ended", backup_set="mail", ...)`: a fixed kebab-case name from
`EVENTS`, and snake_case facts that become native fields in upper case (systemd.journal-fields(7)).
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from datetime import timedelta

import structlog
from logging_journald import JournaldTransport

from snapd.events import EVENTS
from snapd.units import format_duration, format_size

IDENTIFIER = "snapd-backup"
VALUE_LIMIT = 64 * 1024  # bytes of one field
LINE_LIMIT = 2000  # characters of MESSAGE, and of one value on a terminal
SEND_TIMEOUT_S = 2.0  # a journal that hangs must not hold a backup up

_PRIORITY = {"debug": 7, "info": 6, "warning": 4, "error": 3, "exception": 3, "critical": 2}
_COLOUR = {"debug": "2", "info": "32", "warning": "33", "error": "31", "critical": "1;31"}
_RESERVED = frozenset({"MESSAGE", "MESSAGE_ID", "PRIORITY", "SYSLOG_IDENTIFIER", "EVENT", "TRACEBACK"})
_PLACE = re.compile(r"\{(\w+)(?::[\w ]+)?\}")
_OPTIONAL = re.compile(r"\[([^][]*)\]")
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_FIELD_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,63}")


def native_fields(level: str, name: str, facts: Mapping[str, object]) -> list[tuple[str, str]]:
    """Return one event as native journal fields, in a stable order. Pure.

    `facts` without None and the empty text; a field name that the journal would refuse is left out, one that
    is ours already gets `FIELD_` in front. Values are printable, may have several lines, and are bounded.
    """
    event = EVENTS.get(name)
    fields = [
        ("MESSAGE", sentence_of(name, facts)),
        ("PRIORITY", str(_PRIORITY.get(level, 6))),
        ("SYSLOG_IDENTIFIER", IDENTIFIER),
        ("EVENT", printable(name)),
    ]
    if event is not None:
        fields.append(("MESSAGE_ID", event.message_id))
    for key, text in _texts(facts):
        field = key.upper()
        if field in _RESERVED and key != "traceback":
            field = f"FIELD_{field}"
        if _FIELD_NAME.fullmatch(field):
            fields.append((field, text))
    return fields


def sentence_of(name: str, facts: Mapping[str, object]) -> str:
    """Return the one line for people: the event's sentence, or its bare name when nobody catalogued it."""
    event = EVENTS.get(name)
    text = render(event.sentence, facts) if event is not None else name
    return _bounded(printable(" ".join(text.split())), LINE_LIMIT)


def readable_line(level: str, name: str, facts: Mapping[str, object], *, colour: bool = False) -> str:
    """Return one event as a line for a terminal: level, sentence, what else is known. Pure."""
    event = EVENTS.get(name)
    said = set(places(event.sentence)) if event is not None else set()
    rest = [f"{key}={_quoted(text)}" for key, text in _texts(facts) if key not in said and key != "traceback"]
    label = f"{level.upper():<8}"
    if colour:
        label = f"\x1b[{_COLOUR.get(level, '0')}m{label}\x1b[0m"
    line = " ".join([label + sentence_of(name, facts), *rest])
    trace = text_of(facts.get("traceback") or "").rstrip()
    return f"{line}\n{trace}" if trace else line


def _texts(facts: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for key, value in facts.items():
        if value is None:
            continue
        text = text_of(value)
        if text:
            yield key, text


def _bounded(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _quoted(text: str) -> str:
    short = _bounded(text, LINE_LIMIT)
    plain = short.isprintable() and not set(short) & set(" \"'=")
    return short if plain else json.dumps(short, ensure_ascii=False)


def places(sentence: str) -> tuple[str, ...]:
    """Return the fields that a sentence speaks of."""
    return tuple(_PLACE.findall(sentence))


def render(sentence: str, facts: Mapping[str, object]) -> str:
    """Fill a sentence of the catalogue in. A field that is not there is `?` outside brackets."""

    def there(key: str) -> bool:
        return facts.get(key) not in (None, "", (), [])

    def optional(match: re.Match[str]) -> str:
        return match[1] if all(there(key) for key in places(match[1])) else ""

    def place(match: re.Match[str]) -> str:
        key, _, form = match[0].strip("{}").partition(":")
        return _formed(facts[key], form) if there(key) else "?"

    return re.sub(r"\{\w+(?::[\w ]+)?\}", place, _OPTIONAL.sub(optional, sentence))


def _formed(value: object, form: str) -> str:
    if isinstance(value, int | float):
        if form == "span":
            return format_duration(timedelta(seconds=value))
        if form == "size":
            return format_size(int(value))
        if form.startswith("count "):
            return f"{value} {form.removeprefix('count ')}{'' if value == 1 else 's'}"
    if form == "kind":
        return {"expire": "expiry", "restore-test": "restore test"}.get(str(value), str(value))
    return ", ".join(text_of(value).splitlines())


def text_of(value: object) -> str:
    """Return any value as printable, bounded text: a list one item a line, a mapping as JSON."""
    match value:
        case bool():
            text = "true" if value else "false"
        case float():
            text = f"{value:.3f}".rstrip("0").rstrip(".")
        case list() | tuple() | set() | frozenset():
            text = "\n".join(str(item) for item in value)
        case Mapping():
            text = json.dumps(dict(value), default=str, ensure_ascii=False)
        case bytes():
            text = value.decode("utf-8", "backslashreplace")
        case _:
            text = str(value)
    return _cut(printable(text))


def printable(text: str) -> str:
    """Escape what could forge lines or steer a terminal; newlines and tabs stay."""
    return _UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape", "surrogatepass").decode(), text)


def _cut(text: str) -> str:
    raw = text.encode()
    if len(raw) <= VALUE_LIMIT:
        return text
    return (
        f"{raw[: VALUE_LIMIT - 64].decode(errors='ignore')}\n… and {len(raw) - VALUE_LIMIT + 64} bytes more"
    )


Write = Callable[[str, str, Mapping[str, object]], None]
"""Takes level, event name and facts; may raise OSError."""


class Journal:
    """Writes native datagrams, addressed at each send, so that a restarted journal is found again."""

    def __init__(self, socket_path: str | None = None) -> None:
        self._transport = JournaldTransport(socket_path, connected=False)
        self._transport.socket.settimeout(SEND_TIMEOUT_S)

    def close(self) -> None:
        self._transport.socket.close()

    def __call__(self, level: str, name: str, facts: Mapping[str, object]) -> None:
        try:
            self._transport.send(native_fields(level, name, facts))
        except TimeoutError:
            return  # the journal hangs, and standard error leads there too
        except OSError:
            write_line(level, name, facts)


def write_line(level: str, name: str, facts: Mapping[str, object]) -> None:
    """Write one event to standard error, with the time of day in front."""
    if sys.stderr is None:
        return
    colour = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    encoding = sys.stderr.encoding or "utf-8"
    line = f"{_STAMP(None, '', {})['stamp']} {readable_line(level, name, facts, colour=colour)}\n"
    sys.stderr.write(line.encode(encoding, "replace").decode(encoding))
    sys.stderr.flush()


# structlog's own reading of the clock: a stamp for the reader's eye, no decision rests on it.
_STAMP = structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False, key="stamp")


class Writer:
    """The last structlog processor: hands the event to `write`, and never raises: a line that cannot be
    written must not end a backup.
    """

    def __init__(self, write: Write) -> None:
        self._write = write

    def __call__(self, _logger: object, level: str, event_dict: MutableMapping[str, object]) -> str:
        try:
            facts = dict(event_dict)
            name = str(facts.pop("event", ""))
            trace = _traceback(facts.pop("exc_info", None))
            if trace:
                facts["traceback"] = trace
            self._write("error" if level == "exception" else level, name, facts)
        except Exception:  # noqa: BLE001, S110 - see above; there is nowhere left to report it to
            pass
        raise structlog.DropEvent


def _traceback(exc_info: object) -> str:
    error = sys.exc_info()[1] if exc_info is True else exc_info
    if isinstance(error, tuple) and len(error) == 3:
        error = error[1]
    return "".join(traceback.format_exception(error)) if isinstance(error, BaseException) else ""


class Libraries(logging.Handler):
    """Brings what libraries say through standard logging (APScheduler does) into the same journal."""

    def emit(self, record: logging.LogRecord) -> None:
        level = max(record.levelno, logging.WARNING)
        facts = {"library": record.name, "said": record.getMessage(), "exc_info": record.exc_info}
        structlog.get_logger().log(level, "library-said", **facts)


def stderr_is_journal(environ: Mapping[str, str]) -> bool:
    """Tell whether standard error leads to the journal, by $JOURNAL_STREAM (systemd.exec(5))."""
    try:
        device, _, inode = environ.get("JOURNAL_STREAM", "").partition(":")
        stat = os.fstat(sys.stderr.fileno())
        return (stat.st_dev, stat.st_ino) == (int(device), int(inode))
    except (ValueError, OSError, AttributeError):
        return False


def configure(*, journal: bool, debug: bool) -> None:
    """Set structlog up for this process: native journal fields, or readable lines on standard error.

    `journal` is usually `stderr_is_journal(os.environ)`. With `debug` engine output is written too.
    Standard logging of libraries is taken in from WARNING up. Called again, the last call counts.
    """
    write: Write = Journal() if journal else write_line
    structlog.configure(
        processors=[Writer(write)],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG if debug else logging.INFO),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [h for h in root.handlers if not isinstance(h, Libraries)] + [Libraries(logging.WARNING)]
    root.setLevel(logging.WARNING)
