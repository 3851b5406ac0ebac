#!/bin/sh
# What `make install` and `make uninstall` do. The Makefile sets the folders; DESTDIR is put before each of them.
#
#   LIBDIR/snapd-backup      a virtual environment of our own, bytecode included (the service cannot write there)
#   BINDIR/snapd-backup      a link into it
#   UNITDIR, LIBDIR/sysusers.d, LIBDIR/tmpfiles.d
#   SYSCONFDIR/snapd-backup/config.toml      only if there is none
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
venv=$LIBDIR/snapd-backup
config=$SYSCONFDIR/snapd-backup/config.toml
umask 022

say() { printf '%s\n' "$*"; }

# True when the files land on the running system, so that its service manager should hear of them.
live() { [ -z "$DESTDIR" ] && [ "$(id -u)" = 0 ]; }

build_environment() {
    python=$("$here/packaging/choose-python.sh" --shared)
    new=$DESTDIR$venv.new
    rm -rf "$new"
    mkdir -p "$DESTDIR$LIBDIR"
    "$python" -m venv "$new"
    build=$(mktemp -d)
    trap 'rm -rf "$build"' EXIT
    # A copy, so that a build as root leaves nothing behind in the clone.
    for part in pyproject.toml README.md LICENSE snapd; do
        [ ! -e "$here/$part" ] || cp -R "$here/$part" "$build/"
    done
    find "$build" -name __pycache__ -prune -exec rm -rf {} +
    export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
    "$new/bin/python" -m pip install --quiet --no-compile "$build"
    "$new/bin/python" -m pip uninstall --quiet --yes pip setuptools
}

# The environment was built under another name: write its final path into it, compile, and swap it in.
settle_environment() {
    rm -f "$new"/bin/[Aa]ctivate*
    for file in "$new"/bin/* "$new/pyvenv.cfg"; do
        if [ -f "$file" ] && [ ! -L "$file" ]; then sed -i "s|$new|$venv|g" "$file"; fi
    done
    "$new/bin/python" -m compileall -qq -s "$new" -p "$venv" "$new"/lib || say "Some files could not be compiled."
    rm -rf "$DESTDIR$venv.old"
    if [ -e "$DESTDIR$venv" ]; then mv "$DESTDIR$venv" "$DESTDIR$venv.old"; fi
    mv "$new" "$DESTDIR$venv"
    rm -rf "$DESTDIR$venv.old"
}

lay_down_files() {
    install -d "$DESTDIR$BINDIR" "$DESTDIR$UNITDIR" "$DESTDIR$LIBDIR/sysusers.d" "$DESTDIR$LIBDIR/tmpfiles.d"
    ln -sfn "$venv/bin/snapd-backup" "$DESTDIR$BINDIR/snapd-backup"
    sed "s|@BINDIR@|$BINDIR|g" "$here/packaging/systemd/snapd-backup.service" \
        >"$DESTDIR$UNITDIR/snapd-backup.service"
    chmod 0644 "$DESTDIR$UNITDIR/snapd-backup.service"
    for kind in sysusers tmpfiles; do
        install -m 0644 "$here/packaging/systemd/snapd-backup.$kind.conf" \
            "$DESTDIR$LIBDIR/$kind.d/snapd-backup.conf"
    done
    if [ ! -e "$DESTDIR$config" ]; then
        install -d -m 0750 "$DESTDIR$SYSCONFDIR/snapd-backup"
        install -m 0640 "$here/config.example.toml" "$DESTDIR$config"
    fi
}

tell_system() {
    live || return 0
    if command -v systemd-sysusers >/dev/null; then systemd-sysusers snapd-backup.conf; fi
    if command -v systemd-tmpfiles >/dev/null; then systemd-tmpfiles --create snapd-backup.conf; fi
    if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
}

say_what_follows() {
    say "snapd-backup is installed in $DESTDIR$venv. What follows:"
    if live; then
        say "  sudo \${EDITOR:-nano} $config"
        say "  sudo snapd-backup check"
        say "  sudo systemctl enable --now snapd-backup"
    else
        say "  systemd-sysusers snapd-backup.conf && systemd-tmpfiles --create snapd-backup.conf"
        say "  snapd-backup check"
        say "  systemctl daemon-reload && systemctl enable --now snapd-backup"
    fi
}

uninstall() {
    if live && [ -d /run/systemd/system ]; then systemctl disable --quiet --now snapd-backup.service || :; fi
    rm -rf "$DESTDIR$venv" "$DESTDIR$venv.new" "$DESTDIR$venv.old"
    rm -f "$DESTDIR$BINDIR/snapd-backup" "$DESTDIR$UNITDIR/snapd-backup.service"
    rm -f "$DESTDIR$LIBDIR/sysusers.d/snapd-backup.conf" "$DESTDIR$LIBDIR/tmpfiles.d/snapd-backup.conf"
    if live && [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
    say "snapd-backup is removed. Kept: $DESTDIR$SYSCONFDIR/snapd-backup (config and keys)," \
        "$DESTDIR/var/lib/snapd-backup (state), $DESTDIR/var/cache/snapd-backup, your stores," \
        "and the user snapd-backup, who owns them."
}

case ${1:-} in
    install)
        build_environment
        settle_environment
        lay_down_files
        tell_system
        say_what_follows
        ;;
    uninstall) uninstall ;;
    *)
        say "usage: make install | make uninstall" >&2
        exit 2
        ;;
esac
