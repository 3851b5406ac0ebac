"""Crontabs and files of tarsnapper to configs: golden samples, what belongs together, hostile input."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snapd.config import TarsnapStore, parse
from snapd.deltas import Deltas
from snapd.errors import UsageError
from snapd.importing import crontab_import
from snapd.importing.account import Fate
from snapd.importing.crontab import is_system
from snapd.importing.finish import finished
from snapd.importing.toml_text import comment, quoted
from tests.fakes.host import FakeHost
from tests.fakes.imported import GOLDEN, JOBS, config, read, tarsnapper

CASES = sorted([*GOLDEN.glob("*.crontab"), *GOLDEN.glob("*.yaml")])
INCLUDED = "/usr/local/etc/tarsnapper/jobs.d/more"


def golden(case: Path) -> str:
    """The config of a sample; what lies beside it are its tarsnap.conf, and a file that it includes."""
    beside = {"/etc/tarsnap.conf": case.with_suffix(".conf"), INCLUDED: case.with_suffix(".included")}
    files = {path: file.read_text(encoding="utf-8") for path, file in beside.items() if file.exists()}
    text = case.read_text(encoding="utf-8")
    if case.suffix == ".crontab":
        return config(text, **{"/etc/jobs.yaml": JOBS, **files})
    return finished(tarsnapper(text, schedule=None if case.stem == "simple" else "@hourly", **files), "UTC")


# -- golden -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_sample_becomes_the_config_beside_it(case: Path) -> None:
    assert golden(case) == case.with_suffix(".toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_sample_becomes_a_config_that_is_valid_and_says_so_where_it_is_not(case: Path) -> None:
    text = golden(case)
    parse(text, file="config.toml", system_timezone="UTC")
    assert "does not pass" not in text


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_proposals_of_a_sample_are_valid_too(case: Path) -> None:
    proposed = re.sub(r"^#(?! )(.+)", r"\1", golden(case), flags=re.MULTILINE)
    parsed = parse(proposed, file="config.toml", system_timezone="UTC")
    assert all(one.restore_test and one.expire for one in parsed.backup.values())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_sample_fits_in_80_columns_but_for_words_that_are_longer(case: Path) -> None:
    wide = [line for line in golden(case).splitlines() if line.startswith("#") and len(line) > 80]
    assert not [line for line in wide if len(line.split()) > 3]


def test_the_two_lines_of_a_small_team_become_one_set_and_nothing_is_left() -> None:
    draft = read((GOLDEN / "two-lines.crontab").read_text(encoding="utf-8"))
    parsed = parse(finished(draft, "UTC"), file="config.toml", system_timezone="UTC")
    assert list(parsed.backup) == ["mail"]
    mail, store = parsed.backup["mail"], parsed.store["offsite"]
    assert isinstance(store, TarsnapStore)
    assert (str(store.keyfile), str(store.cachedir)) == ("/root/tarsnap.key", "/usr/local/tarsnap-cache")
    assert mail.archive.text == "mail_%Y%m%d-%H%M"
    assert [str(path) for path in mail.paths] == ["/srv/mail/mail.xybur.net"]
    assert mail.schedule == "0 */2 * * *"
    assert mail.expire is not None
    assert mail.expire.schedule == "50 3 * * *"
    policy = mail.expire.policy("UTC")
    assert isinstance(policy, Deltas)
    assert [span.days for span in policy.spans] == [1, 7, 30, 365]
    assert not [item for _, item in draft.items() if item.fate is Fate.NOT_CARRIED]


# -- what cannot be read ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("job", "said"),
    [
        ('0 1 * * * tarsnap -c -f "a /srv', r'^crontab:2: the quote " at character 15'),
        ("0 1 * * * tarsnap -c -f $(date /srv", r"^crontab:2: the \$\( at character"),
        ("0 1 * * * tarsnap -c -f x /srv <<EOF", r"^crontab:2: << is not read"),
    ],
)
def test_a_job_that_no_shell_would_take_is_refused_with_its_line(job: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read(f"# a comment\n{job}\n")


def test_a_bare_percent_sign_inside_quotes_is_what_the_hint_is_about() -> None:
    with pytest.raises(UsageError) as caught:
        read('0 1 * * * tarsnap -c -f "a_$(date +%F)" /srv')
    assert r"write \%" in caught.value.hint


@pytest.mark.parametrize("text", ["", "# nothing\n", "MAILTO=x\n", "0 1 * * * certbot renew\n"])
def test_a_crontab_without_a_backup_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no job that looks like a backup"):
        read(text)


# -- hostile ----------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.text())
def test_a_string_of_the_config_is_read_back_as_it_was(text: str) -> None:
    if text.isprintable() or not any(0xD800 <= ord(c) < 0xE000 for c in text):
        assert tomllib.loads(f"a = {quoted(text)}") == {"a": text}


@settings(deadline=None)
@given(st.text())
def test_a_comment_never_ends_before_its_line_does(text: str) -> None:
    lines = list(comment(text))
    assert tomllib.loads("\n".join(lines)) == {}
    assert all(line.isprintable() for line in lines)


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_characters="\0\n"), min_size=1), min_size=1, max_size=3))
def test_no_path_can_add_a_key(paths: list[str]) -> None:
    job = '0 1 * * * tarsnap -c -f "a_$(date +\\%F)" /srv ' + shlex.join(paths).replace("%", r"\%")
    parsed = tomllib.loads(config(job))
    assert parsed.keys() == {"store", "backup"}
    assert parsed["backup"].keys() == {"a"}
    assert parsed["backup"]["a"].keys() <= {"store", "schedule", "archive", "paths"}


# -- files of tarsnapper ----------------------------------------------------------------------------------


def test_a_job_and_its_aliases_are_one_set() -> None:
    parsed = parse(finished(tarsnapper(JOBS), "UTC"), file="config.toml", system_timezone="UTC")
    www = parsed.backup["www"]
    assert www.owns("www-20260101-000000")
    assert www.owns("web-20260101-000000")
    assert www.owns("website-20260101-000000")
    assert not www.owns("mail-20260101-000000")


def test_a_schedule_that_was_not_given_is_a_guess_that_is_told() -> None:
    assert "@daily is a guess" in finished(tarsnapper(JOBS, schedule=None), "UTC")
    assert "is a guess: give" not in finished(tarsnapper(JOBS), "UTC")
    with pytest.raises(UsageError, match="no minute of cron"):
        tarsnapper(JOBS, schedule="x * * * *")


BOMB = "a: &a [x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + at)}: &{chr(98 + at)} [{', '.join([f'*{chr(97 + at)}'] * 8)}]\n" for at in range(8)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("jobs:\n  a: 'x\n", r"^jobs.yaml:3: no YAML: found unexpected end of stream"),
        ("jobs:\n\ta: x\n", r"^jobs.yaml:2: no YAML: found character '\\t'"),
        ("- a\n", r"^jobs.yaml:1: found no table of keys"),
        ("jobs:\n  a: !!python/object/apply:os.system [x]\n", r"^jobs.yaml:2: the tag .* is not read"),
        ("jobs:\n  ? [a]\n  : b\n", r"^jobs.yaml:2: a key is a word"),
        ("a: &a [*a]\n", r"^jobs.yaml:1: it is nested too deep"),
        ("a: " + "[" * 100_000, r"^jobs.yaml:1: it is nested too deep"),
        (BOMB, r"^jobs.yaml:1: its aliases repeat more than"),
        ("a: " + "x" * 2**18, r"^jobs.yaml is larger than 256 KiB"),
        ("deltas: 1d 2d\n", r"^jobs.yaml has no job"),
        ("", r"^jobs.yaml has no job"),
    ],
    ids=["quote", "tab", "list", "tag", "key", "loop", "deep", "bomb", "huge", "no jobs", "empty"],
)
def test_a_file_of_tarsnapper_that_cannot_be_read_is_refused_with_one_sentence(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        tarsnapper(text)
    assert "\n" not in caught.value.message


def test_merged_keys_are_followed_and_the_jobs_own_win() -> None:
    text = """
        jobs:
          a: &a {source: /srv/a, target: a-$date, deltas: 1d 7d}
          b: {<<: *a, source: /srv/b, target: b-$date}
    """
    parsed = parse(finished(tarsnapper(text), "UTC"), file="config.toml", system_timezone="UTC")
    assert [str(path) for path in parsed.backup["b"].paths] == ["/srv/b"]
    assert parsed.backup["b"].expire is not None


# -- what belongs together --------------------------------------------------------------------------------

MAKE = 'tarsnap --keyfile /k --cachedir /c -c -f "{}_$(date -u +\\%Y\\%m\\%d)" /srv/{}'


def sets(*jobs: str) -> Any:
    text = config("".join(f"0 {at} * * * {job}\n" for at, job in enumerate(jobs)))
    return parse(text, file="config.toml", system_timezone="UTC")


@pytest.mark.parametrize(
    ("expiry", "joined"),
    [
        ("tarsnapper --target 'a_$date' --deltas 1d 7d - expire", True),
        ("tarsnapper --target 'a_$date' --dateformat '\\%Y\\%m\\%d' --deltas 1d 7d - expire", True),
        ("tarsnapper --target 'a_$date' --dateformat '\\%Y-\\%m-\\%d' --deltas 1d 7d - expire", False),
        ("tarsnapper --target 'a-$date' --deltas 1d 7d - expire", False),
        ("tarsnapper --target 'a_$date.gz' --deltas 1d 7d - expire", False),
        ("tarsnapper -o keyfile /other --target 'a_$date' --deltas 1d 7d - expire", False),
    ],
)
def test_an_expiry_joins_the_set_whose_archives_it_saw_and_no_other(expiry: str, joined: bool) -> None:
    parsed = sets(MAKE.format("a", "a"), expiry)
    assert (parsed.backup["a"].expire is not None) == joined


def test_lines_with_two_keys_have_two_stores_and_one_key_has_one() -> None:
    other = MAKE.format("c", "c").replace("/k ", "/k2 ").replace("/c ", "/c2 ")
    parsed = sets(MAKE.format("a", "a"), MAKE.format("b", "b"), other)
    assert [one.store for one in parsed.backup.values()] == ["offsite", "offsite", "offsite-2"]
    assert {str(store.keyfile) for store in parsed.store.values()} == {"/k", "/k2"}


def test_an_option_that_changes_what_is_archived_is_the_stores_only_where_all_its_sets_had_it() -> None:
    with_nodump = MAKE.replace(" -c ", " --nodump -c ")
    both = sets(with_nodump.format("a", "a"), with_nodump.format("b", "b"))
    assert both.store["offsite"].extra.create == ("--nodump",)
    one = sets(with_nodump.format("a", "a"), MAKE.format("b", "b"))
    assert one.store["offsite"].extra is None
    assert "NOT CARRIED OVER: `--nodump`" in config(
        f"0 1 * * * {with_nodump.format('a', 'a')}\n0 2 * * * {MAKE.format('b', 'b')}\n"
    )


def test_two_lines_of_one_series_that_no_schedule_joins_are_two_sets_with_names_of_their_own() -> None:
    parsed = parse(
        config(f"0 1 * * * {MAKE.format('a', 'a')}\n30 2 * * sun {MAKE.format('a', 'a')}\n"),
        file="config.toml",
        system_timezone="UTC",
    )
    assert [one.archive.text for one in parsed.backup.values()] == ["a_%Y%m%d", "a-2_%Y%m%d-%H%M%S"]


def test_a_tarsnap_conf_that_only_another_user_may_look_at_is_told() -> None:
    host = FakeHost(hidden=frozenset({"/root/.tarsnaprc"}))
    draft = crontab_import.read(
        f"0 1 * * * {MAKE.format('a', 'a')}", "x", host, system=False, tarsnap_conf=None
    )
    assert [item.text for _, item in draft.items() if item.fate is Fate.NOT_CARRIED] == ["~/.tarsnaprc"]


def test_lines_and_jobs_without_end_are_refused_or_told() -> None:
    with pytest.raises(UsageError, match="501 jobs that call tarsnap, and at most 500"):
        read(f"0 1 * * * {MAKE.format('a', 'a')}\n" * 501)
    draft = read(f"0 1 * * * {MAKE.format('a', 'a')}\n# {'x' * 20_000}\n")
    assert "no line of a crontab has 10000 characters" in finished(draft, "UTC")


def test_files_that_a_call_names_are_read() -> None:
    job = "0 1 * * * " + MAKE.format("a", "a").replace("--keyfile /k", "--configfile /etc/t.conf -X /etc/x")
    text = config(
        job, **{"/etc/t.conf": "keyfile ~/k\nexclude /srv/a/tmp\n", "/etc/x": "*.o\n/srv/a/*/cache\n"}
    )
    parsed = parse(text, file="config.toml", system_timezone="UTC")
    assert parsed.backup["a"].exclude == ("*.o", "/srv/a/*/**/cache", "/srv/a/tmp")
    assert str(parsed.store["offsite"].local_folder) == "/c"
    assert 'keyfile  = "/root/k"' in text


def test_a_default_config_file_counts_where_the_call_does_not_forbid_it() -> None:
    conf = {"/etc/tarsnap.conf": "exclude /srv/a/tmp\nmaxbw-rate 50k\n"}
    assert "/srv/a/tmp" in config(f"0 1 * * * {MAKE.format('a', 'a')}", **conf)
    without = MAKE.format("a", "a").replace("-c -f", "--no-default-config -c -f")
    parsed = parse(config(f"0 1 * * * {without}", **conf), file="x", system_timezone="UTC")
    assert parsed.backup["a"].exclude == ()


@pytest.mark.parametrize(
    ("jobs", "file", "system"),
    [
        ("0 1 * * * root tarsnap -c", "x", True),
        ("0 1 * * * backup tarsnap -c", "x", True),
        ("0 1 * * *\troot\tPATH=/x tarsnap -c", "x", True),
        ("0 1 * * * tarsnap -c", "x", False),
        ("0 1 * * * nice tarsnap -c", "x", False),
        ("0 1 * * * root tarsnap -c\n0 2 * * * /usr/bin/tarsnap -c", "x", False),
        ("0 1 * * * tarsnap -c", "/etc/cron.d/tarsnap", True),
    ],
)
def test_whether_jobs_name_their_user_is_told_by_their_words(jobs: str, file: str, system: bool) -> None:
    assert is_system(jobs, file) == system
