"""The command line: commands parse, call, print and say how it went. Decisions are made below.

`--help` and `status` start fast, so `program` names the module of each command and imports only the one that
was asked for; each of those imports what it needs at its top.
"""

from __future__ import annotations

NAME = "snapd-backup"
DEFAULT_FILE = "/etc/snapd-backup/config.toml"
