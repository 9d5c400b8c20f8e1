"""Writes predictions and feedback until it is killed, and says of each feedback that it is acknowledged.

    python -m tests.serving.writer {images|shop} URL

starts a writer for each line that it reads, as a process of its own (one that has imported everything), when
the one before was killed. Prints `started PID`, `sent NUMBER ID` before something is written, `stored NUMBER
ID` when it is acknowledged, and `ended NUMBER`.
"""

import itertools
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import numpy as np

from pipeline.tasks.recommendation.data.asking import Answer, Event, Item
from serving.image_log import ImageLog, ImagePrediction
from serving.metrics import metrics
from serving.prediction_log import new_id
from serving.recommendation_log import Recommendation, RecommendationLog

THREADS = 4
PER_WRITER = 1_000_000  # numbers of one writer
LABELS = ("a", "b")
IMAGE = np.zeros((1, 4, 4), dtype=np.uint8)
SHARES = np.array([0.5, 0.5], dtype=np.float32)


def images(url: str) -> Callable[[int], None]:
    log = ImageLog(url, "digits", metrics())

    def write(number: int) -> None:
        now = datetime.now(UTC)
        one = ImagePrediction(new_id(now), now, "3", LABELS, SHARES, IMAGE)
        log.add(one)
        say("sent", number, one.id)
        log.record_feedback(one.id, LABELS[number % 2])
        say("stored", number, one.id)

    return write


def shop(url: str) -> Callable[[int], None]:
    """Half of it is feedback on a list, half events of the shop."""
    log = RecommendationLog(url, "shop", metrics())

    def write(number: int) -> None:
        now = datetime.now(UTC)
        if number % 2:
            say("sent", number, "event")
            log.record_events([Event("c", number, "view", now)], now)
            say("stored", number, "event")
            return
        answer = Answer((Item(number, "MILK", 0.5, "popular"),), "popularity")
        one = Recommendation(new_id(now), now, "3", "c", "mixed", answer)
        log.add(one)
        say("sent", number, one.id)
        log.record_feedback(one.id, number, "cart")
        say("stored", number, one.id)

    return write


def say(what: str, number: int, id_: str) -> None:
    sys.stdout.write(f"{what} {number} {id_}\n")
    sys.stdout.flush()


def write_forever(kind: str, url: str, start: int) -> None:
    write = {"images": images, "shop": shop}[kind](url)
    with ThreadPoolExecutor(THREADS) as threads:
        for first in itertools.count(start, THREADS):
            list(threads.map(write, range(first, first + THREADS)))


if __name__ == "__main__":
    for writer, _ in enumerate(sys.stdin):
        pid = os.fork()
        if not pid:
            write_forever(sys.argv[1], sys.argv[2], writer * PER_WRITER)
        print("started", pid, flush=True)
        os.waitpid(pid, 0)
        print("ended", writer, flush=True)
