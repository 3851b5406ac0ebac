"""`init`: create the stores that the config names."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import click

from snapd import machine
from snapd.cli.arguments import pass_invocation
from snapd.cli.invocation import Invocation
from snapd.cli.output import aside, escaped, fact
from snapd.cli.owner import SERVICE_USER, become_owner, owner_of
from snapd.cli.stand_in import log_quietly
from snapd.config import BorgStore, Config, Folders, Store, TarsnapStore
from snapd.errors import ExistsError, SnapdError, UsageError
from snapd.state_folder import make_folders, read

_BORG_KEY = """\
Keep a copy of the passphrase and of the key on another machine, or on paper:
without them the archives are lost together with this machine. The command
`borg key export REPOSITORY FILE` writes the key to a file; with --paper it
makes a form to print."""
_TARSNAP_KEY = """\
Keep a copy of the key file on another machine, or on paper: without it the
archives are lost together with this machine, and nobody can help."""


@click.command("init")
@click.argument("store", required=False)
@pass_invocation
def init_command(invocation: Invocation, store: str | None) -> int:
    """Create the store STORE of the config, or all of them. One that is there already is left as it is.

    As root the stores are created as the owner of the daemon's state, so that the daemon may write to them.
    """
    config = read(invocation.file).config
    names = _names(config, store)
    folders = Folders.from_environment(invocation.environ)
    become_owner(folders, invocation.environ)
    make_folders(folders)
    log_quietly(debug=invocation.debug)
    created = [name for name in names if _create(name, config, folders)]
    for advice in dict.fromkeys(_copy_the_key(config.store[name]) for name in created):
        fact()
        fact(advice)
    return 0


def _copy_the_key(store: Store) -> str:
    match store:
        case BorgStore():
            return _BORG_KEY
        case TarsnapStore():
            return _TARSNAP_KEY


def _names(config: Config, store: str | None) -> Iterable[str]:
    if store is None:
        return config.store
    if store not in config.store:
        raise UsageError(f"there is no store {store!r}", hint=f"there is: {', '.join(config.store)}")
    return [store]


def _create(name: str, config: Config, folders: Folders) -> bool:
    """Create one store; False when there is one already. No lock: nothing can use what is not there yet."""
    engine = machine.engine_of(name, config, folders)
    if not engine.properties.off_site:
        _ask_for_room(name, config.store[name], folders)
    aside(f"creating the store {escaped(name)}")
    try:
        engine.init()
    except ExistsError:
        fact(f"store {escaped(name)}: is there already")
        return False
    fact(f"store {escaped(name)}: created")
    return True


def _place(store: Store) -> Path | None:
    """Return the folder to be made for a store on this machine."""
    match store:
        case BorgStore():
            return Path(store.repository.removeprefix("file://"))
        case TarsnapStore():
            return None  # the engine says what its cachedir lacks


def _ask_for_room(name: str, store: Store, folders: Folders) -> None:
    """Raise with the command that helps, where a local repository's folder cannot be made."""
    folder = _place(store)
    if folder is None:
        return
    place = folder if folder.exists() else folder.parent
    if place.is_dir() and os.access(place, os.W_OK | os.X_OK):
        return
    owner = owner_of(folders.state)
    user = owner.name if owner and owner.name else SERVICE_USER
    what = f"{user} may not write to {place}" if place.exists() else f"the folder {place} does not exist"
    raise SnapdError(
        f"the store {name} cannot be created: {what}",
        hint=f"make its folder first: sudo install -d -o {user} -g {user} -m 0700 {folder}",
    )
