"""The last look: does the config that an import made pass?"""

from __future__ import annotations

from snapd.config import parse
from snapd.errors import ConfigError
from snapd.importing.account import Source, not_carried
from snapd.importing.draft import Draft
from snapd.importing.toml_text import render


def finished(draft: Draft, system_timezone: str) -> str:
    """Return the text of the config; what `check` would refuse in it is added to the draft's account."""
    text = render(draft)
    try:
        parse(text, file="config.toml", system_timezone=system_timezone)
    except ConfigError as error:
        items = tuple(not_carried(problem, "correct this by hand") for problem in error.problems)
        draft.left.append(Source("this config does not pass `snapd-backup check` yet", "", items))
        return render(draft)
    return text
