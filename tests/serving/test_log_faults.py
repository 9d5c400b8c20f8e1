"""What happens to feedback and to predictions when the log's database is in trouble."""

import json
import resource
import sqlite3
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from pipeline.log.prediction_log import read_predictions
from tests.serving.bento_process import Service, post, started
from tests.serving.pictures import digit, encoded
from tests.serving.postgresql import Server
from tests.serving.test_kills import logged

PREDICTIONS = 40  # while the log is in trouble
WRITTEN_SECONDS = 15.0  # within which what waited is written, once it can be


@pytest.fixture(scope="module")
def sqlite_service(bento_tag: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, str]]:
    folder = tmp_path_factory.mktemp("sqlite")
    log_url = f"sqlite:///{folder}/log.db"
    with started(bento_tag, folder / "service", log_url) as service:
        yield service, log_url


def test_a_locked_log(sqlite_service: tuple[Service, str]) -> None:
    service, log_url = sqlite_service
    feedback_waits_and_predictions_do_not(service, log_url, locked(log_url))


@contextmanager
def locked(log_url: str) -> Iterator[None]:
    """Another process is about to write, and does not come to an end."""
    other = sqlite3.connect(log_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


@pytest.mark.skipif(sys.platform != "linux", reason="limits of another process are Linux's")
def test_a_full_disk(sqlite_service: tuple[Service, str]) -> None:
    service, log_url = sqlite_service
    feedback_waits_and_predictions_do_not(service, log_url, full(service.worker()))


@contextmanager
def full(worker: psutil.Process) -> Iterator[None]:
    """No file may grow by a byte: writing fails as it does on a full disk."""
    before = worker.rlimit(resource.RLIMIT_FSIZE)
    worker.rlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        worker.rlimit(resource.RLIMIT_FSIZE, before)


def test_a_database_that_is_down(bento_tag: str, postgresql: Server, tmp_path: Path) -> None:
    log_url = postgresql.emptied()
    with started(bento_tag, tmp_path / "service", log_url) as service:
        feedback_waits_and_predictions_do_not(service, log_url, down(postgresql))


@contextmanager
def down(server: Server) -> Iterator[None]:
    server.stop()
    try:
        yield
    finally:
        server.start()


def feedback_waits_and_predictions_do_not(
    service: Service, log_url: str, trouble: AbstractContextManager[None]
) -> None:
    before = [predict(service) for _ in range(PREDICTIONS)]
    known = before[0]["prediction_id"]
    assert feedback(service, before[1]["prediction_id"]) == (200, None)
    with trouble:
        status, retry_after = feedback(service, known)
        assert status == 503
        assert retry_after is not None and retry_after.isdigit()
        during = [predict(service) for _ in range(PREDICTIONS)]
        assert feedback(service, during[0]["prediction_id"])[0] == 503
    eventually_200(service, known)
    eventually_200(service, during[0]["prediction_id"])
    ids = {answer["prediction_id"] for answer in (*before, *during)}
    deadline = time.monotonic() + WRITTEN_SECONDS
    while not ids <= logged(log_url):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    said = {row["id"]: row["feedback"] for row in read_predictions(log_url) if row["feedback"]}
    assert said.keys() & ids == {before[1]["prediction_id"], known, during[0]["prediction_id"]}
    # Who waited for the log would wait for two seconds or more, each time.
    assert statistics.median(answer["seconds"] for answer in during) < 0.25
    assert max(answer["seconds"] for answer in during) < 1.5
    assert "fullcycle_prediction_log_dropped_total 0.0" in httpx.get(service.url + "/metrics").text


def predict(service: Service) -> dict[str, Any]:
    answer = post(service.url, "/predict", encoded(digit()))
    assert answer.status == 200, answer
    return {**answer.json, "seconds": answer.seconds}


def feedback(service: Service, prediction_id: str) -> tuple[int, str | None]:
    body = json.dumps({"prediction_id": prediction_id, "label": "4"}).encode()
    answer = post(service.url, "/feedback", body, "application/json")
    return answer.status, answer.retry_after


def eventually_200(service: Service, prediction_id: str) -> None:
    """As a client does it that is told to send it again later."""
    deadline = time.monotonic() + WRITTEN_SECONDS
    while feedback(service, prediction_id) != (200, None):
        assert time.monotonic() < deadline
        time.sleep(0.2)
