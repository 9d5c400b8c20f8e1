"""Deploying an image classifier: which requests prove that the service answers as the model does."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.deployed_network import DeployedNetwork
from pipeline.service.load_test import post_request
from pipeline.tasks.image_classification.data import pixels

SERVICE = "serving.image_classification:ImageClassification"
BATCH = 50  # images of one request to /predict_batch
FORMS = 3  # in which an image is asked about: PNG, JSON, an item of a batch
LOAD_REQUESTS = 64  # different requests that the load test goes through


@dataclass(frozen=True)
class Proof:
    """requests: as they go over the wire; places: of each request, which images it is about, in order;
    offline: float (N, K), the probabilities of `classes` by the model itself."""

    requests: list[bytes]
    places: list[list[int]]
    offline: np.ndarray
    classes: list[str]


def add_state(package: Path, prepared: Path) -> None:
    """Nothing: an image is answered from its pixels alone."""


def proof(package: Path, prepared: Path, samples: int) -> Proof:
    """What is to be asked, and what the package answers: unseen images, each in one of the forms in turn."""
    images = _samples(prepared, samples)
    network = DeployedNetwork(package)
    pictures, nested, batched = (range(form, len(images), FORMS) for form in range(FORMS))
    batches = [batched[start : start + BATCH] for start in range(0, len(batched), BATCH)]
    return Proof(
        requests=[
            *(_as_png(images[i]) for i in pictures),
            *(_as_pixels(images[i]) for i in nested),
            *(_as_batch(images[batch]) for batch in batches),
        ],
        places=[*([i] for i in pictures), *([i] for i in nested), *(list(batch) for batch in batches)],
        offline=network.run(images, "probabilities"),
        classes=network.description["classes"],
    )


def compare(bodies: list[bytes], expected: Proof, tolerance: float) -> dict[str, float]:
    """Holds the answers to the requests of a proof against what is expected.

    Returns answers (their number, one for each image), served_equals_offline (share with the same decision
    and all probabilities within the tolerance) and probability_difference (the largest).
    """
    equal, answers, largest = 0, 0, 0.0
    for places, body in zip(expected.places, bodies, strict=True):
        answered = json.loads(body)
        for i, answer in zip(places, answered.get("predictions", [answered]), strict=True):
            served = np.array([answer["probabilities"][name] for name in expected.classes])
            difference = float(np.abs(served - expected.offline[i]).max())
            largest = max(largest, difference)
            decided = expected.classes[int(expected.offline[i].argmax())]
            equal += answer["label"] == decided and difference <= tolerance
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


def _as_png(image: np.ndarray) -> bytes:
    """image: uint8 (C, H, W)"""
    return post_request("/predict", "image/png", pixels.png(image))


def _as_pixels(image: np.ndarray) -> bytes:
    return _as_json("/predict", {"pixels": _nested(image)})


def _as_batch(images: np.ndarray) -> bytes:
    """Every second item is a PNG."""
    items = [
        {"pixels": _nested(image)} if i % 2 else {"image_base64": base64.b64encode(file).decode()}
        for i, (image, file) in enumerate(zip(images, map(pixels.png, images), strict=True))
    ]
    return _as_json("/predict_batch", {"items": items})


def _as_json(path: str, value: Any) -> bytes:
    return post_request(path, "application/json", json.dumps(value).encode())


def _nested(image: np.ndarray) -> list[Any]:
    return (image[0] if len(image) == 1 else image.transpose(1, 2, 0)).tolist()


def load_requests(prepared: Path) -> list[bytes]:
    """HTTP requests of one image each, PNG and JSON in turn, as they go over the wire."""
    images = _samples(prepared, LOAD_REQUESTS)
    return [_as_png(image) if i % 2 else _as_pixels(image) for i, image in enumerate(images)]
