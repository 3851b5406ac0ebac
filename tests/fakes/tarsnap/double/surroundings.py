"""What the machine says: the locale in force, kinds of file systems, the nodump flag."""

from __future__ import annotations

import os

from .output import warn

_SYNTHETIC = """
    autofs binfmt_misc cgroup cgroup2 configfs debugfs devfs devpts devtmpfs efivarfs fdescfs fusectl mqueue
    nfsd proc procfs pstore rpc_pipefs securityfs selinuxfs sysfs tracefs
"""
SYNTHETIC = frozenset(_SYNTHETIC.split())
_NODUMP = 0x40
_GET_FLAGS = 0x80086601  # FS_IOC_GETFLAGS


def _started_with() -> dict[str, str]:
    """The environment as it was at the start: Python puts a UTF-8 locale in place of C into its own."""
    try:
        with open("/proc/self/environ", "rb") as file:
            content = file.read().decode("utf-8", "surrogateescape")
    except PermissionError:  # of a process that must not be looked at
        return dict(os.environ)
    pairs = (each.partition("=") for each in content.split("\0"))
    return {name: value for name, _, value in pairs}


def ascii_only() -> bool:
    """Whether names that are not ASCII have no meaning in the locale; warns of one that does not exist."""
    given = _started_with()
    wanted = next((given[name] for name in ("LC_ALL", "LC_CTYPE", "LANG") if given.get(name)), "C")
    if wanted in ("C.UTF-8", "C.utf8"):  # spares the import
        return False
    import locale

    try:
        locale.setlocale(locale.LC_CTYPE, wanted)
    except locale.Error:
        warn("Failed to set default locale")
        return True
    return locale.nl_langinfo(locale.CODESET) == "ANSI_X3.4-1968"


def file_system(path: str) -> str:
    """The type of the file system that holds a path."""
    device = os.lstat(path).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            fields = line.split()
            if fields[2] == wanted:
                return fields[fields.index("-") + 1]
    return "unknown"


def is_nodump(path: str) -> bool:
    import fcntl
    import struct

    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        (flags,) = struct.unpack("i", fcntl.ioctl(fd, _GET_FLAGS, b"\0\0\0\0"))
    except OSError:
        return False
    finally:
        os.close(fd)
    return bool(flags & _NODUMP)
