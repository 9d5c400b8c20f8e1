"""Thousands of requests, documented and hostile: no 5xx, no crash, no growth of memory.

The small tests ask the applications and one service; the full ones (`pytest -m full`) ask both services, as
they are deployed, 10,000 times each and look at the memory of the process that answers.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis

from serving.application import Application
from serving.image_application import ImageApplication, ImageState
from serving.image_log import ImageLog
from serving.image_model import load
from serving.recommendation_application import RecommendationApplication, RecommendationState
from tests.serving import documented, hostile
from tests.serving.bento_process import Service, started
from tests.serving.synthetic import SETTINGS, SHOP_SETTINGS, write_package

GROWTH_MAX = 1.05  # of resident memory, from the first round's end, when all is warm, to the last one's
REQUESTS = 10_000  # a fifth to a third of them documented, the others hostile


@pytest.fixture
def small_images(tmp_path: Path, log: ImageLog) -> Application:
    """4x4 colour, so that a documented request is short."""
    state = ImageState()
    state.model, state.log = load(write_package(tmp_path / "small", image=(3, 4, 4)), "3"), log
    return ImageApplication(state, SETTINGS)


@pytest.fixture
def small_shop(shop_state: RecommendationState) -> Application:
    return RecommendationApplication(shop_state, SHOP_SETTINGS)


@pytest.mark.parametrize(
    ("service", "path"), [("small_images", "/predict_batch"), ("small_shop", "/recommend")]
)
def test_answers_are_as_documented(service: str, path: str, request: pytest.FixtureRequest) -> None:
    schema = schemathesis.openapi.from_asgi("/docs.json", request.getfixturevalue(service))
    answers = documented.ask(schema, examples=15)
    assert sum(answers.values()) > 80
    assert answers[path, 200] and answers[path, 400]
    assert answers["/feedback", 404]


def test_a_service_bears_what_no_honest_client_sends(running: dict[str, Any]) -> None:
    answers = hostile.ask(running["url"], hostile.IMAGES, 400, seed=1)
    assert {200, 400, 404, 405, 415} <= answers.keys(), answers
    assert running["client"].get("/readyz").status_code == 200


@pytest.fixture(scope="module")
def full_images(bento_tag: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("fuzz")
    with started(bento_tag, folder / "service", f"sqlite:///{folder}/log.db") as service:
        yield service


@pytest.mark.full
@pytest.mark.slow
@pytest.mark.parametrize(
    ("service", "good"),
    [("full_images", hostile.IMAGES), ("full_shop", hostile.SHOP)],
    ids=["images", "shop"],
)
def test_ten_thousand_requests(
    service: str, good: tuple[hostile.Good, ...], request: pytest.FixtureRequest
) -> None:
    asked: Service = request.getfixturevalue(service)
    schema = schemathesis.openapi.from_url(asked.url + "/docs.json")
    worker = asked.worker()
    answers = Counter[Any]()
    resident = []  # bytes, after each round
    while sum(answers.values()) < REQUESTS:
        answers += documented.ask(schema, 50, seed=len(resident))
        answers += hostile.ask(asked.url, good, 1000, seed=len(resident))
        resident.append(worker.memory_info().rss)
        print(sum(answers.values()), "requests,", resident[-1] >> 20, "MiB", flush=True)
    print(answers)
    assert asked.worker().pid == worker.pid
    assert resident[-1] <= GROWTH_MAX * resident[0]
