"""Draw the picture in the README: what `snapd-backup status` really prints, as SVG and as text.

python demo/picture.py FOLDER

A real daemon with three backup sets makes backups and restore tests as an operator asks for them; the output
of `status` on a terminal of 80 columns becomes FOLDER/status.svg, without colours FOLDER/status.txt, which is
also in the README.
"""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import threading
from pathlib import Path

from rich.console import Console
from rich.text import Text
from stage import Stage, daemon, open_shop, program, stage, wait_for

COLUMNS = 80
CONFIG = """
[store.local]
engine     = "borg"
repository = "FOLDER/store"
passphrase = { file = "FOLDER/passphrase" }

[backup.mail]
store    = "local"
schedule = "0 */2 * * *"
paths    = ["FOLDER/shop/receipts"]
[backup.mail.restore_test]
schedule = "0 6 * * sun"

[backup.shop]
store    = "local"
schedule = "*/15 * * * *"
[[backup.shop.dump]]
engine = "sqlite"
path   = "FOLDER/shop/shop.sqlite"
[backup.shop.expire]
schedule = "50 3 * * *"
deltas   = ["1h", "1d", "7d", "30d", "365d"]
[backup.shop.restore_test]
schedule = "30 5 * * *"
[[backup.shop.restore_test.check]]
query      = "SELECT max(created) FROM orders"
newer_than = "1h"

[backup.website]
store    = "local"
schedule = "@daily"
paths    = ["FOLDER/shop"]
"""


def main(folder: Path) -> None:
    with stage(keep=False) as at:
        at.set(CONFIG)
        with open_shop(at):
            _quietly(at, "init")
            with daemon(at):
                wait_for((at.folder / "run" / "control").exists, 30.0)
                for name in ("mail", "website", "shop"):
                    _quietly(at, "backup", name)
                for name in ("mail", "shop"):
                    _quietly(at, "restore-test", name)
                drawn = on_a_terminal(at, "status")
    draw(drawn, "snapd-backup status", folder / "status.svg")
    plain = Text.from_ansi(drawn).plain
    (folder / "status.txt").write_text(plain.rstrip() + "\n", encoding="utf-8")


def _quietly(at: Stage, *words: str) -> None:
    subprocess.run([*program(), *words], env=at.environ, check=True, capture_output=True)


def on_a_terminal(at: Stage, *words: str) -> str:
    """Return what a command writes to a terminal, colours included; it may exit with 3 for lights off."""
    ours, theirs = pty.openpty()
    environ = {**at.environ, "COLUMNS": str(COLUMNS), "TERM": "xterm-256color"}
    environ.pop("NO_COLOR", None)
    heard: list[bytes] = []
    reader = threading.Thread(target=_hear, args=(ours, heard))
    reader.start()
    subprocess.run([*program(), *words], env=environ, check=False, stdout=theirs, stdin=theirs)
    os.close(theirs)
    reader.join()
    os.close(ours)
    return b"".join(heard).decode().replace("\r\n", "\n")


def _hear(terminal: int, heard: list[bytes]) -> None:
    try:
        while chunk := os.read(terminal, 65536):
            heard.append(chunk)
    except OSError:  # the other end is closed: Linux says EIO
        return


def draw(ansi: str, title: str, path: Path) -> None:
    """Write text with terminal colours as SVG that loads no font from elsewhere and changes only with it."""
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True)
        console.print(Text.from_ansi(ansi.rstrip()))
        picture = console.export_svg(title=title, unique_id="snapd-backup")
    picture = re.sub(r"\s*@font-face \{.*?\}", "", picture, flags=re.DOTALL)
    path.write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
