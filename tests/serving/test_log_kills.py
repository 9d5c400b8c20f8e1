"""kill -9 while feedback is written: what was acknowledged is there, once."""

import random
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipeline.core.prediction_log import read_events, read_predictions
from tests.imports import ROOT
from tests.serving.postgresql import Server

KILLS, ALL_KILLS = 5, 50
PER_KILL = 1_000_000  # numbers of one writer


@dataclass
class Said:
    """What writers said that they sent, and of that, what was acknowledged: {number: prediction id}."""

    sent: dict[int, str] = field(default_factory=dict)
    stored: dict[int, str] = field(default_factory=dict)


def killed_writers(kind: str, url: str, times: int) -> Said:
    said, chance = Said(), random.Random(0)
    for i in range(times):
        command = [sys.executable, "-m", "tests.serving.writer", kind, url, str(i * PER_KILL)]
        writer = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        lines = [writer.stdout.readline()]
        assert lines[0], "the writer did not start"
        time.sleep(chance.uniform(0.02, 0.4))
        writer.kill()
        lines += writer.stdout.readlines()
        writer.stdout.close()
        writer.wait()
        for line in lines:
            what, number, id_ = line.split()
            getattr(said, what)[int(number)] = id_
    return said


def check_images(url: str, times: int) -> Said:
    said = killed_writers("images", url, times)
    found = read_predictions(url)
    assert len({row["id"] for row in found}) == len(found)
    kept = {row["id"]: row["feedback"] for row in found if row["feedback"]}
    assert {id_: "ab"[number % 2] for number, id_ in said.stored.items()}.items() <= kept.items()
    assert kept.keys() <= set(said.sent.values())
    assert len(said.stored) > 5 * times
    return said


def check_shop(url: str, times: int) -> Said:
    said = killed_writers("shop", url, times)
    kept = Counter(int(event["product"]) for event in read_events(url))
    assert set(said.stored) <= set(kept) <= set(said.sent)
    assert set(kept.values()) == {1}
    assert len(said.stored) > 5 * times
    return said


CHECKS = {"images": check_images, "shop": check_shop}
SMALL_AND_FULL = [KILLS, pytest.param(ALL_KILLS, marks=pytest.mark.slow)]


@pytest.mark.parametrize("times", SMALL_AND_FULL)
@pytest.mark.parametrize("kind", CHECKS)
def test_in_sqlite(kind: str, times: int, tmp_path: Path) -> None:
    CHECKS[kind](f"sqlite:///{tmp_path}/log.db", times)
    with sqlite3.connect(tmp_path / "log.db") as log:
        assert log.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    log.close()


@pytest.mark.parametrize("times", SMALL_AND_FULL)
@pytest.mark.parametrize("kind", CHECKS)
def test_in_postgresql(kind: str, times: int, postgresql: Server) -> None:
    CHECKS[kind](postgresql.create(f"kills_{kind}_{times}"), times)


def test_a_postgresql_that_is_killed_itself(postgresql: Server) -> None:
    """What it acknowledged it still has when it is started again."""
    url = postgresql.create("killed")
    command = [sys.executable, "-m", "tests.serving.writer", "images", url, "0"]
    writer = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert writer.stdout is not None
    assert writer.stdout.readline()
    time.sleep(0.5)
    postgresql.kill()
    time.sleep(0.2)
    writer.kill()
    stored = {line.split()[2] for line in writer.stdout if line.startswith("stored")}
    writer.stdout.close()
    writer.wait()
    postgresql.start()
    assert len(stored) > 5
    assert stored <= {row["id"] for row in read_predictions(url) if row["feedback"]}
