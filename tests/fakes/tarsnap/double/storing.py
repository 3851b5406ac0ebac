"""Storing one archive: its transaction, blocks, checkpoints and commit."""

from __future__ import annotations

import json
import zlib
from typing import Any

from .cachedir import Directory
from .output import PROGRAM, CancelledError, FailedError, FatalError, encode, warn
from .session import Session
from .stats import Row, Table, global_rows

BLOCK = 65536


def block_hash(block: bytes) -> str:
    from _blake2 import blake2b

    return blake2b(block, digest_size=32).hexdigest()


def _is_whole(entry: dict[str, Any]) -> bool:
    """Whether a file's data is all there: the one that was being stored when the archive was cut is not."""
    return bool(entry["size"] == sum(block[1] for block in entry.get("blocks", ())))


class Storing:
    """One archive on its way. A dry run has neither transaction nor server.

    `blocks` counts what the archive is made of so far: hash -> length, compressed length, copies.
    """

    def __init__(self, session: Session, created: int) -> None:
        self.session = session
        self.created = created
        self.dry = session.options.dry_run
        self.name = session.options.names[0]
        self.entries: list[dict[str, Any]] = []
        self.blocks: dict[str, list[int]] = {}
        self.before = Directory()
        self.number = ""
        self.stored = 0  # bytes seen so far, before compression
        self.sent = 0  # bytes sent so far
        self._sent_at_checkpoint = 0
        self._blocks_since = 0
        self.truncated = False

    def open(self) -> None:
        """Lock, finish what a former run left, begin, check the name. Raises `FailedError`."""
        session = self.session
        session.points.reach("create.start")
        if session.cachedir_or_none is not None:
            session.cachedir.lock()
        if self.dry:
            if session.cachedir_or_none is not None:
                self.before = session.cachedir.read_directory(must_exist=False)
            return
        session.finish_former()
        base = session.cachedir.sequence()
        session.points.reach("create.before-transaction")
        session.server.connect()
        session.server.pay("Cannot start write transaction")
        self.number = session.server.begin(base)
        self.before = session.cachedir.read_directory(must_exist=False)
        for name in (self.name, f"{self.name}.part"):
            if session.server.has(session.key.name_hash(name)):
                warn(f'An archive already exists with the name "{name}"')
                raise FailedError

    def known(self, blocks: list[Any]) -> bool:
        """Whether all these blocks are stored already, so that their file need not be read."""
        return all(block[0] in self.blocks or block[0] in self.before.chunks for block in blocks)

    def count(self, block: list[Any]) -> None:
        """Take a block that is stored already. `block` is hash, length, compressed length."""
        row = self.blocks.setdefault(block[0], [block[1], block[2], 0])
        row[2] += 1
        self.stored += block[1]

    def block(self, content: bytes) -> list[Any]:
        """Store one block; gives its hash, length and compressed length."""
        if self.session.options.flags.isdisjoint({"dry-run", "dry-run-metadata"}):
            self._reach("create.block")
        self.session.switches.wait("create_delay_s")
        block = self._send(content)
        self._blocks_since += 1
        return block

    def _reach(self, point: str) -> None:
        try:
            self.session.points.reach(point, self.name)
        except FailedError:
            raise FatalError("Error writing archive") from None

    def _send(self, content: bytes) -> list[Any]:
        name = block_hash(content)
        row = self.blocks.get(name)
        if row is None:
            packed = zlib.compress(content, 1)
            self.blocks[name] = row = [len(content), len(packed), 0]
            if not self.dry:
                self._put(name, packed)
        row[2] += 1
        self.stored += len(content)
        return [name, row[0], row[1]]

    def _put(self, name: str, packed: bytes) -> None:
        """Send a block, unless it is stored already; either way the transaction must still be ours."""
        server = self.session.server
        try:
            if name in self.before.chunks:
                server.check_open(self.number)
            else:
                server.put(self.number, name, packed)
                self.sent += len(packed)
        except CancelledError:
            warn("Transaction interrupted")
            raise FatalError("Error writing archive") from None

    def checkpoint_due(self) -> bool:
        every = self.session.switches["checkpoint_every"]
        if every is not None:
            return bool(self._blocks_since >= every)
        from .settings import parse_size

        wanted = self.session.options.text("checkpoint-bytes")
        return wanted is not None and self.sent - self._sent_at_checkpoint >= (parse_size(wanted) or 0)

    def checkpoint(self) -> None:
        """Make what was stored so far committable, as NAME.part. Raises `FatalError`."""
        self._blocks_since = 0
        self._sent_at_checkpoint = self.sent
        if self.dry:
            return
        blocks = {name: list(row) for name, row in self.blocks.items()}
        try:
            self._checkpoint(f"{self.name}.part")
        except CancelledError:
            warn("Transaction interrupted")
            raise FatalError("Error writing archive") from None
        except FailedError:
            raise FatalError("Error writing archive") from None
        self.blocks = blocks
        self._reach("create.checkpointed")

    def headers(self) -> list[str]:
        """Store the entries themselves, in blocks as well; gives their hashes."""
        whole = [entry for entry in self.entries if _is_whole(entry)]
        content = json.dumps(whole, separators=(",", ":")).encode()
        return [self._send(content[at : at + BLOCK])[0] for at in range(0, len(content), BLOCK)]

    def _checkpoint(self, name: str, *, final: bool = False) -> None:
        session = self.session
        headers = self.headers()
        size = len(encode(name)) + sum(len(encode(word)) + 1 for word in session.argv) + 160
        metadata = {
            "name": name,
            "size": size,
            "created": self.created,
            "argv": [PROGRAM[0], *session.argv],
            "headers": headers,
        }
        chunks = [[block, *row] for block, row in self.blocks.items()]
        after = self.before.copy()
        after.add(chunks, size)
        if final and session.options.print_stats:
            self._show_stats(after, chunks, size)
        if self.dry:
            return
        archive = session.key.name_hash(name)
        record = {"add": [{"archive": archive, "metadata": metadata, "chunks": chunks}]}
        session.cachedir.checkpoint(session.server, self.number, record, after)

    def close(self) -> None:
        """Print the statistics, make the final checkpoint, commit, unlock. Raises `FailedError`."""
        session = self.session
        try:
            self._checkpoint(f"{self.name}.part" if self.truncated else self.name, final=True)
        except CancelledError:
            warn("Transaction interrupted")
            raise
        if self.dry:
            return
        session.commit(self.number, "create", self.name)
        if self.truncated:
            session.fail("Archive truncated")

    def _show_stats(self, after: Directory, chunks: list[list[Any]], extra: int) -> None:
        this, new = [extra, extra], [extra, extra]
        for chunk, length, packed, copies in chunks:
            this = [this[0] + length * copies, this[1] + packed * copies]
            if chunk not in self.before.chunks:
                new = [new[0] + length, new[1] + packed]
        rows: list[Row] = [("This archive", this[0], this[1]), ("New data", new[0], new[1])]
        Table(self.session, 2).show([*global_rows(after), *rows], header=True)
