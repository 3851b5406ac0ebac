"""Reading archives: which there are, what is in them."""

from __future__ import annotations

import time
from typing import Any

from .output import FailedError, encode, warn, write
from .session import Session


def look_up(session: Session, name: str) -> tuple[dict[str, Any], list[list[Any]]] | None:
    """Read an archive's metadata and its list of chunks; None, after telling, when it does not exist."""
    server = session.server
    server.connect()
    server.pay("Cannot read data from tarsnap server")
    archive = session.key.name_hash(name)
    metadata, chunks = server.metadata(archive), server.chunks_of(archive)
    if metadata is None or chunks is None:
        warn(f"Archive does not exist: {name}")
        return None
    return metadata, chunks


def list_archives(session: Session) -> None:
    """The mode --list-archives: ascending by the hash of the name, a partial list when it fails."""
    try:
        _list(session)
    except FailedError:
        session.fail("Error listing archives")


def _list(session: Session) -> None:
    options = session.options
    if options.names and "hashes" not in options.flags:
        warn("--list-archives: can only use -f with --hashes")
        raise FailedError
    session.server.connect()
    session.server.pay("Cannot read list of archive fragments")
    for number, archive in enumerate(options.names or session.server.archives(), 1):
        if not set(archive) <= set("0123456789abcdef") or len(archive) != 64:
            warn(f"Invalid archive hash: {archive}")
            raise FailedError
        if session.switches["list_fails_at"] == number:
            warn("Too many network failures")
            raise FailedError
        session.points.reach("list.record")
        session.switches.wait("list_delay_s")
        _show_record(session, archive)


def _show_record(session: Session, archive: str) -> None:
    options = session.options
    fields: list[str] = []
    words: list[str] = []
    if "hashes" in options.flags:
        fields.append(archive)
    if "hashes" not in options.flags or options.verbose:
        metadata = session.server.metadata(archive)
        if metadata is None:
            warn("Cannot read archive metadata file")
            raise FailedError
        fields.append(metadata["name"])
        if options.verbose and metadata["created"] != -1:
            fields.append(time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(metadata["created"])))
        words = metadata["argv"] if options.verbose > 1 else []
    null = "null-output" in options.flags
    if words:
        fields.append(("\0\0\0" if null else " ").join(words))
    write(1, encode(("\0\0" if null else "\t").join(fields) + ("\0" if null else "\n")))


def entries(session: Session, metadata: dict[str, Any]) -> list[dict[str, Any]]:
    """Read the headers of an archive: one entry for each member, in stored order."""
    import json

    content = b"".join(session.server.chunk(chunk) for chunk in metadata["headers"])
    found: list[dict[str, Any]] = json.loads(content)
    return found
