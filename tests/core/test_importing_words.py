"""Shell commands as words, against the shell itself; option lists, exclude patterns, archive names."""

from __future__ import annotations

import fnmatch
import re
import shlex
import subprocess

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from snapd.engines.patterns import expression
from snapd.importing import names, options
from snapd.importing.excludes import our_pattern
from snapd.importing.names import SeriesError
from snapd.importing.words import Comment, Kind, Operator, Redirection, ShellError, Word, tokens


def words(command: str) -> list[Word]:
    return [token for token in tokens(command) if isinstance(token, Word)]


def literals(command: str) -> list[str | None]:
    return [word.literal for word in words(command)]


# -- words ------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))))
def test_what_was_quoted_for_a_shell_is_read_back(texts: list[str]) -> None:
    assert literals(shlex.join(texts)) == texts


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="ab \\'\"", max_size=12))
def test_quotes_and_backslashes_mean_what_they_mean_to_sh(text: str) -> None:
    ran = subprocess.run(
        ["/bin/sh", "-c", f"printf '<%s>' {text}"], capture_output=True, text=True, check=False
    )
    assume(not text.rstrip(" ").endswith("\\"))  # a backslash before nothing: shells differ
    try:
        read = literals(text)
    except ShellError:
        assert ran.returncode != 0
    else:
        assert ran.stdout == ("".join(f"<{word}>" for word in read) or "<>")


def test_a_substitution_is_one_piece_however_it_is_quoted_inside() -> None:
    (word,) = words('"mail_$(date +"%Y )" -d \'a"b)\' $(echo ")"))_x"')
    assert [(piece.kind, piece.text) for piece in word.pieces] == [
        (Kind.TEXT, "mail_"),
        (Kind.COMMAND, 'date +"%Y )" -d \'a"b)\' $(echo ")")'),
        (Kind.TEXT, "_x"),
    ]


def test_backquotes_variables_and_arithmetic_are_told_apart() -> None:
    (word,) = words(r"a`date \`x\``$B${C}${D:-e}$((1 + 2))$1$")
    assert [(piece.kind, piece.text) for piece in word.pieces] == [
        (Kind.TEXT, "a"),
        (Kind.COMMAND, "date `x`"),
        (Kind.VARIABLE, "B"),
        (Kind.VARIABLE, "C"),
        (Kind.OTHER, "${D:-e}"),
        (Kind.OTHER, "$((1 + 2))"),
        (Kind.OTHER, "$1"),
        (Kind.TEXT, "$"),
    ]


def test_operators_redirections_and_comments_are_no_words() -> None:
    found = tokens("a>/dev/null 2>&1 && b <in | c;d& # e && f")
    assert [token.raw for token in found] == [
        *("a", ">/dev/null", "2>&1", "&&", "b", "<in", "|", "c", ";", "d", "&", "# e && f"),
    ]
    assert [token.raw for token in found if isinstance(token, Operator)] == ["&&", "|", ";", "&"]
    assert [token.raw for token in found if isinstance(token, Redirection) and token.reads] == ["<in"]
    assert isinstance(found[-1], Comment)


@pytest.mark.parametrize("wild", ["/srv/*", "a?", "[ab]c", "{a,b}", '"a"*'])
def test_a_word_that_the_shell_would_look_for_among_files_is_not_literal(wild: str) -> None:
    assert literals(wild) == [None]


@pytest.mark.parametrize("tame", ["'/srv/*'", r"a\?", '"[ab]"', "{a}", "]["])
def test_a_quoted_wildcard_is_literal(tame: str) -> None:
    assert None not in literals(tame)


@pytest.mark.parametrize(
    "command", ["'a", '"a', "$(a", "`a", "${a", "$((1)", '"$(a"', "a <<EOF", "a >", "$(" * 5000, '"$(' * 5000]
)
def test_what_never_ends_is_an_error_of_one_sentence(command: str) -> None:
    with pytest.raises(ShellError, match=r"^[^\n]{10,120}$"):
        tokens(command)


# -- options ----------------------------------------------------------------------------------------------


def read(command: str) -> list[tuple[str, str | None]]:
    call = options.read(words(command))
    return [(option.name, option.value.literal if option.value else None) for option in call.options]


@pytest.mark.parametrize(
    "command",
    [
        "-c -f N P",
        "-cf N P",
        "-cfN P",
        "cf N P",
        "--create --file N P",
        "--create --file=N P",
        "-c -f N -- P",
    ],
)
def test_every_way_to_write_create_and_file_means_the_same(command: str) -> None:
    call = options.read(words(command))
    found = [(option.name, option.value.literal if option.value else None) for option in call.options]
    assert found[:2] == [("create", None), ("file", "N")]
    assert [word.literal for word in call.operands] == ["P"]
    assert call.mode == "create"


