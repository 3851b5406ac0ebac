"""The double of the `tarsnap` client behaves as the client does: the command line, and the simplest runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.tarsnap.account import Account


@pytest.fixture
def account(tmp_path: Path) -> Account:
    return Account(tmp_path / "account")


def test_what_was_stored_is_listed_and_restored(account: Account, tmp_path: Path) -> None:
    key, cachedir, source, out = (
        account.new_key(),
        tmp_path / "cache",
        tmp_path / "source",
        tmp_path / "out",
    )
    source.mkdir()
    out.mkdir()
    (source / "file").write_bytes(b"content" * 20_000)
    (source / "file").chmod(0o640)
    (source / "link").symlink_to("file")
    common = ("--no-default-config", "--keyfile", key, "--cachedir", cachedir)
    assert account.run(*common, "-c", "-f", "one", source).returncode == 0
    assert account.run(*common, "--list-archives").stdout == "one\n"
    assert account.run(*common, "-x", "-f", "one", "-C", out).returncode == 0
    restored = out / str(source).lstrip("/")
    assert (restored / "file").read_bytes() == b"content" * 20_000
    assert (restored / "file").stat().st_mtime_ns == (source / "file").stat().st_mtime_ns
    assert (restored / "file").stat().st_mode & 0o777 == 0o640
    assert (restored / "link").readlink() == Path("file")
    assert account.run(*common, "-d", "-f", "one").returncode == 0
    assert account.names(key) == []
    assert [call.status for call in account.calls()] == [0, 0, 0, 0]
    assert account.overlaps(key) == []
