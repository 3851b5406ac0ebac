"""Looks at places that may never answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from snapd.looks import answer, answers


def test_every_place_that_answers_is_heard_and_the_silent_one_is_left_behind() -> None:
    over = threading.Event()
    looks: dict[str, Callable[[], str]] = {
        "a": lambda: "a",
        "dead": lambda: "late" if over.wait(60) else "never",
        "b": lambda: "b",
    }
    try:
        assert answers(looks, 0.5) == {"a": "a", "b": "b"}
        started: list[str] = []
        assert (
            answers({"dead": lambda: started.append("again")}, 60) == {}
        )  # at once, and beside it nobody hangs
        assert started == []
    finally:
        over.set()
    until(lambda: answers({"dead": lambda: "back"}, 60) == {"dead": "back"})


def test_many_silent_places_do_not_keep_another_waiting_for_their_sum() -> None:
    over = threading.Event()
    looks: dict[str, Callable[[], bool]] = {f"dead {number}": lambda: over.wait(60) for number in range(5)}
    try:
        assert answers({**looks, "alive": lambda: True}, 2.0) == {"alive": True}
    finally:
        over.set()


def test_a_thousand_places_are_looked_at_by_a_few_threads() -> None:
    threads: set[int] = set()
    looks = {f"place {number}": lambda: threads.add(threading.get_ident()) for number in range(1000)}
    assert len(answers(looks, 60)) == 1000
    assert len(threads) < 10


def test_what_a_look_raises_is_raised() -> None:
    def refuse() -> None:
        raise LookupError("not so")

    with pytest.raises(LookupError, match="not so"):
        answers({"a": lambda: None, "bad": refuse}, 60)


def test_one_place_answers_or_times_out() -> None:
    over = threading.Event()
    assert answer("here", lambda: 7, 60) == 7
    try:
        with pytest.raises(TimeoutError):
            answer("there", over.wait, 0.1)
    finally:
        over.set()


def test_of_no_place_nothing_is_waited_for() -> None:
    assert answers({}, 60) == {}


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)
