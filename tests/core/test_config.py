"""The config: what is accepted and what it becomes, what is refused and in which words."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from snapd import config as models
from snapd.config import (
    LARGEST_FILE,
    BackupSet,
    BorgStore,
    Config,
    Daemon,
    Folders,
    PathCheck,
    QueryCheck,
    Secret,
    Section,
    load,
    parse,
)
from snapd.config_errors import SECRET_KEYS, dotted, show
from snapd.errors import ConfigError
from snapd.model import ArchivePattern, Kind
from snapd.units import parse_duration

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "config"
GOOD = sorted((GOLDEN / "good").glob("*.toml"))
BAD = sorted((GOLDEN / "bad").glob("*.toml"))
SMALLEST = (GOLDEN / "good" / "smallest.toml").read_text()
STORE, SET = SMALLEST.split("\n\n")


def parsed(text: str, system_timezone: str = "UTC") -> Config:
    return parse(text, file="config.toml", system_timezone=system_timezone)


def good(name: str) -> Config:
    return parsed((GOLDEN / "good" / f"{name}.toml").read_text())


def problems(text: str, system_timezone: str = "UTC") -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        parsed(text, system_timezone)
    return caught.value.problems


def told(text: str) -> tuple[str, ...]:
    """The problems of a text, none for a good one."""
    try:
        parsed(text)
    except ConfigError as error:
        return error.problems or (error.message,)
    return ()


# -- samples --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sample", GOOD, ids=lambda path: path.stem)
def test_a_good_sample_is_accepted_and_always_read_alike(sample: Path) -> None:
    text = sample.read_text()
    assert parsed(text) == parsed(text)


@pytest.mark.parametrize("sample", BAD, ids=lambda path: path.stem)
def test_a_bad_sample_is_refused_with_the_words_beside_it(sample: Path) -> None:
    expected = sample.with_suffix(".txt").read_text().splitlines()
    assert list(problems(sample.read_text())) == expected


def test_the_samples_are_many_and_each_bad_one_has_its_words() -> None:
    assert len(GOOD) >= 8
    assert len(BAD) >= 30
    assert {path.stem for path in (GOLDEN / "bad").glob("*.txt")} == {path.stem for path in BAD}


@pytest.mark.parametrize("sample", GOOD, ids=lambda path: path.stem)
def test_windows_line_ends_change_nothing(sample: Path) -> None:
    text = sample.read_text()
    assert parsed(text.replace("\n", "\r\n")) == parsed(text)


# -- what it becomes --------------------------------------------------------------------------------------


def test_left_out_keys_get_their_defaults() -> None:
    config = parsed(SMALLEST, "Asia/Tokyo")
    assert config.daemon == Daemon(
        timezone="Asia/Tokyo",
        stall_after=timedelta(minutes=30),
        run_limit=timedelta(hours=24),
        stop_limit=timedelta(seconds=90),
    )
    store = config.store["local"]
    assert isinstance(store, BorgStore)
    assert store.compression == "auto,zstd"
    assert config.backup["etc"] == BackupSet(
        name="etc", store="local", archive=ArchivePattern("etc_%Y%m%d-%H%M%S"), paths=(Path("/etc"),)
    )


def test_a_dump_is_named_after_its_file_and_a_query_asks_the_only_dump() -> None:
    config = good("mail-and-shop")
    shop = config.backup["shop"]
    assert [dump.name for dump in shop.dump] == ["shop"]
    assert shop.restore_test is not None
    assert shop.restore_test.check == (
        QueryCheck(query="SELECT max(last_login) FROM sessions", dump="shop", newer_than=timedelta(days=1)),
    )


def test_values_become_what_they_mean() -> None:
    a = good("every-key").backup["a"]
    assert a.paths == (Path("/srv/a/b"), Path("/data"))
    assert str(a.paths[1]) == "/data"
    assert a.expire is not None
    assert a.expire.deltas == (timedelta(days=365), timedelta(days=1), timedelta(hours=2))
    assert (a.expire.partial_after, a.expire.max_share) == (timedelta(days=2), 1.0)
    test = a.restore_test
    assert test is not None
    assert test.max_download == 2_000_000_000
    assert test.proven_within == timedelta(weeks=26)
    assert test.check[0] == PathCheck(
        path="srv/a/b", min_files=0, min_bytes=1_000_000, newest_within=timedelta(minutes=45)
    )
    assert test.check[1] == PathCheck(path="data", min_bytes=500_000_000)
    assert isinstance(test.check[3], QueryCheck)
    assert test.check[3].equals == ""


@pytest.mark.parametrize(
    "name",
    [
        "mail_20240229-0310",
        "mail_20240229-0310.part",
        "mail_20240229-0310.checkpoint.1",
        "mail_20240229-0310.2",
        "mail_20240229-0310.12.part",
        "2019-07-04 mail",
        "2019-07-04 mail.part",
    ],
)
def test_a_set_owns_what_its_pattern_or_an_adopted_one_fits(name: str) -> None:
    assert crontab_set().owns(name)


@pytest.mark.parametrize(
    "name",
    [
        "mail_old_20240229-0310",
        "mail_20240229-0310_old",
        "mail_20240229-031000",
        "mail_20240229",
        "mail_20230229-0310",  # no such day
        "mail_20240229-0310.1",
        "mail_20240229-0310.bak",
        "old_mail_20240229-0310",
        "MAIL_20240229-0310",
        "mail_20240229-0310\n",
        "2019-07-04 mail_old",
        "2019-7-4 mail",
        "mail",
        "",
    ],
)
def test_a_set_owns_nothing_else(name: str) -> None:
    assert not crontab_set().owns(name)


def crontab_set() -> BackupSet:
    """A set that goes on where two crontab lines ended."""
    keys = 'archive = "mail_%Y%m%d-%H%M"\nadopt = ["%Y-%m-%d mail"]\n'
    return parsed(SMALLEST.replace("[backup.etc]", f"[backup.mail]\n{keys}")).backup["mail"]


def test_every_scheduled_job_of_every_set_has_its_expression() -> None:
    assert good("mail-and-shop").schedules() == {
        "backup:mail": "0 */2 * * *",
        "restore-test:mail": "0 6 * * sun",
        "expire:mail": "50 3 * * *",
        "backup:shop": "*/15 * * * *",
        "restore-test:shop": "30 5 * * *",
        "expire:shop": "every 6h",
    }


def test_a_set_without_schedules_has_no_jobs() -> None:
    config = parsed(SMALLEST)
    assert config.schedules() == {}
    assert [config.backup["etc"].schedule_of(kind) for kind in Kind] == [None, None, None]


def test_a_config_cannot_be_changed() -> None:
    config = parsed(SMALLEST)
    with pytest.raises(ValidationError):
        config.backup["etc"].store = "other"


def test_a_wrong_zone_is_told_once_and_not_again_for_every_schedule() -> None:
    (problem,) = problems('[daemon]\ntimezone = "Mars"\n' + SMALLEST + 'schedule = "@daily"\n')
    assert problem.startswith('config.toml:2: daemon.timezone: "Mars" is no time zone; ')


@pytest.mark.parametrize("name", ["Europe", "../etc/passwd", "/etc/localtime", "x" * 5000])
def test_a_time_zone_that_is_a_folder_a_path_or_endless_is_refused(name: str) -> None:
    (problem,) = problems(f'[daemon]\ntimezone = "{name}"\n{SMALLEST}')
    assert problem.startswith("config.toml:2: daemon.timezone: ")
    assert len(problem) < 250


def test_a_system_zone_that_nobody_knows_counts_only_where_the_file_names_none() -> None:
    (problem,) = problems(SMALLEST, "Local/Time")
    assert problem.startswith(
        'config.toml:1: daemon.timezone: the system\'s time zone "Local/Time" is not known; '
    )
    assert parsed('[daemon]\ntimezone = "UTC"\n' + SMALLEST, "Local/Time").daemon.timezone == "UTC"


# -- what is refused ------------------------------------------------------------------------------------


def test_the_error_counts_its_problems_and_names_the_file() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(STORE + "\n" + SET + 'paht = "x"\nstroe = 5\n', file="/etc/x.toml", system_timezone="UTC")
    assert caught.value.message == "/etc/x.toml has 2 errors"
    assert caught.value.hint
    assert caught.value.exit_code == 2
    assert all(problem.startswith("/etc/x.toml:") for problem in caught.value.problems)


def test_problems_come_in_the_order_of_the_file() -> None:
    lines = [
        int(problem.split(":")[1]) for problem in problems((GOLDEN / "bad/several-errors.toml").read_text())
    ]
    assert lines == sorted(lines)
    assert len(lines) >= 10


def test_a_flood_of_errors_is_cut_and_counted() -> None:
    text = SMALLEST + "".join(f"key{number} = 1\n" for number in range(1500))
    found = problems(text)
    assert len(found) == 1001
    assert found[-1] == "config.toml: and 500 more"


def test_arrays_nested_too_deep_are_refused() -> None:
    (problem,) = problems("a = " + "[" * 100_000)
    assert problem == "config.toml:1: arrays or tables are nested too deep"


@pytest.mark.parametrize(
    "key",
    [
        "{} = 1",
        "  {} = 1",
        "[{}]",
        "[[ {} ]]",
        "a = {{ b = 1, {} = 1 }}",
        "a = [\n{{ {} = 1 }}]",
    ],
)
@pytest.mark.parametrize("part", ["a", '"b c"', "'.'"])
def test_a_key_of_very_many_parts_is_refused_before_it_takes_ages(key: str, part: str) -> None:
    text = "# dots\n" + key.format(" . ".join([part] * 200_000))
    (problem,) = problems(text[: LARGEST_FILE // 2])
    assert problem.endswith(": this key has more than 20 parts, and no key of a config has")
    assert problem.startswith(f"config.toml:{3 if chr(10) in key else 2}:")


def test_a_value_may_have_as_many_dots_as_it_likes() -> None:
    dots = ".".join(["a"] * 200)
    text = SMALLEST.replace("[backup.etc]", f'# {dots}\n[backup.etc]\nexclude = ["/etc/{dots}"]', 1)
    assert parsed(text).backup["etc"].exclude == (f"/etc/{dots}",)


def test_a_number_with_endless_digits_is_refused() -> None:
    (problem,) = problems("a = " + "9" * 10_000)
    assert problem == "config.toml:1: a number has more digits than any machine can count"


def test_text_above_one_mebibyte_is_refused() -> None:
    assert problems("#" * (LARGEST_FILE + 1)) == (
        "config.toml:1: the file is larger than 1 MiB, which no config is",
    )


def test_a_hundred_sets_with_likenesses_are_told_apart() -> None:
    sets = "".join(SET.replace("backup.etc", f"backup.set{n}_2026") + "\n" for n in range(100))
    assert len(parsed(STORE + "\n" + sets).backup) == 100


def test_each_pair_of_overlapping_sets_is_told() -> None:
    same = "".join(
        SET.replace("backup.etc", f"backup.{name}") + '\narchive = "x_%Y%m%d"\n' for name in ("a", "b", "c")
    )
    found = problems(STORE + "\n" + same)
    assert len(found) == 3
    assert [re.findall(r'backup set "(\w)"', problem) for problem in found] == [["a"], ["a"], ["b"]]


# -- secrets --------------------------------------------------------------------------------------------

HIDDEN = "Tr0ub4dor"


@pytest.mark.parametrize(
    "value",
    [
        f'"{HIDDEN}"',
        f'["{HIDDEN}"]',
        f"{{ {HIDDEN} = 1 }}",
        f'{{ credental = "{HIDDEN}" }}',
        f'{{ credential = "{HIDDEN}/{HIDDEN}" }}',
        f'{{ credential = ["{HIDDEN}"] }}',
        f'{{ file = "{HIDDEN}" }}',
        f'{{ file = {{ {HIDDEN} = "{HIDDEN}" }} }}',
        f'{{ command = "{HIDDEN}" }}',
        f'{{ command = ["\\u0000{HIDDEN}", 5] }}',
        f'{{ command = [["{HIDDEN}"]] }}',
        f'{{ file = "/{HIDDEN}/..", credential = "{HIDDEN}" }}',
        f"{HIDDEN}",
        f'"{HIDDEN}',
        f"{{ {HIDDEN} = 1, {HIDDEN} = 2 }}",
        f'"{HIDDEN}\\q"',
    ],
)
def test_nothing_below_a_secret_key_is_ever_shown(value: str) -> None:
    text = STORE.replace('{ credential = "borg" }', value) + "\n" + SET
    assert value in text
    with pytest.raises(ConfigError) as caught:
        parsed(text)
    seen = caught.value
    shown = "".join([str(seen), repr(seen), seen.hint, *seen.problems])
    assert HIDDEN not in shown
    assert seen.problems


@given(st.text("Ω/.\"'\\{}=\n ", max_size=8).map(lambda text: f"Ω{text}Ω"))
def test_no_secret_however_spelled_is_shown(secret: str) -> None:
    quoted = '"' + secret.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    for value in (
        quoted,
        secret,
        f"{{ file = {quoted} }}",
        f"{{ {quoted} = 1 }}",
        f"{{ command = {quoted} }}",
    ):
        found = told(STORE.replace('{ credential = "borg" }', value) + "\n" + SET)
        assert found
        assert "Ω" not in "".join(found)


def test_every_key_of_a_secret_is_known_as_one() -> None:
    keys = {
        key for model in sections() for key, field in model.model_fields.items() if Secret in types_of(field)
    }
    assert keys == SECRET_KEYS


# -- any text -------------------------------------------------------------------------------------------

WRONG = st.sampled_from(
    ["5", "-1", "true", '""', '"x"', "[]", "{}", "[1]", "{ a = 1 }", "1979-05-27", "nan", "0xffff"]
)


@given(
    st.sampled_from(GOOD),
    st.integers(0, 60),
    st.one_of(WRONG.map(lambda value: f"= {value}"), st.text("ab1.=[]{}\"'#,\n ", max_size=6)),
)
def test_any_change_to_a_good_sample_is_accepted_or_told_with_its_line(
    sample: Path, number: int, change: str
) -> None:
    lines = sample.read_text().splitlines()
    at = number % len(lines)
    key = lines[at].partition("=")[0]
    lines[at] = key + change
    for problem in told("\n".join(lines)):
        assert re.match(r"config\.toml:[1-9]\d*: \S", problem)
        assert problem.isprintable()
        assert "wrong kind" not in problem


@given(st.text())
def test_a_found_value_is_shown_short_and_printable(value: str) -> None:
    shown = show(value)
    assert len(shown) <= 62
    assert shown.isprintable()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ('a"b\\c\n', '"a\\"b\\\\c\\n"'),
        (True, "true"),
        (float("inf"), "inf"),
        (16**99, "a number of more than 60 digits"),
        ({}, "an empty table"),
        ([1], "an array"),
    ],
)
def test_a_found_value_is_shown_as_the_file_has_it(value: object, shown: str) -> None:
    assert show(value) == shown


def test_a_key_path_is_written_as_in_the_file_and_counts_from_one() -> None:
    assert dotted(("backup", "my set", "dump", 0, "path")) == 'backup."my set".dump[1].path'


# -- reading the file -----------------------------------------------------------------------------------


def refused(path: Path) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(path, "UTC")
    return caught.value


def test_a_file_is_read_into_a_config_and_its_text(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(SMALLEST.replace("\n", "\r\n").encode())
    config, text = load(file, "UTC")
    assert config == parsed(SMALLEST)
    assert text == SMALLEST.replace("\n", "\r\n")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    error = refused(tmp_path / "none.toml")
    assert error.message == f"there is no config file {tmp_path / 'none.toml'}"
    assert error.hint


def test_a_folder_a_pipe_and_an_impossible_name_are_no_config(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "is a folder" in refused(tmp_path).message
    assert "is no regular file" in refused(tmp_path / "pipe").message
    assert "cannot be read" in refused(tmp_path / ("x" * 5000)).message
    assert "cannot be read" in refused(tmp_path / "a\0b").message


def test_an_unreadable_file_is_told_with_the_reason(tmp_path: Path) -> None:
    loop = tmp_path / "loop.toml"
    loop.symlink_to(loop)
    assert "symbolic links" in refused(loop).message


def test_a_file_that_is_not_utf8_is_refused_with_line_and_byte(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(b"# caf\xc3\xa9\n# caf\xe9\n")
    assert refused(file).problems == (f"{file}:2: not UTF-8: found the byte 0xe9; save the file as UTF-8",)


def test_a_byte_order_mark_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(b"\xef\xbb\xbf" + SMALLEST.encode())
    assert refused(file).problems == (
        f"{file}:1: the file starts with a byte order mark; save it as UTF-8 without one",
    )


def test_a_huge_file_is_refused_without_being_read_whole(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    with file.open("wb") as opened:
        opened.truncate(2**40)  # a hole: no disk has to hold it
    assert refused(file).problems == (f"{file}:1: the file is larger than 1 MiB, which no config is",)


# -- folders --------------------------------------------------------------------------------------------


def test_folders_come_from_systemd_where_it_names_them() -> None:
    folders = Folders.from_environment(
        {"STATE_DIRECTORY": "/a/state:/b", "CACHE_DIRECTORY": "", "HOME": "/root"}
    )
    assert folders == Folders(state=Path("/a/state"))
    assert Folders.from_environment({"CACHE_DIRECTORY": "/c", "RUNTIME_DIRECTORY": "/r"}) == Folders(
        cache=Path("/c"), runtime=Path("/r")
    )


# -- the example and the reference ----------------------------------------------------------------------


def sections() -> list[type[Section]]:
    found = [
        value for value in vars(models).values() if isinstance(value, type) and issubclass(value, Section)
    ]
    return [model for model in dict.fromkeys(found) if model not in (Section, Config)]


def types_of(field: FieldInfo) -> set[Any]:
    return {field.annotation, *get_args(field.annotation)}


def keys_of_the_file() -> Iterator[tuple[type[Section], str, FieldInfo]]:
    for model in sections():
        for key, field in model.model_fields.items():
            if (model, key) != (BackupSet, "name"):
                yield model, key, field


def uncommented() -> str:
    return re.sub(r"(?m)^#(?=[\[a-z])", "", (ROOT / "config.example.toml").read_text())


def test_the_example_is_valid_as_it_stands() -> None:
    config = parsed((ROOT / "config.example.toml").read_text())
    assert config.store["local"].passphrase == Secret(credential="borg")
    assert config.backup["etc"].paths == (Path("/etc"),)


def test_the_example_is_valid_with_every_optional_line_in_force() -> None:
    assert set(parsed(uncommented()).backup) == {"etc", "shop"}


def given_keys(value: object) -> Iterator[tuple[type[BaseModel], str]]:
    """Every key that a config was given, with the section it is in."""
    if isinstance(value, BaseModel):
        yield from ((type(value), key) for key in value.model_fields_set)
        value = dict(value)
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, tuple):
        for inner in value:
            yield from given_keys(inner)


def test_the_example_shows_every_key_of_every_section() -> None:
    shown = set(given_keys(parsed(uncommented())))
    written = re.findall(r"(?m)^([a-z_]+)\s*=", uncommented())
    assert {(model, key) for model, key, _ in keys_of_the_file()} <= shown
    assert {"timezone", "archive", "name", "dump"} <= set(
        written
    )  # these have defaults that look as if given


def reference() -> dict[str, dict[str, list[str]]]:
    """Section -> key -> cells of its row, from docs/config.md."""
    pages = (ROOT / "docs" / "config.md").read_text().split("\n## ")[1:]
    return {
        page.partition("\n")[0]: {
            row[0].strip("`"): row[1:]
            for line in page.splitlines()
            if line.startswith("| `")
            and len(row := [cell.strip() for cell in line.strip("|").split("|")]) == 5
        }
        for page in pages
    }


@pytest.mark.parametrize(
    ("model", "key", "field"), list(keys_of_the_file()), ids=lambda value: str(value)[:40]
)
def test_the_reference_has_every_key_with_its_default(
    model: type[Section], key: str, field: FieldInfo
) -> None:
    row = reference()[model.__name__][key]
    default = row[1].strip("`")
    if isinstance(field.default, timedelta):
        assert parse_duration(default.strip('"')) == field.default
    elif field.default is None or field.default == ():
        assert default in ("none", "[]")
    elif not field.is_required():
        assert tomllib.loads(f"x = {default}") == {"x": field.default}


def test_the_reference_has_no_key_that_does_not_exist() -> None:
    known = {(model.__name__, key) for model, key, _ in keys_of_the_file()}
    written = {(section, key) for section, rows in reference().items() for key in rows}
    assert written == known
