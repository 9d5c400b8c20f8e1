"""Questions that come together: each gets its own answer, whatever the others do."""

import asyncio
import threading
import time
from collections.abc import Sequence

import pytest

from pipeline.core.serve_parameters import Admission
from serving.http_errors import HttpError
from serving.micro_batching import MicroBatcher

PLENTY = Admission(waiting_max=1000, wait_ms_max=60_000)


class Doubling:
    """Answers numbers with twice the number and the key; remembers what it was asked together."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, list[int]]] = []
        self.go_on = threading.Event()
        self.go_on.set()

    def __call__(self, key: str, questions: Sequence[int]) -> list[tuple[str, int]]:
        assert self.go_on.wait(10)
        self.batches.append((key, list(questions)))
        if any(question < 0 for question in questions):
            raise ValueError("negative")
        return [(key, 2 * question) for question in questions]


def test_what_arrives_in_one_turn_of_the_loop_is_answered_together_and_in_order() -> None:
    doubling = Doubling()
    batcher = MicroBatcher(doubling, most=8, lanes=1, bounds=PLENTY)

    async def ask() -> list[tuple[str, int]]:
        return await asyncio.gather(*(batcher.ask("a", i) for i in range(5)))

    assert asyncio.run(ask()) == [("a", 2 * i) for i in range(5)]
    assert doubling.batches == [("a", [0, 1, 2, 3, 4])]


def test_no_question_is_refused_and_no_batch_is_longer_than_allowed() -> None:
    doubling = Doubling()
    batcher = MicroBatcher(doubling, most=4, lanes=2, bounds=PLENTY)

    async def ask() -> list[tuple[str, int]]:
        return await asyncio.gather(*(batcher.ask("a", i) for i in range(50)))

    assert asyncio.run(ask()) == [("a", 2 * i) for i in range(50)]
    assert {len(batch) for _, batch in doubling.batches} == {4, 2}


def test_a_single_question_waits_for_no_other() -> None:
    doubling = Doubling()
    batcher = MicroBatcher(doubling, most=8, lanes=1, bounds=PLENTY)

    async def ask() -> None:
        for i in range(3):
            assert await batcher.ask("a", i) == ("a", 2 * i)

    asyncio.run(asyncio.wait_for(ask(), 5))
    assert [len(batch) for _, batch in doubling.batches] == [1, 1, 1]


def test_questions_gather_while_a_batch_is_answered() -> None:
    doubling = Doubling()
    batcher = MicroBatcher(doubling, most=8, lanes=1, bounds=PLENTY)

    async def ask() -> None:
        doubling.go_on.clear()
        first = batcher.ask("a", 0)
        await asyncio.sleep(0.01)
        later = [batcher.ask("a", i) for i in (1, 2, 3)]
        await asyncio.sleep(0.01)
        assert batcher.waiting == 3
        doubling.go_on.set()
        assert await asyncio.gather(first, *later) == [("a", 0), ("a", 2), ("a", 4), ("a", 6)]
        assert batcher.waiting == 0

    asyncio.run(ask())
    assert doubling.batches == [("a", [0]), ("a", [1, 2, 3])]


def test_different_keys_are_never_answered_together_and_take_turns() -> None:
    doubling = Doubling()
    batcher = MicroBatcher(doubling, most=2, lanes=1, bounds=PLENTY)

    async def ask() -> list[tuple[str, int]]:
        return await asyncio.gather(*(batcher.ask("ab"[i % 2], i) for i in range(8)))

    assert asyncio.run(ask()) == [("ab"[i % 2], 2 * i) for i in range(8)]
    assert [key for key, _ in doubling.batches] == ["a", "b", "a", "b"]


def test_a_question_that_fails_spoils_no_other() -> None:
    batcher = MicroBatcher(Doubling(), most=8, lanes=1, bounds=PLENTY)

    async def ask() -> None:
        good, bad, other = (batcher.ask("a", question) for question in (1, -1, 2))
        assert await good == ("a", 2)
        assert await other == ("a", 4)
        with pytest.raises(ValueError, match="negative"):
            await bad

    asyncio.run(ask())


def test_who_goes_away_is_not_answered_and_holds_up_nobody() -> None:
    doubling = Doubling()
    batcher = MicroBatcher(doubling, most=8, lanes=1, bounds=PLENTY)

    async def ask() -> None:
        doubling.go_on.clear()
        under_way = batcher.ask("a", 0)
        await asyncio.sleep(0.01)
        gone, stays = batcher.ask("a", 1), batcher.ask("a", 2)
        under_way.cancel()
        gone.cancel()
        doubling.go_on.set()
        assert await stays == ("a", 4)

    asyncio.run(ask())
    assert doubling.batches == [("a", [0]), ("a", [2])]


def test_a_loop_that_closed_in_between_does_not_stop_the_next() -> None:
    doubling = Doubling()
    batcher = MicroBatcher(doubling, most=8, lanes=1, bounds=PLENTY)

    async def leave() -> None:
        doubling.go_on.clear()
        batcher.ask("a", 0)
        await asyncio.sleep(0.01)

    async def ask() -> tuple[str, int]:
        return await asyncio.wait_for(batcher.ask("a", 1), 5)

    asyncio.run(leave())
    doubling.go_on.set()
    while not batcher._free:
        time.sleep(0.001)
    assert asyncio.run(ask()) == ("a", 2)


def test_no_more_questions_wait_than_allowed() -> None:
    doubling = Doubling()
    doubling.go_on.clear()
    bounds = Admission(waiting_max=2, wait_ms_max=60_000)
    batcher = MicroBatcher(doubling, most=1, lanes=1, bounds=bounds)

    async def ask() -> list[tuple[str, int]]:
        first = batcher.ask("a", 1)
        await asyncio.sleep(0.01)  # it is being answered
        waiting = [batcher.ask("a", i) for i in (2, 3)]
        for refuse in (batcher.check, lambda: batcher.ask("b", 4)):
            with pytest.raises(HttpError, match="2 requests wait already") as caught:
                refuse()
            assert (caught.value.status, caught.value.headers) == (503, {"retry-after": "60"})
        doubling.go_on.set()
        answers = await asyncio.gather(first, *waiting)
        return [*answers, await batcher.ask("b", 4)]

    assert asyncio.run(ask()) == [("a", 2), ("a", 4), ("a", 6), ("b", 8)]


def test_a_question_that_waited_too_long_is_not_answered() -> None:
    doubling = Doubling()
    doubling.go_on.clear()
    batcher = MicroBatcher(doubling, most=1, lanes=1, bounds=Admission(waiting_max=9, wait_ms_max=50))

    async def ask() -> tuple[str, int]:
        first = batcher.ask("a", 1)
        await asyncio.sleep(0.01)
        late = batcher.ask("a", 2)
        await asyncio.sleep(0.1)
        doubling.go_on.set()
        with pytest.raises(HttpError, match=r"waited \d+\.\d s") as caught:
            await late
        assert caught.value.headers == {"retry-after": "1"}
        return await first

    assert asyncio.run(ask()) == ("a", 2)
    assert doubling.batches == [("a", [1])]
