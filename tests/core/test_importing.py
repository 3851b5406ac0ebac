"""Crontabs and tarsnapper files to configs: golden samples, and that nothing is dropped."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
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
from snapd.importing.draft import Draft
from snapd.importing.finish import finished
from snapd.importing.toml_text import comment, quoted
from tests.fakes.host import FakeHost

GOLDEN = Path(__file__).parents[1] / "golden" / "import"
CASES = sorted(GOLDEN.glob("*.crontab"))


def read(text: str, **files: str) -> Draft:
    host = FakeHost(files)
    return crontab_import.read(text, "crontab", host, system=False, tarsnap_conf=None)


def config(text: str, **files: str) -> str:
    return finished(read(text, **files), "UTC")


def golden(case: Path) -> str:
    conf = case.with_suffix(".conf")
    files = {"/etc/tarsnap.conf": conf.read_text(encoding="utf-8")} if conf.exists() else {}
    return config(case.read_text(encoding="utf-8"), **files)


def values(document: Any) -> Iterator[str]:
    """Every value of a TOML document, as text."""
    if isinstance(document, dict):
        for value in document.values():
            yield from values(value)
    elif isinstance(document, list):
        for value in document:
            yield from values(value)
    else:
        yield str(document)


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


# -- nothing is dropped -----------------------------------------------------------------------------------

MARK = st.integers(100_000, 999_999)
FRAGMENTS = (  # parts of a call of tarsnap -c; {} becomes a mark that only this part holds
    *("--keyfile /root/{}", "--cachedir=/var/{}", "--exclude '*.{}'", "--exclude /srv/a{}*b", "-X /x/{}"),
    *("--maxbw-rate {}", "--maxbw-rate-up {}", "--maxbw {}", "--checkpoint-bytes 9{}", "--disk-pause {}"),
    *("--csv-file /tmp/{}", "--snaptime /tmp/{}", "-T /tmp/{}", "--include {}", "--creationtime {}"),
    *("--newer-than /tmp/{}", "--passphrase file:/root/{}", "--passphrase env:P{}", "-C /srv/{}"),
    *("--unknown-{}", "--configfile /etc/{}", "--exclude '../{}'", "--strip-components {}"),
    *("-L", "-H", "-P", "-v", "--one-file-system", "--print-stats", "--humanize-numbers", "--nodump"),
    *("--aggressive-networking", "--lowmem", "--quiet", "--no-default-config", "--retry-forever", "-n"),
)
PREFIXES = (
    *("env PATH=/{}", "env -i A{}=b", "PATH=/{}", "FOO={}", "TZ=Z{}", "nice -n {}", "ionice -c2 -n{}"),
    *("flock -n /run/{}", "flock -w {} /run/x", "timeout -k {} 2h", "sudo -u u{}", "chronic", "exec"),
)
BEFORE = (
    *("cd /srv/{} && ", "sleep {}; ", "test -d /{} && ", "pg_dump db{} > /srv/{}.sql && ", "rm -f /{}; "),
    *("X{}=1; ", "echo {} && ", "curl https://x/{}; ", "cat /{} | ", "mysqldump --all {} && "),
)
AFTER = (
    *(" >/dev/null 2>&1", " >> /var/log/{}", " | logger -t {}", " | mail -s {} root", " || echo {}"),
    *(" || curl https://{}", " && curl https://{}", " # {}", " < /tmp/{}", " &", "%stdin {}"),
)
PATHS = (
    "/srv/{}",
    "rel/{}",
    "../{}",
    "~/{}",
    "/srv/{}/*",
    "@{}",
    "'/srv/with space {}'",
    '"$V{}"',
    "-C /a{}",
)


@st.composite
def jobs(draw: st.DrawFn) -> str:
    """A job of a crontab that calls tarsnap, with everything around it that people write."""

    def some(fragments: tuple[str, ...], most: int) -> list[str]:
        chosen = draw(st.lists(st.sampled_from(fragments), max_size=most))
        return [re.sub(r"\{\}", lambda _: str(draw(MARK)), fragment) for fragment in chosen]

    name = draw(st.sampled_from([r"$(date +\%F)", r"$(date -u +\%Y\%m\%d)", r"$(date +\%s)", "fixed"]))
    options = " ".join(["-c", *some(FRAGMENTS, 6), f'-f "n{draw(MARK)}_{name}"'])
    paths = " ".join(["/srv/always", *some(PATHS, 3)])
    prefixes = "".join(
        f"{prefix} " for prefix in sorted(some(PREFIXES, 2), key=lambda text: "=" not in text[:5])
    )
    before, after = "".join(some(BEFORE, 2)), "".join(some(AFTER, 1))
    return f"{draw(st.integers(0, 59))} 3 * * * {before}{prefixes}tarsnap {options} {paths}{after}"


@settings(deadline=None)
@given(jobs())
def test_every_value_of_a_job_is_in_the_config_or_in_a_comment(job: str) -> None:
    """The line itself is a comment, so it is taken out first: what is left must account for every part."""
    draft = read(job)
    text = finished(draft, "UTC")
    told = " ".join(f"{item.text} {item.says}" for _, item in draft.items() if item.fate is not Fate.CARRIED)
    comments = "\n".join(line for line in text.splitlines() if line.startswith("#"))
    assert not [
        item.text
        for _, item in draft.items()
        if item.fate is not Fate.CARRIED and not _in(item.text, comments)
    ]
    kept = " ".join(values(tomllib.loads(text)))
    assert not [mark for mark in re.findall(r"[0-9]{6}", job) if mark not in kept and mark not in told]


def _in(text: str, comments: str) -> bool:
    """Whether a text is in the comments, however they were broken into lines."""
    bare = re.sub(r"\s+", "", re.sub(r"\n#", "", comments))
    return re.sub(r"\s+", "", text.encode("unicode_escape").decode() if "\n" in text else text) in bare


@settings(deadline=None)
@given(jobs())
def test_every_word_of_a_job_is_in_its_account(job: str) -> None:
    draft = read(job)
    account = " ".join(item.text for _, item in draft.items())
    words = job.replace(r"\%", "%").replace("%stdin", " %stdin").split()
    assert not [
        word for word in words if word.strip("&|;") not in account and word not in ("&&", ";", "|", "||", "&")
    ]


@settings(deadline=None)
@given(jobs())
def test_whatever_the_job_the_config_is_valid_or_says_that_it_is_not(job: str) -> None:
    text = config(job)
    tomllib.loads(text)
    if "does not pass" not in text:
        parse(text, file="config.toml", system_timezone="UTC")


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
