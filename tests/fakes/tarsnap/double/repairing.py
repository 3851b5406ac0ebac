"""The modes --fsck, --fsck-prune, --recover, --nuke and --initialize-cachedir."""

from __future__ import annotations

import os

from .cachedir import Directory
from .output import FailedError, say, tell, warn
from .session import Session


def fsck(session: Session) -> None:
    try:
        session.cachedir.lock()
        _fsck(session, prune=session.options.mode == "fsck-prune")
    except FailedError:
        session.fail("Error fscking archives")


def _fsck(session: Session, *, prune: bool) -> None:
    server, cachedir = session.server, session.cachedir
    server.connect()
    pending = server.pending()
    if pending is not None and server.commit(pending):
        session.committed = True
    cachedir.forget()
    if not prune and "write" in session.key.permissions:
        server.pay("Could not begin fsck")
    number = server.begin("", anyway=True)
    say("Phase 1: Verifying metadata validity")
    archives = server.archives()
    damaged = [archive for archive in archives if server.metadata(archive) is None]
    say("Phase 2: Verifying metadata/metaindex consistency")
    say("Phase 3: Reading chunk list")
    stored = set(server.stored_chunks())
    say("Phase 4: Verifying archive completeness")
    directory = Directory()
    for index, archive in enumerate(archives, 1):
        say(f"  Archive {index}/{len(archives)}...")
        session.points.reach("fsck.middle")
        chunks = server.chunks_of(archive)
        metadata = server.metadata(archive)
        if metadata is None or chunks is None or any(chunk[0] not in stored for chunk in chunks):
            damaged.append(archive)
            continue
        directory.add(chunks, metadata["size"])
    say("Phase 5: Identifying unreferenced chunks")
    unused = sorted(stored - set(directory.chunks))
    if damaged and not prune:
        warn("Not pruning corrupted data; please run --fsck-prune")
        raise FailedError
    for chunk in unused if prune else ():
        say(f"  Removing unreferenced chunk file: {chunk}")
    record = {"delete": damaged if prune else [], "delete_chunks": unused if prune else []}
    cachedir.ready(server, number, record, directory)
    session.commit(number, "fsck")
    try:
        os.unlink(f"{cachedir.path}/cache")
    except FileNotFoundError:
        return


def recover(session: Session) -> None:
    """Commit a pending checkpoint, of this cachedir or of another host. Takes no lock."""
    try:
        session.server.connect()
        session.finish_former()
        pending = session.server.pending()
        if pending is not None and session.server.commit(pending):
            session.committed = True
    except FailedError:
        session.fail("Error recovering archive")


def nuke(session: Session) -> None:
    tell("Please type 'No Tomorrow' to continue")
    with open(0, "rb", closefd=False) as file:
        line = file.readline(100)
    if not line:
        session.fail("Error reading string from standard input")
    elif line != b"No Tomorrow\n":
        session.fail("You didn't type 'No Tomorrow'")
    else:
        try:
            session.server.connect()
            session.server.nuke()
            session.committed = True
        except FailedError:
            session.fail("Error nuking archives")


def initialize(session: Session) -> None:
    if os.path.lexists(f"{session.cachedir.path}/directory"):
        session.fail("Cache directory already initialized")
        return
    session.cachedir.initialize()
