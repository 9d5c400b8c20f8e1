"""The page that writes labels/P.csv: what it does, and for whom it does nothing."""

import os
import re
import signal
import socket
import subprocess
import sys

import httpx
import pytest

from pipeline.core.paths import Paths
from pipeline.labels import corrections
from pipeline.labels.corrections import Correction
from pipeline.relabeling import labelled
from pipeline.relabeling.application import BODY_MAX, PAGE, application
from pipeline.relabeling.reviewing import Review
from pipeline.tasks.image_classification import relabel
from tests.imports import ROOT
from tests.relabeling.conftest import CLASSES, Labels, name
from tests.serving.asgi_client import AsgiClient

ORIGIN = "http://127.0.0.1:3001"


@pytest.fixture
def page(paths: Paths) -> AsgiClient:
    review = Review(paths, CLASSES, labelled.read_queue(paths, CLASSES).waiting, "Ada")
    return AsgiClient(application(review, relabel.pictures(paths)), ORIGIN)


def decide(page: AsgiClient, item: int, label: str, **headers: str) -> httpx.Response:
    return page.post("/decide", json={"item_id": name(item), "label": label}, headers=headers)


def test_the_queue_is_shown_with_pictures(page: AsgiClient) -> None:
    state = page.get("/state").json()
    assert state["project"] == "digits" and state["classes"] == list(CLASSES)
    assert [item["item_id"] for item in state["items"]] == [name(10), name(11), name(3)]
    first = state["items"][0]
    assert (first["given"], first["suggested"], first["rank"], first["label"]) == ("4", "9", 1, None)
    picture = page.get("/image", params={"item_id": name(10)})
    assert picture.headers["content-type"] == "image/png" and picture.content.startswith(b"\x89PNG")
    assert page.get("/image", params={"item_id": name(0)}).status_code == 404  # not under review


def test_a_decision_is_in_the_file_at_once_and_can_be_undone(page: AsgiClient, paths: Paths) -> None:
    assert decide(page, 10, "9", origin=ORIGIN).json() == {"item_id": name(10), "label": "9"}
    assert corrections.read(paths.corrections) == {name(10): Correction("9", "Ada")}
    decide(page, 11, "7")
    decide(page, 10, "3")
    assert [item["label"] for item in page.get("/state").json()["items"]] == ["3", "7", None]
    assert page.post("/undo", json={}).json() == {"item_id": name(10), "label": "9"}
    assert page.post("/undo", json={}).json() == {"item_id": name(11), "label": None}
    assert corrections.read(paths.corrections) == {name(10): Correction("9", "Ada")}
    page.post("/undo", json={})
    assert not paths.corrections.exists()  # as it was
    refused = page.post("/undo", json={})
    assert refused.status_code == 400 and "nothing to undo" in refused.json()["error"]


def test_what_others_write_meanwhile_stays(page: AsgiClient, paths: Paths) -> None:
    decide(page, 10, "9")
    corrections.write(paths.corrections, {name(0): Correction("6", "Eve")})
    decide(page, 11, "1")
    assert set(corrections.read(paths.corrections)) == {name(0), name(11)}
    paths.corrections.write_text("broken\n")
    refused = decide(page, 3, "5")
    assert refused.status_code == 409 and "its columns are broken" in refused.json()["error"]
    assert paths.corrections.read_text() == "broken\n"


def test_labels_and_items_that_are_not_there_are_refused(page: AsgiClient, paths: Paths) -> None:
    refused = decide(page, 10, "ten")
    assert refused.status_code == 400
    assert refused.json()["error"].startswith("label 'ten' is no class of digits. Allowed: 0, 1, 2")
    assert "is not under review" in decide(page, 0, "1").json()["error"]
    assert not paths.corrections.exists()


@pytest.mark.parametrize(
    "origin", ["http://example.org", "null", "https://127.0.0.1:3001", "http://127.0.0.1:8080"]
)
def test_no_other_site_decides(page: AsgiClient, paths: Paths, origin: str) -> None:
    assert decide(page, 10, "9", origin=origin).status_code == 403
    assert page.post("/undo", json={}, headers={"origin": origin}).status_code == 403
    assert not paths.corrections.exists()


def test_no_other_name_leads_here(page: AsgiClient, paths: Paths) -> None:
    """A name of another site that points to this machine would make it the same origin."""
    headers = {"host": "example.org:3001", "origin": "http://example.org:3001"}
    assert decide(page, 10, "9", **headers).status_code == 400
    assert page.get("/state", headers={"host": "example.org"}).status_code == 400
    assert not paths.corrections.exists()


def test_what_a_form_of_another_site_could_send_is_refused(page: AsgiClient, paths: Paths) -> None:
    said = f'{{"item_id": "{name(10)}", "label": "9"}}'
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        assert page.post("/decide", content=said, headers={"content-type": kind}).status_code == 415
    assert page.get("/decide").status_code == 405
    assert not paths.corrections.exists()


def test_bodies_that_are_wrong_are_refused(page: AsgiClient) -> None:
    json_type = {"content-type": "application/json"}
    for body, status in (("{", 400), ("[]", 400), ("{}", 400), ('{"item_id": 1, "label": 9}', 400)):
        assert page.post("/decide", content=body, headers=json_type).status_code == status
    assert page.post("/decide", content=b" " * (BODY_MAX + 1), headers=json_type).status_code == 413


def test_the_page_takes_nothing_from_elsewhere(page: AsgiClient) -> None:
    answer = page.get("/")
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    for path in PAGE.iterdir():
        text = path.read_text()
        assert not re.findall(r"(?:https?:)?//(?!www\.w3\.org)[a-z]+\.", text), path
        assert " style=" not in text and "onclick" not in text  # the policy would not let it
    for link in re.findall(r'(?:src|href)="([^"]+)"', answer.text):
        assert page.get(f"/{link}").status_code == 200


def test_a_port_in_use_or_out_of_range_is_told(labels: Labels) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = labels("review", "digits", "--port", str(port))
    assert done.code == 7 and f"127.0.0.1:{port} cannot be listened on" in done.err
    assert f"fullcycle labels review digits --port {port + 1}" in done.err
    assert labels("review", "digits", "--port", "70000").code == 2


def test_the_command_serves_the_page_and_says_what_to_do_next(paths: Paths) -> None:
    command = ["-c", "from pipeline.cli import main; main()", "labels", "review", "digits", "--port", "0"]
    with subprocess.Popen(
        [sys.executable, *command],
        cwd=paths.root,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        said = running.stdout.readline()
        url = re.findall(r"http://127\.0\.0\.1:\d+", said)
        assert url and said.startswith("3 labels to look at on ")
        answer = httpx.post(f"{url[0]}/decide", json={"item_id": name(10), "label": "9"}, timeout=60)
        assert answer.status_code == 200
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
    assert running.returncode == 0 and err == ""
    assert "1 of 3 decided, in labels/digits.csv" in out and "dvc repro" in out
