"""Launchers whose children meet a machine in trouble."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from snapd.proc import Command, Finished, Launcher

_MOUNTED = 'mount -t tmpfs -o size=64k,mode=700 none "$1" && shift && exec "$@"'


class OnSmallDisk(Launcher):
    """The folder of a child's last argument holds 64 kB. The mount is the child's alone; needs root."""

    def run(self, command: Command) -> Finished:
        folder = Path(command.argv[-1]).parent
        argv = ("unshare", "--mount", "sh", "-c", _MOUNTED, "sh", str(folder), *command.argv)
        env = {**command.env, "PATH": os.environ["PATH"]}
        return super().run(replace(command, argv=argv, env=env))
