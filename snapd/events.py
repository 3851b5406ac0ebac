"""The catalogue of events: what the program tells the journal, and in which words. Pure.

`EVENTS` and `FIELDS` are a supported interface, listed in docs/journal.md (`make docs` writes the
lists): a `message_id` never changes, and is never used again.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """One kind of line. `sentence` is rendered from the fields for people, by `render`.

    `{name}` is a field, `{name:span}` seconds as `2m 5s`, `{name:size}` bytes as `1.23 MB`, `{name:kind}` a
    kind of job in words, `{name:count slot}` a number of slots; a part in brackets is left out when one of
    its fields is not there.
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
    "ready: {sets:count backup set} from {file}",
    "The daemon has started, its clock runs, and it takes requests.",
)
_event(
    "daemon-stopping",
    "0273ab613b44497b80e52ba2d0941053",
    "stopping[, {running} running]",
    "The daemon was asked to stop; no run begins any more.",
)
_event(
    "daemon-stopped",
    "f93344feb16544a1bbb039044f2f7625",
    "stopped",
    "The daemon has ended. CLEAN says whether its runs ended in time.",
)
_event(
    "config-accepted",
    "bbf90494298c4cbda200a50dc243f911",
    "config accepted from {file}",
    "A reload took a config file over, and it is now the last accepted one.",
)
_event(
    "config-rejected",
    "5c38e6ada6ae47e19739be6cdc7ef2b9",
    "config refused: {problems}",
    "The config file is wrong; the config before it stays.",
)
_event(
    "config-fallback",
    "ab684c8a86db4664b31d66249f1dc058",
    "running on the last accepted config, because the file is wrong: {problems}",
    "A start with a wrong config file.",
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
    "{kind:kind} of {backup_set} started[, attempt {attempt}]",
    "A run begins; it holds the single lock.",
)
_event(
    "run-ended",
    "5f5dc1fe06014c2887c4f17338775aa0",
    "{kind:kind} of {backup_set} {outcome} in {duration_s:span}"
    "[: {archive}][, {bytes_new:size} new][: {reason}]",
    "The one line about a run that has ended.",
)
_event(
    "run-retry",
    "910c299455d44b10af50471c62fbe766",
    "{kind:kind} of {backup_set} failed and is tried again[ at {retry_at}][: {reason}]",
    "A passing error; the run waits for its next attempt.",
)
_event(
    "run-taken-over",
    "2caf885342044dad896711f411db4c70",
    "{kind:kind} of {backup_set} failed until its next slot came[: {reason}]",
    "A run that waited for its retry gave way to the next slot.",
)
_event(
    "run-defect",
    "087fb48a213c4384b0cc4ba72d2e61e9",
    "a defect of snapd-backup[ in {kind:kind} of][ {backup_set}]",
    "An error that should not exist ended a run, or stopped the lane for a second; TRACEBACK says where.",
)
_event(
    "slots-missed",
    "dcd9971408484826a0306a5ec21256a3",
    "{kind:kind} of {backup_set} missed {slots:count slot}[ from {first_slot}][ to {last_slot}]",
    "Slots passed while the daemon did not run.",
)
_event(
    "slots-skipped",
    "08a0fb4413994e50b8613f2f2a63e812",
    "{kind:kind} of {backup_set} skipped {slots:count slot}[ from {first_slot}][ to {last_slot}][: {reason}]",
    "Slots passed while the job ran, was due or was paused.",
)
_event(
    "lock-waiting",
    "82145919d7234ad896d558706fe96ddc",
    "{kind:kind} of {backup_set} waits for the lock[, held by {holder}]",
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
    "restored",
    "0d3d13373cb64676bf33e4aee2446ca6",
    "restore of {backup_set} {outcome} in {duration_s:span}: {archive} to {path}[: {reason}]",
    "An operator restored an archive by hand, PATHS of it or all, or tried to.",
)
_event(
    "accepted",
    "2b11c4c4cf7444acb37fb82942f047a9",
    "{count:count suspect archive} of {backup_set} accepted",
    "An operator vouched for archives that were suspect. ARCHIVES has one name a line.",
)
_event(
    "scheduler-restarted",
    "a27d3afae6814ea3bb3d34348205692a",
    "the alarm clock was started again: {reason}",
    "Its thread had ended, or an alarm was late.",
)
_event(
    "clock-jumped",
    "b08f1eeab15945f8bdf503341f041fac",
    "the clock jumped by {seconds:span}",
    "The machine slept or its clock was set; slots are caught up.",
)
_event(
    "clock-doubtful",
    "2f0a3c0e6a1d4a0f9b7c55d1c8f4e6b2",
    "the last sign of life is {seconds:span} ago: the machine was away, or its clock is wrong",
    "At a start. Backups go on; an expiry that would delete much asks for approval first.",
)
_event(
    "job-moved",
    "84243697b2254852bd2426322771e7fe",
    "next {kind:kind} of {backup_set} was stored too far ahead and is recomputed",
    "The clock was once ahead.",
)
_event(
    "job-store-rebuilt",
    "d6ac1d4bfe6c4c43ad9110ab21844cdd",
    "the job store {path} is made anew: {reason}",
    "It was damaged; nothing is lost, since the history is the truth.",
)
_event(
    "crash-loop",
    "1f9ba54586ec48e5832ed11afdf360f2",
    "{kind:kind} of {backup_set} is not tried again before its next slot: it ended the daemon twice",
    "Two unclean ends in a row.",
)
_event(
    "recovered",
    "c362f622d4fa418f8ae0eeb6afde746b",
    "{runs} runs of the daemon before were cut off",
    "Found at a start; they are due again.",
)
_event(
    "leftovers-removed",
    "f96f09eb6a034068aa9f410134f1e7d6",
    "leftovers of cut-off runs removed: {paths}",
    "Scratch folders, partial dumps, or engine locks of our own dead child.",
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
    "credentials-not-reloaded",
    "dfcd27fa6fc8461389125ca76246cb3e",
    "credentials are read at start: one that was changed needs a restart",
    "A reload took over a config with systemd credentials, which systemd hands out at the start only.",
)
_event(
    "watchdog-withheld",
    "6de104af50a34d279c80e9e77da2c10a",
    "the watchdog gets no answer: the daemon does not do its work",
    "systemd will start the daemon anew.",
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
    "accepted-not-kept",
    "1edc0f08a5a347128cd70cf16bc547a0",
    "the accepted config cannot be kept in {path}: {reason}",
    "A later start with a wrong file could not fall back to it.",
)
_event(
    "scheduler-down",
    "3d1c9475b32745eb88cc87dc07d360ff",
    "the alarm clock does not work: {reason}",
    "Slots are found by looking instead, a little late, until it works again.",
)
_event(
    "library-said",
    "e13aa5db8d034bb19fe5214dea36e2cd",
    "{library}: {said}",
    "A library's own warning or error, through Python's standard logging.",
)

