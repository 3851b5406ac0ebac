"""The key locator: TOML text to the line of each key."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapd.toml_lines import KeyPath, line_of, locate


def located(text: str) -> dict[KeyPath, int]:
    return locate(dedent(text).lstrip("\n"))


def test_a_key_stands_on_its_own_line_and_a_table_at_its_header() -> None:
    lines = located("""
        # a comment with key = "value" and [a.header]
        top = 1

        [store.local]   # [not.this]
        engine = "borg"

        [backup.mail.expire]
        deltas = ["1d"]
        [backup.mail]
        paths = []
        """)
    assert lines[("top",)] == 2
    assert lines[("store",)] == lines[("store", "local")] == 4
    assert lines[("store", "local", "engine")] == 5
    assert lines[("backup", "mail", "expire", "deltas")] == 8
    assert lines[("backup", "mail")] == 9
    assert lines[("backup", "mail", "paths")] == 10


def test_dotted_and_quoted_keys_are_split_and_unquoted() -> None:
    lines = located(r"""
        a . "b.c" . 'd\n' = 1
        "t\u00e4b\t".x = 2
        [ "quoted table" . 'x]y' ]
        k = 3
        """)
    assert lines[("a", "b.c", "d\\n")] == 1
    assert lines[("täb\t", "x")] == 2
    assert lines[("quoted table", "x]y", "k")] == 4


def test_tables_of_an_array_are_counted_and_headers_below_belong_to_the_last() -> None:
    lines = located("""
        [[a.b]]
        x = 1
        [a.b.c]
        y = 1
        [[a.b]]
        x = 2
        [[a.b.d]]
        z = 1
        [[a.b.d]]
        z = 2
        """)
    assert lines[("a", "b")] == lines[("a", "b", 0)] == 1
    assert lines[("a", "b", 0, "c", "y")] == 4
    assert lines[("a", "b", 1, "x")] == 6
    assert lines[("a", "b", 1, "d", 0, "z")] == 8
    assert lines[("a", "b", 1, "d", 1, "z")] == 10


def test_arrays_over_several_lines_with_comments_place_each_element() -> None:
    lines = located("""
        paths = [  # ] no end
          "/a,]",
          # "/not this"
          [1, 2,
           3], { x = 1, y.z = [
             5 ] },
        ]
        after = 1979-05-27 07:32:00
        later = 1
        """)
    assert lines[("paths", 0)] == 2
    assert lines[("paths", 1, 1)] == 4
    assert lines[("paths", 1, 2)] == 5
    assert lines[("paths", 2, "x")] == 5
    assert lines[("paths", 2, "y", "z", 0)] == 6
    assert lines[("after",)] == 8
    assert lines[("later",)] == 9


@pytest.mark.parametrize(
    "value",
    [
        '"""\nk = 1\n\\"""\n"""',
        "'''\nk = 1\n''x\\'''",
        '"""a"""""',
        '"\\" ] # x"',
        "'\\'",
        '"""\n""\n""" # """',
    ],
)
def test_whatever_a_string_holds_is_skipped(value: str) -> None:
    text = f"first = {value}\nsecond = 2\n"
    assert set(tomllib.loads(text)) == {"first", "second"}
    assert locate(text) == {(): 1, ("first",): 1, ("second",): 2 + value.count("\n")}


def test_windows_line_ends_count_once() -> None:
    assert locate("a = 1\r\n\r\nb = 2\r\n")[("b",)] == 3


def test_a_path_that_is_not_in_the_text_stands_where_its_nearest_parent_is() -> None:
    lines = locate("\n[a.b]\nc = 1\n")
    assert line_of(lines, ("a", "b", "missing", 0)) == 2
    assert line_of(lines, ("x",)) == 1
    assert line_of({}, ("x",)) == 1


def test_text_that_is_no_toml_yields_what_came_before() -> None:
    assert locate("a = 1\nb = ?]?\nc = 3")[("a",)] == 1
    assert locate('"\\q" = 1') == {(): 1}
    assert locate("a = " + "[" * 100_000) != {}


# -- against tomllib ------------------------------------------------------------------------------------

AWKWARD = "ab1-_. é\"'\\#=[]{},"
KEYS = st.one_of(st.sampled_from(["a", "b", "c-1", "2_x"]), st.text(AWKWARD, max_size=4))
GAPS = st.sampled_from(["", " ", "\t", " \t"])
BREAKS = st.sampled_from(["", " ", "\n", "  # ] } \" '\n", "\n\n"])
COMMENTS = st.sampled_from(["", " # x = [1", "\n# [no.table]", "\n\n"])


