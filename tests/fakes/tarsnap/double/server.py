"""The server's side: one folder for each key (machine), shared by every process that has it.

sequence                  the number of the last committed transaction, 64 hex digits
archives/HASH             the metadata of an archive; it exists when this does
manifests/HASH            the chunks that the archive is made of
chunks/HASH               a block of data, compressed
open/SEQUENCE/            at most one transaction: blocks that were sent, and its checkpoint when it has one
committed/SEQUENCE/       a transaction that is being applied: whoever comes next ends it, so that a
                          commit happens whole or not at all even when its process is killed in it
lock                      held while transactions change hands, for milliseconds; never during a run
"""

from __future__ import annotations

import fcntl
import json
import os
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .output import CancelledError, FailedError, warn
from .switches import Switches

ZERO = "0" * 64
HOST = "v1-0-0-server.tarsnap.com"
_MONEY = "Please add more money to your tarsnap account"


class Server:
    """What the client can ask of the server. `connect` comes before everything else."""

    def __init__(self, root: str, switches: Switches, *, forever: bool = False) -> None:
        self.root = root
        self.switches = switches
        self.forever = forever
        self.connected = False

    def connect(self) -> None:
        """Look the server up and connect, once. Raises `FailedError`."""
        if self.connected:
            return
        network = self.switches["network"]
        if network == "no-name":
            warn(f"Error looking up {HOST}: Temporary failure in name resolution")
            warn("Cannot obtain server address")
            raise FailedError
        if network == "no-connection":
            self._lose_or_wait()
        self.switches.wait("start_delay_s")
        self.connected = True

    def _lose_or_wait(self) -> None:
        """Give up; with --retry-forever only when the network is back."""
        while self.forever and self.switches["network"] == "no-connection":
            time.sleep(self.switches["network_delay_s"])
            self.switches.take_files(self.root)
        if not self.forever:
            self._lose()

    def _lose(self) -> None:
        time.sleep(self.switches["network_delay_s"])
        warn("Too many network failures")
        raise FailedError

    def pay(self, what: str) -> None:
        """Refuse `what` when the account is empty. Raises `FailedError`."""
        if self.switches["balance"] != "positive":
            warn(f"{what}: Account balance is not positive")
            warn(_MONEY)
            raise FailedError

    # Transactions

    def begin(self, base: str, *, anyway: bool = False) -> str:
        """Start a transaction on top of `base`, cancelling an open one. Gives its number.

        `anyway` (of fsck) does not care what the base is. Raises `FailedError` on a mismatch.
        """
        if self.switches["network"] == "read-only":
            self._lose()
        with self._locked():
            if not anyway and base != self.sequence():
                warn("Sequence number mismatch: Run --fsck")
                raise FailedError
            for other in self._open():
                self._cancel(other)
            number = os.urandom(32).hex()
            os.makedirs(f"{self.root}/open/{number}")
        return number

    def put(self, number: str, chunk: str, packed: bytes) -> None:
        """Send one block. Raises `CancelledError` when the transaction is no longer open."""
        try:
            with open(f"{self.root}/open/{number}/{chunk}", "wb") as file:
                file.write(packed)
        except FileNotFoundError:
            raise CancelledError from None

    def check_open(self, number: str) -> None:
        """Raise `CancelledError` when the transaction is no longer open."""
        if not os.path.isdir(f"{self.root}/open/{number}"):
            raise CancelledError

    def prepare(self, number: str, record: dict[str, Any]) -> None:
        """Send what a checkpoint will be made of. Raises `CancelledError`.

        `record` holds a list `add` (of archive, metadata, chunks), or `delete` and `delete_chunks`.
        """
        try:
            with open(f"{self.root}/open/{number}/prepared", "w") as file:
                json.dump(record, file)
        except FileNotFoundError:
            raise CancelledError from None

    def checkpoint(self, number: str) -> None:
        """Make committable what was prepared; asking twice does no harm. Raises `FailedError`."""
        folder = f"{self.root}/open/{number}"
        try:
            os.rename(f"{folder}/prepared", f"{folder}/checkpoint")
        except FileNotFoundError:
            if not os.path.exists(f"{folder}/checkpoint"):
                warn("Sequence number mismatch creating checkpoint: Run --fsck")
                raise FailedError from None

    def pending(self) -> str | None:
        """Give the number of the open creation that has a checkpoint, whoever opened it."""
        with self._locked():
            for number in self._open():
                record = _load(f"{self.root}/open/{number}/checkpoint")
                if record is not None and record.get("add"):
                    return number
        return None

    def commit(self, number: str) -> bool:
        """Commit the last checkpoint of a transaction. True when it is committed, now or before."""
        with self._locked():
            if os.path.exists(f"{self.root}/open/{number}/checkpoint"):
                os.makedirs(f"{self.root}/committed", exist_ok=True)
                os.rename(f"{self.root}/open/{number}", f"{self.root}/committed/{number}")
                self._apply()
            return self.sequence() == number

    def nuke(self) -> None:
        with self._locked():
            for other in self._open():
                self._cancel(other)
            for folder in ("archives", "manifests", "chunks"):
                _remove_tree(f"{self.root}/{folder}")
            self._write("sequence", os.urandom(32).hex())

    def sequence(self) -> str:
        try:
            with open(f"{self.root}/sequence") as file:
                return file.read()
        except FileNotFoundError:
            return ZERO

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fd = os.open(f"{self.root}/lock", os.O_CREAT | os.O_RDWR, 0o666)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            self._apply()
            yield
        finally:
            os.close(fd)

    def _open(self) -> list[str]:
        return _names(f"{self.root}/open")

    def _cancel(self, number: str) -> None:
        trash = f"{self.root}/cancelled-{number}"
        os.rename(f"{self.root}/open/{number}", trash)
        _remove_tree(trash)

    def _apply(self) -> None:
        """Carry out what was committed; may be cut off anywhere and started over."""
        for number in _names(f"{self.root}/committed"):
            folder = f"{self.root}/committed/{number}"
            record = _load(f"{folder}/checkpoint")
            if record is None:  # applied; only its removal was cut off
                _remove_tree(folder)
                continue
            for added in record.get("add", ()):
                self._add(folder, **added)
            for archive in record.get("delete", ()):
                _unlink(f"{self.root}/archives/{archive}")
                _unlink(f"{self.root}/manifests/{archive}")
            for chunk in record.get("delete_chunks", ()):
                _unlink(f"{self.root}/chunks/{chunk}")
            self._write("sequence", number)
            os.unlink(f"{folder}/checkpoint")
            _remove_tree(folder)

    def _add(self, sent: str, archive: str, metadata: dict[str, Any], chunks: list[Any]) -> None:
        for folder in ("archives", "manifests", "chunks"):
            os.makedirs(f"{self.root}/{folder}", exist_ok=True)
        for chunk, *_ in chunks:
            if not os.path.exists(f"{self.root}/chunks/{chunk}"):
                os.rename(f"{sent}/{chunk}", f"{self.root}/chunks/{chunk}")
        self._write(f"manifests/{archive}", json.dumps(chunks))
        self._write(f"archives/{archive}", json.dumps(metadata))

    def _write(self, name: str, content: str) -> None:
        with open(f"{self.root}/being-written", "w") as file:
            file.write(content)
        os.rename(f"{self.root}/being-written", f"{self.root}/{name}")

    # Reading

    def archives(self) -> list[str]:
        """List the hashes of all archives, ascending: the order in which the server knows them."""
        with self._locked():
            return sorted(_names(f"{self.root}/archives"))

    def has(self, archive: str) -> bool:
        return os.path.exists(f"{self.root}/archives/{archive}")

    def metadata(self, archive: str) -> dict[str, Any] | None:
        found: dict[str, Any] | None = _load(f"{self.root}/archives/{archive}")
        return found

    def chunks_of(self, archive: str) -> list[list[Any]] | None:
        """List (hash, length, compressed length, copies) of every chunk of an archive."""
        found: list[list[Any]] | None = _load(f"{self.root}/manifests/{archive}")
        return found

    def chunk(self, chunk: str) -> bytes:
        """Read one block. Raises `FailedError` when it is missing or damaged."""
        try:
            with open(f"{self.root}/chunks/{chunk}", "rb") as file:
                return zlib.decompress(file.read())
        except FileNotFoundError:
            warn(f"Chunk {chunk} is missing")
        except zlib.error:
            warn(f"Chunk {chunk} is corrupt")
        raise FailedError

    def stored_chunks(self) -> list[str]:
        return sorted(_names(f"{self.root}/chunks"))


def _load(path: str) -> Any:
    """Read a JSON file; None when it is not there."""
    try:
        with open(path) as file:
            return json.load(file)
    except FileNotFoundError:
        return None


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


def _remove_tree(folder: str) -> None:
    """Remove a folder of files, whatever is left of it."""
    for name in _names(folder):
        _unlink(f"{folder}/{name}")
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        return
