"""The recommendation service with a real recommender: as an instance, and as a Bento that runs."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from pipeline.core import model_package
from pipeline.core.artifacts import sha256
from pipeline.core.errors import ModelError
from pipeline.core.registry import Version
from pipeline.service import bento
from pipeline.service.load_test import ask as ask_all
from pipeline.service.load_test import load_test
from pipeline.service.service_process import serving
from pipeline.tasks.recommendation import deploy
from pipeline.tasks.recommendation.data.item_tables import ItemTables
from pipeline.tasks.recommendation.data.recommender import Recommender
from tests import synthetic_shop
from tests.recommendation import shop_package, shop_project
from tests.serving.conftest import ROOT
from tests.serving.synthetic import SHOP_SETTINGS
from tests.serving.test_planted_models import Marking

CUSTOMERS = 60

INSTANCE = """
import json, sys
from bentoml._internal.utils.args import set_arguments
set_arguments({"project": "retail", "model": sys.argv[1]})  # whose settings it takes
from serving.recommendation import Recommendation
instance = Recommendation()
model = instance.application().state.model
heavy = ["torch", "lightning", "mlflow", "dvc", "pandas", "pyarrow", "sklearn", "onnx", "matplotlib"]
heavy = [name for name in heavy if name in sys.modules]
print(json.dumps({"model": [model.name, model.version], "heavy": heavy}))
instance.close()
"""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = shop_project.make(tmp_path_factory.mktemp("shop"), synthetic_shop.tables(CUSTOMERS))
    project.collect()
    project.label()
    project.prepare()
    return project.paths.prepared


@pytest.fixture(scope="module")
def package(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shop_package.with_state(tmp_path_factory.mktemp("model") / "shop", prepared)


@pytest.fixture(scope="module")
def model_tag(bento_home: Path, package: Path) -> str:
    sha256 = model_package.verify(package)["files"][model_package.NETWORK]
    return bento.store_model(package, Version("shop", "2", sha256))


@pytest.fixture(scope="module")
def bento_tag(model_tag: str) -> str:
    return bento.build(ROOT, deploy.SERVICE, model_tag, SHOP_SETTINGS)


@pytest.fixture(scope="module")
def log_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('log')}/shop.db"


@pytest.fixture(scope="module")
def url(bento_tag: str, log_url: str) -> Iterator[str]:
    with serving(bento_tag, {"FULLCYCLE_PREDICTION_LOG": log_url}) as url:
        yield url


def ask(url: str, **question: Any) -> dict[str, Any]:
    response = httpx.post(f"{url}/recommend", json=question, trust_env=False, timeout=20)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_an_instance_holds_the_model_and_nothing_heavy(model_tag: str, tmp_path: Path) -> None:
    environment = os.environ | {
        "FULLCYCLE_PREDICTION_LOG": f"sqlite:///{tmp_path}/log.db",
        "FULLCYCLE_REGISTRY": "",
    }
    done = subprocess.run(
        [sys.executable, "-c", INSTANCE, model_tag], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {"model": ["shop", "2"], "heavy": []}


def test_a_pickle_in_the_state_is_never_loaded(package: Path, tmp_path: Path) -> None:
    planted = Path(shutil.copytree(package, tmp_path / "planted"))
    array = planted / "state" / "items" / f"{dataclasses.fields(ItemTables)[0].name}.npy"
    np.save(array, np.array([Marking(tmp_path / "marker")], dtype=object), allow_pickle=True)
    description = json.loads((planted / "model.json").read_text())
    description["files"][array.relative_to(planted).as_posix()] = sha256(array)
    (planted / "model.json").write_text(json.dumps(description))
    with pytest.raises(ModelError, match=f"{array.name}: a pickle"):
        model_package.verify(planted)
    with pytest.raises(ValueError, match=r"Python objects|allow_pickle"):  # nor where nobody looks first
        Recommender(planted)
    assert not (tmp_path / "marker").exists()


def test_served_answers_are_those_of_the_package(url: str, package: Path, prepared: Path) -> None:
    proof = deploy.proof(package, prepared, 60)
    found = deploy.compare(ask_all(url, proof.requests, connections=4), proof, 1e-6)
    assert found == {"answers": 60, "served_equals_offline": 1.0, "score_difference": 0.0}


def test_it_answers_under_load(url: str, prepared: Path) -> None:
    found = load_test(url, deploy.load_requests(prepared), seconds=1.0, connections=4)
    assert found["requests_per_second"] > 5


def test_the_page_finds_what_it_asks_for(url: str) -> None:
    with httpx.Client(base_url=url, trust_env=False) as client:
        assert client.get("/").status_code == 200
        customers = client.get("/customers?count=5").json()["customers"]
        shown = client.get(f"/customers/{customers[0]}").json()
        assert shown["known"]
        assert shown["baskets"][0]["items"]
        assert client.get("/products?search=type&count=3").json()["products"]
        described = client.get("/model").json()
        assert set(described["stores"]) <= set(synthetic_shop.STORES)
        assert described["attributes"]["age"]
        assert client.get("/docs.json").status_code == 200


def test_what_is_bought_counts_at_once_and_after_a_restart(bento_tag: str, tmp_path: Path) -> None:
    environment = {"FULLCYCLE_PREDICTION_LOG": f"sqlite:///{tmp_path}/log.db"}
    with serving(bento_tag, environment) as url:
        first = ask(url, customer_id="new")
        assert first["served_by"] == "popularity"
        product = first["items"][0]["product_id"]
        event = {"customer_id": "new", "product_id": product, "kind": "purchase"}
        assert httpx.post(f"{url}/events", json={"events": [event]}, trust_env=False).status_code == 200
        second = ask(url, customer_id="new", mode="replenish")
    with serving(bento_tag, environment) as url:
        third = ask(url, customer_id="new", mode="replenish")
    for answer in (second, third):
        assert [item["product_id"] for item in answer["items"]] == [product]
        assert answer["items"][0]["reason"] == "bought once, today"
        assert answer["served_by"] == "network"
