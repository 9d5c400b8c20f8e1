"""The BentoML service: as an instance in a process of its own, and as a Bento that runs."""

import http.client
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from pipeline.core import model_package
from pipeline.core.errors import ServiceError
from pipeline.log.prediction_log import read_predictions
from pipeline.service import service_process
from pipeline.service.service_process import MARK, free_port, serving
from tests.serving.conftest import ROOT, SERVICE
from tests.serving.pictures import digit, encoded

INSTANCE = """
import json, sys
from bentoml._internal.utils.args import set_arguments
set_arguments({"project": "digits", "model": sys.argv[1]})
from serving.image_classification import ImageClassification
light = [name for name in ("numpy", "onnxruntime", "PIL", "sqlalchemy") if name not in sys.modules]
ImageClassification.to_asgi()
instance = ImageClassification()
model = instance.application().state.model
heavy = ["torch", "lightning", "mlflow", "dvc", "pandas", "sklearn", "onnx", "matplotlib"]
heavy += ["aiohttp", "opentelemetry"]  # of BentoML's own server
heavy = [name for name in heavy if name in sys.modules]
print(json.dumps({"model": [model.name, model.version], "heavy": heavy, "light": light}))
instance.close()
"""


def test_an_instance_holds_the_model_and_nothing_heavy(
    bento_home: Path, bento_tag: str, tmp_path: Path
) -> None:
    tag = bento_tag.rpartition("-")[0]
    environment = os.environ | {
        "FULLCYCLE_PREDICTION_LOG": f"sqlite:///{tmp_path}/log.db",
        "FULLCYCLE_REGISTRY": "",
    }
    done = subprocess.run(
        [sys.executable, "-c", INSTANCE, tag], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["model"] == ["digits", "3"]
    assert said["heavy"] == []
    # The process that starts the workers has the class, and need not wait for what answers.
    assert said["light"] == ["numpy", "onnxruntime", "PIL", "sqlalchemy"]


def test_a_model_that_nobody_registered_is_not_loaded(
    bento_home: Path, package: Path, tmp_path: Path
) -> None:
    """In the store, but with neither version nor checksum of the registry."""
    import bentoml

    with bentoml.models.create("digits:planted") as stored:
        model_package.copy(package, Path(stored.path))
    environment = os.environ | {"FULLCYCLE_PREDICTION_LOG": f"sqlite:///{tmp_path}/log.db"}
    command = [sys.executable, "-c", INSTANCE, "digits:planted"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    bentoml.models.delete("digits:planted")
    assert done.returncode != 0
    assert "digits:planted: nobody registered this model" in done.stderr


def test_a_stage_asks_its_own_service_as_nobody_in_particular(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens and limits of the shell are for the clients of a service that goes on running."""
    monkeypatch.setenv("FULLCYCLE_TOKEN_PREDICT", "p" * 32)
    monkeypatch.setenv("FULLCYCLE_TOKEN_ADMIN", "a" * 32)
    environment = service_process._of_this_machine()
    assert not [name for name in environment if name.startswith("FULLCYCLE_TOKEN")]
    assert environment["FULLCYCLE_WITHOUT_RATE_LIMIT"] == "yes"
    assert environment["PATH"] == os.environ["PATH"]


def test_a_missing_argument_is_explained(bento_home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bentoml", "serve", SERVICE], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "project" in done.stdout + done.stderr


def test_a_missing_model_is_explained(tmp_path: Path) -> None:
    """Also: the repository's root is what `bentoml serve` takes without a name."""
    done = subprocess.run(
        [sys.executable, "-m", "bentoml", "serve", "--arg", "model=digits:v0-none"],
        cwd=ROOT,
        env=os.environ | {"BENTOML_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "no model digits:v0-none" in done.stderr
    assert "deploy@digits" in done.stderr


def predict(client: httpx.Client) -> dict[str, Any]:
    response = client.post("/predict", content=encoded(digit()), headers={"content-type": "image/png"})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_a_bento_answers_and_logs(running: dict[str, Any]) -> None:
    answer = predict(running["client"])
    feedback = {"prediction_id": answer["prediction_id"], "label": "4"}
    assert running["client"].post("/feedback", json=feedback).status_code == 200
    stored = {row["id"]: row for row in read_predictions(running["log_url"])}
    assert stored[answer["prediction_id"]]["feedback"] == "4"


def test_those_who_look_after_a_service_find_what_every_bento_has(running: dict[str, Any]) -> None:
    for path in ("/livez", "/readyz", "/healthz"):
        assert running["client"].get(path).status_code == 200
        assert running["client"].head(path).status_code == 200


def test_counters_are_shown(running: dict[str, Any]) -> None:
    predict(running["client"])
    running["client"].post("/predict", content=b"", headers={"content-type": "image/png"})
    shown = running["client"].get("/metrics").text
    for line in (
        'fullcycle_requests_total{route="/predict",status="200"}',
        'fullcycle_requests_total{route="/predict",status="400"}',
        'fullcycle_errors_total{code="image_undecodable"}',
        'fullcycle_request_seconds_bucket{le="0.05",route="/predict"}',
        "fullcycle_prediction_log_dropped_total 0.0",
        "fullcycle_predictions_total{",
    ):
        assert line in shown, line


def test_addresses_that_do_not_exist_make_no_time_series(running: dict[str, Any]) -> None:
    assert running["client"].get("/made-up-address").json()["error"]["code"] == "not_found"
    assert "made-up-address" not in running["client"].get("/metrics").text


def test_the_page_is_served(running: dict[str, Any]) -> None:
    assert "<canvas" in running["client"].get("/").text
    assert running["client"].get("/docs.json").json()["openapi"] == "3.1.0"


def connection(running: dict[str, Any]) -> http.client.HTTPConnection:
    address = urlsplit(running["url"])
    return http.client.HTTPConnection(str(address.hostname), address.port, timeout=10)


def test_a_body_too_large_is_refused_before_it_is_sent(running: dict[str, Any]) -> None:
    asked = connection(running)
    asked.putrequest("POST", "/predict")
    asked.putheader("Content-Type", "image/png")
    asked.putheader("Content-Length", str(1 << 30))
    asked.endheaders()
    answer = asked.getresponse()
    assert answer.status == 413
    assert json.loads(answer.read())["error"]["code"] == "body_too_large"
    asked.close()


def test_an_endless_body_in_chunks_is_refused(running: dict[str, Any]) -> None:
    asked = connection(running)
    asked.putrequest("POST", "/predict")
    asked.putheader("Content-Type", "image/png")
    asked.putheader("Transfer-Encoding", "chunked")
    asked.endheaders()
    chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    sent = 0
    while not select.select([asked.sock], [], [], 0.002)[0]:
        asked.send(chunk)
        sent += 0x10000
        assert sent < 64 << 20, "an endless body was read"
    answer = asked.getresponse()
    assert answer.status == 413
    assert json.loads(answer.read())["error"]["code"] == "body_too_large"
    assert answer.headers["connection"] == "close"
    asked.close()
    predict(running["client"])


def test_a_long_batch_does_not_hold_up_others(running: dict[str, Any]) -> None:
    """While pictures of 60 megapixels are decoded, the service is still there."""
    import base64
    import threading

    import numpy as np

    large = base64.b64encode(encoded(np.zeros((3800, 4000), dtype=np.uint8))).decode()
    statuses: list[int] = []

    def send() -> None:
        body = {"items": [{"image_base64": large}] * 4}
        statuses.append(httpx.post(running["url"] + "/predict_batch", json=body, timeout=30).status_code)

    thread = threading.Thread(target=send)
    sent = time.perf_counter()
    thread.start()
    waits = []
    while thread.is_alive():
        began = time.perf_counter()
        predict(running["client"])
        waits.append(time.perf_counter() - began)
    thread.join()
    assert statuses == [200]
    # Who waited for the pictures would wait most of the time that these take.
    assert sorted(waits)[len(waits) // 2] < (time.perf_counter() - sent) / 4


def marked(mark: str) -> list[psutil.Process]:
    return [found for found in psutil.process_iter() if service_process._carries(found, mark)]


STAGE = """
import os, sys, time
from pipeline.service import service_process
from pipeline.service.service_process import serving
service_process.uuid.uuid4 = lambda: type("U", (), {"hex": sys.argv[2]})
with serving(sys.argv[1], {"FULLCYCLE_PREDICTION_LOG": sys.argv[3]}) as url:
    print(url, flush=True)
    time.sleep(60)
"""


def test_a_terminated_stage_takes_its_service_along_and_loses_nothing(
    bento_home: Path, bento_tag: str, tmp_path: Path
) -> None:
    mark, log_url = f"test-{os.getpid()}", f"sqlite:///{tmp_path}/log.db"
    stage = subprocess.Popen(
        [sys.executable, "-c", STAGE, bento_tag, mark, log_url], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert stage.stdout is not None
    url = stage.stdout.readline().strip()
    assert marked(mark)
    with httpx.Client(base_url=url, trust_env=False) as client:
        ids = {predict(client)["prediction_id"] for _ in range(20)}
    stage.send_signal(signal.SIGTERM)
    assert stage.wait(20) == 128 + signal.SIGTERM
    stage.stdout.close()
    assert marked(mark) == []
    assert {row["id"] for row in read_predictions(log_url)} == ids


def test_a_worker_without_a_parent_is_found(bento_tag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """kill -9 of the supervisor leaves its worker on the port: leaving the block ends that too."""
    marks: list[str] = []
    original = service_process.uuid.uuid4

    def remembered() -> Any:
        made = original()
        marks.append(made.hex)
        return made

    monkeypatch.setattr(service_process.uuid, "uuid4", remembered)
    port = free_port()
    with serving(bento_tag, {}, port):
        supervisor = next(p for p in marked(marks[0]) if p.ppid() == os.getpid())
        supervisor.kill()
    assert marked(marks[0]) == []
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((service_process.HOST, port))


def test_a_failure_in_the_block_stops_the_service(bento_tag: str) -> None:
    port = free_port()
    with pytest.raises(RuntimeError, match="the stage failed"), serving(bento_tag, {MARK: ""}, port):
        raise RuntimeError("the stage failed")
    assert service_process._port_is_free(port)


def test_a_port_in_use_is_an_error(bento_tag: str) -> None:
    with socket.socket() as taken:
        taken.bind((service_process.HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServiceError, match=f"Port {port} .* in use"), serving(bento_tag, {}, port):
            pass


def test_a_service_that_does_not_start_shows_its_log(bento_home: Path) -> None:
    message = r"ended with code[\s\S]*last lines[\s\S]*nothing:here"
    with pytest.raises(ServiceError, match=message), serving("nothing:here", {}):
        pass


def test_a_service_that_is_too_slow_is_an_error(bento_tag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_process, "READY_SECONDS", 0.05)
    with pytest.raises(ServiceError, match="was not ready after"), serving(bento_tag, {}):
        pass
