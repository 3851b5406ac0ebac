"""Few at a time, and one for all who wait."""

from __future__ import annotations

import queue
from concurrent.futures import Future, ThreadPoolExecutor, wait

import pytest

from snapd.errors import BusyError, UsageError
from snapd.gates import Few, Shared
from tests.fakes.scene import DEADLINE_S, until


def test_one_more_than_the_few_is_told_so_at_once() -> None:
    few = Few(2, "listings")
    with few.place(), few.place(), pytest.raises(BusyError, match="2 listings") as refused, few.place():
        pass
    assert refused.value.hint


def test_a_place_is_free_again_after_an_error() -> None:
    few = Few(1, "listings")
    with pytest.raises(UsageError), few.place():
        raise UsageError("no")
    with few.place():
        pass


class Work:
    """Something long: each time waits for its word, and returns its number."""

    def __init__(self) -> None:
        self.begun = 0
        self.words: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()

    def __call__(self) -> int:
        self.begun += 1
        number = self.begun
        if (error := self.words.get(timeout=DEADLINE_S)) is not None:
            raise error
        return number


@pytest.mark.parametrize("count", [1, 20])
def test_all_who_ask_while_it_is_done_share_the_next_time(count: int) -> None:
    work = Work()
    shared = Shared(work)
    with ThreadPoolExecutor(count + 1) as pool:
        first = pool.submit(shared)
        until(lambda: work.begun)
        later = _asked(pool, shared, count)
        work.words.put(None)
        assert first.result(DEADLINE_S) == 1
        work.words.put(None)
        assert {one.result(DEADLINE_S) for one in later} == {2}
    assert work.begun == 2


def test_an_error_reaches_all_who_share_it_and_nobody_after() -> None:
    work = Work()
    shared = Shared(work)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(shared)
        until(lambda: work.begun)
        later = _asked(pool, shared, 3)
        work.words.put(None)
        work.words.put(UsageError("no"))
        wait(later, DEADLINE_S)
    assert first.result() == 1
    assert [str(one.exception()) for one in later] == ["no"] * 3
    work.words.put(None)
    assert shared() == 3


def _asked(pool: ThreadPoolExecutor, shared: Shared[int], count: int) -> list[Future[int]]:
    """Let so many ask, and come back when each waits."""
    asked = [pool.submit(shared) for _ in range(count)]
    until(lambda: shared.waiting == count)
    return asked
