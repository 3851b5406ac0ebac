#!/bin/sh
# Make sure that commands exist: need.sh COMMAND:DEBIAN-PACKAGE ...
# As root on Debian the missing packages are installed; otherwise one sentence says what to install, and exit 1.
set -eu

PATH="$PATH:/usr/sbin:/sbin"
packages=""
for pair in "$@"; do
    command -v "${pair%%:*}" >/dev/null 2>&1 || packages="$packages ${pair#*:}"
done
[ -n "$packages" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing what is missing:$packages"
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086  # a list of package names
    apt-get install -qq -y --no-install-recommends $packages >/dev/null 2>&1 && exit 0
    apt-get update -qq
    # shellcheck disable=SC2086
    exec apt-get install -qq -y --no-install-recommends $packages
fi

echo "Please install (names of Debian's packages):$packages" >&2
exit 1