def test_options_behind_the_first_path_are_paths() -> None:
    call = options.read(words("-c -f N a --exclude b"))
    assert [word.raw for word in call.operands] == ["a", "--exclude", "b"]


def test_beginnings_that_several_options_have_and_values_that_lack_are_told() -> None:
    assert read("--keyf=k") == [("keyfile", "k")]
    assert read("--no-print-stats=x") == [("", None)]
    assert read("--max 1") == [("", None)]
    assert read("--maxbw-rate 1") == [("maxbw-rate", "1")]
    assert read("-Q") == [("", None)]
    assert read("-f") == [("", None)]
    assert read("-v --keyfile") == [("verbose", None), ("", None)]


# -- exclude patterns -------------------------------------------------------------------------------------


def tarsnap_excludes(pattern: str, path: str) -> bool:
    """tarsnap(1) 1.0.41: fnmatch(3) with FNM_LEADING_DIR, from any component unless * or / begins it."""
    text = pattern.removesuffix("/")
    starts = [0]
    if text[:1] not in ("*", "/"):
        starts += [match.end() for match in re.finditer("/", path)]
    ends = [*(match.start() for match in re.finditer("/", path)), len(path)]
    regex = re.compile(fnmatch.translate(text))
    return any(regex.match(path[start:end]) for start in starts for end in ends if end >= start)


PART = st.sampled_from(["a", "b", "ab", "*", "a*", "*b", "a*b", "*a*"])
PATH = st.lists(st.sampled_from(["a", "b", "ab", "aab", "aXb"]), min_size=1, max_size=5)


@settings(max_examples=600, deadline=None)
@given(st.lists(PART, min_size=1, max_size=4), st.booleans(), PATH)
def test_an_exclude_pattern_keeps_its_meaning(parts: list[str], anchored: bool, steps: list[str]) -> None:
    pattern = ("/" if anchored else "") + "/".join(parts)
    assume(pattern.strip("/") not in ("*", "**"))
    path = "/".join(steps)
    ours = re.search(expression(our_pattern(pattern)), path) is not None
    assert ours == tarsnap_excludes(pattern, f"/{path}")


# -- names ------------------------------------------------------------------------------------------------


def series(word: str) -> names.Series:
    return names.series(words(word)[0], hostname="box")


@pytest.mark.parametrize(
    ("word", "pattern", "local"),
    [
        ('"mail_$(date +%Y%m%d-%H%M)"', "mail_%Y%m%d-%H%M", True),
        ("mail_`date -u +%F`", "mail_%Y-%m-%d", False),
        ("$(date --utc '+%Y%m%d')", "%Y%m%d", False),
        ("$(TZ=UTC date +%F_%T)", "%Y-%m-%d_%H:%M:%S", False),
        ("a$(date -I)", "a%Y-%m-%d", True),
        ("a$(date +%y)b$(date +%j)", "a%yb%j", True),
        ("$(hostname)-$(date -u +%F)", "box-%Y-%m-%d", False),
        ("100%$(date -u +%F)", "100%%%Y-%m-%d", False),
    ],
)
def test_a_name_with_a_date_becomes_a_pattern(word: str, pattern: str, local: bool) -> None:
    found = series(word)
    assert (found.pattern, found.local) == (pattern, local)


@pytest.mark.parametrize(
    "word",
    [
        *("fixed", "$(date +%s)", "$(date +%F-%N)", "$(date)", "$(date -d yesterday +%F)", "$(whoami)"),
        *(
            "$(date +%a)",
            "a::$(date +%F)",
            "$(date +%F; rm x)",
            "$(date +$F)",
            "$X$(date +%F)",
            "-$(date +%F)",
        ),
        *("$(date +%-d%m%Y)", "$(date +'%F)", f"{'x' * 160}$(date +%F)"),
    ],
)
def test_a_name_that_no_pattern_says_is_refused_with_one_sentence(word: str) -> None:
    with pytest.raises((SeriesError, ShellError), match=r"^[^\n]+$"):
        series(word)


def test_a_target_of_tarsnapper_becomes_a_pattern() -> None:
    assert names.template("$name-${date}.x", name="a%b", dateformat="%Y%m%d").pattern == "a%%b-%Y%m%d.x"
    assert names.template_ends("$$-$date", name="a") == ("$-", "")
    for target in ("$date$date", "$x-$date", "$", "none"):
        with pytest.raises(SeriesError):
            names.template_ends(target, name="a")
