"""The mode -d: each archive has its own lock, transaction and commit."""

from __future__ import annotations

from .output import CancelledError, FailedError, MissingError, tell, warn
from .session import Session
from .stats import Row, Table, global_rows


def delete(session: Session) -> None:
    names = session.options.names
    for name in names:
        if session.options.verbose:
            tell(f'Deleting archive "{name}"')
        try:
            _delete(session, name, several=len(names) > 1)
        except MissingError:
            if not session.options.on("keep-going"):
                session.fail("Error deleting archive")
                return
        except FailedError:
            session.fail("Error deleting archive")
            return
        finally:
            session.cachedir.unlock()


def _delete(session: Session, name: str, *, several: bool) -> None:
    server, points = session.server, session.points
    points.reach("delete.start", name)
    session.cachedir.lock()
    session.finish_former()
    base = session.cachedir.sequence()
    points.reach("delete.before-transaction", name)
    server.connect()
    number = server.begin(base)
    directory = session.cachedir.read_directory(must_exist=False)
    archive = session.key.name_hash(name)
    metadata, chunks = server.metadata(archive), server.chunks_of(archive)
    if metadata is None or chunks is None:
        warn(f"Archive does not exist: {name}")
        raise MissingError
    session.switches.wait("delete_delay_s")
    unused = directory.remove(chunks, metadata["size"])
    points.reach("delete.middle", name)
    if session.options.print_stats:
        this, gone = [metadata["size"]] * 2, [metadata["size"]] * 2
        for chunk, length, packed, copies in chunks:
            this = [this[0] + length * copies, this[1] + packed * copies]
            if chunk in unused:
                gone = [gone[0] + length, gone[1] + packed]
        rows: list[Row] = [
            (name if several else "This archive", this[0], this[1]),
            ("Deleted data", gone[0], gone[1]),
        ]
        Table(session, 2).show([*global_rows(directory), *rows], header=True)
    record = {"delete": [archive], "delete_chunks": unused}
    try:
        server.check_open(number)
        session.cachedir.ready(server, number, record, directory)
    except CancelledError:
        warn("Delete transaction interrupted")
        raise
    session.commit(number, "delete", name)
