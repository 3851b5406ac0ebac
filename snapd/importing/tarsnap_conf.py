"""The config files of tarsnap(1) that lie beside what is imported."""

from __future__ import annotations

from snapd.importing import settings
from snapd.importing.account import Host, Source, not_carried
from snapd.importing.draft import Draft
from snapd.importing.settings import Settings

CONFIG_FILES = (  # tarsnap(1): the first that sets an option wins
    "~/.tarsnaprc",
    "~/.config/tarsnap/tarsnap.conf",
    "/usr/local/etc/tarsnap.conf",
    "/etc/tarsnap.conf",
)


def read_conf(draft: Draft, host: Host, file: str | None) -> Settings:
    """Read tarsnap's config files; put the account into the draft. A missing one is no fault."""
    found = Settings()
    home = host.home("root")
    for path in CONFIG_FILES if file is None else (file,):
        place = settings.absolute(path, home, home) if file is None else path
        text = host.text(place)
        if text is not None:
            of_file, items = settings.of_file(text, host, home=home)
            found = found.over(of_file)
            draft.around.append(Source(path, "", items))
        elif file is not None or host.is_hidden(place):
            says = "the file could not be read; what it sets, if anything, is not in this config"
            draft.around.append(Source(path, "", (not_carried(path, says),)))
    return found
