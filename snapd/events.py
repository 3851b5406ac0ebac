"""The catalogue of events: what the program tells the journal, and in which words. Pure.

`EVENTS` and `FIELDS` are a supported interface, listed in docs/journal.md (`make docs` writes the
lists): a `message_id` never changes, and is never used again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from snapd.units import format_duration, format_size

VALUE_LIMIT = 64 * 1024  # bytes of one field


@dataclass(frozen=True, slots=True)
class Event:
    """One kind of line. `sentence` is rendered from the fields for people, by `render`.

    `{name}` is a field, `{name:span}` seconds as `2m 5s`, `{name:size}` bytes as `1.23 MB`; a part in
    brackets is left out when one of its fields is not there.
    """

    message_id: str
    sentence: str
    meaning: str


EVENTS: dict[str, Event] = {}


def _event(name: str, message_id: str, sentence: str, meaning: str) -> None:
    EVENTS[name] = Event(message_id, sentence, meaning)


_event(
    "daemon-ready",
    "c502fffad89844cf9447ed99249e2b89",
    "ready[: {jobs} jobs][, next is {next_job} at {next_slot}]",
    "The daemon has started, its clock runs, and it takes requests.",
)
_event(
    "daemon-stopping",
    "0273ab613b44497b80e52ba2d0941053",
    "stopping[: {running} is told to end]",
    "The daemon was asked to stop; no run begins any more.",
)
_event(
    "daemon-stopped",
    "f93344feb16544a1bbb039044f2f7625",
    "stopped[ after {duration_s:span}]",
    "The daemon has ended in order.",
)
_event(
    "config-accepted",
    "bbf90494298c4cbda200a50dc243f911",
    "config accepted[: {sets} sets, {jobs} jobs]",
    "A config file was read at a start or a reload, and is now the last accepted one.",
)
_event(
    "config-rejected",
    "5c38e6ada6ae47e19739be6cdc7ef2b9",
    "config refused[: {reason}]",
    "The config file is wrong. PROBLEMS has one line for each error; the config before it stays.",
)
_event(
    "config-fallback",
    "ab684c8a86db4664b31d66249f1dc058",
    "running on the last accepted config, because the file is wrong[: {reason}]",
    "Start with a wrong file.",
)
_event(
    "machine-problem",
    "5d81c047e94e4478ac8b14ae5f459f78",
    "[{store}: ][{backup_set}: ]{reason}",
    "Something on the machine stops the runs of a store or a set; the others go on.",
)
_event(
    "run-started",
    "eff6a3344fd5460ca9f6abd41cf58bb0",
    "{kind} of {backup_set} started[, attempt {attempt}]",
    "A run begins; it holds the single lock.",
)
_event(
    "run-ended",
    "5f5dc1fe06014c2887c4f17338775aa0",
    "{kind} of {backup_set} {outcome} in {duration_s:span}[: {archive}][, {bytes_new:size} new][: {reason}]",
    "The one line about a run that has ended.",
)
_event(
    "run-retry",
    "910c299455d44b10af50471c62fbe766",
    "{kind} of {backup_set} failed and is tried again[ at {retry_at}][: {reason}]",
    "A passing error; the run waits for its next attempt.",
)
_event(
    "run-interrupted",
    "c83f25fdd57d45c7b270684f5e3bfaa2",
    "{kind} of {backup_set} was cut off[: {reason}]",
    "A run was ended on purpose, and follows later.",
)
_event(
    "run-taken-over",
    "2caf885342044dad896711f411db4c70",
    "{kind} of {backup_set} failed until its next slot came[: {reason}]",
    "A run that waited for its retry gave way to the next slot.",
)
_event(
    "run-defect",
    "087fb48a213c4384b0cc4ba72d2e61e9",
    "{kind} of {backup_set} met a defect of snapd-backup",
    "An error that should not exist ended a run; TRACEBACK says where.",
)
_event(
    "slots-missed",
    "dcd9971408484826a0306a5ec21256a3",
    "{kind} of {backup_set} missed {slots} slots[ from {first_slot}][ to {last_slot}]",
    "Slots passed while the daemon did not run.",
)
_event(
    "slots-skipped",
    "08a0fb4413994e50b8613f2f2a63e812",
    "{kind} of {backup_set} skipped {slots} slots[ from {first_slot}][ to {last_slot}][: {reason}]",
    "Slots passed while the job ran, was due or was paused.",
)
_event(
    "lock-waiting",
    "82145919d7234ad896d558706fe96ddc",
    "{kind} of {backup_set} waits for the lock[, held by {holder}]",
    "Another run or command holds the single lock.",
)
_event(
    "expiry-planned",
    "1d5034a2152d46f5afab68f15ad601c4",
    "expiry of {backup_set}: {keep} to keep, {delete} to delete",
    "What an expiry decided, before it deletes.",
)
_event(
    "expiry-held",
    "117e3b4581cb4653b5aca5d20d9868fd",
    "expiry of {backup_set} is held[: {reason}]",
    "An expiry deletes nothing until the reason is gone.",
)
_event(
    "archives-deleted",
    "3da0cfadf77f4c028f80efbb2024ca54",
    "{count} archives of {backup_set} deleted",
    "A batch of an expiry was deleted. ARCHIVES has one name a line.",
)
_event(
    "restore-finding",
    "a7ef62bd70284f54a4111d3462b3434b",
    "restore test of {backup_set}: {check}: expected {expected}, saw {seen}",
    "One check of a restore test did not pass, or could not be told.",
)
_event(
    "scheduler-restarted",
    "a27d3afae6814ea3bb3d34348205692a",
    "the scheduler had stopped and was started again[: {reason}]",
    "The clock's thread had ended or hung; slots are caught up.",
)
_event(
    "clock-jumped",
    "b08f1eeab15945f8bdf503341f041fac",
    "the clock jumped by {jump_s:span}",
    "The machine slept or its clock was set; slots are caught up.",
)
_event(
    "job-moved",
    "84243697b2254852bd2426322771e7fe",
    "next run of {job} moved from {stored} to {next}",
    "A stored next run was too far ahead: the clock was once ahead.",
)
_event(
    "job-store-rebuilt",
    "d6ac1d4bfe6c4c43ad9110ab21844cdd",
    "the job store was made anew[: {reason}]",
    "It was damaged or unreadable; nothing is lost, the history is the truth.",
)
_event(
    "crash-loop",
    "1f9ba54586ec48e5832ed11afdf360f2",
    "{kind} of {backup_set} is not tried again before its next slot: it ended the daemon twice",
    "Two unclean ends in a row.",
)
_event(
    "recovered",
    "c362f622d4fa418f8ae0eeb6afde746b",
    "{kind} of {backup_set} was running when the daemon died, and is due again",
    "Found at a start.",
)
_event(
    "leftovers-removed",
    "f96f09eb6a034068aa9f410134f1e7d6",
    "{count} leftovers of an earlier run removed",
    "Scratch folders, partial dumps or engine locks of our own dead child. PATHS names them.",
)
_event(
    "history-rebuilt",
    "1b1d468376fc41a4a340383aec54d580",
    "the history was damaged and is started anew[; the old one is {path}]",
    "Expiry is held and every proof is gone; backups go on.",
)
_event(
    "history-unwritten",
    "376e0f7ca3574ac4b586e102e6437254",
    "the history cannot be written[: {reason}]",
    "Rows wait in memory until the disk takes them.",
)
_event(
    "history-written",
    "d0fec1ef742044c1909dfdbcedcbd87d",
    "the history is written again",
    "Rows that waited in memory are on disk.",
)
_event(
    "control-refused",
    "9c4f3f572dd346c0bc2f3463a195696b",
    "request on the control socket refused[: {reason}]",
    "A stranger, garbage, or too much.",
)
_event(
    "credential-stale",
    "dfcd27fa6fc8461389125ca76246cb3e",
    "a credential has changed since the start[: {credential}]",
    "A restart is needed to fetch it; the running daemon uses the old one.",
)
_event(
    "watchdog-withheld",
    "6de104af50a34d279c80e9e77da2c10a",
    "the watchdog is not answered any more: {reason}",
    "The daemon cannot do its work; systemd will start it anew.",
)
_event(
    "engine-output",
    "2db76a2e4f4848d3a5511854c1d582b7",
    "{line}",
    "A line of an engine's own words, at debug.",
)
_event(
    "paused",
    "6217971844bf4a6b9d2db3c98a834f74",
    "{backup_set} is paused until {until}",
    "An operator paused a set.",
)
_event(
    "resumed",
    "0249218e0a1a4ce181539d477438429f",
    "{backup_set} is resumed",
    "An operator resumed a set.",
)
_event(
    "library-said",
    "e13aa5db8d034bb19fe5214dea36e2cd",
    "{library}: {said}",
    "A library's own warning or error, through Python's standard logging.",
)

FIELDS: dict[str, str] = {  # fact -> meaning; the native field is its name in upper case
    "archive": "name of the archive",
    "archives": "names of archives, one a line",
    "attempt": "how often the run was started, this time included",
    "backup_set": "name of the backup set",
    "bytes_new": "bytes the store grew by",
    "cause": "why the run is due: schedule, catch-up, manual, interrupted, sliced",
    "check": "the check of a restore test",
    "count": "how many",
    "credential": "names of systemd credentials, one a line",
    "delete": "how many archives an expiry will delete",
    "duration_s": "seconds it took",
    "error_code": "one word for the error; a later version may add words",
    "expected": "what a check expected",
    "failures": "failed attempts in a row",
    "file": "the config file",
    "first_slot": "first of the slots, ISO 8601 in UTC",
    "hint": "what the operator can do",
    "holder": "who holds the single lock",
    "job": "id of a job, such as backup:mail",
    "jobs": "how many jobs are scheduled",
    "jump_s": "seconds by which the clock moved against the steady one",
    "keep": "how many archives an expiry will keep",
    "kind": "backup, restore-test or expire",
    "last_slot": "last of the slots, ISO 8601 in UTC",
    "library": "name of the library's logger",
    "line": "one line of output, secrets masked",
    "next": "the next run now, ISO 8601",
    "next_job": "id of the job that comes next",
    "next_slot": "when it comes, ISO 8601",
    "outcome": "ok, warning, failed, skipped, missed or interrupted",
    "path": "a file or folder",
    "paths": "files or folders, one a line",
    "peer": "who asked on the control socket",
    "problems": "what is wrong in the config, one a line",
    "reason": "why, in one sentence",
    "retry_at": "when the run is tried again, ISO 8601 in UTC",
    "run_id": "id of the run, as in the history",
    "running": "id of the job that runs",
    "said": "the library's words",
    "seen": "what a check saw",
    "sets": "how many backup sets there are",
    "slot": "the instant the run is for, ISO 8601 in UTC",
    "slots": "how many slots",
    "store": "name of the store",
    "stored": "the next run as it was stored, ISO 8601",
    "traceback": "where in the program the error arose",
    "until": "until when, ISO 8601 in UTC",
}


_PLACE = re.compile(r"\{(\w+)(?::\w+)?\}")
_OPTIONAL = re.compile(r"\[([^][]*)\]")


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

    return re.sub(r"\{\w+(?::\w+)?\}", place, _OPTIONAL.sub(optional, sentence))


def _formed(value: object, form: str) -> str:
    if isinstance(value, int | float):
        if form == "span":
            return format_duration(timedelta(seconds=value))
        if form == "size":
            return format_size(int(value))
    return ", ".join(text_of(value).splitlines())


_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


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
