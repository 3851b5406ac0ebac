"""`@FILE`, `@-` and `@@NAME` among the paths of a creation: entries of another archive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .members import Entry
from .output import FailedError, warn
from .reading import entries, look_up
from .storing import BLOCK

if TYPE_CHECKING:
    import tarfile

    from .creating import Creation


def append_archive(creation: Creation, name: str) -> None:
    """Take the entries of a stored archive; its blocks are known to the server already."""
    session = creation.session
    try:
        found = look_up(session, name)
        members = None if found is None else entries(session, found[0])
    except FailedError:
        members = None
    if members is None:
        warn("Error reading archive metadata")
        session.fail("Error opening archive")
        return
    for entry in members:
        if creation.stopped():
            return
        if creation.takes(entry):
            for block in entry.get("blocks", ()):
                creation.storing.count(block)
            creation.add_shown(entry)


def append_file(creation: Creation, path: str) -> None:
    """Take the entries of a tar file, or of stdin for `-`. Errors are recorded, what came before stays."""
    import tarfile

    session = creation.session
    try:
        stream = open(0 if path == "-" else path, "rb", closefd=path != "-")  # noqa: SIM115 - with, below
    except OSError:
        session.fail(f"Failed to open '{path}'")
        return
    with stream:
        try:
            with tarfile.open(fileobj=stream, mode="r|*") as tar:
                for member in tar:
                    if creation.stopped():
                        return
                    _append_member(creation, tar, member)
        except tarfile.TarError:
            session.fail(f"Error reading archive {path}: Unrecognized archive format")


def _append_member(creation: Creation, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
    entry = _entry_of(member)
    if creation.ascii and not entry["path"].isascii():
        creation.session.fail("Pathname in pax header can't be converted to current locale.")
    if not creation.takes(entry):
        return
    content = tar.extractfile(member) if entry["kind"] == "file" else None
    if content is not None:
        blocks = []
        while block := content.read(BLOCK):
            blocks.append(creation.storing.block(block))
        entry["blocks"] = blocks
    creation.add_shown(entry)


def _entry_of(member: tarfile.TarInfo) -> Entry:
    kinds = ((member.isdir, "folder"), (member.issym, "symlink"), (member.islnk, "hardlink"))
    kind = next((name for test, name in kinds if test()), "fifo" if member.isfifo() else "file")
    entry: Entry = {
        "path": member.name,
        "kind": kind,
        "mode": member.mode,
        "uid": member.uid,
        "gid": member.gid,
        "user": member.uname,
        "group": member.gname,
        "size": member.size if kind == "file" else 0,
        "mtime": int(member.mtime * 1_000_000_000),
        "ctime": int(member.mtime * 1_000_000_000),
    }
    return entry | ({"link": member.linkname} if member.linkname else {})
