"""Deploying a recommender: which questions prove that the service answers as the model does."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.service.load_test import post_request
from pipeline.tasks.recommendation.data.asking import MODES, Answer, Ask
from pipeline.tasks.recommendation.data.dataset import Catalogue, read_catalogue, read_split

SERVICE = "serving.recommendation:Recommendation"
LOAD_REQUESTS = 256  # different questions that the load test goes through
BASKET = 5  # products of an unseen basket that are in the live one when it is asked
NOBODY = 16  # of so many questions one is of a customer who is unknown, one of nobody
ASKED_AT_ONCE = 100


@dataclass(frozen=True)
class Proof:
    """requests: as they go over the wire; offline: the package's answer to each."""

    requests: list[bytes]
    offline: list[Answer]


def add_state(package: Path, prepared: Path) -> None:
    """Histories and counts as of the end of the data: what the answers are made from beside the network."""
    from pipeline.tasks.recommendation.data import state

    state.add_to_package(package, prepared)


def proof(package: Path, prepared: Path, samples: int) -> Proof:
    """What is to be asked, of known and unknown customers, in all modes, and what the package answers."""
    from pipeline.tasks.recommendation.data.recommender import Recommender

    questions = _questions(prepared, samples)
    recommender = Recommender(package)
    asks = [_as_ask(question) for question in questions]
    offline: list[Answer] = []
    for start in range(0, len(asks), ASKED_AT_ONCE):
        offline += recommender.recommend(asks[start : start + ASKED_AT_ONCE])
    return Proof([_as_request(question) for question in questions], offline)


def compare(bodies: list[bytes], expected: Proof, tolerance: float) -> dict[str, float]:
    """Holds the answers to the requests of a proof against what is expected.

    Returns answers (their number), served_equals_offline (share with the same products in the same
    order, of the same origin, all scores within the tolerance) and score_difference (the largest).
    """
    equal, largest = 0, 0.0
    for body, offline in zip(bodies, expected.offline, strict=True):
        served = json.loads(body)
        same = served["served_by"] == offline.served_by and [
            item["product_id"] for item in served["items"]
        ] == [item.product_id for item in offline.items]
        if same:
            pairs = zip(served["items"], offline.items, strict=True)
            difference = max((abs(item["score"] - other.score) for item, other in pairs), default=0.0)
            largest = max(largest, difference)
            same = difference <= tolerance
        equal += same
    return {
        "answers": len(bodies),
        "served_equals_offline": equal / len(bodies),
        "score_difference": largest,
    }


def load_requests(prepared: Path) -> list[bytes]:
    """Questions as they go over the wire."""
    return [_as_request(question) for question in _questions(prepared, LOAD_REQUESTS)]


def _as_request(question: dict[str, Any]) -> bytes:
    return post_request("/recommend", "application/json", json.dumps(question).encode())


def _questions(prepared: Path, wanted: int) -> list[dict[str, Any]]:
    """Bodies for /recommend: customers spread over all, every second one with a live basket."""
    catalogue = read_catalogue(prepared / "train" / "catalogue")
    baskets = _baskets(prepared / "test", wanted)
    places = np.linspace(0, len(catalogue.customer_ids) - 1, wanted).astype(int)
    return [_question(i, catalogue, int(place), baskets[i]) for i, place in enumerate(places)]


def _question(i: int, catalogue: Catalogue, place: int, basket: np.ndarray) -> dict[str, Any]:
    """The i-th question. place: of its customer in the catalogue; basket: int32, places of products."""
    question: dict[str, Any] = {"mode": MODES[i % len(MODES)], "k": (10, 20)[i // 3 % 2]}
    products = catalogue.product_ids[basket].tolist()
    if i % NOBODY == 0:
        question["customer_id"] = f"unknown {i}"
        question["demographics"] = {
            name: values[1 + i % (len(values) - 1)]
            for name, values in catalogue.attributes.items()
            if len(values) > 1
        }
    elif i % NOBODY != 1:
        question["customer_id"] = catalogue.customer_ids[place].item()
    if i % 2:
        question["basket"] = [*products, "unknown product"] if i % 5 == 0 else products
    else:
        question["exclude"] = products[:1]
    if i % 7 == 0 and len(catalogue.store_ids):
        question["store_id"] = catalogue.store_ids[i % len(catalogue.store_ids)].item()
    return question


def _baskets(split: Path, wanted: int) -> list[np.ndarray]:
    """The first products of `wanted` unseen baskets, spread over all."""
    purchases = read_split(split)
    starts = np.flatnonzero(np.diff(purchases.basket, prepend=-1))
    ends = np.append(starts[1:], len(purchases))
    chosen = np.linspace(0, len(starts) - 1, wanted).astype(int)
    return [
        np.asarray(purchases.product[start : min(start + BASKET, end)])
        for start, end in zip(starts[chosen], ends[chosen], strict=True)
    ]


def _as_ask(question: dict[str, Any]) -> Ask:
    return Ask(
        customer=question.get("customer_id"),
        basket=tuple(question.get("basket", ())),
        k=question["k"],
        mode=question["mode"],
        exclude=tuple(question.get("exclude", ())),
        store=question.get("store_id"),
        demographics=question.get("demographics", {}),
    )
