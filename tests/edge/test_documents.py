"""What the documents say is true: links lead somewhere, commands parse, configs are valid, names exist."""

from __future__ import annotations

import html
import importlib
import re
import shlex
import tomllib
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import NamedTuple

import pytest

from snapd import __version__
from snapd.cli import NAME
from snapd.cli.program import program
from snapd.config import parse
from snapd.event_fields import FIELDS
from snapd.events import EVENTS
from snapd.model import Kind, Outcome

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
STORE = (
    '[store.local]\nengine = "borg"\nrepository = "/srv/backup/borg"\npassphrase = { file = "/etc/key" }\n'
)
SET = '[backup.shop]\nstore = "local"\npaths = ["/srv/shop"]\n'
WORDS = [
    *("backup set", "kind", "job", "slot", "run", "outcome", "store", "engine", "archive", "source", "dump"),
    *("retention policy", "verdict", "reason", "expire", "reclaim", "check", "finding", "scratch"),
]


class Block(NamedTuple):
    """A fenced block of a page: where it is, what its fence says, its text."""

    where: str
    language: str
    text: str


def blocks() -> Iterator[Block]:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in re.finditer(r"^```([^\n]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            line = text.count("\n", 0, match.start()) + 1
            yield Block(f"{page.relative_to(ROOT)}:{line}", match[1].strip(), match[2])


def prose(page: Path) -> str:
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def shell_lines() -> Iterator[tuple[str, str]]:
    for block in blocks():
        if block.language == "sh":
            yield from ((block.where, line.strip()) for line in block.text.splitlines())


def commands() -> Iterator[tuple[str, str]]:
    """Every command line of ours: in shell blocks, and as inline code."""
    for where, line in shell_lines():
        typed = line.removeprefix("sudo ")
        if typed.startswith(f"{NAME} "):
            yield where, typed
    for page in PAGES:
        for found in re.findall(rf"`({NAME} [^`]+)`", prose(page)):
            yield str(page.relative_to(ROOT)), found


def marked(page: str, mark: str) -> str:
    text = (ROOT / page).read_text(encoding="utf-8")
    return text.split(f"<!-- {mark} -->")[1].split(f"<!-- end of {mark} -->")[0]


def anchors(page: Path) -> set[str]:
    """Anchors as the usual renderers make them of headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def exists(name: str) -> bool:
    """Tell whether a dotted name below `snapd` is there."""
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


# -- pages ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file_and_a_heading_that_exist(page: Path) -> None:
    lost = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        path, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", path):
            continue
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            lost.append(target)
    assert not lost


def test_the_index_names_every_page() -> None:
    index = (ROOT / "docs/README.md").read_text(encoding="utf-8")
    pages = [page.name for page in PAGES if page.parent == ROOT / "docs" and page.name != "README.md"]
    assert not [name for name in pages if f"]({name})" not in index]


def test_the_changelog_has_an_entry_for_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    entry = re.search(rf"^## {re.escape(__version__)} \((.+)\)$", text, re.MULTILINE)
    assert entry is not None
    date.fromisoformat(entry[1])


def test_the_picture_and_the_text_in_the_readme_are_of_one_moment() -> None:
    drawn = (ROOT / "docs/pictures/status.txt").read_text(encoding="utf-8")
    assert f"$ snapd-backup status\n{drawn}```" in (ROOT / "README.md").read_text(encoding="utf-8")
    picture = html.unescape((ROOT / "docs/pictures/status.svg").read_text(encoding="utf-8"))
    shown = re.sub(r"<[^>]+>", "", picture).replace("\xa0", " ")
    assert not [line for line in drawn.splitlines() if line.strip() and line.split()[-1] not in shown]


# -- commands ---------------------------------------------------------------------------------------------


def test_there_are_commands_to_look_at() -> None:
    assert len(list(commands())) > 20


@pytest.mark.parametrize(("where", "line"), sorted(set(commands())))
def test_every_command_line_in_the_documents_parses(where: str, line: str) -> None:
    _, *typed = shlex.split(line, comments=True)
    with program.make_context(NAME, [], resilient_parsing=True) as context:
        command = program.get_command(context, typed[0])
        assert command is not None, f"there is no command {typed[0]}"
        if typed[1:] or ":" in where:  # a bare name in a sentence only names the command
            command.make_context(typed[0], typed[1:], parent=context)


def test_every_make_target_in_the_documents_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {
        found
        for page in PAGES
        for found in re.findall(
            r"(?:^|`)(?:sudo )?make ([a-z]+)\b", page.read_text(encoding="utf-8"), re.MULTILINE
        )
    }
    assert named
    assert named <= targets


def test_every_journal_match_in_the_documents_is_a_field_that_we_write() -> None:
    matches = [
        pair
        for _, line in shell_lines()
        if line.startswith("journalctl")
        for pair in re.findall(r"\b([A-Z_]+)=(\S+)", line)
    ]
    assert matches
    for field, value in matches:
        assert field == "EVENT" or field.lower() in FIELDS
        assert field != "EVENT" or value in EVENTS
        assert field != "OUTCOME" or value in set(Outcome)
        assert field != "KIND" or value in set(Kind)


# -- configs ----------------------------------------------------------------------------------------------


def test_there_are_configs_and_fragments_to_look_at() -> None:
    assert {"toml", "toml fragment"} <= {block.language for block in blocks()}


@pytest.mark.parametrize(
    "block",
    [block for block in blocks() if block.language.startswith("toml")],
    ids=lambda block: block.where,
)
def test_every_config_in_the_documents_is_valid(block: Block) -> None:
    text = block.text
    if block.language == "toml fragment":
        text = _completed(text)
    parse(text, file=block.where, system_timezone="Europe/London")


def _completed(fragment: str) -> str:
    """Add a store and a set to a fragment that lacks them."""
    given = tomllib.loads(fragment)
    text = fragment if "store" in given else fragment + STORE
    return text if "store" in given.get("backup", {}).get("shop", {}) else text + SET


# -- names ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", WORDS)
def test_every_word_of_the_design_is_in_the_glossary(word: str) -> None:
    assert f"| **{word}** |" in (ROOT / "docs/glossary.md").read_text(encoding="utf-8")


def test_every_outcome_and_kind_is_in_the_glossary() -> None:
    text = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")
    assert not [word for word in (*Outcome, *Kind) if f"`{word}`" not in text]


def test_the_glossary_names_code_that_exists() -> None:
    names = re.findall(r"\| `(snapd\.[\w.]+)` \|$", prose(ROOT / "docs/glossary.md"), re.MULTILINE)
    assert len(names) >= len(WORDS)
    assert not [name for name in names if not exists(name)]


def test_the_map_has_the_layers_that_the_linter_checks() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    rows = re.findall(r"^\| (`.+?) \| .+ \|$", marked("CONTRIBUTING.md", "layers"), re.MULTILINE)
    assert [set(re.findall(r"`(\w+)`", row)) for row in rows] == [set(layer.split(" | ")) for layer in layers]


def test_the_walks_name_functions_that_exist() -> None:
    text = marked("CONTRIBUTING.md", "walks")
    modules = {path.stem for path in (ROOT / "snapd").iterdir()}
    names = {name for name in re.findall(r"`([a-z_]+(?:\.\w+)+)`", text) if name.split(".")[0] in modules}
    assert len(names) > 30
    assert not [name for name in names if not exists(f"snapd.{name}")]


def test_every_event_that_the_pages_on_operation_name_is_in_the_catalogue() -> None:
    named = re.findall(r"\(`([a-z]+(?:-[a-z]+)+)`\)", prose(ROOT / "docs/operation.md"))
    assert named
    assert set(named) <= set(EVENTS)


def test_every_decision_has_its_five_dated_lines() -> None:
    text = (ROOT / "docs/decisions.md").read_text(encoding="utf-8")
    titles = ["Context", "Choice", "Rejected", "Why", "Wrong if"]
    sections = re.split(r"^### ", text, flags=re.MULTILINE)[1:]
    assert sections
    for section in sections:
        lines = re.findall(r"^- \*\*([A-Z][a-z ]+)(?:, (\d{4}-\d\d-\d\d))?\.\*\* .+$", section, re.MULTILINE)
        assert [title for title, _ in lines] == titles, section.splitlines()[0]
        date.fromisoformat(lines[0][1])


def test_every_dependency_has_its_decision() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    text = (ROOT / "docs/decisions.md").read_text(encoding="utf-8").lower()
    names = [re.match(r"[a-z-]+", line) for line in project["project"]["dependencies"]]
    assert not [name[0] for name in names if name and name[0] not in text]
