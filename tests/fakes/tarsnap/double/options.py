"""The options: names, who takes a value, since which release, in which modes, which may stand in a file."""

from __future__ import annotations

SHORT = "BC:cdf:HhI:kLlmnOoPpqrSs:T:tUvW:wX:x"


def _words(text: str) -> list[str]:
    return text.split()


_FLAGS = _words("""
    absolute-paths=P aggressive-networking check-links=l chroot confirmation=w create=c dereference=L dry-run
    dry-run-metadata dump-config extract=x fast-read=q force-resources fsck fsck-prune hashes help
    humanize-numbers initialize-cachedir insane-filesystems iso-dates insecure=P interactive=w keep-going
    keep-newer-files keep-old-files=k list-archives lowmem modification-time=m nodump noatime noisy-warnings
    norecurse=n normalmem no-aggressive-networking no-config-exclude no-config-include no-default-config
    no-disk-pause no-force-resources no-humanize-numbers no-insane-filesystems no-iso-dates no-keep-going
    no-maxbw no-maxbw-rate-down no-maxbw-rate-up no-nodump no-print-stats no-progress-bytes no-quiet
    no-recursion=n no-retry-forever no-same-owner no-same-permissions no-snaptime no-store-atime no-totals
    nuke null null-input null-output numeric-owner one-file-system preserve-permissions=p print-stats quiet
    read-full-blocks=B recover resume-extract retry-forever same-owner same-permissions=p store-atime
    to-stdout=O totals unlink=U unlink-first=U verify-config verbose=v version verylowmem
""")
_VALUES = _words("""
    archive-names cachedir cd=C checkpoint-bytes configfile creationtime csv-file directory=C disk-pause
    exclude exclude-from=X file=f files-from=T include keyfile maxbw maxbw-rate maxbw-rate-down maxbw-rate-up
    newer newer-ctime newer-ctime-than newer-mtime newer-mtime-than newer-than passphrase progress-bytes
    snaptime strip-components
""")


def _table() -> dict[str, tuple[str, bool]]:
    table = {}
    for words, valued in ((_FLAGS, False), (_VALUES, True)):
        for word in words:
            name, _, key = word.partition("=")
            table[name] = (key or name, valued)
    return table


LONG = _table()  # long name -> (what the program calls it, whether it takes a value)

SINCE = {
    **dict.fromkeys(("dump-config", "passphrase", "progress-bytes", "no-progress-bytes"), (1, 0, 40)),
    "resume-extract": (1, 0, 40),
    **dict.fromkeys(("dry-run-metadata", "hashes", "noatime", "null-input", "null-output"), (1, 0, 41)),
}

MODES = {
    "c": "-c",
    "d": "-d",
    "r": "-r",
    "t": "-t",
    "x": "-x",
    **{
        name: f"--{name}"
        for name in ("list-archives", "fsck", "fsck-prune", "recover", "nuke", "initialize-cachedir")
    },
    "verify-config": "--verify-config",
}

# Options that a config file may hold. They are looked at after the mode is known, in the order given.
SETTINGS = frozenset(
    _words("""
    aggressive-networking cachedir checkpoint-bytes disk-pause exclude force-resources humanize-numbers
    include insane-filesystems iso-dates keep-going keyfile lowmem maxbw maxbw-rate maxbw-rate-down
    maxbw-rate-up noatime nodump normalmem no-aggressive-networking no-config-exclude no-config-include
    no-disk-pause no-force-resources no-humanize-numbers no-insane-filesystems no-iso-dates no-keep-going
    no-maxbw no-maxbw-rate-down no-maxbw-rate-up no-nodump no-print-stats no-progress-bytes no-quiet
    no-retry-forever no-snaptime no-store-atime no-totals passphrase print-stats progress-bytes quiet
    retry-forever snaptime store-atime totals verylowmem
    """)
)

_CREATE = ("c",)
SETTING_MODES = {
    **dict.fromkeys(
        _words("""
        aggressive-networking checkpoint-bytes disk-pause lowmem maxbw nodump normalmem noatime snaptime
        store-atime totals verylowmem
        """),
        _CREATE,
    ),
    "print-stats": ("c", "d", "print-stats"),
    "progress-bytes": ("c", "x"),
    "iso-dates": ("t", "c", "x"),
}

# Settings that cancel each other: the first of a group wins, also over the files that are read later.
GROUPS = {"lowmem": "memory", "verylowmem": "memory", "normalmem": "memory"}

# Other options and the modes that permit them, in the order of the client's complaints.
ONLY = (
    ("C", "-C", ("c", "x", "t")),
    ("T", "-T", ("c", "x", "t")),
    ("newer", "--newer", ("c", "x", "t")),
    ("newer-mtime", "--newer-mtime", ("c", "x", "t")),
    ("P", "-P", ("c", "x", "t")),
    ("null", "--null", ("c", "x", "t")),
    ("null-input", "--null-input", ("c", "x", "t")),
    ("null-output", "--null-output", ("list-archives", "print-stats", "x", "t")),
    ("hashes", "--hashes", ("list-archives",)),
    ("one-file-system", "--one-file-system", _CREATE),
    ("q", "--fast-read", ("x", "t")),
    ("n", "-n", _CREATE),
    ("o", "-o", ("x",)),
    ("O", "-O", ("x", "t")),
    ("U", "-U", ("x",)),
    ("l", "--check-links", _CREATE),
    ("dry-run", "--dry-run", _CREATE),
    ("dry-run-metadata", "--dry-run-metadata", _CREATE),
    ("resume-extract", "--resume-extract", ("x",)),
    ("H", "-H", _CREATE),
    ("L", "-L", _CREATE),
    ("strip-components", "--strip-components", ("x", "t")),
)


def key_of(setting: str) -> str:
    """Give the name under which a setting and its `no-` form count as the same one."""
    return GROUPS.get(setting, setting.removeprefix("no-"))
