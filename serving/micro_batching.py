"""Questions that come at the same time are answered together.

A network answers eight pictures in less time than eight times one. While a batch is being answered the
next one gathers, so the batches are as long as the load makes them: a question never waits for others
that may come, and none is refused because a batch is full.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
Q = TypeVar("Q")
A = TypeVar("A")


class MicroBatcher(Generic[K, Q, A]):
    """Used from one event loop at a time.

    answer: given a key and questions, returns as many answers in the same order; called in a thread. Where it
    raises it must have done nothing yet: it is asked again for each question alone, so that a question
    that cannot be answered spoils no other's answer.
    most: questions of one batch. lanes: batches answered at once, each in a thread.
    """

    def __init__(self, answer: Callable[[K, Sequence[Q]], Sequence[A]], *, most: int, lanes: int) -> None:
        self._answer, self._most, self._free = answer, most, lanes
        self._threads = ThreadPoolExecutor(lanes, "together")
        self._waiting: dict[K, deque[tuple[Q, asyncio.Future[A]]]] = {}
        self._starting = False

    @property
    def waiting(self) -> int:
        """Questions that no thread has begun to answer."""
        return sum(map(len, self._waiting.values()))

    def ask(self, key: K, question: Q) -> asyncio.Future[A]:
        """Done when the question is answered. Questions of different keys are never answered together."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[A] = loop.create_future()
        waiting = self._waiting.get(key)
        if waiting is None:
            waiting = self._waiting[key] = deque()
        waiting.append((question, future))
        if self._free and not self._starting:
            # Not at once: what else arrived in this turn of the loop can still join.
            self._starting = True
            loop.call_soon(self._start, loop)
        return future

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._starting = False
        while self._free and self._waiting:
            key = next(iter(self._waiting))
            waiting = self._waiting.pop(key)
            batch = [waiting.popleft() for _ in range(min(self._most, len(waiting)))]
            if waiting:  # behind the other keys
                self._waiting[key] = waiting
            batch = [(question, future) for question, future in batch if not future.done()]
            if batch:
                self._free -= 1
                self._threads.submit(self._run, loop, key, batch)

    def _run(self, loop: asyncio.AbstractEventLoop, key: K, batch: list[tuple[Q, asyncio.Future[A]]]) -> None:
        answers: Sequence[A | Exception]
        try:
            answers = self._answer(key, [question for question, _ in batch])
        except Exception as error:
            answers = [error] if len(batch) == 1 else [self._alone(key, question) for question, _ in batch]
        try:
            loop.call_soon_threadsafe(self._finish, loop, batch, answers)
        except RuntimeError:  # the loop is closed: nobody waits
            self._free += 1

    def _alone(self, key: K, question: Q) -> A | Exception:
        try:
            return self._answer(key, [question])[0]
        except Exception as error:
            return error

    def _finish(
        self,
        loop: asyncio.AbstractEventLoop,
        batch: list[tuple[Q, asyncio.Future[A]]],
        answers: Sequence[A | Exception],
    ) -> None:
        self._free += 1
        self._start(loop)
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():  # nobody waits for it any more
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