def quoted(text: str) -> str:
    return json.dumps(text)


def written(name: str) -> list[str]:
    """Every way to write a key."""
    bare = [name] if re.fullmatch("[A-Za-z0-9_-]+", name) else []
    literal = [] if "'" in name else [f"'{name}'"]
    return [quoted(name), *bare, *literal]


@st.composite
def dotted(draw: st.DrawFn) -> str:
    names = draw(st.lists(KEYS, min_size=1, max_size=3))
    return f"{draw(GAPS)}.{draw(GAPS)}".join([draw(st.sampled_from(written(name))) for name in names])


SCALARS = st.one_of(
    st.sampled_from(["1", "0x1F", "+1.5e3", "nan", "true", "1979-05-27", "1979-05-27 07:32:00.5Z"]),
    st.sampled_from(['"""\n]\\"""a""""', "''", "'''\n[x]\n'''''", '"\\\\"']),
    st.text(AWKWARD, max_size=8).map(quoted),
)


@st.composite
def array(draw: st.DrawFn, items: st.SearchStrategy[str]) -> str:
    items_written = [f"{draw(BREAKS)}{item}{draw(BREAKS)}" for item in draw(st.lists(items, max_size=3))]
    tail = draw(st.sampled_from(["", ","])) if items_written else ""
    return "[" + ",".join(items_written) + tail + draw(BREAKS) + "]"


@st.composite
def inline_table(draw: st.DrawFn, items: st.SearchStrategy[str]) -> str:
    pairs = [
        f"{draw(GAPS)}{draw(dotted())}{draw(GAPS)}={draw(GAPS)}{item}"
        for item in draw(st.lists(items, max_size=3))
    ]
    return "{" + ",".join(pairs) + draw(GAPS) + "}"


VALUES = st.recursive(SCALARS, lambda items: st.one_of(array(items), inline_table(items)), max_leaves=6)


@st.composite
def line(draw: st.DrawFn) -> str:
    shape = draw(st.sampled_from(["{k} = {v}", "{k} = {v}", "{k}={v}", "[ {k} ]", "[{k}]", "[[{k}]]"]))
    return shape.replace("{k}", draw(dotted())).replace("{v}", draw(VALUES)) + draw(COMMENTS)


def accepted(lines: list[str]) -> str:
    """Leave out every line that would make the document invalid (a key given twice, mostly)."""
    text = ""
    for line in lines:
        try:
            tomllib.loads(text + line + "\n")
        except tomllib.TOMLDecodeError:
            continue
        text += line + "\n"
    return text


def paths(value: object, at: KeyPath = ()) -> Iterator[KeyPath]:
    yield at
    entries = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for step, inner in entries:
        yield from paths(inner, (*at, step))


@given(st.lists(line(), max_size=8).map(accepted))
def test_every_path_that_tomllib_sees_gets_a_line_and_no_other(text: str) -> None:
    lines = locate(text)
    assert set(lines) == set(paths(tomllib.loads(text)))
    assert all(1 <= number <= text.count("\n") + 1 for number in lines.values())


@given(st.lists(line(), max_size=8).map(accepted), st.integers(0, 9))
def test_blank_lines_before_a_document_move_every_key_by_as_many(text: str, blank: int) -> None:
    moved = {path: number + blank if path else 1 for path, number in locate(text).items()}
    assert locate("\n" * blank + text) == moved


@given(st.text("ab.=[]{}\"'#,\\\n 1"))
def test_any_text_at_all_is_scanned_to_an_end(text: str) -> None:
    assert locate(text)[()] == 1


HOSTILE = [
    'a = "' + "\\\\" * 2**19,
    'a = """' + '\\"' * 2**19,
    'a = """' + '"x' * 2**19,
    "a = '''" + "'x" * 2**19,
    "a" + " " * 2**20,
    "a = " + '"' * 2**20,
    '"' + '\\"' * 2**19,
    "a = " + "x" * 2**20 + " 12:",
    'a = "\n' * 2**17,
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_mebibyte_that_never_ends_what_it_began_is_scanned_to_an_end(text: str) -> None:
    assert locate(text)[()] == 1


def test_a_mebibyte_of_comments_hides_no_key() -> None:
    assert locate("#\n" * 2**19 + "a = 1")["a",] == 2**19 + 1
