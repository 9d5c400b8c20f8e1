"""A Bento as others would run it: with tokens, a rate limit and captured pictures, and nothing said of where
to listen."""

import base64
import io
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest
from PIL import Image
from sqlalchemy import select

from pipeline.core.registry import Version
from pipeline.core.serve_parameters import Capture, Rate
from pipeline.log import prediction_log
from pipeline.log.prediction_log import captures
from pipeline.service import bento, service_process
from tests.serving.answers import refused
from tests.serving.conftest import ROOT, SERVICE
from tests.serving.pictures import digit, encoded
from tests.serving.synthetic import SETTINGS

PREDICT, FEEDBACK, ADMIN = "p" * 32, "f" * 32, "a" * 32
TOKENS = {
    "FULLCYCLE_TOKEN_PREDICT": PREDICT,
    "FULLCYCLE_TOKEN_FEEDBACK": FEEDBACK,
    "FULLCYCLE_TOKEN_ADMIN": ADMIN,
}
BURST = 40  # of one client; the bucket does not fill while the tests run


@dataclass(frozen=True)
class Started:
    process: subprocess.Popen[bytes]
    port: int
    log: Path
    mark: str


@contextmanager
def started(tag: str, environment: dict[str, str], folder: Path) -> Iterator[Started]:
    """`bentoml serve TAG --port N`: as `serving` does it, but nothing is said of the host."""
    port, mark, log = service_process.free_port(), uuid.uuid4().hex, folder / "service.log"
    home = service_process._private_home(folder)
    settings = {
        "BENTOML_HOME": str(home),
        "FULLCYCLE_PREDICTION_LOG": f"sqlite:///{folder}/log.db",
        service_process.MARK: mark,
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "bentoml", "serve", tag, "--port", str(port)],
            cwd=folder,
            env=os.environ | settings | environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Started(process, port, log, mark)
    finally:
        service_process._stop(process, mark)


@pytest.fixture(scope="module")
def guarded_tag(bento_home: Path, package: Path, version: Version) -> str:
    rate = Rate(per_second=0.001, burst=BURST, clients_max=100)
    settings = SETTINGS.model_copy(update={"rate": rate, "capture": Capture(share=1, confidence_below=0)})
    return bento.build(ROOT, SERVICE, bento.store_model(package, version), settings)


