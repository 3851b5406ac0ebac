"""One Tarsnap account for tests: the double's programs, keys, switches, and a look behind the scenes.

    account = Account(tmp_path / "tarsnap")
    account.install("1.0.40")                  # -> the folder to put in front of PATH
    key = account.new_key()                    # a key file; account.new_key("read", "delete") for a cut
    account.switch(network="no-name")          # every switch of double/switches.py; None takes one back
    account.at("create.before-commit", "SIGKILL")   # every point of double/points.py
    done = account.run("-c", "-f", "a", "--keyfile", key, "--cachedir", cachedir, path)

What it knows, without asking the programs:

    account.names(key)       the archives that are committed, sorted
    account.archives(key)    the same with their metadata, by name
    account.contents(key, name)   path -> bytes of the files in an archive
    account.server(key)      the folder of the key's machine (see double/server.py)
    account.calls()          every call: argv, pid, start, end, status (None: killed, or still running)
    account.overlaps(key)    pairs of writers that were alive at once; must be empty
    account.wait_at(point, key)   until a process pauses at a point -> its pid
    account.go(point, key)   lets it on
    account.fill(key, cachedir, {name: created}, content)   many archives at once, in this process, fast
    account.damage_chunks(key, name), account.damage_cache(cachedir, "trailer")

Everything is a file below `account.folder`, so that a daemon's bare environment changes nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tests.fakes.tarsnap.double import keyfile
from tests.fakes.tarsnap.double.commandline import Options
from tests.fakes.tarsnap.double.keyfile import Key
from tests.fakes.tarsnap.double.keytools import new_key
from tests.fakes.tarsnap.double.points import NAMES as POINTS
from tests.fakes.tarsnap.double.server import Server
from tests.fakes.tarsnap.double.session import Session
from tests.fakes.tarsnap.double.storing import BLOCK, Storing
from tests.fakes.tarsnap.double.switches import Switches
from tests.fakes.tarsnap.install import install

_PATIENCE_S = 30.0  # for a process that is to come to a point: only ever spent by a failing test


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a program. Times in seconds since the epoch; `status` None: it did not end by itself.

    `waits` counts the delays that were slept, by the name of their switch.
    """

    argv: tuple[str, ...]
    pid: int
    start: float
    end: float | None
    status: int | None
    waits: Mapping[str, int]

    @property
    def program(self) -> str:
        return Path(self.argv[0]).name


@dataclass(frozen=True, slots=True)
class StoredArchive:
    """A committed archive; `created` in seconds since the epoch."""

    name: str
    created: int
    argv: tuple[str, ...]


