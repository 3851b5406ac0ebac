"""What is mounted where (proc_pid_mountinfo(5)), as far as backups care. Pure, but for `read_mounts`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_KERNEL = frozenset(
    {
        *(
            "proc",
            "sysfs",
            "devtmpfs",
            "devpts",
            "cgroup",
            "cgroup2",
            "configfs",
            "debugfs",
            "tracefs",
            "bpf",
        ),
        *(
            "binder",
            "binfmt_misc",
            "efivarfs",
            "functionfs",
            "fusectl",
            "hugetlbfs",
            "mqueue",
            "nsfs",
            "pstore",
        ),
        *("nfsd", "resctrl", "rpc_pipefs", "securityfs", "selinuxfs", "smackfs", "xenfs"),
    }
)
"""File systems that the kernel makes up. Not among them: tmpfs, whose files somebody wrote, and autofs, which
only stands for a real one.
"""

_ESCAPE = re.compile(rb"\\([0-7]{3})")
_PRIVATE = "/systemd-private-"  # systemd.exec(5), PrivateTmp=
_TMP = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - named, not used


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount: its number and its parent's, where it is, what of its file system it shows, and the kind."""

    number: int
    parent: int
    point: Path
    root: str
    kind: str


def read_mounts() -> tuple[Mount, ...]:
    """Return the mounts that this process sees; nothing where there is no /proc."""
    try:
        return parse_mounts(Path("/proc/self/mountinfo").read_bytes())
    except OSError:
        return ()


def parse_mounts(text: bytes) -> tuple[Mount, ...]:
    """Read the lines of a mountinfo file; one that is not understood is left out."""
    return tuple(_parsed(text))


def _parsed(text: bytes) -> Iterator[Mount]:
    for line in text.splitlines():
        fields, _, rest = line.partition(b" - ")
        try:
            number, parent, _, root, point, *_ = fields.split(b" ")
            yield Mount(int(number), int(parent), Path(_path(point)), _path(root), _path(rest.split(b" ")[0]))
        except ValueError:
            continue


def _path(field: bytes) -> str:
    """Undo the escapes of space, tab, newline and backslash."""
    return os.fsdecode(_ESCAPE.sub(lambda match: bytes([int(match[1], 8) & 0xFF]), field))


def kernel_folders(mounts: Sequence[Mount]) -> tuple[Path, ...]:
    """Return where file systems of the kernel can be seen, without those inside another of them; sorted.

    Reading them gives no contents, may never end, and shows the environments of processes.
    """
    found: set[Path] = set()
    for mount in sorted(_visible(mounts), key=lambda mount: mount.point):
        if mount.kind in _KERNEL and found.isdisjoint(mount.point.parents):
            found.add(mount.point)
    return tuple(sorted(found))


def private_folders(mounts: Sequence[Mount]) -> tuple[Path, ...]:
    """Return which of /tmp and /var/tmp are not the machine's but this service's own (PrivateTmp=yes)."""
    return tuple(mount.point for mount in _visible(mounts) if mount.point in _TMP and _PRIVATE in mount.root)


def _visible(mounts: Sequence[Mount]) -> Iterator[Mount]:
    """Yield the mounts that no other lies over: whatever is mounted around one must also be below it."""
    parents = {mount.number: mount.parent for mount in mounts}
    mounted: dict[Path, set[int]] = {}
    for mount in mounts:
        mounted.setdefault(mount.point, set()).add(mount.number)
    for mount in mounts:
        below, number = {mount.number}, mount.parent
        while number in parents and number not in below:
            below.add(number)
            number = parents[number]
        if all(mounted.get(point, set()) <= below for point in (mount.point, *mount.point.parents)):
            yield mount
