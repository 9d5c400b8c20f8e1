"""Deploying an image classifier: which requests prove that the service answers as the model does."""

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline.core.deployed_network import DeployedNetwork
from pipeline.core.errors import ServiceError
from pipeline.core.load_test import post_request
from pipeline.core.parameters import Deploy

SERVICE = "serving.image_classification:ImageClassification"
BATCH = 50  # images of one request to /predict_batch
LOAD_REQUESTS = 64  # different requests that the load test goes through
TIMEOUT = 30.0  # seconds for one answer


def add_state(package: Path, prepared: Path) -> None:
    """Nothing: an image is answered from its pixels alone."""


def compare(url: str, package: Path, prepared: Path, params: Deploy) -> dict[str, float]:
    """Sends unseen images as PNG, as JSON and in batches, and holds the answers against the package's.

    Returns answers (their number), served_equals_offline (share with the same decision and all
    probabilities within the tolerance) and probability_difference (the largest).
    """
    images = _samples(prepared, params.samples)
    network = DeployedNetwork(package)
    offline = network.run(images, "probabilities")
    classes = network.description["classes"]
    labels = [classes[best] for best in offline.argmax(axis=1)]
    equal, answers, largest = 0, 0, 0.0
    for i, answer in _answers(url, images):
        served = np.array([answer["probabilities"][name] for name in classes])
        difference = float(np.abs(served - offline[i]).max())
        largest = max(largest, difference)
        equal += answer["label"] == labels[i] and difference <= params.tolerance
        answers += 1
    return {
        "answers": answers,
        "served_equals_offline": equal / answers,
        "probability_difference": largest,
    }


def _samples(prepared: Path, wanted: int) -> np.ndarray:
    """uint8 (N, C, H, W), spread over the whole of the unseen images."""
    images = np.load(prepared / "test" / "images.npy", mmap_mode="r")
    rows = np.linspace(0, len(images) - 1, min(wanted, len(images))).astype(int)
    return np.ascontiguousarray(images[rows])


def _answers(url: str, images: np.ndarray) -> Iterator[tuple[int, dict[str, Any]]]:
    """(place of the image, the service's answer) for every image in every form."""
    import httpx

    pictures = [_png(image) for image in images]
    with httpx.Client(base_url=url, timeout=TIMEOUT, trust_env=False) as client:

        def post(path: str, **request: Any) -> Any:
            try:
                response = client.post(path, **request)
            except httpx.HTTPError as error:
                raise ServiceError(f"POST {url}{path}: {error!r}.") from error
            if response.status_code != 200:
                raise ServiceError(f"POST {url}{path} answered {response.status_code}: {response.text[:500]}")
            return response.json()

        for i, picture in enumerate(pictures):
            yield i, post("/predict", content=picture, headers={"content-type": "image/png"})
        for i, image in enumerate(images):
            yield i, post("/predict", json={"pixels": _nested(image)})
        for start in range(0, len(images), BATCH):
            items = [
                {"pixels": _nested(images[i])}
                if i % 2
                else {"image_base64": base64.b64encode(pictures[i]).decode()}
                for i in range(start, min(start + BATCH, len(images)))
            ]
            yield from enumerate(post("/predict_batch", json={"items": items})["predictions"], start)


def _png(image: np.ndarray) -> bytes:
    """image: uint8 (C, H, W)"""
    file = io.BytesIO()
    Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0)).save(file, "PNG")
    return file.getvalue()


def _nested(image: np.ndarray) -> list[Any]:
    return (image[0] if len(image) == 1 else image.transpose(1, 2, 0)).tolist()


def load_requests(prepared: Path) -> list[bytes]:
    """HTTP requests of one image each, PNG and JSON in turn, as they go over the wire."""
    requests = []
    for i, image in enumerate(_samples(prepared, LOAD_REQUESTS)):
        if i % 2:
            requests.append(post_request("/predict", "image/png", _png(image)))
        else:
            body = json.dumps({"pixels": _nested(image)}).encode()
            requests.append(post_request("/predict", "application/json", body))
    return requests
