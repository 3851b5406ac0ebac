#!/bin/sh
# Print the interpreter to build a virtual environment with: $PYTHON, else the system's, else the one in PATH.
#
#   choose-python.sh             any Python >= 3.11 that can make virtual environments
#   choose-python.sh --shared    and that other users can reach: the service is not root, and cannot look into
#                                /root or a home folder that is closed to it
set -eu

shared=${1:-}
refused=""

# Print why an interpreter does not fit; nothing when it does.
objection() {
    "$1" - "$shared" <<'PROGRAM' 2>/dev/null || echo "does not run"
import os, sys
from pathlib import Path

def closed(path):
    return [p for p in (path, *path.parents) if not p.stat().st_mode & 0o001]

try:
    import ensurepip, venv
except ImportError:
    print("cannot make virtual environments (on Debian: apt install python3-venv)")
    raise SystemExit(0)
real = Path(os.path.realpath(getattr(sys, "_base_executable", sys.executable)))
if sys.version_info < (3, 11):
    print("is Python %d.%d, and 3.11 is needed" % sys.version_info[:2])
elif sys.argv[1] == "--shared" and closed(real):
    print("lies in %s, which other users cannot enter" % closed(real)[-1])
PROGRAM
}

# Debian ships venv apart from Python; as root it is installed, as the other things that are missing.
if [ -z "${PYTHON:-}" ] && [ "$(id -u)" = 0 ] && [ -n "$(objection /usr/bin/python3)" ] \
   && command -v apt-get >/dev/null 2>&1; then
    "$(dirname "$0")/need.sh" python3-venv-is-not-a-command:python3-venv >&2 || true
fi

for candidate in ${PYTHON:-/usr/bin/python3 python3}; do
    path=$(command -v "$candidate" 2>/dev/null) || { refused="$refused
  $candidate is not there"; continue; }
    reason=$(objection "$path")
    if [ -z "$reason" ]; then
        echo "$path"
        exit 0
    fi
    refused="$refused
  $path $reason"
done

echo "No fitting Python:$refused
Name another with PYTHON=/path/to/python3." >&2
exit 1
