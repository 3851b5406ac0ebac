"""Lines to backup sets: what creates and what expires the same series becomes one set."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from snapd.importing import names
from snapd.importing.account import Fate, Item, Source, changed, not_carried
from snapd.importing.calls import Creation, Expiry, Outcome
from snapd.importing.draft import Draft, SetDraft, StoreDraft
from snapd.model import ArchivePattern

_LONGEST_NAME = 60


@dataclass(frozen=True, slots=True)
class Line:
    """What a line or a job came to, and when it is due; `schedule` is empty where that is not known."""

    source: Source
    schedule: str
    outcome: Outcome

    def with_items(self, *items: Item) -> Line:
        return replace(self, source=replace(self.source, items=(*self.source.items, *items)))


def assemble(draft: Draft, lines: Iterable[Line]) -> None:
    """Put stores and backup sets into the draft, and each line where it belongs."""
    left: list[Line] = []
    expiring: list[Line] = []
    for read in lines:
        line = _store_conflicts(draft, read)
        made = [_add(draft, line, creation) for creation in line.outcome.creations]
        if made:
            home, extra = made[0]
            home.sources.append(
                line.with_items(*extra, *(item for _, items in made[1:] for item in items)).source
            )
        if line.outcome.expiries:
            expiring.append(line)
        elif not made:
            left.append(line)
    for line in expiring:
        _expire(draft, line, placed=bool(line.outcome.creations), left=left)
    draft.left += [line.source for line in left]
    for store in draft.stores:
        _tell_of_sharing(draft, store)


def set_name(hint: str, paths: tuple[str, ...], taken: Iterable[str]) -> str:
    """Return a name for a backup set, after the name of its archives or its first path."""
    for text in (hint, posixpath.basename(paths[0]) if paths else ""):
        name = re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-_")[:_LONGEST_NAME]
        if name:
            break
    else:
        name = "files"
    return _free(name if name[0].isalpha() else f"set-{name}", taken)


def _free(name: str, taken: Iterable[str]) -> str:
    known = set(taken)
    if name not in known:
        return name
    return next(f"{name}-{at}" for at in range(2, len(known) + 3) if f"{name}-{at}" not in known)


# -- stores -----------------------------------------------------------------------------------------------


def _store_of(draft: Draft, creation: Creation) -> StoreDraft:
    """Return the store of a creation: one for each key. Without a key of its own it has the first line's."""
    keyfile = creation.settings.keyfile
    for store in draft.stores:
        if not keyfile or store.settings.keyfile in ("", keyfile):
            return store
    store = StoreDraft(_free("offsite", (known.name for known in draft.stores)), creation.settings)
    draft.stores.append(store)
    return store


def _store_conflicts(draft: Draft, line: Line) -> Line:
    """Let a store have what its first line says, and options that any line says; tell of what differs."""
    for creation in line.outcome.creations:
        store = _store_of(draft, creation)
        mine, known = creation.settings, store.settings
        for field in ("cachedir", "checkpoint_bytes", "rate_up", "rate_down", "passphrase"):
            value, had = getattr(mine, field), getattr(known, field)
            if value and had and value != had:
                says = f"one key has one {field}, and an earlier line says {had}"
                line = replace(line, source=_replaced(line.source, value, says))
        store.settings = replace(
            known.over(mine), content=known.content, exclude=known.exclude, one_file_system=False
        )
        line = _common_content(draft, store, line, mine.content)
    return line


def _common_content(draft: Draft, store: StoreDraft, line: Line, content: tuple[str, ...]) -> Line:
    """Keep the options that change what is archived where every set of the store had them."""
    says = "it would hold for every set of its store, and not all of them had it"
    for option in set(content) ^ set(store.settings.content):
        left = tuple(known for known in store.settings.content if known != option)
        store.settings = replace(store.settings, content=left)
        for backup_set in draft.sets:
            backup_set.sources[:] = [_replaced(source, option, says) for source in backup_set.sources]
        draft.around[:] = [_replaced(source, option, says) for source in draft.around]
        line = replace(line, source=_replaced(line.source, option, says))
    return line


def _replaced(source: Source, value: str, says: str) -> Source:
    """Take back that a value was carried over."""
    items = tuple(
        not_carried(item.text, says) if item.fate is Fate.CARRIED and _means(item.text, value) else item
        for item in source.items
    )
    return replace(source, items=items)


def _means(text: str, value: str) -> bool:
    short = value == "--dereference" and text in ("-L", "-h")
    return short or text.endswith(value) or value.removeprefix("--") == text


def _tell_of_sharing(draft: Draft, store: StoreDraft) -> None:
    """Say of what the store took from one of its sets that it now holds for the others too."""
    sharing = [known for known in draft.sets if known.store == store.name]
    for field in ("checkpoint_bytes", "rate_up", "rate_down", "extra"):
        if len({getattr(known.settings, field) for known in sharing}) > 1:
            for known in sharing:
                known.sources[:] = [_shared(source) for source in known.sources]


def _shared(source: Source) -> Source:
    items = tuple(
        changed(item.text, "in the store here, so it holds for every set of that")
        if item.fate is Fate.CARRIED and item.says in ("extra", "checkpoint_bytes", "rate_up", "rate_down")
        else item
        for item in source.items
    )
    return replace(source, items=items)


# -- creations --------------------------------------------------------------------------------------------


