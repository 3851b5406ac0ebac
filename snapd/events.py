"""The catalogue of events: what the program tells the journal, and in which words. Pure.

It is a supported interface, listed in docs/journal.md (`make docs` writes the list): a `message_id` never
changes, and is never used again. `snapd.event_fields` has what the fields mean.
"""

from __future__ import annotations

from dataclasses import dataclass

from snapd.expiry_events import EXPIRY_EVENTS


@dataclass(frozen=True, slots=True)
class Event:
    """One kind of line. `sentence` is rendered from the fields for people, by `render`.

    `{name}` is a field, `{name:span}` seconds as `2m 5s`, `{name:size}` bytes as `1.23 MB`, `{name:kind}` a
    kind of job in words, `{name:count slot}` a number of slots; a part in brackets is left out when one of
    its fields is not there. `priorities` are those an entry of it may have, as syslog(3) numbers them;
    `fields` those it may have beside the journal's own, each left out when it is not known.
    """

    message_id: str
    sentence: str
    meaning: str
    priorities: tuple[int, ...]
    fields: tuple[str, ...]


EVENTS: dict[str, Event] = {}


def _event(name: str, message_id: str, sentence: str, meaning: str, facts: str) -> None:
    """Add to the catalogue; `facts` has the priorities, a colon, and the fields."""
    priorities, _, fields = facts.partition(":")
    EVENTS[name] = Event(
        message_id, sentence, meaning, tuple(map(int, priorities.split())), tuple(fields.split())
    )


_event(
    "daemon-ready",
    "c502fffad89844cf9447ed99249e2b89",
    "ready: {sets:count backup set} from {file}",
    "The daemon has started, its clock runs, and it takes requests.",
    "6: sets file",
)
_event(
    "daemon-stopping",
    "0273ab613b44497b80e52ba2d0941053",
    "stopping[, {running} running]",
    "The daemon was asked to stop; no run begins any more.",
    "6: running",
)
_event(
    "daemon-stopped",
    "f93344feb16544a1bbb039044f2f7625",
    "stopped",
    "The daemon has ended. CLEAN says whether its runs ended in time.",
    "6: clean",
)
_event(
    "config-accepted",
    "bbf90494298c4cbda200a50dc243f911",
    "config accepted from {file}",
    "A reload took a config file over, and it is now the last accepted one.",
    "6: file added changed removed",
)
_event(
    "config-rejected",
    "5c38e6ada6ae47e19739be6cdc7ef2b9",
    "config refused: {problems}",
    "The config file is wrong; the config before it stays.",
    "3: file problems",
)
_event(
    "config-fallback",
    "ab684c8a86db4664b31d66249f1dc058",
    "running on the last accepted config, because the file is wrong: {problems}",
    "A start with a wrong config file.",
    "3: problems",
)
_event(
    "machine-problem",
    "5d81c047e94e4478ac8b14ae5f459f78",
    "[{store}: ][{backup_set}: ]{reason}",
    "Something on the machine stops the runs of a store or a set; the others go on.",
    "3 4: store backup_set reason hint",
)
_event(
    "run-started",
    "eff6a3344fd5460ca9f6abd41cf58bb0",
    "{kind:kind} of {backup_set} started[, attempt {attempt}]",
    "A run begins; it holds the single lock.",
    "6: run_id backup_set kind cause slot attempt",
)
_event(
    "run-ended",
    "5f5dc1fe06014c2887c4f17338775aa0",
    "{kind:kind} of {backup_set} {outcome} in {duration_s:span}"
    "[: {archive}][, {bytes_new:size} new][: {reason}]",
    "The one line about a run that has ended.",
    "3 4 6: run_id backup_set kind outcome duration_s archive bytes_new error_code reason hint",
)
_event(
    "run-retry",
    "910c299455d44b10af50471c62fbe766",
    "{kind:kind} of {backup_set} failed and is tried again[ at {retry_at}][: {reason}]",
    "A passing error; the run waits for its next attempt.",
    "4: run_id backup_set kind duration_s archive bytes_new error_code reason hint retry_at failures",
)
_event(
    "run-taken-over",
    "2caf885342044dad896711f411db4c70",
    "{kind:kind} of {backup_set} failed until its next slot came[: {reason}]",
    "A run that waited for its retry gave way to the next slot.",
    "3: run_id backup_set kind error_code reason hint",
)
_event(
    "run-defect",
    "087fb48a213c4384b0cc4ba72d2e61e9",
    "a defect of snapd-backup[ in {kind:kind} of][ {backup_set}]",
    "An error that should not exist ended a run, or stopped the lane for a second; TRACEBACK says where.",
    "3: run_id backup_set kind traceback",
)
_event(
    "slots-missed",
    "dcd9971408484826a0306a5ec21256a3",
    "{kind:kind} of {backup_set} missed {slots:count slot}[ from {first_slot}][ to {last_slot}]",
    "Slots passed while the daemon did not run.",
    "4: run_id backup_set kind slots first_slot last_slot reason",
)
_event(
    "slots-skipped",
    "08a0fb4413994e50b8613f2f2a63e812",
    "{kind:kind} of {backup_set} skipped {slots:count slot}[ from {first_slot}][ to {last_slot}][: {reason}]",
    "Slots passed while the job ran, was due or was paused.",
    "6: run_id backup_set kind slots first_slot last_slot reason",
)
_event(
    "lock-waiting",
    "82145919d7234ad896d558706fe96ddc",
    "{kind:kind} of {backup_set} waits for the lock[, held by {holder}]",
    "Another run or command holds the single lock, or reads what must not be moved.",
    "6: run_id backup_set kind holder",
)
_event(
    "run-handed-over",
    "62a55a1baec44d07a80b0c2b043ab5f9",
    "{kind:kind} of {backup_set} goes on beside a backup that is due",
    "A restore test gave the single lock away and reads on in the second lane.",
    "6: run_id backup_set kind",
)
_event(
    "run-sliced",
    "1269db68365d47109a84f4d0bcb0ee98",
    "{kind:kind} of {backup_set} is cut after {duration_s:span}: a backup of another set is due",
    "A creation took longer than max_hold while another waited; it keeps what it stored and goes on later.",
    "6: run_id backup_set kind duration_s",
)
for _facts in EXPIRY_EVENTS:
    _event(*_facts)
