"""What is left of a service, and of what it knew, when parts of it are killed or asked to end."""

import json
import signal
import threading
import time
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import psutil

from pipeline.log.prediction_log import read_predictions
from pipeline.service.service_process import HOST, _port_is_free
from tests.serving.bento_process import Service, post, seconds_until, started
from tests.serving.pictures import digit, encoded

CLIENTS = 4
REPLACED_SECONDS = 3.0  # within which a worker that was killed is missed, and the next is started
BACK_SECONDS = 10.0  # within which the service answers again
SIGNALLED_SECONDS = 0.5  # within which a worker usually knows that it is to end


def predict(service: Service) -> str | None:
    """The id of the prediction; None where there was no answer. Every time by a new connection."""
    try:
        answer = post(service.url, "/predict", encoded(digit()))
    except (OSError, HTTPException):
        return None
    assert answer.status == 200, answer
    return str(answer.json["prediction_id"])


def logged(log_url: str) -> set[str]:
    return {row["id"] for row in read_predictions(log_url)}


class HeldRequest:
    """A prediction that the service has begun and cannot end before `prediction_id` sends its picture."""

    def __init__(self, service: Service) -> None:
        self.picture = encoded(digit())
        self.connection = HTTPConnection(HOST, service.port, timeout=30)
        self.connection.putrequest("POST", "/predict")
        self.connection.putheader("content-type", "image/png")
        self.connection.putheader("content-length", str(len(self.picture)))
        self.connection.putheader("expect", "100-continue")
        self.connection.endheaders()
        # Said when the service asks for the body: from then on it has taken the request.
        assert self.connection.sock.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"

    def prediction_id(self) -> str:
        with closing(self.connection):
            self.connection.send(self.picture)
            response = self.connection.getresponse()
            said = json.loads(response.read())
        assert response.status == 200, said
        return str(said["prediction_id"])


def test_a_killed_worker_fails_what_was_under_way_and_is_replaced(bento_tag: str, tmp_path: Path) -> None:
    log_url = f"sqlite:///{tmp_path}/log.db"
    failed, answered = [0] * CLIENTS, [0] * CLIENTS
    with started(bento_tag, tmp_path / "service", log_url) as service:
        go_on = True

        def ask(client: int) -> None:
            while go_on:
                if predict(service) is None:
                    failed[client] += 1
                else:
                    answered[client] += 1

        threads = [threading.Thread(target=ask, args=(client,)) for client in range(CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            time.sleep(0.5)
            killed = service.worker()
            killed.kill()
            before = list(answered)
            seconds_until(lambda: has_another_worker(service, killed.pid), REPLACED_SECONDS)
            seconds_until(lambda: sum(answered) > sum(before) + CLIENTS, BACK_SECONDS)
        finally:
            go_on = False
            for thread in threads:
                thread.join()
    assert max(failed) <= 1, failed  # each client had one request under way
    assert min(answered) >= 1


def has_another_worker(service: Service, before: int) -> bool:
    try:
        return service.worker().pid != before
    except (ValueError, psutil.Error):  # none, or one of which nothing is known yet
        return False


def test_a_killed_parent_takes_its_worker_along(bento_tag: str, tmp_path: Path) -> None:
    log_url = f"sqlite:///{tmp_path}/log.db"
    with started(bento_tag, tmp_path / "service", log_url) as service:
        ids = {predict(service) for _ in range(20)}
        worker, held = service.worker(), HeldRequest(service)
        service.parent.kill()
        service.parent.wait(BACK_SECONDS)
        time.sleep(SIGNALLED_SECONDS)
        ids.add(held.prediction_id())
        seconds_until(lambda: not running(worker) and _port_is_free(service.port), BACK_SECONDS)
    assert logged(log_url) == ids


def running(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_what_was_taken_is_answered_before_the_service_ends(bento_tag: str, tmp_path: Path) -> None:
    log_url = f"sqlite:///{tmp_path}/log.db"
    with started(bento_tag, tmp_path / "service", log_url) as service:
        ids = {predict(service) for _ in range(20)}
        held = HeldRequest(service)
        service.parent.send_signal(signal.SIGTERM)
        time.sleep(SIGNALLED_SECONDS)
        ids.add(held.prediction_id())
        assert service.parent.wait(20) == 0, service.log.read_text()
        assert _port_is_free(service.port)
    assert logged(log_url) == ids
