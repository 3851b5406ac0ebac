"""docs/json.md names what programs get, and the canned answers of these tests look like real ones."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from snapd.cli.program import COMMANDS
from snapd.cli.projection import projection_json, verdicts_json
from snapd.cron import Schedule
from snapd.keep import Keep
from snapd.model import Archive
from snapd.retention import Floor, plan
from snapd.simulation import project
from tests.cli import canned
from tests.cli.test_jobs import hold, long_plan
from tests.cli.test_look import ARCHIVES, PIN
from tests.cli.test_status import DETAILS

CONTRACT = (Path(__file__).parents[2] / "docs" / "json.md").read_text(encoding="utf-8")
WORDS = set(re.findall(r"(?<!`)`([^`\n]+)`(?!`)", CONTRACT))
PLAN = long_plan(hold=hold())
SILENT = {"run", "init", "completion"}


def keys_of(value: Any) -> set[str]:
    """Return every key at every depth of a JSON value."""
    if isinstance(value, dict):
        return set(value).union(*(keys_of(item) for item in value.values()))
    if isinstance(value, list):
        return set().union(*(keys_of(item) for item in value))
    return set()


def projection() -> Any:
    start, schedule = datetime(2026, 1, 1, tzinfo=UTC), Schedule.parse("@daily", "UTC")
    policy = Keep(timezone="UTC", daily=7)
    return projection_json(project(schedule, policy, start, timedelta(days=40)), schedule, policy, start)


def verdicts() -> Any:
    made = [Archive(f"a{day}", datetime(2026, 1, day, tzinfo=UTC)) for day in (1, 2)]
    policy = Keep(timezone="UTC", daily=1)
    return verdicts_json(plan(made, policy, Floor(min_keep=0), datetime(2026, 2, 1, tzinfo=UTC)))


@pytest.mark.parametrize(
    "value",
    [canned.run(), canned.restore(), DETAILS, ARCHIVES, PIN, PLAN, projection(), verdicts()],
    ids=["run", "restore", "status", "archives", "pin", "plan", "projection", "verdicts"],
)
def test_every_key_is_documented(value: Any) -> None:
    assert keys_of(value) - WORDS - {"mail", "shop"} == set()


def test_every_command_that_prints_facts_is_documented() -> None:
    told = " ".join(WORDS)
    assert [name for name in COMMANDS if name not in SILENT and name not in told] == []


def test_links_inside_the_page_lead_somewhere() -> None:
    titles = {title.lower().replace(" ", "-") for title in re.findall(r"^#+ (.+)$", CONTRACT, re.MULTILINE)}
    assert set(re.findall(r"\]\(#([^)]+)\)", CONTRACT)) <= titles
