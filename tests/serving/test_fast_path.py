"""Many requests at once: each has its own answer, from one model, and large ones hold up no small ones."""

import asyncio
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from pipeline.log.prediction_log import read_predictions
from pipeline.tasks.image_classification.data import pixels
from serving.image_application import BYTES_AT_ONCE, TOGETHER, ImageApplication, ImageState
from serving.image_log import ImageLog
from serving.image_model import RUN_BATCH, ImageModel, load
from serving.prediction_log import new_ids
from tests.serving.asgi_client import AsgiClient
from tests.serving.pictures import digit, encoded
from tests.serving.synthetic import SETTINGS, write_package

IMAGES = [digit(seed) for seed in range(40)]


def together(state: ImageState, requests: Sequence[dict[str, Any]]) -> list[httpx.Response]:
    """Answers to requests that are sent at the same time to /predict."""

    async def send() -> list[httpx.Response]:
        transport = httpx.ASGITransport(ImageApplication(state, SETTINGS))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await asyncio.gather(*(client.post("/predict", **request) for request in requests))

    return asyncio.run(send())


def shares(model: ImageModel, image: np.ndarray) -> dict[str, float]:
    row = model.probabilities(image[np.newaxis, np.newaxis])[0]
    return dict(zip(model.classes, row.tolist(), strict=True))


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images each run of the network had."""
    lengths: list[int] = []
    run = ImageModel.probabilities

    def counted(model: ImageModel, images: np.ndarray) -> np.ndarray:
        lengths.append(len(images))
        return run(model, images)

    monkeypatch.setattr(ImageModel, "probabilities", counted)
    return lengths


def test_requests_that_come_together_share_runs_and_have_their_own_answers(
    state: ImageState, log_url: str, runs: list[int]
) -> None:
    answers = together(state, [{"json": {"pixels": image.tolist()}} for image in IMAGES])
    assert sum(runs) == len(IMAGES)
    assert 1 < max(runs) <= TOGETHER
    assert len(runs) < len(IMAGES)
    for image, answer in zip(IMAGES, answers, strict=True):
        assert answer.json()["probabilities"] == pytest.approx(shares(state.model, image), abs=1e-6)
    state.log.close()
    logged = {row["id"]: row for row in read_predictions(log_url)}
    assert logged.keys() == {answer.json()["prediction_id"] for answer in answers}
    for image, answer in zip(IMAGES, answers, strict=True):
        row = logged[answer.json()["prediction_id"]]
        assert row["label"] == answer.json()["label"]
        expected = pixels.properties(image[np.newaxis, np.newaxis])["brightness"][0]
        assert row["properties"]["brightness"] == pytest.approx(expected, abs=1e-6)


def test_bad_requests_spoil_no_others(state: ImageState) -> None:
    good = {"json": {"pixels": IMAGES[0].tolist()}}
    bad = {"json": {"pixels": [[0]]}}
    answers = together(state, [good, bad] * 10)
    assert [answer.status_code for answer in answers] == [200, 400] * 10


def test_an_image_that_the_network_fails_on_spoils_no_other(
    state: ImageState, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ImageModel.probabilities

    def fails_on_white(model: ImageModel, images: np.ndarray) -> np.ndarray:
        if (images == 255).all(axis=(1, 2, 3)).any():
            raise RuntimeError("white")
        return run(model, images)

    monkeypatch.setattr(ImageModel, "probabilities", fails_on_white)
    white = np.full((28, 28), 255)
    answers = together(state, [{"json": {"pixels": image.tolist()}} for image in (*IMAGES[:5], white)])
    assert [answer.status_code for answer in answers] == [200] * 5 + [500]


def test_every_answer_is_of_the_one_model_that_it_names(
    state: ImageState, log: ImageLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model is exchanged again and again while requests wait for it."""
    models = {"3": state.model, "4": load(write_package(tmp_path / "other", seed=1), "4")}

    class Swapping(ImageState):
        asked = 0

        @property
        def model(self) -> ImageModel:  # type: ignore[override]
            self.asked += 1
            return models["34"[self.asked % 2]]

    swapping = Swapping()
    swapping.log = log
    answers = [
        answer.json() for answer in together(swapping, [{"json": {"pixels": i.tolist()}} for i in IMAGES])
    ]
    assert {answer["model"]["version"] for answer in answers} == {"3", "4"}
    for image, answer in zip(IMAGES, answers, strict=True):
        expected = shares(models[answer["model"]["version"]], image)
        assert answer["probabilities"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("picture", "on_the_loop"),
    [(digit(), True), (np.zeros((100, 100), np.uint8), True), (np.zeros((300, 300), np.uint8), False)],
    ids=["28x28", "100x100", "300x300"],
)
def test_a_large_picture_is_decoded_beside_the_event_loop(
    client: AsgiClient, monkeypatch: pytest.MonkeyPatch, picture: np.ndarray, on_the_loop: bool
) -> None:
    decoding: list[threading.Thread] = []
    decode = pixels.from_image

    def watched(*given: Any) -> np.ndarray:
        decoding.append(threading.current_thread())
        return decode(*given)

    monkeypatch.setattr(pixels, "from_image", watched)
    sent = client.post("/predict", content=encoded(picture), headers={"content-type": "image/png"})
    assert sent.status_code == 200
    assert [thread is threading.current_thread() for thread in decoding] == [on_the_loop]


def test_a_long_body_is_read_beside_the_event_loop(
    client: AsgiClient, state: ImageState, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading: list[threading.Thread] = []

    def watched(body: bytes) -> bool:
        reading.append(threading.current_thread())
        return True

    monkeypatch.setattr("serving.request_body.may_hold_booleans", watched)
    text = str(digit().tolist())
    for spaces in (0, BYTES_AT_ONCE):
        content = f'{{"pixels": {" " * spaces}{text}}}'.encode()
        answer = client.post("/predict", content=content, headers={"content-type": "application/json"})
        assert answer.json()["probabilities"] == pytest.approx(shares(state.model, digit()), abs=1e-6)
    assert [thread is threading.current_thread() for thread in reading] == [True, False]


def test_a_long_batch_has_the_answers_of_its_images(model: ImageModel) -> None:
    images = np.stack([digit(seed) for seed in range(RUN_BATCH + 3)])[:, np.newaxis]
    alone = np.concatenate([model.probabilities(images[i : i + 1]) for i in range(len(images))])
    np.testing.assert_allclose(model.probabilities(images), alone, atol=1e-6)


def test_true_among_the_pixels_of_a_batch_is_refused(client: AsgiClient) -> None:
    rows = digit().tolist()
    rows[3][4] = True
    answer = client.post("/predict_batch", json={"items": [{"pixels": digit().tolist()}, {"pixels": rows}]})
    assert answer.json()["error"]["code"] == "out_of_range"
    assert answer.json()["error"]["message"].startswith("items[1]")


def test_ids_are_unlike_each_other_and_begin_with_the_time() -> None:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    ids = new_ids(now, 1000)
    assert len({id_[12:] for id_ in ids}) == 1000
    assert {id_[:12] for id_ in ids} == {f"{int(now.timestamp() * 1000):012x}"}
    assert all(len(id_) == 32 and set(id_) <= set("0123456789abcdef") for id_ in ids)
