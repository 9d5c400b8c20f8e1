"""How much a service takes on: who would wait too long hears so, instead of making everybody slow.

A request that is taken waits for a thread. At most `waiting_max` may, and none longer than
`wait_ms_max`: the others are answered 503 `overloaded` with `Retry-After`, cheaply, so that those who were
taken have their answer in time and the service is itself again as soon as the rush is over.
"""

import math
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from pipeline.core.serve_parameters import Admission
from serving.http_errors import HttpError

T = TypeVar("T")


class BoundedThreads(ThreadPoolExecutor):
    """Threads that refuse work, with HttpError `overloaded`, rather than let it wait too long."""

    def __init__(self, threads: int, name: str, bounds: Admission) -> None:
        super().__init__(threads, name)
        self.bounds = bounds

    def check(self) -> None:
        """Raises HttpError where work that was submitted now would be refused."""
        waiting = self._work_queue.qsize()
        if waiting >= self.bounds.waiting_max:
            raise overloaded(self.bounds, f"{waiting} requests wait already")

    def submit(self, work: Callable[..., T], /, *arguments: Any, **named: Any) -> Future[T]:
        self.check()
        return super().submit(self._begin, time.monotonic(), work, arguments, named)

    def _begin(self, since: float, work: Callable[..., T], arguments: Any, named: Any) -> T:
        waited = time.monotonic() - since
        if waited * 1000 > self.bounds.wait_ms_max:
            raise overloaded(self.bounds, f"this one waited {waited:.1f} s")
        return work(*arguments, **named)


def overloaded(bounds: Admission, reason: str) -> HttpError:
    seconds = math.ceil(bounds.wait_ms_max / 1000)  # by then all who wait now are answered
    return HttpError(
        "overloaded",
        f"More is asked than can be answered in time: {reason}. Ask again in {seconds} s.",
        {"retry-after": str(seconds)},
    )
