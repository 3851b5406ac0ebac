"""What Tarsnap says, read: every known text, what a creation came to, lists, tables. No program runs."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from snapd.engines.base import Member
from snapd.engines.tarsnap_listener import Listener
from snapd.engines.tarsnap_messages import error_of, extraction_fault, is_unpaid, judge_extraction
from snapd.engines.tarsnap_outcome import Made, causes, omissions, unescaped, verdict
from snapd.engines.tarsnap_output import Members, Sizes, archives_of_lines, archives_of_records, sizes
from snapd.errors import (
    AccountError,
    EngineBusyError,
    EngineError,
    EngineUsageError,
    ExistsError,
    KeyFaultError,
    LocalDiskFullError,
    NetworkError,
    NoMemoryError,
    NotFoundError,
    OutOfSyncError,
    PartialError,
    SnapdError,
)
from snapd.model import Archive, Progress

CREATING = ("tarsnap: Error creating new archive", "tarsnap: Error exit delayed from previous errors.")
READING = (
    "Error reading archive metadata",
    "Error opening archive",
    "Error exit delayed from previous errors.",
)
KEY = ("tarsnap: Cannot read key file: /k",)

# -- causes -------------------------------------------------------------------------------------------------

SERVER: tuple[tuple[str, type[SnapdError]], ...] = (
    ("Transaction already in progress", EngineBusyError),
    ("Transaction interrupted", OutOfSyncError),
    ("Delete transaction interrupted", OutOfSyncError),
    ("Sequence number mismatch: Run --fsck", OutOfSyncError),
    ("Sequence number mismatch creating checkpoint: Run --fsck", OutOfSyncError),
    ("Cannot start write transaction: Account balance is not positive.", AccountError),
    ("Could not begin fsck: Account balance is not positive.", AccountError),
    ("Cannot read data from tarsnap server: Account balance is not positive.", AccountError),
    ("Cannot read list of archive fragments: Account balance is not positive.", AccountError),
    ("Please add more money to your tarsnap account", AccountError),
    ('An archive already exists with the name "x"', ExistsError),
    ('An archive already exists with the name "x.part"', ExistsError),
    ("Archive does not exist: x", NotFoundError),
    ("Programmer error: no such thing", EngineError),
)
NETWORK: tuple[tuple[str, type[SnapdError]], ...] = (
    ("Error looking up v1-0-0-server.tarsnap.com: Temporary failure in name resolution", NetworkError),
    ("Cannot obtain server address", NetworkError),
    ("Too many network failures", NetworkError),
    ("Error connecting to server", NetworkError),
    ("Timeout connecting to server", NetworkError),
    ("Timeout communicating with server", NetworkError),
    ("Connection closed by server", NetworkError),
    ("Network error: Broken pipe", NetworkError),
    ("Network protocol violation by server", NetworkError),
)
KEYS: tuple[tuple[str, type[SnapdError]], ...] = (
    ("fopen(/k): No such file or directory", KeyFaultError),
    ("fopen(/k): Permission denied", KeyFaultError),
    ("Key file has unreasonable size: /k", KeyFaultError),
    ("Key file is corrupt: /k", KeyFaultError),
    ("Key file is corrupt or truncated: /k", KeyFaultError),
    ("Key file is corrupt on line 3: /k", KeyFaultError),
    ("Passphrase is incorrect", KeyFaultError),
    ("Error decrypting key file: /k", KeyFaultError),
    ("Decrypting file would require too much memory", KeyFaultError),
    ("Decrypting file would take too much CPU time", KeyFaultError),
    ("Decrypting file would require too much memory and CPU time", KeyFaultError),
    ("Failed to read from ${TARSNAP}", KeyFaultError),
    ("EOF reading password", KeyFaultError),
    ("Error reading passphrase", KeyFaultError),
    ("Key file belongs to wrong machine: /k", KeyFaultError),
    ("Cannot read key file: /k", KeyFaultError),
    ("The read key is required for --list-archives but is not available", KeyFaultError),
    ("The write or delete authorization key is required for --fsck but is not available", KeyFaultError),
    ("Keys must be provided via --keyfile option", EngineUsageError),
)
USAGE: tuple[tuple[str, type[SnapdError]], ...] = tuple(
    (text, EngineUsageError)
    for text in (
        "Archive name must be specified",
        "Option -f may only be specified once in mode -c",
        "Cannot create an archive with a name > 1023 characters",
        "Cannot create an archive with an empty name",
        "Cache directory must be specified for -c",
        "Option mismatch for --dry-run: cachedir specified but no keyfile",
        "Option --lowmem is not permitted in mode -d",
        "Option --nonesuch is not supported",
        "Option --disk-pause requires an argument",
        "Option --lowmem does not allow an argument",
        "Ambiguous option --no (matches --no-x and --no-y)",
        'Unrecognized configuration file option: "x"',
        "Argument required for configuration file option: x",
        "Cannot read config file: /c: No such file or directory",
        "Cannot have unused command-line args in this mode.",
        "Must specify one of -c, -d, -r, -t, -x, --list-archives, --print-stats",
        "Can't specify both -c and -d",
        "no files or directories specified",
        "Invalid bandwidth rate limit: 3",
        "checkpoint-bytes value must be at least 1M",
        "could not chdir to '/nowhere'",
    )
)
CACHEDIR: tuple[tuple[str, type[SnapdError]], ...] = (
    ("Cache directory must already exist for -d; check --cachedir and/or run --fsck", OutOfSyncError),
    ("on-disk directory is too small (3 bytes): /c/directory", OutOfSyncError),
    ("on-disk directory is corrupt: /c/directory", OutOfSyncError),
    ("on-disk directory has insane size (3 bytes): /c/directory", OutOfSyncError),
    ("on-disk directory is too large: /c/directory", OutOfSyncError),
    ("Error reading cache directory from /c", OutOfSyncError),
    ("Link is incorrect length: /c/cseq", OutOfSyncError),
    ("Cannot parse link as hexadecimal: /c/cseq -> xyz", OutOfSyncError),
    ("Directory is not consistent with archive: Run --fsck", OutOfSyncError),
    ("Archive index does not exist: Run --fsck", OutOfSyncError),
    ("Chunk not present: 00ff: Run --fsck", OutOfSyncError),
    ("Chunk is missing or directory is corrupt", EngineError),
    ("Chunk 00ff is corrupt", EngineError),
    ("Archive index is corrupt", EngineError),
    ("Archive metadata is corrupt: x", EngineError),
    ("Archive metadata file is corrupt", EngineError),
    ("Not pruning corrupted data; please run --fsck-prune", EngineError),
    ("open(/c/lockf): Permission denied", EngineUsageError),
    ("open(/c/lockf): No space left on device", LocalDiskFullError),
    ("Could not check if cachedir exists: Permission denied", EngineUsageError),
    ("Failed to ensure that cachedir exists", EngineUsageError),
    ("Warning: cached trailer is corrupt", EngineError),
    ("Error writing cached archive entry", EngineError),
)
MEMORY: tuple[tuple[str, type[SnapdError]], ...] = (
    ("Out of memory", NoMemoryError),
    ("Cannot allocate memory", NoMemoryError),
    ("No memory", NoMemoryError),
)


@pytest.mark.parametrize(("text", "kind"), [*SERVER, *NETWORK, *USAGE, *CACHEDIR, *MEMORY, *KEYS])
def test_every_known_text_is_the_cause_whatever_closing_lines_follow(
    text: str, kind: type[SnapdError]
) -> None:
    for closing in (CREATING, READING, KEY, ("tarsnap: Error listing archives",), ()):
        error = error_of((f"tarsnap: {text}", *closing), "offsite")
        assert type(error) is kind
        if kind is not AccountError:
            assert error.message == text.rstrip(".")


@pytest.mark.parametrize(
    ("text", "retryable"),
    [
        ("Transaction already in progress", True),
        ("Error looking up v1-0-0-server.tarsnap.com: Temporary failure in name resolution", True),
        ("Too many network failures", True),
        ("fopen(/k): No such file or directory", True),
        ("Out of memory", True),
        ("Transaction interrupted", False),
        ("Sequence number mismatch: Run --fsck", False),
        ("Account balance is not positive", False),
        ("fopen(/k): Permission denied", False),
        ("Passphrase is incorrect", False),
        ("on-disk directory is corrupt: /c/directory", False),
        ("Warning: cached trailer is corrupt", False),
        ("no such words", False),
    ],
)
def test_only_what_may_pass_by_itself_is_tried_again(text: str, retryable: bool) -> None:
    assert error_of((f"tarsnap: {text}", *CREATING), "offsite").retryable is retryable


def test_the_cause_is_the_first_known_text_and_not_what_follows_from_it() -> None:
    said = (
        "tarsnap: Error looking up v1-0-0-server.tarsnap.com: Temporary failure in name resolution",
        "tarsnap: Cannot obtain server address",
        *READING,
    )
    error = error_of(said, "offsite")
    assert "Error looking up" in error.message
    assert "name resolution" in error.hint


def test_a_cause_is_found_where_messages_are_glued_to_one_line() -> None:
    said = ": Permission deniedtarsnap: Sequence number mismatch: Run --fscktarsnap: Error writing archive"
    error = error_of((said,), "offsite")
    assert type(error) is OutOfSyncError
    assert error.message.startswith("Sequence number mismatch")


def test_files_that_could_not_be_read_are_not_why_a_creation_failed() -> None:
    said = ("tarsnap: shadow: could not open file: Permission denied", "tarsnap: Error closing archive")
    assert type(error_of((said[0], "tarsnap: Too many network failures", said[1]), "offsite")) is NetworkError


def test_money_comes_first_and_says_what_seven_days_mean() -> None:
    said = ("tarsnap: Too many network failures", "tarsnap: Please add more money to your tarsnap account")
    error = error_of(said, "offsite")
    assert type(error) is AccountError
    assert "after seven days the account and its archives may be deleted" in error.hint
    assert is_unpaid("\n".join(said))
    assert not is_unpaid(said[0])


@pytest.mark.parametrize("text", ["Transaction interrupted", "Sequence number mismatch: Run --fsck"])
def test_a_second_writer_is_named_as_the_likely_cause_and_the_repair_as_the_cure(text: str) -> None:
    hint = error_of((f"tarsnap: {text}",), "offsite").hint
    assert "another machine, another cachedir or another program writes with the same key" in hint
    assert "`snapd-backup repair offsite`" in hint


def test_an_unknown_text_is_shown_as_it_is() -> None:
    said = (
        "tarsnap: Removing leading '/' from member names",
        "tarsnap: Something new went wrong.",
        *CREATING,
    )
    error = error_of(said, "offsite")
    assert type(error) is EngineError
    assert error.message == "Something new went wrong"


def test_closing_lines_alone_are_shown_rather_than_nothing() -> None:
    assert error_of(CREATING, "offsite").message == "Error creating new archive"
    assert error_of((), "offsite").message == "tarsnap failed without a word"


# -- what a creation came to --------------------------------------------------------------------------------

OLD, NEW = (1, 0, 40), (1, 0, 41)
BEGUN = "tarsnap: Removing leading '/' from member names"
DELAYED = "tarsnap: Error exit delayed from previous errors."
MODIFIED = "tarsnap: Data on server was modified, but it might notbe exactly what you requested"


@pytest.mark.parametrize(
    ("returncode", "said", "version", "made"),
    [
        (0, (BEGUN,), OLD, Made.WHOLE),
        (0, (BEGUN, "tarsnap: x: could not open file: Permission denied"), NEW, Made.WHOLE),
        (
            2,
            (BEGUN, "tarsnap: /x: Cannot stat: No such file or directory", MODIFIED, DELAYED),
            NEW,
            Made.WHOLE,
        ),
        (2, ('tarsnap: An archive already exists with the name "x"', *CREATING, MODIFIED), NEW, Made.NOTHING),
        (1, ("tarsnap: Transaction already in progress", *CREATING), OLD, Made.NOTHING),
        (1, ("tarsnap: Transaction already in progress", *CREATING), NEW, Made.NOTHING),
        (1, (BEGUN, "tarsnap: Archive truncated", DELAYED), OLD, Made.TRUNCATED),
        (2, (BEGUN, "tarsnap: Archive truncated", MODIFIED, DELAYED), NEW, Made.TRUNCATED),
        (
            1,
            (BEGUN, "tarsnap: Archive truncated", "tarsnap: Error closing archive", DELAYED),
            NEW,
            Made.UNKNOWN,
        ),
        (1, (BEGUN, "tarsnap: Error closing archive", DELAYED), OLD, Made.UNKNOWN),
        (1, (BEGUN, "tarsnap: Error closing archive", DELAYED), NEW, Made.UNKNOWN),
        (-9, (BEGUN,), NEW, Made.UNKNOWN),
        (-15, (), OLD, Made.UNKNOWN),
        (1, (BEGUN, "tarsnap: Too many network failures"), OLD, Made.UNKNOWN),
        (1, (BEGUN, "tarsnap: Transaction interrupted", "tarsnap: Error writing archive"), NEW, Made.UNKNOWN),
        (1, (BEGUN, "tarsnap: /x: Cannot stat: No such file or directory", DELAYED), OLD, Made.WHOLE),
        (1, (BEGUN, "tarsnap: Error writing cache", DELAYED), OLD, Made.WHOLE),
        (2, (BEGUN, "tarsnap: Error writing cache", MODIFIED, DELAYED), NEW, Made.WHOLE),
        (1, (BEGUN, "tarsnap: what happened", DELAYED), NEW, Made.UNKNOWN),
        (1, ("tarsnap: Keys must be provided via --keyfile option",), OLD, Made.NOTHING),
        (1, ("tarsnap: Keys must be provided via --keyfile option",), NEW, Made.NOTHING),
        (1, (BEGUN, "tarsnap: /x: Unable to continue traversing directory tree: Bad"), OLD, Made.UNKNOWN),
    ],
)
def test_a_creation_is_judged_by_all_its_evidence(
    returncode: int, said: tuple[str, ...], version: tuple[int, ...], made: Made
) -> None:
    assert verdict(returncode, said, version) is made


@pytest.mark.parametrize(
    ("returncode", "line", "made"),
    [
        (0, "a srv/x: Error creating new archive", Made.WHOLE),
        (0, "a srv/tarsnap: Archive truncated: Permission denied", Made.WHOLE),
        (2, "tarsnap: /srv/tarsnap: Error creating new archive: Cannot stat: No such file", Made.WHOLE),
        (2, "tarsnap: /srv/tarsnap: Error closing archive: Cannot stat: No such file", Made.UNKNOWN),
    ],
)
def test_file_names_that_look_like_messages_never_make_nothing_of_an_archive(
    returncode: int, line: str, made: Made
) -> None:
    assert verdict(returncode, (BEGUN, line, DELAYED), NEW) is made


def test_files_that_are_called_like_a_cause_are_not_the_cause() -> None:
    said = (
        BEGUN,
        "a srv/Account balance is not positive: Permission denied",
        "tarsnap: /srv/Sequence number mismatch: Cannot stat: No such file or directory",
        "a srv/largetarsnap: Too many network failures",
        "tarsnap: Error writing archive",
    )
    assert type(error_of(causes(said), "offsite")) is NetworkError


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("tarsnap: shadow: could not open file: Permission denied", "shadow"),
        ("a etc/shadow: Permission denied", "/etc/shadow"),
        ("a srv/sp ace: x: Input/output error", "/srv/sp ace: x"),
        (r"a srv/new\nline \303\274\\: Permission denied", "/srv/new\nline ü\\"),
        ("tarsnap: /srv/gone: Cannot stat: No such file or directory", "/srv/gone"),
        ("tarsnap: /srv/private: Couldn't visit directory: Permission denied", "/srv/private"),
    ],
)
def test_what_is_missing_is_found_in_every_wording(line: str, path: str) -> None:
    found = omissions([BEGUN, line, DELAYED])
    assert (found.paths, found.warnings) == ((path,), ())


def test_omissions_are_found_on_lines_that_hold_several_messages() -> None:
    glued = "a srv/largetarsnap: srv/large: Truncated write; file may have grown while being archived."
    found = omissions(
        [glued, "a srv/x: Permission deniedtarsnap: /srv/y: Cannot stat: No such file or directory"]
    )
    assert found.paths == ("/srv/x", "/srv/y")
    assert found.warnings == ("srv/large: Truncated write; file may have grown while being archived.",)


def test_chatter_and_tables_are_no_warnings() -> None:
    said = [
        BEGUN,
        "tarsnap: Not adding cache directory to archive: /c",
        "tarsnap: Not descending into filesystem of type proc: /proc",
        "tarsnap: Connection lost, waiting 30 seconds before reconnecting",
        "tarsnap: Connection re-established",
        "tarsnap: Creating checkpoint... done.",
        'Directory /c created for "--cachedir /c"',
        "                                       Total size  Compressed size",
        "All archives                                 1828             1128",
        "  (unique data)                              1828             1128",
        "Processed 2 entries, 65753 bytes",
        "adding srv/large (65536 / 8388608 bytes)",
        "a srv/x",
        DELAYED,
        MODIFIED,
    ]
    assert omissions(said) == omissions([])


def test_an_archive_without_files_is_warned_of() -> None:
    assert omissions(["tarsnap: Warning: Archive contains no files"]).warnings == (
        "Warning: Archive contains no files",
    )


def test_a_flood_of_warnings_is_cut_and_counted() -> None:
    warnings = omissions([f"tarsnap: odd {number}" for number in range(300)]).warnings
    assert len(warnings) == 101
    assert warnings[-1] == "and 200 more warnings"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("plain", "plain"),
        (r"a\nb\tc\\d", "a\nb\tc\\d"),
        (r"\303\274", "ü"),
        (r"x\377", "x\udcff"),
        (r"\\012", r"\012"),
    ],
)
def test_escaped_names_are_read_as_they_are(text: str, name: str) -> None:
    assert unescaped(text) == name


# -- while it works -----------------------------------------------------------------------------------------


def test_entries_and_bytes_are_told_as_progress_and_only_the_rest_is_kept() -> None:
    seen: list[Progress] = []
    listener = Listener(seen.append)
    for line in (
        "a srv/x",
        r"a srv/\303\274",
        "adding srv/large (1 / 2 bytes)",
        "Processed 5 entries, 77 bytes",
    ):
        listener.hear(line)
    assert [(each.files, each.bytes_read, each.path) for each in seen] == [
        (1, 0, "srv/x"),
        (2, 0, "srv/ü"),
        (2, 0, "srv/large"),
        (5, 77, ""),
    ]
    assert listener.said == ("adding srv/large (1 / 2 bytes)", "Processed 5 entries, 77 bytes")


def test_of_a_flood_the_beginning_and_the_end_are_kept() -> None:
    listener = Listener()
    for number in range(10_000):
        listener.hear(f"tarsnap: odd: {number}")
    assert listener.said[0] == "tarsnap: odd: 0"
    assert listener.said[-1] == "tarsnap: odd: 9999"
    assert len(listener.said) + listener.more == 10_000


# -- extraction ---------------------------------------------------------------------------------------------

HARMLESS = (
    "etc/x: Can't set user=0/group=0 for etc/x",
    "etc/x: Can't update time for etc/x",
    "etc/x: Can't set UID=0",
    "etc/x: Can't restore SUID bit",
    "etc/x: Failed to set default acl",
    "dev/null: Can't create 'dev/null': Operation not permitted",
)


def test_owners_times_and_devices_that_cannot_be_set_are_no_error() -> None:
    for line in HARMLESS:
        judge_extraction(line)
    assert extraction_fault((*HARMLESS, DELAYED), "offsite") is None


def test_an_entry_that_could_not_be_written_ends_an_extraction() -> None:
    with pytest.raises(PartialError, match="Cannot extract through symlink"):
        judge_extraction("srv/x: Cannot extract through symlink srv")


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (("tarsnap: Chunk 00ff is corrupt", *HARMLESS, DELAYED), EngineError),
        (("tarsnap: srv/y: Not found in archive", *HARMLESS, DELAYED), NotFoundError),
        (("tarsnap: Archive does not exist: x", *READING), NotFoundError),
        (("srv/x: Write failed: No space left on device", DELAYED), LocalDiskFullError),
        (HARMLESS, EngineError),  # it never came to its end
        ((DELAYED,), EngineError),
    ],
)
def test_a_failed_extraction_is_forgiven_only_what_is_harmless(
    said: tuple[str, ...], kind: type[SnapdError]
) -> None:
    assert type(extraction_fault(said, "offsite")) is kind


# -- lists and tables ---------------------------------------------------------------------------------------

AT = datetime(2026, 11, 26, 3, 50, tzinfo=UTC)


def test_a_list_is_read_from_the_right_and_names_stay_raw() -> None:
    listed = archives_of_lines(
        "a\t2026-11-26 03:50:00\nwith\ttab\t2026-11-26 03:50:00\nb.part\t2026-11-26 03:50:00\n"
    )
    assert listed == (Archive("a", AT), Archive("with\ttab", AT), Archive("b.part", AT, complete=False))
    assert archives_of_lines("") == ()


def test_a_name_with_a_line_end_is_put_together_again() -> None:
    assert archives_of_lines("two\nlines\t2026-11-26 03:50:00\n") == (Archive("two\nlines", AT),)


@pytest.mark.parametrize(
    "text", ["a\t2026-11-26 03:5", "a\n", "a\t2026-11-26 03:50:00\nb\n", "\t2026-11-26 03:50:00\n"]
)
def test_a_damaged_list_of_lines_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="list of archives"):
        archives_of_lines(text)


def test_a_list_between_nuls_is_exact() -> None:
    listed = archives_of_records("two\nlines\t\0\x002026-11-26 03:50:00\0b\0\x002026-11-26 03:50:00\0")
    assert listed == (Archive("two\nlines\t", AT), Archive("b", AT))
    assert archives_of_records("") == ()


def test_an_archive_without_a_time_is_in_the_future_so_that_it_stays() -> None:
    (archive,) = archives_of_records("a\0")
    assert archive.created.year == 9000


@pytest.mark.parametrize(
    "text", ["a\0\x002026-11-26 03:50:00", "a", "a\0\0", "\0", "a\0\0b\0\0c\0", "a\0\0b\0"]
)
def test_a_damaged_list_between_nuls_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"list of archives|Invalid isoformat"):
        archives_of_records(text)


def test_a_table_of_sizes_is_read_from_the_right() -> None:
    table = sizes(
        [
            "                                       Total size  Compressed size",
            "All archives                         104491640436      51510524844",
            "  (unique data)                       14830618089       7733620463",
            "a name that is longer than thirty-two bytes  12  13",
            "tarsnap: something else",
        ]
    )
    assert table == {
        "All archives": Sizes(104491640436, 51510524844),
        "(unique data)": Sizes(14830618089, 7733620463),
        "a name that is longer than thirty-two bytes": Sizes(12, 13),
    }


def member(line: str) -> Member:
    return Members().read(line)


def test_members_of_every_kind_are_read() -> None:
    assert member("-rw-r--r--  1 0      0            5 2026-11-26 03:50:00 srv/a b") == Member(
        "srv/a b", 5, True, AT
    )
    assert member("drwxr-xr-x  2 0      0            0 2026-11-26 03:50:00 srv/") == Member(
        "srv", 0, False, AT
    )
    assert member("lrwxrwxrwx  1 1000   1000         0 2026-11-26 03:50:00 srv/l -> a -> b") == Member(
        "srv/l", 0, False, AT
    )
    assert member("crw-rw-rw-  1 0      0          1,3 2026-11-26 03:50:00 dev/null") == Member(
        "dev/null", 0, False, AT
    )
    assert member(r"-rw-r--r--  1 0      0   8589934592 2026-11-26 03:50:00 a\nb\\c") == Member(
        "a\nb\\c", 8589934592, True, AT
    )


def test_a_hard_link_has_the_size_of_the_entry_it_leads_to() -> None:
    reader = Members()
    reader.read("-rw-r--r--  2 0      0            5 2026-11-26 03:50:00 srv/a link to b")
    link = reader.read(
        "hrw-r--r--  2 0      0            0 2026-11-26 03:50:00 srv/c link to srv/a link to b"
    )
    assert link == Member("srv/c", 5, True, AT)


def test_a_line_that_is_no_entry_is_an_error() -> None:
    with pytest.raises(ValueError, match="no entry"):
        member("-rw-r--r--  1 0 0 5 Nov 26 03:50 srv/a")
