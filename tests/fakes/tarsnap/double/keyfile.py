"""The key file: names a server folder and what it permits there.

A first and a last line, and between them the base64 of a JSON object with its CRC, so that an empty, cut or
changed file fails as the client's does.
"""

from __future__ import annotations

import binascii
import json
import os
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from .output import FailedError, encode, reason, warn

FIRST = "# START OF TARSNAP KEY FILE"
LAST = "# END OF TARSNAP KEY FILE"
PERMISSIONS = ("read", "write", "delete")  # delete without read is what can only nuke
_LARGEST = 1_000_000


class Key:
    """One key. `secret` orders the archives; every cut of a key has the same machine, server and secret."""

    def __init__(self, machine: int, server: str, secret: str, permissions: Iterable[str]) -> None:
        self.machine = machine
        self.server = server
        self.secret = secret
        self.permissions = frozenset(permissions)

    def cut(self, permissions: Iterable[str]) -> Key:
        return Key(self.machine, self.server, self.secret, self.permissions & set(permissions))

    def name_hash(self, name: str) -> str:
        """Hash an archive's name with the key: 64 hex digits, unrelated to the order of the names."""
        from _blake2 import blake2b

        return blake2b(encode(name), digest_size=32, key=bytes.fromhex(self.secret)).hexdigest()


def _seal(salt: str, passphrase: str) -> str:
    from _blake2 import blake2b

    return blake2b(encode(salt + passphrase), digest_size=32).hexdigest()


def write(path: str, key: Key, *, passphrase: str | None = None) -> None:
    """Create the file with mode 0600. Raises FileExistsError."""
    fields: dict[str, object] = {
        "machine": key.machine,
        "server": key.server,
        "secret": key.secret,
        "permissions": sorted(key.permissions),
    }
    if passphrase is not None:
        salt = os.urandom(8).hex()
        fields |= {"salt": salt, "passphrase": _seal(salt, passphrase)}
    body = json.dumps(fields).encode()
    coded = binascii.b2a_base64(body + binascii.crc32(body).to_bytes(4, "big"), newline=False).decode()
    lines = [FIRST, *(coded[at : at + 64] for at in range(0, len(coded), 64)), LAST]
    fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write("\n".join(lines) + "\n")


def read(path: str, passphrase: Callable[[str], str], *, lacks: str | None = None) -> Key:
    """Read a key; `passphrase` is asked when it has one. Raises `FailedError` after telling why not.

    `lacks` is what a passphrased key needs too much of.
    """
    fields = fields_of(path)
    if "passphrase" in fields and lacks is not None:
        warn(f"Decrypting file would require {lacks}")
        warn(f"Error decrypting key file: {path}")
        raise FailedError
    if "passphrase" in fields and _seal(fields["salt"], passphrase(path)) != fields["passphrase"]:
        warn("Passphrase is incorrect")
        warn(f"Error decrypting key file: {path}")
        raise FailedError
    return Key(fields["machine"], fields["server"], fields["secret"], fields["permissions"])


def fields_of(path: str) -> dict[str, Any]:
    """Read what stands in a key file. Raises `FailedError` after telling why it cannot be."""
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            lines = file.read(_LARGEST + 1).decode("latin-1").split("\n")
    except OSError as error:
        warn(f"fopen({path}): {reason(error)}")
        raise FailedError from None
    if not 0 < size <= _LARGEST:
        _corrupt(f"Key file has unreasonable size: {path}")
    if lines[0] != FIRST or LAST not in lines:
        _corrupt(f"Key file is corrupt or truncated: {path}")
    coded = lines[1 : lines.index(LAST)]
    for number, line in enumerate(coded, 2):
        if not line or not set(line) <= _BASE64:
            _corrupt(f"Key file is corrupt on line {number}: {path}")
    try:
        body = binascii.a2b_base64("".join(coded))
    except binascii.Error:
        _corrupt(f"Key file is corrupt: {path}")
    if binascii.crc32(body[:-4]).to_bytes(4, "big") != body[-4:]:
        _corrupt(f"Key file is corrupt: {path}")
    found: dict[str, Any] = json.loads(body[:-4])
    return found


_BASE64 = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=")


def _corrupt(text: str) -> NoReturn:
    warn(text)
    raise FailedError
