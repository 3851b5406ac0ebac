"""`snapd-backup`, and `python -m snapd`."""

from __future__ import annotations

import signal
import sys

from snapd.cli.program import run
from snapd.interrupt import stay_interruptible


def main() -> int:
    """Run the command line; returns the exit status."""
    stay_interruptible()
    if "run" in sys.argv[1:]:  # a daemon that is still starting must not die of a request to reload
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
