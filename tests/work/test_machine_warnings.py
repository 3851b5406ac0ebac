"""Crontabs that still call tarsnap are warned of where they may use a store's key."""

from __future__ import annotations

from pathlib import Path

import pytest

from snapd import machine
from snapd.config import Config, parse
from tests.fakes.tarsnap_lab import TarsnapLab


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TarsnapLab:
    return TarsnapLab(tmp_path / "lab", monkeypatch)


def config_of(lab: TarsnapLab) -> Config:
    text = f"""
[store.offsite]
engine = "tarsnap"
keyfile = "{lab.key}"
cachedir = "{lab.cachedir}"
[backup.mail]
store = "offsite"
paths = ["/srv/mail"]
[backup.mail.expire]
schedule = "@daily"
deltas = ["1d", "7d"]
"""
    return parse(text, file="config.toml", system_timezone="UTC")


def told(lab: TarsnapLab, *lines: str) -> list[str]:
    crontab = lab.folder / "crontab"
    crontab.write_text("".join(f"{line}\n" for line in lines))
    found, unread = machine.warnings(config_of(lab), places=(crontab,))
    assert unread == ()
    return [item.message for item in found]


def test_a_line_with_the_key_of_a_store_is_warned_of_also_through_a_link(lab: TarsnapLab) -> None:
    link = lab.folder / "link.key"
    link.symlink_to(lab.key)
    (first, second) = told(
        lab, f"0 3 * * * root tarsnap --keyfile {lab.key} -c", f"0 4 * * * root tarsnap --keyfile {link} -d"
    )
    assert first.startswith(f"{lab.folder}/crontab:1 still calls tarsnap with the same key")
    assert second.startswith(f"{lab.folder}/crontab:2 ")


def test_a_line_with_another_key_is_its_own_business(lab: TarsnapLab) -> None:
    assert told(lab, f"0 3 * * * root tarsnap --keyfile {lab.account.new_key()} -c") == []


def test_a_line_that_names_no_key_may_use_this_one(lab: TarsnapLab) -> None:
    (only,) = told(lab, "50 3 * * * root tarsnapper --target 'x_$date' - expire")
    assert "still calls tarsnapper perhaps with the same key" in only


def test_without_a_tarsnap_store_no_crontab_is_looked_at(tmp_path: Path) -> None:
    text = """
[store.local]
engine = "borg"
repository = "/srv/borg"
passphrase = { credential = "borg" }
[backup.mail]
store = "local"
paths = ["/srv/mail"]
"""
    config = parse(text, file="config.toml", system_timezone="UTC")
    too_long = Path("/" + "x" * 5000)
    assert machine.warnings(config, places=(too_long,)) == ((), ())
