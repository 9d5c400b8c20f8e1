"""kill -9 while feedback is written: what was acknowledged is there, once."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipeline.log.prediction_log import read_events, read_predictions
from tests.imports import ROOT
from tests.serving.postgresql import Server


@dataclass
class Said:
    """What writers said that they sent, and of that, what was acknowledged: {number: prediction id}."""

    sent: dict[int, str] = field(default_factory=dict)
    stored: dict[int, str] = field(default_factory=dict)


class Writers:
    """Writers of tests.serving.writer, one after the other; all that they said."""

    def __init__(self, kind: str, url: str) -> None:
        command = [sys.executable, "-m", "tests.serving.writer", kind, url]
        self.nursery = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self.said = Said()

    def __enter__(self) -> "Writers":
        return self

    def __exit__(self, *_: object) -> None:
        self.nursery.communicate()

    def start(self) -> None:
        """Returns once something was acknowledged."""
        assert self.nursery.stdin is not None
        self.nursery.stdin.write("start\n")
        self.pid = int(self._read("started"))
        self._read("stored")

    def kill(self) -> Said:
        os.kill(self.pid, signal.SIGKILL)
        self._read("ended")
        return self.said

    def _read(self, until: str) -> str:
        """Up to a line that begins so; returns its second word."""
        assert self.nursery.stdout is not None
        for line in self.nursery.stdout:
            what, number, *id_ = line.split()
            if what in ("sent", "stored"):
                getattr(self.said, what)[int(number)] = id_[0]
            if what == until:
                return number
        raise AssertionError(f"no writer said {until!r}")


def killed_writers(kind: str, url: str, times: int) -> Said:
    chance = random.Random(0)
    with Writers(kind, url) as writers:
        for _ in range(times):
            writers.start()
            time.sleep(chance.uniform(0, 0.3))
            writers.kill()
    return writers.said


def check_images(url: str, times: int) -> Said:
    said = killed_writers("images", url, times)
    found = read_predictions(url)
    assert len({row["id"] for row in found}) == len(found)
    kept = {row["id"]: row["feedback"] for row in found if row["feedback"]}
    assert {id_: "ab"[number % 2] for number, id_ in said.stored.items()}.items() <= kept.items()
    assert kept.keys() <= set(said.sent.values())
    assert len(said.stored) > 3 * times
    return said


def check_shop(url: str, times: int) -> Said:
    said = killed_writers("shop", url, times)
    kept = Counter(int(event["product"]) for event in read_events(url))
    assert set(said.stored) <= set(kept) <= set(said.sent)
    assert set(kept.values()) == {1}
    assert len(said.stored) > 3 * times
    return said


CHECKS = {"images": check_images, "shop": check_shop}
FULL = pytest.param(50, marks=[pytest.mark.slow, pytest.mark.full])


@pytest.mark.parametrize("times", [5, FULL])
@pytest.mark.parametrize("kind", CHECKS)
def test_in_sqlite(kind: str, times: int, tmp_path: Path) -> None:
    CHECKS[kind](f"sqlite:///{tmp_path}/log.db", times)
    with sqlite3.connect(tmp_path / "log.db") as log:
        assert log.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    log.close()


@pytest.mark.parametrize("times", [2, FULL])
@pytest.mark.parametrize("kind", CHECKS)
def test_in_postgresql(kind: str, times: int, postgresql: Server) -> None:
    CHECKS[kind](postgresql.emptied(), times)


def test_a_postgresql_that_is_killed_itself(postgresql: Server) -> None:
    """What it acknowledged it still has when it is started again."""
    url = postgresql.emptied()
    with Writers("images", url) as writers:
        writers.start()
        time.sleep(0.5)
        postgresql.kill()
        time.sleep(0.2)
        said = writers.kill()
    postgresql.start()
    assert len(said.stored) > 5
    assert set(said.stored.values()) <= {row["id"] for row in read_predictions(url) if row["feedback"]}
