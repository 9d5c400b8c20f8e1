"""A Bento whose model is exchanged while clients ask: the small form of benchmarks/swap.py."""

import shutil
from pathlib import Path

import numpy as np
import orjson
import pytest

from benchmarks import swap
from pipeline.service import bento
from pipeline.service.load_test import post_request
from tests.serving.conftest import ROOT, SERVICE
from tests.serving.synthetic import SETTINGS, write_package
from tests.serving.test_follower import add_golden_set

SWAPS, REQUESTS, CONNECTIONS = 10, 1000, 8


def test_no_request_fails_and_every_answer_is_of_one_version(
    bento_home: Path, empty_mlflow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    trained = write_package(tmp_path / "trained")
    add_golden_set(trained)
    first, second = swap.two_packages(trained, tmp_path)
    shutil.copy(empty_mlflow, tmp_path / "mlflow.db")
    registry = swap.Registry(tmp_path, "digits", ROOT / "params.yaml")
    versions = [registry.add(first), registry.add(second)]
    tag = bento.build(ROOT, SERVICE, bento.store_model(first, versions[0]), swap.looking(SETTINGS, 0.1))
    images = np.random.default_rng(0).integers(0, 256, (32, 28, 28)).tolist()
    wire = [post_request("/predict", "application/json", orjson.dumps({"pixels": image})) for image in images]
    found = swap.under_load(tag, registry, versions, wire, SWAPS, REQUESTS, CONNECTIONS, tmp_path)
    assert found["requests"] >= REQUESTS
    assert found["statuses"] == {"200": found["requests"]}
    assert found["mixed"] == 0
    assert found["answers_by_version"].keys() == {"1", "2"}, "both answered"
    assert sum(found["answers_by_version"].values()) == found["requests"]
    assert found["refused"] == []
    assert found["packages_kept"] == 2
    assert found["swaps_counted"] == SWAPS + 2, "two before, to hear what each says"


def test_an_answer_between_two_versions_is_noticed() -> None:
    said = {version: {0: orjson.dumps(answer(version, share))} for version, share in (("1", 0.9), ("2", 0.2))}
    right = swap.Answered(0, 200, 0.1, orjson.dumps(answer("2", 0.2)))
    wrong = swap.Answered(0, 200, 0.1, orjson.dumps(answer("2", 0.9)))
    assert swap.mixed([right, right], said) == 0
    assert swap.mixed([right, wrong], said) == 1


def answer(version: str, share: float) -> dict[str, object]:
    model = {"name": "digits", "version": version}
    return {"prediction_id": version * 3, "probabilities": {"a": share, "b": 1 - share}, "model": model}
