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
from starlette.types import Receive, Scope, Send

from pipeline.core import model_package
from pipeline.core.registry import Version
from pipeline.core.serve_parameters import Serve
from pipeline.service import bento
from pipeline.tasks.recommendation import deploy
from serving.application import Application
from serving.image_application import ImageApplication, ImageState
from serving.image_log import ImageLog
from serving.image_model import load
from serving.recommendation_application import RecommendationApplication, RecommendationState
from serving.trial import SESSION_HEADER
from tests import synthetic_shop
from tests.recommendation import shop_package, shop_project
from tests.serving import documented, hostile, trials
from tests.serving.bento_process import Service, started
from tests.serving.conftest import ROOT, SERVICE
from tests.serving.synthetic import SETTINGS, SHOP_SETTINGS, write_package

GROWTH_MAX = 1.05  # of resident memory, from the first round's end, when all is warm, to the last one's
REQUESTS = 10_000  # a fifth to a third of them documented, the others hostile


@pytest.fixture
def small_images(tmp_path: Path, log: ImageLog) -> Iterator[Application]:
    """4x4 colour, so that a documented request is short; with a canary."""
    state = ImageState()
    state.model, state.log = load(write_package(tmp_path / "small", image=(3, 4, 4)), "3"), log
    state.challenger = trials.alike(state.model)
    trial = trials.begin(state, mode="canary", share=0.5)
    yield ImageApplication(state, SETTINGS)
    trial.close()


@pytest.fixture
def small_shop(shop_state: RecommendationState) -> Application:
    return RecommendationApplication(shop_state, SHOP_SETTINGS)


class Sessions:
    """Passes on to an application, and counts the sessions that its requests name, by path."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self.named: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if SESSION_HEADER.lower().encode() in dict(scope.get("headers", ())):
            self.named[scope["path"]] += 1
        await self.application(scope, receive, send)


@pytest.mark.parametrize(
    ("service", "path"), [("small_images", "/predict_batch"), ("small_shop", "/recommend")]
)
def test_answers_are_as_documented(service: str, path: str, request: pytest.FixtureRequest) -> None:
    sessions = Sessions(request.getfixturevalue(service))
    schema = schemathesis.openapi.from_asgi("/docs.json", sessions)
    answers = documented.ask(schema, examples=15)
    assert sum(answers.values()) > 80
    assert answers[path, 200] and answers[path, 400]
    assert answers["/feedback", 404]
    assert sessions.named[path], "what keeps a client with one model is documented, so it is sent"


def test_a_service_bears_what_no_honest_client_sends(running: dict[str, Any]) -> None:
    answers = hostile.ask(running["url"], hostile.images(28), 400, seed=1)
    assert {200, 400, 404, 405, 415} <= answers.keys(), answers
    assert running["client"].get("/readyz").status_code == 200


@pytest.fixture
def full_images(bento_home: Path, tmp_path: Path) -> Iterator[Service]:
    """Of a model that takes 4x4 pixels: schemathesis needs half a second to make up 28x28 of them."""
    package = write_package(tmp_path / "package", image=(1, 4, 4))
    yield from served(package, SERVICE, SETTINGS, tmp_path)


@pytest.fixture
def full_shop(bento_home: Path, tmp_path: Path) -> Iterator[Service]:
    project = shop_project.make(tmp_path, synthetic_shop.tables(60))
    project.collect()
    project.label()
    project.prepare()
    package = shop_package.with_state(tmp_path / "package", project.paths.prepared)
    yield from served(package, deploy.SERVICE, SHOP_SETTINGS, tmp_path)


def served(package: Path, service: str, settings: Serve, folder: Path) -> Iterator[Service]:
    description = model_package.verify(package)
    version = Version(description["project"], "1", description["files"][model_package.NETWORK])
    tag = bento.build(ROOT, service, bento.store_model(package, version), settings)
    with started(tag, folder / "service", f"sqlite:///{folder}/log.db") as running:
        yield running


@pytest.mark.full
@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(
    ("service", "good"), [("full_images", hostile.images(4)), ("full_shop", hostile.SHOP)]
)
def test_ten_thousand_requests(
    service: str, good: tuple[hostile.Good, ...], request: pytest.FixtureRequest
) -> None:
    asked: Service = request.getfixturevalue(service)
    schema = schemathesis.openapi.from_url(asked.url + "/docs.json")
    worker = asked.worker()
    answers = Counter[Any]()
    resident: list[int] = []  # bytes, after each round
    while sum(answers.values()) < REQUESTS:
        answers += documented.ask(schema, 50, seed=len(resident))
        answers += hostile.ask(asked.url, good, 1000, seed=len(resident))
        resident.append(worker.memory_info().rss)
        print(sum(answers.values()), "requests,", resident[-1] >> 20, "MiB", flush=True)
    print(answers)
    assert asked.worker().pid == worker.pid
    assert resident[-1] <= GROWTH_MAX * resident[0]
