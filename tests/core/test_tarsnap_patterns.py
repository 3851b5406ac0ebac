"""Excludes in Tarsnap's words mean what they mean in ours: compared with the fnmatch(3) that Tarsnap uses."""

from __future__ import annotations

import ctypes
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapd.engines.patterns import expression
from snapd.engines.tarsnap_patterns import literal, translated

LIBC = ctypes.CDLL(None)
LEADING_DIR = 8  # FNM_LEADING_DIR of fnmatch(3)


def fnmatch(pattern: str, text: str) -> bool:
    return int(LIBC.fnmatch(pattern.encode(), text.encode(), LEADING_DIR)) == 0


def excluded(patterns: tuple[str, ...], path: str) -> bool:
    """Whether `tarsnap --exclude` leaves a path out: anchored after `*` or `/`, else at any component."""
    steps = path.lstrip("/").split("/")
    tails = ["/".join(steps[at:]) for at in range(len(steps))]
    return any(
        fnmatch(pattern, path) if pattern[0] in "*/" else any(fnmatch(pattern, tail) for tail in tails)
        for pattern in patterns
    )


PIECES = st.sampled_from(
    ["a", "b", "ab", "*", "**", "/", "**/", "?", "[ab]", "[!a]", "[", "]", "!", "\\", "^", "-"]
)
PATTERNS = st.lists(PIECES, min_size=1, max_size=7).map("".join)
NAMES = st.text("ab!]^\\[-", min_size=1, max_size=4)
PATHS = st.lists(NAMES, min_size=1, max_size=4).map(lambda names: "/" + "/".join(names))


@given(PATTERNS, PATHS)
def test_a_pattern_that_can_be_said_excludes_exactly_what_it_means(pattern: str, path: str) -> None:
    said = translated(pattern)
    if said is None or "//" in pattern or not pattern.strip("/*"):
        return
    assert excluded(said, path) is (re.search(expression(pattern), path[1:]) is not None)


@pytest.mark.parametrize(
    "pattern",
    [
        "*.tmp",
        "cache",
        "core.*",
        "*~",
        "*cache*",
        "/srv/top",
        "/srv/top/*",
        "/srv/**/*.log",
        "/srv/**/junk",
        "a/b",
        "**/b",
        "img[0-9].raw",
        "file-??",
        "[!.]x",
        "/home/*/**/cache",
        "Trash/",
        "ö",
        "*/x",
    ],
)
def test_usual_patterns_can_be_said(pattern: str) -> None:
    assert translated(pattern)


@pytest.mark.parametrize(
    "pattern", ["img*.raw", "/home/*/.cache", "a*b*c", "/srv/*/x/*.log", "[a/]b", "x[+-9]y"]
)
def test_a_star_inside_a_name_cannot_be_said_because_it_would_cross_folders(pattern: str) -> None:
    assert translated(pattern) is None


@pytest.mark.parametrize(
    ("pattern", "left_out", "stays"),
    [
        ("a?b", "/x/acb", "/x/a/b"),
        ("a[!x]b", "/x/ayb", "/x/a/b"),
        ("*.tmp", "/x/.tmp/y", "/x/a.tmpx"),
        ("*/x", "/a/x", "/x"),
        ("/top", "/top/x", "/a/top"),
        ("/a/**/x", "/a/x", "/b/a/x"),
        ("a\\b", "/a\\b", "/ab"),
        ("cache/", "/x/cache/y", "/x/caches"),
    ],
)
def test_nothing_crosses_a_folder_that_should_not(pattern: str, left_out: str, stays: str) -> None:
    said = translated(pattern)
    assert said is not None
    assert excluded(said, left_out)
    assert not excluded(said, stays)


@given(PATHS, PATHS)
def test_a_literal_path_excludes_itself_and_what_is_below_it_and_nothing_else(path: str, other: str) -> None:
    said = (literal(path),)
    assert excluded(said, path)
    assert excluded(said, f"{path}/x")
    assert excluded(said, other) is (other == path or other.startswith(f"{path}/"))