def _add(draft: Draft, line: Line, creation: Creation) -> tuple[SetDraft, tuple[Item, ...]]:
    """Return the set that a creation became or joined, and what is to be said of that."""
    store = _store_of(draft, creation)
    pattern = creation.series.pattern if creation.series else ""
    twin = next(
        (known for known in draft.sets if known.store == store.name and known.archive == pattern), None
    )
    if twin is not None and _joined(twin, line.schedule, creation):
        return twin, (changed(line.schedule, f"joined with the other line of this set: {twin.schedule}"),)
    made = SetDraft(
        name=set_name(creation.name, creation.paths, (known.name for known in draft.sets)),
        store=store.name,
        archive=pattern,
        paths=creation.paths,
        exclude=creation.settings.exclude,
        one_file_system=creation.settings.one_file_system,
        schedule=line.schedule,
        adopt=creation.adopt,
        settings=creation.settings,
    )
    items = _separated(draft, made)
    draft.sets.append(made)
    return made, items


def _joined(twin: SetDraft, schedule: str, creation: Creation) -> bool:
    """Give a set a second schedule, where one expression says both and all else is the same."""
    same = (twin.paths, twin.exclude, twin.one_file_system) == (
        creation.paths,
        creation.settings.exclude,
        creation.settings.one_file_system,
    )
    both = _one_schedule(twin.schedule, schedule) if same else ""
    twin.schedule = both or twin.schedule
    return bool(both)


def _one_schedule(one: str, other: str) -> str:
    """Return a schedule for both, an empty text where none says exactly that: one field may differ."""
    first, second = one.split(), other.split()
    if len(first) != 5 or len(second) != 5:
        return one if one == other else ""
    different = [at for at in range(5) if first[at] != second[at]]
    if not different:
        return one
    lists = all(re.fullmatch(r"[0-9]+(,[0-9]+)*", fields[different[0]]) for fields in (first, second))
    if len(different) > 1 or different[0] > 1 or not lists:
        return ""
    first[different[0]] = f"{first[different[0]]},{second[different[0]]}"
    return " ".join(first)


def _separated(draft: Draft, made: SetDraft) -> tuple[Item, ...]:
    """Give a set names of its own: without a pattern, or where another set's pattern takes the same names."""
    former = made.archive
    rivals = [known for known in draft.sets if known.store == made.store]
    items: list[Item] = []
    if former and (rival := _rival(former, rivals)):
        says = f"archives of this name belong to set {rival}; new ones are named after this set"
        items.append(not_carried(former, says))
        made.archive = ""
    if not made.archive:
        made.archive = f"{made.name}_{names.DEFAULT_DATE}"
        if _rival(made.archive, rivals):
            made.archive = f"{made.name}.own_{names.DEFAULT_DATE}"
    made.adopt = tuple(pattern for pattern in made.adopt if not _rival(pattern, rivals))
    return tuple(items)


def _rival(pattern: str, others: Iterable[SetDraft]) -> str:
    """Return the name of a set that would take the same archives, an empty text when there is none."""
    ours = ArchivePattern(pattern)
    for other in others:
        if any(ours.overlaps(ArchivePattern(theirs)) for theirs in (other.archive, *other.adopt)):
            return other.name
    return ""


# -- expiries ---------------------------------------------------------------------------------------------


def _expire(draft: Draft, line: Line, *, placed: bool, left: list[Line]) -> None:
    """Give the expiries of a line to the sets whose archives they mean."""
    home: SetDraft | None = None
    items: list[Item] = []
    for expiry in line.outcome.expiries:
        owner = next((known for known in draft.sets if _is_meant(known.archive, expiry)), None)
        if owner is None:
            items.append(
                not_carried(
                    _shown(expiry), "no line here makes archives of this name, so nothing expires them"
                )
            )
            continue
        home = home or owner
        items += _give(owner, expiry, line.schedule)
    if placed:
        made = next(known for known in draft.sets if line.source.where in {s.where for s in known.sources})
        made.sources[:] = [
            replace(source, items=(*source.items, *items)) if source.where == line.source.where else source
            for source in made.sources
        ]
    elif home is not None:
        home.sources.append(line.with_items(*items).source)
    else:
        left.append(line.with_items(*items))


def _is_meant(archive: str, expiry: Expiry) -> bool:
    before, behind = names.ends(archive)
    if (before, behind) != (expiry.before, expiry.behind):
        return False
    date = archive[len(before) : len(archive) - len(behind)]
    return not expiry.date or expiry.date == date


def _give(owner: SetDraft, expiry: Expiry, schedule: str) -> list[Item]:
    shown = _shown(expiry)
    key, mine = expiry.settings.keyfile, owner.settings.keyfile
    if key and mine and key != mine:
        return [not_carried(shown, f"it had another key, {key}, so it never saw these archives")]
    if not owner.deltas:
        owner.deltas, owner.expire_schedule = expiry.deltas, schedule
        if expiry.date:
            return []
        return [
            changed(
                shown,
                f"tarsnapper took every date behind {expiry.before}; now only names of the pattern count",
            )
        ]
    if owner.deltas == expiry.deltas and schedule:
        return [changed(schedule, f"the set expires by {owner.expire_schedule} already, and once is enough")]
    return [not_carried(shown, f"the set has {' '.join(owner.deltas)} already")]


def _shown(expiry: Expiry) -> str:
    date = f" with dates as {expiry.date}" if expiry.date else ""
    return f"{expiry.before}$date{expiry.behind} {' '.join(expiry.deltas)}{date}"
