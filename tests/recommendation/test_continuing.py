"""Going on from a trained ranker: what is learnt for a type goes by its products, not by its number."""

import time
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file

from pipeline import train
from pipeline.core import model_package, registry, stage
from pipeline.core.artifacts import read_json
from pipeline.core.errors import IncompatibleModel, ModelError
from pipeline.core.tracking import StageRun
from pipeline.tasks.recommendation.data.dataset import Catalogue, read_catalogue
from pipeline.tasks.recommendation.data.network import KNOWN_PRODUCTS
from pipeline.tasks.recommendation.data.state import CATALOGUE
from pipeline.tasks.recommendation.learning import continuing, networks
from pipeline.tasks.recommendation.learning.networks.ranker import TYPE, Ranker
from pipeline.tasks.recommendation.parameters import Train
from pipeline.training import starting
from tests import synthetic_shop
from tests.imports import ROOT
from tests.recommendation.shop_project import ShopProject

pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"
)
FEATURES = tuple(f"feature_{i}" for i in range(5))
START = {"from": "champion", "freeze": ["encoder"], "learning_rate_factor": 0.3, "margin": 0.5, "draws": 200}


def shown() -> dict[str, Any]:
    retail = yaml.safe_load((ROOT / "params.yaml").read_text())["projects"]["retail"]
    return synthetic_shop.learning(retail)


@pytest.fixture(scope="module")
def catalogue(prepared_shop: ShopProject) -> Catalogue:
    return read_catalogue(prepared_shop.paths.prepared / "train" / CATALOGUE)


def fresh(catalogue: Catalogue, seed: int) -> Ranker:
    params = Train.model_validate(shown()["train"])
    torch.manual_seed(seed)
    mean, std = np.full(len(FEATURES), seed, np.float32), np.ones(len(FEATURES), np.float32)
    return networks.build(params.network, catalogue.codes, mean, std, params.retrieval.baskets)


@pytest.fixture
def beginning(tmp_path: Path, catalogue: Catalogue) -> starting.Beginning:
    """A package of a ranker that knows another two thirds of the products, under other codes."""
    known = np.flatnonzero(np.arange(len(catalogue.product_ids)) % 3 > 0)
    codes = catalogue.codes[known]
    codes = np.where(codes > 0, codes.max(axis=0) + 1 - codes, 0).astype(np.int32)
    ranker = fresh(replace(catalogue, codes=codes, product_ids=catalogue.product_ids[known]), seed=1)
    save_file(
        {name: value.contiguous() for name, value in ranker.state_dict().items()},
        tmp_path / model_package.WEIGHTS,
    )
    np.save(tmp_path / KNOWN_PRODUCTS, catalogue.product_ids[known])
    (tmp_path / model_package.NETWORK).write_bytes(b"a graph stands here")
    described = {"task": "recommendation", "features": list(FEATURES), "learnt_until": 100}
    model_package.describe(tmp_path, described, [KNOWN_PRODUCTS])
    return starting.Beginning(registry.Version("shop", "1", "0" * 64), tmp_path, own=True)


def test_what_is_learnt_for_a_type_goes_by_its_products(
    beginning: starting.Beginning, catalogue: Catalogue
) -> None:
    from safetensors.torch import load_file

    old = load_file(beginning.package / model_package.WEIGHTS)
    ranker = fresh(catalogue, seed=2)
    place = ranker.columns.index(TYPE)
    name = f"embeddings.{place}.weight"
    drawn = ranker.state_dict()[name].clone()
    continuing.take_over(ranker, beginning, catalogue, FEATURES)
    taken = ranker.state_dict()[name]
    known = np.load(beginning.package / KNOWN_PRODUCTS)
    theirs = dict(zip(known.tolist(), old["codes"][:-1, TYPE].tolist(), strict=True))
    met = set()
    for product, code in zip(catalogue.product_ids.tolist(), catalogue.codes[:, TYPE].tolist(), strict=True):
        if theirs.get(product):
            met.add(code)
            assert torch.equal(taken[code], old[name][theirs[product]])
    unmet = [code for code in range(1, len(taken)) if code not in met]
    assert len(met) > 3 and torch.equal(taken[unmet], drawn[unmet])
    assert torch.equal(ranker.codes[:-1], torch.from_numpy(catalogue.codes))
    assert torch.equal(ranker.mean, old["mean"]) and torch.equal(ranker.taste.weight, old["taste.weight"])


def test_another_shops_types_are_not_taken_for_these(
    beginning: starting.Beginning, catalogue: Catalogue
) -> None:
    ranker = fresh(catalogue, seed=2)
    drawn = [each.detach().clone() for each in ranker.embeddings.parameters()]
    continuing.take_over(ranker, replace(beginning, own=False), catalogue, FEATURES)
    assert all(torch.equal(a, b) for a, b in zip(drawn, ranker.embeddings.parameters(), strict=True))
    assert ranker.mean.tolist() == [1.0] * len(FEATURES)


def test_other_features_and_days_that_were_learnt_from_are_refused(
    beginning: starting.Beginning, catalogue: Catalogue
) -> None:
    with pytest.raises(IncompatibleModel, match="other features"):
        continuing.take_over(fresh(catalogue, seed=2), beginning, catalogue, FEATURES[:-1])
    continuing.refuse_leak(beginning, 100)
    with pytest.raises(ModelError, match=r"days up to 1970-04-11; .* begins on 1970-04-10"):
        continuing.refuse_leak(beginning, 99)


@pytest.mark.slow
def test_a_shop_goes_on_from_its_champion_with_newer_weeks(
    shop: ShopProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{shop.paths.root / 'mlflow.db'}")
    section = synthetic_shop.learning(shop.section)
    split = {name: date.fromisoformat(str(day)) for name, day in section["prepare"]["split"].items()}
    shop.collect()
    shop.label()
    for moved, start in ((timedelta(days=28), None), (timedelta(0), START)):
        days = {name: str(day - moved) for name, day in split.items()}
        shop.section["prepare"]["split"] = section["prepare"]["split"] = days
        section["train"]["start"] = start
        (shop.paths.root / "params.yaml").write_text(yaml.safe_dump({"projects": {"shop": section}}))
        shop.prepare()
        evidence = stage.execute("train", shop.paths, train.run, train.PARAMS, time.time())
        if start is None:
            run = StageRun(shop.paths, "register", time.time())
            version = registry.register(run, shop.paths.model, {})
            registry.set_alias(run.client, version, registry.CHAMPION, "for the test")
    assert evidence.summary.startswith("begun with shop version 1: ")
    (gate,) = evidence.gates
    assert gate.passed and evidence.metrics["old_items"] > 20
    assert evidence.metrics["old_score_before"] > 0.1
    assert read_json(shop.paths.model / model_package.DESCRIPTION)["started_from"]["model"] == "shop"
