"""Writes predictions and feedback until it is killed, and says of each feedback that it is acknowledged.

    python -m tests.serving.writer {images|shop} URL START

prints `sent NUMBER ID` before and `stored NUMBER ID` after; numbers grow from START.
"""

import itertools
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


if __name__ == "__main__":
    kind, url, start = sys.argv[1:]
    write = {"images": images, "shop": shop}[kind](url)
    numbers = itertools.count(int(start), THREADS)
    with ThreadPoolExecutor(THREADS) as threads:
        for first in numbers:
            list(threads.map(write, range(first, first + THREADS)))
