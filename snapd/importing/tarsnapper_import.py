"""A file of tarsnapper to the draft of a config."""

from __future__ import annotations

from snapd.errors import UsageError
from snapd.importing import tarsnapper_file
from snapd.importing.account import Host, Source, not_carried
from snapd.importing.assembly import Line, assemble
from snapd.importing.calls import Surroundings
from snapd.importing.crontab_import import due
from snapd.importing.draft import Draft, name_places
from snapd.importing.tarsnap_conf import read_conf

GUESS = "@daily"


def read(text: str, file: str, host: Host, *, schedule: str | None, tarsnap_conf: str | None) -> Draft:
    """Read a file of tarsnapper. `schedule` is that of the crontab line which runs it, None when not known.

    Raises UsageError for a wrong schedule, for what is no YAML, and for a file without a job.
    """
    draft = Draft(origin=file)
    if schedule is not None and not due(schedule)[0]:
        raise UsageError(due(schedule)[1].says)
    home = host.home("root")
    defaults = read_conf(draft, host, tarsnap_conf)
    found = tarsnapper_file.read(text, file, Surroundings(host, home, home, defaults))
    if not found.jobs:
        raise UsageError(f"{file} has no job", hint="a file of tarsnapper has a table of jobs")
    if schedule is None:
        says = (
            f"the file has none; {GUESS} is a guess: give --schedule that of the crontab line which runs it"
        )
        draft.around.append(Source("schedules", "", (not_carried("when its jobs run", says),)))
    draft.around += found.around
    assemble(draft, [Line(source, schedule or GUESS, outcome) for source, outcome in found.jobs])
    name_places(draft)
    return draft