FIELDS: dict[str, str] = {  # fact -> meaning; the native field is its name in upper case
    "added": "backup sets that the new config adds, one a line",
    "archive": "name of the archive",
    "archives": "names of archives, one a line",
    "attempt": "how often the run was started, this time included",
    "backup_set": "name of the backup set",
    "bytes_new": "bytes the store grew by",
    "cause": "why the run is due: schedule, catch-up, manual, interrupted, sliced",
    "changed": "backup sets that the new config changes, one a line",
    "check": "the check of a restore test",
    "clean": "true when every run ended in time",
    "clean_stop": "true when the daemon before was told to stop",
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
    "keep": "how many archives an expiry will keep",
    "kind": "backup, restore-test or expire",
    "last_slot": "last of the slots, ISO 8601 in UTC",
    "library": "name of the library's logger",
    "line": "one line of output, secrets masked",
    "outcome": "ok, warning, failed, skipped, missed or interrupted",
    "path": "a file or folder",
    "paths": "files or folders, one a line",
    "peer_pid": "process that asked on the control socket",
    "peer_uid": "its user",
    "problems": "what is wrong in the config, one a line",
    "reason": "why, in one sentence",
    "removed": "backup sets that the new config removes, one a line",
    "retry_at": "when the run is tried again, ISO 8601 in UTC",
    "run_id": "id of the run, as in the history",
    "running": "how many runs are under way",
    "runs": "how many runs",
    "said": "the library's words",
    "seconds": "seconds by which the clock moved against the steady one",
    "seen": "what a check saw",
    "sets": "how many backup sets there are",
    "slot": "the instant the run is for, ISO 8601 in UTC",
    "slots": "how many slots",
    "store": "name of the store",
    "traceback": "where in the program the error arose",
    "until": "until when, ISO 8601 in UTC",
}
