"""Tables of sizes, and CSV files of them."""

from __future__ import annotations

from .cachedir import Directory
from .output import FailedError, FatalError, encode, reason, warn, write
from .session import Session

Row = tuple[str, int, int]  # what, total size, compressed size


class Table:
    """Where rows go: a CSV file, or a stream (1 or 2)."""

    def __init__(self, session: Session, stream: int) -> None:
        options = session.options
        self.humanize = options.on("humanize-numbers")
        self.null = "null-output" in options.flags
        self.csv = options.values.get("csv-file")
        self.stream = stream

    def show(self, rows: list[Row], *, header: bool) -> None:
        """Print rows. A header starts a CSV file anew; without one its rows are appended."""
        if self.csv is not None:
            text = "Archive name,Total size,Compressed size\n" if header else ""
            text += "".join(f"{what},{total},{packed}\n" for what, total, packed in rows)
            try:
                with open(self.csv, "wb" if header else "ab") as file:
                    file.write(encode(text))
            except OSError as error:
                raise FatalError(f"fopen({self.csv}): {reason(error)}") from None
            return
        end = "\0" if self.null else "\n"
        lines = [f"{'':32}  {'Total size':>15}  {'Compressed size':>15}"] if header and not self.null else []
        for what, total, packed in rows:
            if self.null:
                lines.append(f"{what}\0\0{self._number(total)}\0\0{self._number(packed)}")
            else:
                lines.append(f"{what:<32}  {self._number(total):>15}  {self._number(packed):>15}")
        write(self.stream, encode("".join(line + end for line in lines)))

    def _number(self, value: int) -> str:
        return humanized(value) if self.humanize else str(value)


def humanized(value: int) -> str:
    """Two or three digits and an SI prefix, rounded down."""
    if value < 1000:
        return f"{value} B"
    scale = 0
    tenths = value * 10
    while tenths >= 10_000:
        tenths //= 1000
        scale += 1
    shown = f"{tenths // 10}.{tenths % 10}" if tenths < 100 else str(tenths // 10)
    return f"{shown} {' kMGTPE'[scale]}B"


def global_rows(directory: Directory) -> list[Row]:
    everything, unique = directory.totals()
    return [("All archives", *everything), ("  (unique data)", *unique)]


def print_stats(session: Session) -> None:
    """The mode --print-stats: offline without -f, from the server with it."""
    try:
        directory = session.cachedir.read_directory(must_exist=True)
        table = Table(session, 1)
        table.show(global_rows(directory), header=True)
        names = session.options.names
        if names == ["*"]:
            names = _every_name(session)
        for name in names:
            _show_archive(session, directory, table, name)
    except FailedError:
        session.fail("Error generating archive statistics")


def _every_name(session: Session) -> list[str]:
    session.server.connect()
    session.server.pay("Cannot read list of archive fragments")
    found = [session.server.metadata(archive) for archive in session.server.archives()]
    return [metadata["name"] for metadata in found if metadata is not None]


def _show_archive(session: Session, directory: Directory, table: Table, name: str) -> None:
    from .reading import look_up

    found = look_up(session, name)
    if found is None:
        if session.options.on("keep-going"):
            return
        warn("Error reading archive metadata")
        raise FailedError
    metadata, chunks = found
    extra = metadata["size"]
    total, unique = [extra, extra], [extra, extra]
    for chunk, length, packed, copies in chunks:
        known = directory.chunks.get(chunk)
        if known is None:
            warn("Directory is not consistent with archive: Run --fsck")
            raise FailedError
        total = [total[0] + length * copies, total[1] + packed * copies]
        if known[2] <= 1:
            unique = [unique[0] + length, unique[1] + packed]
    table.show([(name, total[0], total[1]), ("  (unique data)", unique[0], unique[1])], header=False)
