"""How much a service takes on: who would wait too long hears so, instead of making everybody slow.

A request waits twice: for the event loop, to be read, and for a thread, to be answered. At most `waiting_max`
may wait for a thread, and none longer than `wait_ms_max` in all: the others are answered 503 `overloaded`
with `Retry-After`, cheaply, so that those who were taken have their answer in time and the service is itself
again as soon as the rush is over.
"""

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from pipeline.core.serve_parameters import Admission
from serving.http_errors import HttpError

T = TypeVar("T")

LOOK_SECONDS = 0.05  # between two looks at how late the event loop is
LOOP_PASSES = 4  # of a request through the event loop: it is read, taken up, answered, and the answer is sent


class LoopDelay:
    """How late the event loop is: so long does a request wait each time that it passes through it.

    Late is what was late twice in a row: one hiccup is over when it is seen, and no reason to refuse anybody.
    """

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self.due = self.before = self.last = 0.0

    def seconds(self) -> float:
        """To be called in the loop."""
        loop = asyncio.get_running_loop()
        if loop is not self.loop:
            self.loop, self.before, self.last = loop, 0.0, 0.0
            self._look_again(loop)
        return min(self.before, self.last)

    def _look_again(self, loop: asyncio.AbstractEventLoop) -> None:
        self.due = time.monotonic() + LOOK_SECONDS
        loop.call_later(LOOK_SECONDS, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self.before, self.last = self.last, time.monotonic() - self.due
        self._look_again(loop)


class BoundedThreads(ThreadPoolExecutor):
    """Threads that refuse work, with HttpError `overloaded`, rather than let it wait too long.

    delay: seconds that a request waits each time that it passes through the event loop
    """

    def __init__(self, threads: int, name: str, bounds: Admission, delay: Callable[[], float]) -> None:
        super().__init__(threads, name)
        self.bounds = bounds
        self.delay = delay

    def check(self) -> float:
        """Raises HttpError where work submitted now would be refused; returns its wait in the loop."""
        waiting = self._work_queue.qsize()
        if waiting >= self.bounds.waiting_max:
            raise overloaded(self.bounds, f"{waiting} requests wait already")
        return self._in_time(LOOP_PASSES * self.delay())

    def submit(self, work: Callable[..., T], /, *arguments: Any, **named: Any) -> Future[T]:
        since = time.monotonic() - self.check()
        return super().submit(self._begin, since, work, arguments, named)

    def _begin(self, since: float, work: Callable[..., T], arguments: Any, named: Any) -> T:
        self._in_time(time.monotonic() - since)
        return work(*arguments, **named)

    def _in_time(self, waited: float) -> float:
        if waited * 1000 > self.bounds.wait_ms_max:
            raise overloaded(self.bounds, f"this one would wait {waited:.1f} s")
        return waited


def overloaded(bounds: Admission, reason: str, headers: Mapping[str, str] | None = None) -> HttpError:
    """headers: besides Retry-After"""
    seconds = math.ceil(bounds.wait_ms_max / 1000)  # by then all who wait now are answered
    return HttpError(
        "overloaded",
        f"More is asked than can be answered in time: {reason}. Ask again in {seconds} s.",
        {"retry-after": str(seconds), **(headers or {})},
    )
