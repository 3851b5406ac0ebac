"""The README's commands, typed as they stand, on a machine where nothing but `make install` was done."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.needs import give_up
from tests.systemd.box import Box, booted, lacking

README = Path(__file__).parents[2] / "README.md"
OURS = ("/var/lib/snapd-backup", "/var/cache/snapd-backup", "/srv/backup")
CONFIG = "/etc/snapd-backup/config.toml"


@pytest.fixture
def machine() -> Iterator[Box]:
    reason = lacking()
    if reason:
        give_up(reason)
    with booted() as box:
        box.run("rm", "-rf", *OURS)  # what the machine below may have of it
        box.run("systemd-tmpfiles", "--create", "snapd-backup.conf")
        yield box


def section(title: str) -> list[tuple[str, str]]:
    """Return (language, text) of the blocks below a heading, in order."""
    text = README.read_text(encoding="utf-8").split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"^```([^\n]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def typed(box: Box, block: str) -> None:
    """Type a block into a shell that ends at the first error; a light that is off is none."""
    box.run("sh", "-e", text="\n".join(map(_tolerant, block.splitlines())) + "\n")


def _tolerant(line: str) -> str:
    line = line.removeprefix("sudo ")
    return f"{line.split(' # ')[0]} || test $? = 3" if line.startswith("snapd-backup ") else line


@pytest.mark.systemd
@pytest.mark.timeout(300)
def test_the_readme_leads_from_nothing_to_a_backup_and_back(machine: Box) -> None:
    _install(machine)
    archive = _newest(machine)
    for title in ("Use it", "Read the journal"):
        for _, block in section(title):
            typed(machine, re.sub(r"\bsystem_[0-9-]+", archive, block))
    _restore(machine, _newest(machine))


def _newest(box: Box) -> str:
    told = json.loads(box.run("snapd-backup", "archives", "system", "--json").stdout)
    newest = told["archives"][0]
    assert newest["complete"]
    return str(newest["name"])


def _install(box: Box) -> None:
    (_, first), *steps = section("Install on a server")
    assert "make install" in first  # the box did that
    for language, block in steps:
        if language == "toml":
            box.run("tee", CONFIG, text=block)
        elif language == "sh":
            typed(box, block)
    assert box.show("ActiveState") == "active"


def _restore(box: Box, archive: str) -> None:
    """Restore with the daemon's help, then with nothing but Borg, the store and a copy of the passphrase."""
    box.run("cp", "/etc/snapd-backup/borg.passphrase", "/root/passphrase")
    with_daemon, without = (block for _, block in section("Restore in an emergency"))
    typed(box, "\n".join(line for line in with_daemon.splitlines() if "--at" not in line))
    assert box.read("/root/restored/etc/hostname") == "box\n"

    box.run("rm", "-rf", "/root/restored")
    box.systemctl("stop", "snapd-backup")
    typed(box, re.sub(r"::system_[0-9-]+", f"::{archive}", without))
    assert box.read("/root/restored/etc/hostname") == "box\n"
    about = "/root/restored/var/lib/snapd-backup/staging/system/about"
    assert box.read(f"{about}/config.toml") == box.read(CONFIG)