_event(
    "restore-finding",
    "a7ef62bd70284f54a4111d3462b3434b",
    "restore test of {backup_set}: {check}: expected {expected}, saw {seen}",
    "One check of a restore test did not pass, or could not be told.",
    "4: run_id backup_set check expected seen",
)
_event(
    "restored",
    "0d3d13373cb64676bf33e4aee2446ca6",
    "restore of {backup_set} {outcome} in {duration_s:span}: {archive} to {path}[: {reason}]",
    "An operator restored an archive by hand, PATHS of it or all, or tried to.",
    "4 6: backup_set outcome duration_s archive path paths reason peer_uid",
)
_event(
    "accepted",
    "2b11c4c4cf7444acb37fb82942f047a9",
    "{count:count suspect archive} of {backup_set} accepted",
    "An operator vouched for archives that were suspect. ARCHIVES has one name a line.",
    "6: backup_set count archives peer_uid",
)
_event(
    "scheduler-restarted",
    "a27d3afae6814ea3bb3d34348205692a",
    "the alarm clock was started again: {reason}",
    "Its thread had ended, or an alarm was late.",
    "4: reason",
)
_event(
    "clock-jumped",
    "b08f1eeab15945f8bdf503341f041fac",
    "the clock jumped by {seconds:span}",
    "The clock was set; slots are caught up, and an expiry that would delete much asks for approval first.",
    "4: seconds",
)
_event(
    "clock-doubtful",
    "2f0a3c0e6a1d4a0f9b7c55d1c8f4e6b2",
    "the last sign of life is {seconds:span} ago: the machine was away, or its clock is wrong",
    "At a start. Backups go on; an expiry that would delete much asks for approval first.",
    "4: seconds",
)
_event(
    "job-moved",
    "84243697b2254852bd2426322771e7fe",
    "next {kind:kind} of {backup_set} was stored too far ahead and is recomputed",
    "The clock was once ahead.",
    "4: backup_set kind",
)
_event(
    "job-store-rebuilt",
    "d6ac1d4bfe6c4c43ad9110ab21844cdd",
    "the job store {path} is made anew: {reason}",
    "It was damaged; nothing is lost, since the history is the truth.",
    "4: path reason",
)
_event(
    "crash-loop",
    "1f9ba54586ec48e5832ed11afdf360f2",
    "{kind:kind} of {backup_set} is not tried again before its next slot: it ended the daemon twice",
    "Two unclean ends in a row.",
    "3: run_id backup_set kind error_code hint",
)
_event(
    "recovered",
    "c362f622d4fa418f8ae0eeb6afde746b",
    "{runs:count run} of the daemon before cut off",
    "Found at a start; they are due again.",
    "4: runs",
)
_event(
    "leftovers-removed",
    "f96f09eb6a034068aa9f410134f1e7d6",
    "leftovers of cut-off runs removed: {paths}",
    "Scratch folders, partial dumps, or engine locks of our own dead child.",
    "6: paths",
)
_event(
    "history-rebuilt",
    "1b1d468376fc41a4a340383aec54d580",
    "the history was damaged and is started anew[; the old one is {path}]",
    "Expiry is held and every proof is gone; backups go on.",
    "3: path reason hint",
)
_event(
    "history-unwritten",
    "376e0f7ca3574ac4b586e102e6437254",
    "the history cannot be written[: {reason}]",
    "Rows wait in memory until the disk takes them.",
    "3: path reason count hint",
)
_event(
    "history-written",
    "d0fec1ef742044c1909dfdbcedcbd87d",
    "the history is written again",
    "Rows that waited in memory are on disk.",
    "6: path",
)
_event(
    "control-refused",
    "9c4f3f572dd346c0bc2f3463a195696b",
    "request on the control socket refused[: {reason}]",
    "A stranger, garbage, or too much.",
    "4: reason peer_pid peer_uid",
)
_event(
    "credentials-not-reloaded",
    "dfcd27fa6fc8461389125ca76246cb3e",
    "credentials are read at start: one that was changed needs a restart",
    "A reload took over a config with systemd credentials, which systemd hands out at the start only.",
    "6:",
)
_event(
    "watchdog-withheld",
    "6de104af50a34d279c80e9e77da2c10a",
    "the watchdog gets no answer: the daemon does not do its work",
    "systemd will start the daemon anew.",
    "3:",
)
_event(
    "engine-output",
    "2db76a2e4f4848d3a5511854c1d582b7",
    "{line}",
    "A line of an engine's own words, at debug.",
    "7: line",
)
_event(
    "archive-appeared",
    "2a3d0ec15e994cf8a42c18bc1fa335e7",
    "an archive of {backup_set} that its run was not sure of is in the store: {archive}",
    "A run was cut off so late that only a later listing tells what it made: whole, or the part it had sent.",
    "6: backup_set archive complete run_id",
)
_event(
    "repair-started",
    "37afdc4690524b06a411ad58d6198583",
    "repair of the store {store} asked for",
    "An operator asked for it; it begins when the lock is free.",
    "6: store peer_uid",
)
_event(
    "repaired",
    "adb8950a49934e8db4a277222114f78f",
    "the store {store} is repaired, after {duration_s:span}",
    "The repair came to its end.",
    "6: store duration_s",
)
_event(
    "repair-failed",
    "c3cf6947d63741789b8f0f10c3852fae",
    "the store {store} could not be repaired: {reason}",
    "The repair ended with an error, or was cut off.",
    "3: store duration_s error_code reason hint",
)
_event(
    "paused",
    "6217971844bf4a6b9d2db3c98a834f74",
    "{backup_set} is paused until {until}",
    "An operator paused a set.",
    "6: backup_set until",
)
_event(
    "resumed",
    "0249218e0a1a4ce181539d477438429f",
    "{backup_set} is resumed",
    "An operator resumed a set.",
    "6: backup_set",
)
_event(
    "accepted-not-kept",
    "1edc0f08a5a347128cd70cf16bc547a0",
    "the accepted config cannot be kept in {path}: {reason}",
    "A later start with a wrong file could not fall back to it.",
    "4: path reason",
)
_event(
    "scheduler-down",
    "3d1c9475b32745eb88cc87dc07d360ff",
    "the alarm clock does not work: {reason}",
    "Slots are found by looking instead, a little late, until it works again.",
    "3: reason",
)
_event(
    "library-said",
    "e13aa5db8d034bb19fe5214dea36e2cd",
    "{library}: {said}",
    "A library's own warning or error, through Python's standard logging.",
    "2 3 4: library said traceback",
)