class Account:
    """An account below `folder`, which is made; `version` is installed at once."""

    def __init__(self, folder: Path, version: str = "1.0.41") -> None:
        self.folder = folder.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.bin = self.folder / "bin"
        self.install(version)

    def install(self, version: str, *, python: str | None = None) -> Path:
        """Install a release of the programs into `bin`, in place of the former one; gives that folder."""
        install(self.bin, account=self.folder, version=version, python=python)
        return self.bin

    @property
    def path(self) -> str:
        """A PATH with the double in front."""
        return f"{self.bin}:{os.environ['PATH']}"

    # Keys

    def new_key(self, *permissions: str, passphrase: str | None = None, name: str = "") -> Path:
        """Register a machine and write its key file; `permissions` of read, write, delete (all)."""
        key = new_key(str(self.folder))
        path = self.folder / (name or f"{key.machine}.key")
        keyfile.write(str(path), key.cut(permissions or keyfile.PERMISSIONS), passphrase=passphrase)
        return path

    def cut_key(self, path: Path, *permissions: str) -> Path:
        """Write another key file of the same machine, with less."""
        new = path.with_name(f"{path.stem}-{'-'.join(permissions)}.key")
        keyfile.write(str(new), self.key(path).cut(permissions))
        return new

    def key(self, path: Path) -> Key:
        fields = keyfile.fields_of(str(path))
        return Key(fields["machine"], fields["server"], fields["secret"], fields["permissions"])

    def server(self, key: Path) -> Path:
        return Path(self.key(key).server)

    # Switches and points

    def switch(self, *, key: Path | None = None, **switches: Any) -> None:
        """Set switches for the account, or for one key; None takes a switch back."""
        path = (self.folder if key is None else self.server(key)) / "switches.json"
        now = json.loads(path.read_text()) if path.exists() else {}
        now |= switches
        new = path.with_suffix(".new")
        new.write_text(json.dumps({name: value for name, value in now.items() if value is not None}))
        new.rename(path)

    def at(self, point: str, action: str, *, key: Path | None = None, **more: Any) -> None:
        """Let something happen at a point; what, and `more`, is told in `double/points.py`."""
        assert point in POINTS, point
        path = (self.folder if key is None else self.server(key)) / "switches.json"
        now = json.loads(path.read_text()) if path.exists() else {}
        points = now.get("points", {}) | {point: {"action": action, **more}}
        self.switch(key=key, points=points)

    def wait_at(self, point: str, key: Path) -> int:
        """Wait until a process pauses at a point; gives its pid."""
        mark = self.server(key) / "points" / f"at-{point}"
        limit = time.monotonic() + _PATIENCE_S
        while not mark.exists():
            assert time.monotonic() < limit, f"nobody came to {point}"
            time.sleep(0.002)
        return int(mark.read_text())

    def go(self, point: str, key: Path) -> None:
        """Let a process that pauses at a point go on."""
        (self.server(key) / "points" / f"go-{point}").touch()

    def forget_points(self, key: Path) -> None:
        """Take every point back, and what was counted of them."""
        self.switch(points=None)
        self.switch(key=key, points=None)
        for mark in (self.server(key) / "points").glob("*"):
            mark.unlink()

    # Calls

    def run(self, *words: str | Path, **more: Any) -> subprocess.CompletedProcess[str]:
        """Call `tarsnap`, with standard input closed and a bare environment."""
        options: dict[str, Any] = {"stdin": subprocess.DEVNULL} if "input" not in more else {}
        return subprocess.run(
            [str(self.bin / "tarsnap"), *map(str, words)],
            **options,
            **self._started(more),
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            check=False,
        )

    def start(self, *words: str | Path, **more: Any) -> subprocess.Popen[str]:
        """Start `tarsnap` and leave it running."""
        return subprocess.Popen(
            [str(self.bin / "tarsnap"), *map(str, words)],
            **self._started(more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="surrogateescape",
        )

    def _started(self, more: dict[str, Any]) -> dict[str, Any]:
        return {"env": {"PATH": os.environ["PATH"], "TZ": "UTC", "LC_ALL": "C.UTF-8"}} | more

    def calls(self) -> list[Call]:
        """List every call so far, in the order of their starts."""
        path = self.folder / "calls.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        ends: dict[str, dict[str, Any]] = {line["call"]: line for line in lines if line["event"] == "end"}
        calls = []
        for line in lines:
            if line["event"] == "start":
                end = ends.get(line["call"], {})
                argv, status = tuple(line["argv"]), end.get("status")
                waits = end.get("waits", {})
                calls.append(Call(argv, line["pid"], line["time"], end.get("time"), status, waits))
        return calls

    def overlaps(self, key: Path) -> list[dict[str, Any]]:
        """List the writers that began while another one was alive."""
        path = self.server(key) / "overlaps.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    # What is stored

    def _server(self, key: Path) -> Server:
        return Server(str(self.server(key)), Switches(None, "1.0.41"))

    def archives(self, key: Path) -> dict[str, StoredArchive]:
        """Give the committed archives by name, sorted by name."""
        server = self._server(key)
        found = [server.metadata(archive) for archive in server.archives()]
        stored = [StoredArchive(each["name"], each["created"], tuple(each["argv"])) for each in found if each]
        return {archive.name: archive for archive in sorted(stored, key=lambda each: each.name)}

    def names(self, key: Path) -> list[str]:
        return list(self.archives(key))

    def contents(self, key: Path, name: str) -> dict[str, bytes]:
        """Give the files of an archive."""
        server = self._server(key)
        metadata = server.metadata(self.key(key).name_hash(name))
        assert metadata is not None, f"no archive {name}"
        entries = json.loads(b"".join(server.chunk(chunk) for chunk in metadata["headers"]))
        return {
            entry["path"]: b"".join(server.chunk(block[0]) for block in entry.get("blocks", ()))
            for entry in entries
            if entry["kind"] == "file"
        }

    def fill(
        self, key: Path, cachedir: Path, created: Mapping[str, int], content: bytes = b"the same in each\n"
    ) -> None:
        """Store many archives of one file `file`, made at those times, in one transaction."""
        cachedir.mkdir(mode=0o700, parents=True, exist_ok=True)
        options = Options((1, 0, 41))
        options.mode, options.names = "c", ["fill"]
        session = Session(options, Switches(None, "1.0.41"), self.key(key), str(cachedir), ["-c"])
        storing = Storing(session, 0)
        storing.open()
        blocks = [storing.block(content[at : at + BLOCK]) for at in range(0, len(content), BLOCK)]
        storing.entries.append(_FILE | {"size": len(content), "blocks": blocks})
        headers = storing.headers()
        chunks = [[block, *row] for block, row in storing.blocks.items()]
        directory = storing.before.copy()
        added = []
        for name, seconds in created.items():
            argv = ["tarsnap", "-c", "-f", name, "file"]
            metadata = {"name": name, "size": 200, "created": seconds, "argv": argv, "headers": headers}
            added.append({"archive": session.key.name_hash(name), "metadata": metadata, "chunks": chunks})
            directory.add(chunks, 200)
        session.cachedir.ready(session.server, storing.number, {"add": added}, directory)
        session.cachedir.commit(session.server, storing.number)
        session.cachedir.unlock()

    # Damage

    def damage_chunks(self, key: Path, name: str, *, last: int = 1) -> None:
        """Spoil the data of the last files of an archive, on the server."""
        server = self._server(key)
        metadata = server.metadata(self.key(key).name_hash(name))
        assert metadata is not None
        entries = json.loads(b"".join(server.chunk(chunk) for chunk in metadata["headers"]))
        for entry in [entry for entry in entries if entry.get("blocks")][-last:]:
            for block in entry["blocks"]:
                (self.server(key) / "chunks" / block[0]).write_bytes(b"damaged")

    def damage_cache(self, cachedir: Path, how: Literal["whole", "trailer"]) -> None:
        """Spoil the file `cache`: as a whole (a warning), or the trailers in it (every run fails)."""
        cache = cachedir / "cache"
        if how == "whole":
            cache.write_bytes(zlib.compress(cache.read_bytes()))
            return
        rows = json.loads(cache.read_text())
        assert rows, "the cache knows no file: its files are as young as the run"
        cache.write_text(json.dumps({path: [*row[:4], row[4] ^ 1] for path, row in rows.items()}))


_FILE = {
    "path": "file",
    "kind": "file",
    "mode": 0o644,
    "uid": 0,
    "gid": 0,
    "user": "root",
    "group": "root",
    "mtime": 1_700_000_000_000_000_000,
    "ctime": 1_700_000_000_000_000_000,
}
