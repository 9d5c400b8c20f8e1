"""Which questions prove a deployed recommender, and that another answer is noticed."""

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipeline.tasks.recommendation import deploy
from pipeline.tasks.recommendation.data.asking import MODES, Answer, Ask
from pipeline.tasks.recommendation.data.dataset import (
    CODES,
    PROMOTIONS,
    ROWS,
    Catalogue,
    write_catalogue,
    write_split,
)
from tests.serving.asgi_client import AsgiClient
from tests.serving.fake_recommender import CUSTOMERS, NAMES, FakeRecommender

SAMPLES, TOLERANCE = 120, 1e-5


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """The fake shop's catalogue, and 30 unseen baskets of 1 to 8 products."""
    catalogue = Catalogue(
        product_ids=np.arange(1001, 1001 + len(NAMES)),
        customer_ids=np.array(CUSTOMERS),
        store_ids=np.array([31, 32]),
        names=NAMES,
        codes=np.zeros((len(NAMES), len(CODES)), dtype=np.int32),
        vocabularies={name: ("",) for name in CODES},
        demographics=np.zeros((len(CUSTOMERS), 2), dtype=np.int32),
        attributes={"age": ("", "19-24", "25-34"), "income": ("",)},
    )
    (tmp_path / "train").mkdir()
    write_catalogue(tmp_path / "train" / "catalogue", catalogue)
    basket = np.repeat(np.arange(500, 530), np.arange(30) % 8 + 1)
    rows: dict[str, np.ndarray] = {name: np.zeros(len(basket)) for name in ROWS}
    rows |= {"basket": basket, "product": np.arange(len(basket)) % len(NAMES)}
    write_split(tmp_path / "test", rows, {name: np.zeros(0) for name in PROMOTIONS}, 17_500, 17_528)
    return tmp_path


@pytest.fixture
def questions(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Bodies of a proof; the package's recommender is a fake one."""
    use(monkeypatch, FakeRecommender)
    proof = deploy.proof(tmp_path, prepared, SAMPLES)
    return [json.loads(request.partition(b"\r\n\r\n")[2]) for request in proof.requests]


def compared(shop: AsgiClient, prepared: Path, package: Path) -> dict[str, float]:
    """The service is the application without a server."""
    proof = deploy.proof(package, prepared, SAMPLES)
    bodies = [request.partition(b"\r\n\r\n")[2] for request in proof.requests]
    answers = [shop.post("/recommend", json=json.loads(body)).content for body in bodies]
    return deploy.compare(answers, proof, TOLERANCE)


def use(monkeypatch: pytest.MonkeyPatch, recommender: type[FakeRecommender]) -> None:
    module = SimpleNamespace(Recommender=lambda package: recommender())
    monkeypatch.setitem(sys.modules, "pipeline.tasks.recommendation.data.recommender", module)


def test_every_kind_of_question_is_asked_and_answered_alike(
    questions: list[dict[str, Any]], prepared: Path, tmp_path: Path, shop: AsgiClient
) -> None:
    found = compared(shop, prepared, tmp_path)
    assert found == {"answers": 120, "served_equals_offline": 1.0, "score_difference": 0.0}
    customers = {question.get("customer_id") for question in questions}
    assert {None, 1, 40, "unknown 0"} <= customers
    kinds = {(question["mode"], "basket" in question) for question in questions}
    assert kinds == {(mode, with_basket) for mode in MODES for with_basket in (True, False)}
    assert {"exclude", "store_id", "demographics"} <= {name for question in questions for name in question}
    assert any("unknown product" in question.get("basket", ()) for question in questions)


class OtherScores(FakeRecommender):
    def recommend(self, asks: Sequence[Ask], now: Any = None) -> list[Answer]:
        return [self.changed(answer) for answer in super().recommend(asks)]

    def changed(self, answer: Answer) -> Answer:
        items = tuple(dataclasses.replace(item, score=item.score + 0.5) for item in answer.items)
        return dataclasses.replace(answer, items=items)


class OtherOrder(OtherScores):
    def changed(self, answer: Answer) -> Answer:
        return dataclasses.replace(answer, items=answer.items[::-1])


class OtherOrigin(OtherScores):
    def changed(self, answer: Answer) -> Answer:
        return dataclasses.replace(answer, served_by="chance")


@pytest.mark.parametrize(
    ("recommender", "difference"), [(OtherScores, 0.5), (OtherOrder, 0.0), (OtherOrigin, 0.0)]
)
def test_another_answer_is_noticed(
    prepared: Path, tmp_path: Path, shop: AsgiClient, monkeypatch: pytest.MonkeyPatch,
    recommender: type[FakeRecommender], difference: float,
) -> None:  # fmt: skip
    use(monkeypatch, recommender)
    found = compared(shop, prepared, tmp_path)
    assert found["served_equals_offline"] < 0.01
    assert found["score_difference"] == pytest.approx(difference)


def test_load_requests_are_questions(prepared: Path, shop: AsgiClient) -> None:
    requests = deploy.load_requests(prepared)
    assert len({request for request in requests}) > 200
    head, _, body = requests[3].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /recommend HTTP/1.1\r\n")
    assert shop.post("/recommend", json=json.loads(body)).status_code == 200
