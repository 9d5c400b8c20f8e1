"""Questions that come at the same time are answered together.

A network answers eight pictures in less time than eight times one. While a batch is being answered the
next one gathers, so the batches are as long as the load makes them: a question never waits for others
that may come, and none is refused because a batch is full. One is where more wait than `serve.admission`
allows.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from pipeline.core.serve_parameters import Admission
from serving.admission import overloaded

K = TypeVar("K", bound=Hashable)
Q = TypeVar("Q")
A = TypeVar("A")


class MicroBatcher(Generic[K, Q, A]):
    """Used from one event loop at a time.

    answer: given a key and questions, returns as many answers in the same order; called in a thread. Where it
    raises it must have done nothing yet: it is asked again for each question alone, so that a question
    that cannot be answered spoils no other's answer.
    most: questions of one batch. lanes: batches answered at once, each in a thread. bounds: how many
    questions may wait, and how long.
    """

    def __init__(
        self, answer: Callable[[K, Sequence[Q]], Sequence[A]], *, most: int, lanes: int, bounds: Admission
    ) -> None:
        self._answer, self._most, self._free, self._bounds = answer, most, lanes, bounds
        self._threads = ThreadPoolExecutor(lanes, "together")
        self._questions: dict[K, deque[tuple[Q, asyncio.Future[A], float]]] = {}
        self.waiting = 0  # questions that no thread has begun to answer
        self._starting = False

    def check(self) -> None:
        """Raises HttpError where a question that was asked now would be refused."""
        if self.waiting >= self._bounds.waiting_max:
            raise overloaded(self._bounds, f"{self.waiting} requests wait already")

    def ask(self, key: K, question: Q) -> asyncio.Future[A]:
        """Done when the question is answered. Questions of different keys are never answered together.

        HttpError: too many wait. The future has it where the question itself waited too long.
        """
        self.check()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[A] = loop.create_future()
        waiting = self._questions.get(key)
        if waiting is None:
            waiting = self._questions[key] = deque()
        waiting.append((question, future, loop.time()))
        self.waiting += 1
        if self._free and not self._starting:
            # Not at once: what else arrived in this turn of the loop can still join.
            self._starting = True
            loop.call_soon(self._start, loop)
        return future

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._starting = False
        while self._free and self._questions:
            key = next(iter(self._questions))
            waiting = self._questions.pop(key)
            taken = [waiting.popleft() for _ in range(min(self._most, len(waiting)))]
            self.waiting -= len(taken)
            if waiting:  # behind the other keys
                self._questions[key] = waiting
            batch = self._in_time(taken, loop.time())
            if batch:
                self._free -= 1
                self._threads.submit(self._run, loop, key, batch)

    def _in_time(
        self, taken: list[tuple[Q, asyncio.Future[A], float]], now: float
    ) -> list[tuple[Q, asyncio.Future[A]]]:
        """Those that somebody waits for still, and not for too long."""
        batch = []
        for question, future, since in taken:
            if future.done():
                continue
            if (now - since) * 1000 > self._bounds.wait_ms_max:
                future.set_exception(overloaded(self._bounds, f"this one waited {now - since:.1f} s"))
            else:
                batch.append((question, future))
        return batch

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
