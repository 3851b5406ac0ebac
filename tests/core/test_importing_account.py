"""Nothing of what is imported is dropped: every value is in the config or in a comment."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from snapd.config import parse
from snapd.importing.account import Fate
from snapd.importing.finish import finished
from tests.fakes.imported import JOBS, config, read, tarsnapper, values

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
JOB = (  # parts of a call of tarsnapper
    *(
        "--target 't{}-$date'",
        '--target "t{}-\\$date"',
        '--target "t{}-$date"',
        "--deltas 1d {}d",
        "-d {}d {}d",
    ),
    *("--sources /srv/{} rel/{}", "--dateformat x{}", "-f '\\%Y\\%m'", "-q", "-o lowmem", "-o keyfile /r/{}"),
    *("-o maxbw {}", "-c /etc/{}", "-c /etc/jobs.yaml", "--strange{}", "- make", "- expire", "- list", "-v"),
    *("make --no-expire", "expire --dry-run", "- expire j{}", "make www"),
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
    paths = " ".join([*draw(st.sampled_from([["/srv/always"], []])), *some(PATHS, 3)])
    prefixes = "".join(
        f"{prefix} " for prefix in sorted(some(PREFIXES, 2), key=lambda text: "=" not in text[:5])
    )
    before, after = "".join(some(BEFORE, 2)), "".join(some(AFTER, 1))
    call = draw(st.sampled_from([f"tarsnap {options} {paths}", f"tarsnapper {' '.join(some(JOB, 7))}"]))
    return f"{draw(st.integers(0, 59))} 3 * * * {before}{prefixes}{call}{after}"


@settings(deadline=None)
@given(jobs())
def test_every_value_of_a_job_is_in_the_config_or_in_a_comment(job: str) -> None:
    """The line itself is a comment, so it is taken out first: what is left must account for every part."""
    draft = read(job, **{"/etc/jobs.yaml": JOBS})
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


# -- files of tarsnapper ----------------------------------------------------------------------------------


@st.composite
def files_of_tarsnapper(draw: st.DrawFn) -> str:
    """A file of tarsnapper with keys that it knows and keys that it does not, each value with a mark."""

    def marked(form: str) -> str:
        return form.replace("{}", str(draw(MARK)))

    def job() -> dict[str, Any]:
        forms: dict[str, Any] = {
            "source": marked("/srv/{}"),
            "sources": [marked("/srv/{}"), marked("rel/{}")],
            "alias": marked("old{}"),
            "aliases": [marked("old{}"), marked("older{}")],
            "exclude": marked("*.{}"),
            "excludes": [marked("/a{}*b"), marked("../{}")],
            "target": marked(draw(st.sampled_from(["t{}-$date", "$name-{}-$date", "a/{}-$date", "t{}"]))),
            "deltas": marked(draw(st.sampled_from(["1d 2d {}d", "{}d {}d", "{}m 1d"]))),
            "delta": draw(st.sampled_from(["named", marked("none{}")])),
            "dateformat": draw(st.sampled_from(["%Y%m%d", "%s", "%d%m%Y %H"])),
            "force": draw(st.booleans()),
            "exec_before": marked("pg_dump {}"),
            "exec_after": marked("rm '/{}"),
            "unknown": marked("x{}"),
        }
        chosen = draw(st.lists(st.sampled_from(sorted(forms)), unique=True))
        return {key: forms[key] for key in chosen}

    document = {
        "jobs": {f"j{at}": job() for at in range(draw(st.integers(1, 3)))},
        "target": marked("g{}-$name-$date"),
        "delta-names": {"named": marked("1d {}d")},
        "include-jobs": marked("/etc/{}/*"),
        "other": marked("y{}"),
    }
    return yaml.safe_dump(document, sort_keys=False)


@settings(deadline=None)
@given(files_of_tarsnapper())
def test_every_value_of_a_file_of_tarsnapper_is_in_the_config_or_in_a_comment(text: str) -> None:
    draft = tarsnapper(text)
    printed = finished(draft, "UTC")
    told = " ".join(f"{item.text} {item.says}" for _, item in draft.items() if item.fate is not Fate.CARRIED)
    kept = " ".join(values(tomllib.loads(printed)))
    shared = text[text.index("\ntarget:") :]  # what no job uses is nowhere but in the account
    account = " ".join(f"{source.text} {item.text}" for source, item in draft.items())
    own = re.findall(r"[0-9]{6}", text.removesuffix(shared))
    assert not [mark for mark in own if mark not in kept and mark not in told]
    assert not [mark for mark in re.findall(r"[0-9]{6}", shared) if mark not in account]


@settings(deadline=None)
@given(files_of_tarsnapper())
def test_every_key_of_a_job_is_in_its_account(text: str) -> None:
    draft = tarsnapper(text)
    jobs = yaml.safe_load(text)["jobs"]
    accounts = {source.text: " ".join(item.text for item in source.items) for source in draft.sources()}
    for name, job in jobs.items():
        assert not [key for key in job if f"{key}: " not in accounts[f"job {name}"]]
