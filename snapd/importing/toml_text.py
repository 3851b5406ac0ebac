"""A draft as the text of a config: TOML with comments, ready to be saved.

Everything that came from outside is escaped, in strings and in comments, so that no path and no line of a
crontab can add a key.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator

from snapd.importing.account import Fate, Source, open_items
from snapd.importing.draft import CACHEDIR, KEYFILE, Draft, SetDraft, StoreDraft

_WIDTH = 80
_SHORT_ESCAPES = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\"}
_HEADINGS = {
    Fate.NOT_CARRIED: "NOT CARRIED OVER",
    Fate.CHANGED: "changed",
    Fate.NOT_NEEDED: "not needed any more",
}
_EVERYWHERE = ("--force-resources", "--retry-forever")
_EXTRA = ("create", "list", "members", "extract", "delete", "stats", "repair")


def quoted(text: str) -> str:
    """Return a TOML basic string; what is not printable is escaped."""
    return '"' + "".join(_SHORT_ESCAPES.get(c) or (c if c.isprintable() else _escape(c)) for c in text) + '"'


def render(draft: Draft) -> str:
    """Return the config."""
    parts = [
        _header(draft),
        _around(draft.around),
        *(_daemon(draft) if draft.timezone else ()),
        *(_store(store) for store in draft.stores),
        *(_set(backup_set) for backup_set in draft.sets),
        _left(draft.left),
    ]
    return "\n\n".join("\n".join(lines) for part in parts if (lines := list(part))) + "\n"


def _escape(character: str) -> str:
    return f"\\u{ord(character):04X}" if ord(character) < 0x10000 else f"\\U{ord(character):08X}"


# -- comments ---------------------------------------------------------------------------------------------


def comment(text: str, *, indent: str = "") -> Iterator[str]:
    """Yield a text as comment lines; further lines stand under the first."""
    shown = "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )
    lines = textwrap.wrap(
        shown,
        _WIDTH,
        initial_indent=f"# {indent}",
        subsequent_indent=f"# {indent}    ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    yield from lines or ["#"]


def _header(draft: Draft) -> Iterator[str]:
    yield from comment(f"Made by snapd-backup import from {draft.origin}.")
    yield "#"
    count = len(open_items(item for _, item in draft.items()))
    if count:
        marked = "which is" if count == 1 else "which are"
        yield from comment(f"{things(count)} a look, {marked} marked NOT CARRIED OVER below.")
    else:
        yield from comment("Everything was carried over.")
    yield "#"
    yield from comment("Read it, save it as /etc/snapd-backup/config.toml, and run: snapd-backup check")
    yield from comment(
        "When the daemon starts, what it replaces must be gone: two programs with one key take each other "
        "for an intruder. Key file and cachedir go on being used: the user snapd-backup must be able to read "
        "the key, and the cachedir must belong to it. Never begin with an empty cachedir."
    )


def things(count: int) -> str:
    return "1 thing needs" if count == 1 else f"{count} things need"


def _source(source: Source) -> Iterator[str]:
    """Yield where a section comes from, and what became of all of it that is not plainly in it."""
    for text in source.comments:
        yield from comment(text.lstrip("# "))
    yield from comment(f"{source.where}: {source.text}" if source.text else source.where)
    for fate, heading in _HEADINGS.items():
        by_reason: dict[str, list[str]] = {}
        for item in source.items:
            if item.fate is fate:
                by_reason.setdefault(item.says, []).append(item.text)
        for says, texts in by_reason.items():
            yield from comment(f"{heading}: {', '.join(f'`{text}`' for text in texts)}", indent="  ")
            yield from comment(f"-> {says}.", indent="    ")


def _around(sources: Iterable[Source]) -> Iterator[str]:
    shown = [source for source in sources if any(item.fate in _HEADINGS for item in source.items)]
    for source in shown:
        yield from _source(source)


def _left(sources: list[Source]) -> Iterator[str]:
    if sources:
        yield from comment("-- The rest of the input --")
    for source in sources:
        yield "#"
        yield from _source(source)


# -- sections ---------------------------------------------------------------------------------------------


def _daemon(draft: Draft) -> Iterator[list[str]]:
    yield ["[daemon]", f"timezone = {quoted(draft.timezone)}"]


def _store(store: StoreDraft) -> Iterator[str]:
    settings = store.settings
    yield f"[store.{store.name}]"
    yield 'engine   = "tarsnap"'
    for key, value, usual in (
        ("keyfile", settings.keyfile, KEYFILE),
        ("cachedir", settings.cachedir, CACHEDIR),
    ):
        guess = "" if value else "   # NOT CARRIED OVER: a guess"
        yield f"{key:8} = {quoted(value or usual)}{guess}"
    if settings.passphrase:
        yield f"passphrase = {{ file = {quoted(settings.passphrase)} }}"
    if rates := _rates(settings.rate_up, settings.rate_down):
        yield f"rate_limit = {rates}"
    if settings.checkpoint_bytes:
        yield f"checkpoint_bytes = {_size(settings.checkpoint_bytes)}"
    if settings.extra or settings.content:
        yield f"[store.{store.name}.extra]"
        yield from _extra((*settings.extra, *settings.content))


def _rates(up: str, down: str) -> str:
    if up == down:
        return _size(up) if up else ""
    pairs = [f"{key} = {_size(value)}" for key, value in (("up", up), ("down", down)) if value]
    return f"{{ {', '.join(pairs)} }}"


def _size(text: str) -> str:
    return str(int(text)) if text.isdecimal() else quoted(text)


def _extra(options: tuple[str, ...]) -> Iterator[str]:
    """Yield the options by what is done: most are of a creation, a few of everything."""
    everywhere = [option for option in options if option in _EVERYWHERE]
    for action in _EXTRA:
        mine = options if action == "create" else everywhere
        if mine:
            yield f"{action:7} = {_array(mine)}"


def _array(values: Iterable[str]) -> str:
    """Return an array on one line, or with a line for each value where it would be too long."""
    shown = [quoted(value) for value in values]
    line = f"[{', '.join(shown)}]"
    if len(line) < _WIDTH - 12:
        return line
    return "[\n" + "".join(f"    {value},\n" for value in shown) + "]"


def _set(backup_set: SetDraft) -> Iterator[str]:
    for source in backup_set.sources:
        yield from _source(source)
    yield f"[backup.{backup_set.name}]"
    yield f"store    = {quoted(backup_set.store)}"
    if backup_set.schedule:
        yield f"schedule = {quoted(backup_set.schedule)}"
    else:
        yield '#schedule = "@daily"   # without one it runs when asked only'
    yield f"archive  = {quoted(backup_set.archive)}"
    if backup_set.adopt:
        yield f"adopt    = {_array(backup_set.adopt)}"
    yield f"paths    = {_array(backup_set.paths)}"
    if backup_set.exclude:
        yield f"exclude  = {_array(backup_set.exclude)}"
    if backup_set.one_file_system:
        yield "one_file_system = true"
    yield ""
    yield from _expire(backup_set)
    yield ""
    yield from _restore_test(backup_set)


def _expire(backup_set: SetDraft) -> Iterator[str]:
    if not backup_set.deltas:
        yield "# Without an expiry every archive of this set is kept for ever. For example:"
        yield f"#[backup.{backup_set.name}.expire]"
        yield '#schedule = "50 3 * * *"'
        yield '#deltas   = ["1d", "7d", "30d", "365d"]'
        return
    yield f"[backup.{backup_set.name}.expire]"
    yield f"schedule = {quoted(backup_set.expire_schedule or '50 3 * * *')}"
    yield f"deltas   = {_array(backup_set.deltas)}"


def _restore_test(backup_set: SetDraft) -> Iterator[str]:
    yield from comment(
        'Without a restore test nobody knows whether these archives are any good: the light "proven" of this '
        "set stays off. A proposal, to be made yours:"
    )
    yield f"#[backup.{backup_set.name}.restore_test]"
    yield '#schedule = "0 6 * * sun"'
    yield f"#[[backup.{backup_set.name}.restore_test.check]]"
    member = re.sub(r"^/+", "", backup_set.paths[0])
    if member:
        yield f"#path = {quoted(member)}"
        yield '#newest_within = "1d"'
    else:
        yield '#path = "etc"'