@pytest.fixture(scope="module")
def guarded(guarded_tag: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    with started(guarded_tag, TOKENS, tmp_path_factory.mktemp("guarded")) as service:
        service_process._wait_until_ready(service.process, service.port, service.log, guarded_tag)
        yield service


@pytest.fixture
def client(guarded: Started) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{guarded.port}", trust_env=False, timeout=20) as made:
        yield made


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def test_it_listens_on_this_machine_alone(guarded: Started) -> None:
    listening = {
        connection.laddr.ip
        for process in psutil.process_iter()
        if service_process._carries(process, guarded.mark)
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == guarded.port
    }
    assert listening == {"127.0.0.1"}


@pytest.mark.parametrize("token", [None, PREDICT])
def test_whether_it_is_well_anybody_may_ask(client: httpx.Client, token: str | None) -> None:
    for path in ("/livez", "/readyz", "/healthz"):
        assert client.get(path, headers=bearer(token) if token else {}).status_code == 200


def test_its_figures_are_for_admins(client: httpx.Client) -> None:
    response = client.get("/metrics")
    refused(response, "unauthorized")
    assert response.headers["www-authenticate"] == "Bearer"
    for token in (PREDICT, FEEDBACK):
        refused(client.get("/metrics", headers=bearer(token)), "forbidden")
    shown = client.get("/metrics", headers=bearer(ADMIN))
    assert 'fullcycle_errors_total{code="forbidden"}' in shown.text
    assert client.head("/metrics").status_code == 401
    refused(client.get("/schema.json"), "not_found")


def test_tokens_work_through_the_whole_server(client: httpx.Client, guarded: Started) -> None:
    picture = encoded(digit())
    asked = {"content": picture, "headers": {"content-type": "image/png"} | bearer(PREDICT)}
    answer = client.post("/predict", **asked)  # type: ignore[arg-type]
    assert answer.status_code == 200, answer.text
    said = {"prediction_id": answer.json()["prediction_id"], "label": "4"}
    refused(client.post("/feedback", json=said, headers=bearer(PREDICT)), "forbidden")
    assert client.post("/feedback", json=said, headers=bearer(FEEDBACK)).status_code == 200
    log_url = f"sqlite:///{guarded.log.parent}/log.db"
    wanted = select(captures).where(captures.c.prediction_id == said["prediction_id"])
    (kept,) = prediction_log.read_rows(log_url, wanted)  # feedback is stored after its prediction
    with Image.open(io.BytesIO(kept["picture"])) as seen, Image.open(io.BytesIO(picture)) as sent:
        assert seen.tobytes() == sent.tobytes()


def test_every_answer_tells_browsers_what_they_may(client: httpx.Client) -> None:
    for path in ("/", "/docs", "/docs.json", "/page/page.css", "/livez", "/metrics", "/model", "/nowhere"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'self'" in policy, path
        assert "frame-ancestors 'none'" in policy, path
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["referrer-policy"] == "no-referrer", path
        assert headers["cross-origin-resource-policy"] == "same-origin", path
        assert "camera=()" in headers["permissions-policy"], path
        assert "access-control-allow-origin" not in headers, path


def test_an_address_in_a_request_is_not_asked(client: httpx.Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        address = f"http://127.0.0.1:{elsewhere.getsockname()[1]}/7.png"
        for body in ({"url": address}, {"pixels": address}, {"image": address}):
            refused(client.post("/predict", json=body, headers=bearer(PREDICT)), "url_not_accepted")
        items = {"items": [{"image_base64": address}]}
        refused(client.post("/predict_batch", json=items, headers=bearer(PREDICT)), "url_not_accepted")
        elsewhere.settimeout(0.2)
        with pytest.raises(TimeoutError):
            elsewhere.accept()


def test_the_log_of_the_service_holds_no_picture_no_address_and_no_token(
    client: httpx.Client, guarded: Started
) -> None:
    picture = encoded(digit(77))
    items = {"items": [{"image_base64": base64.b64encode(picture).decode()}, {"pixels": "192.0.2.77"}]}
    headers = bearer(PREDICT) | {"x-forwarded-for": "192.0.2.78", "user-agent": "somebody"}
    client.post("/predict_batch", json=items, headers=headers)
    client.post("/predict", content=picture[:100], headers=headers | {"content-type": "image/png"})
    client.post("/predict", content=b"{", headers=headers | {"content-type": "application/json"})
    client.get("/nowhere", headers=headers)
    time.sleep(0.3)
    written = guarded.log.read_text(errors="replace")
    assert "initialized" in written, "this is the log"
    for secret in (
        base64.b64encode(picture).decode()[:40],
        "192.0.2.7",
        "somebody",
        PREDICT,
        ADMIN,
        "/nowhere",
    ):
        assert secret not in written


def test_a_client_is_who_connects_not_who_he_says(client: httpx.Client) -> None:
    """Last of this file: afterwards this address has used up its requests."""
    statuses = [
        client.get("/model", headers={"x-forwarded-for": f"192.0.2.{i}"}).status_code
        for i in range(BURST + 1)
    ]
    assert statuses[-1] == 429
    assert set(statuses) == {401, 429}
    response = client.get("/model")
    assert int(response.headers["retry-after"]) > 1
    assert client.get("/model", headers=bearer(FEEDBACK)).status_code == 403, "a token is a client of its own"
    assert client.get("/readyz").status_code == 200


def test_without_a_token_it_does_not_listen_on_every_interface(bento_tag: str, tmp_path: Path) -> None:
    """As in a container, where BENTOML_HOST is 0.0.0.0."""
    with started(bento_tag, {"BENTOML_HOST": "0.0.0.0"}, tmp_path) as service:
        assert service.process.wait(60) != 0
        told = service.log.read_text()
        assert "On 0.0.0.0 this service would answer everybody" in told
        assert "FULLCYCLE_TOKEN_PREDICT" in told
        assert "FULLCYCLE_WITHOUT_TOKENS=yes" in told
        assert "Traceback" not in told
        assert service_process._port_is_free(service.port)


def test_a_log_that_has_no_address_ends_it_with_one_message(bento_tag: str, tmp_path: Path) -> None:
    with started(bento_tag, {"FULLCYCLE_PREDICTION_LOG": "predictions.db"}, tmp_path) as service:
        assert service.process.wait(60) != 0
        told = service.log.read_text()
        assert "FULLCYCLE_PREDICTION_LOG must be the address of a database" in told
        assert "Traceback" not in told
