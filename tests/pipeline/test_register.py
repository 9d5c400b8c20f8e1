"""Promotion is earned: by the gates, and by a paired test against the champion."""

import json
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from mlflow import MlflowClient
from onnx import numpy_helper

from pipeline import register
from pipeline.core import model_package, registry, stage
from pipeline.core.artifacts import read_json, write_json
from pipeline.core.deployed_network import DeployedNetwork
from pipeline.core.errors import ModelError
from pipeline.core.paths import Paths
from pipeline.core.stage import Evidence
from pipeline.tasks.image_classification.data.dataset import write_split
from tests.serving.synthetic import write_package

ITEMS = 600


@pytest.fixture
def paths(workspace: Path) -> Paths:
    """A project whose unseen labels are what the network of seed 0 answers."""
    paths = Paths(workspace, "digits")
    model(paths, seed=0)
    pixels = np.random.default_rng(0).integers(0, 256, (ITEMS, 1, 28, 28), dtype=np.uint8)
    labels = DeployedNetwork(paths.model).run(pixels, "logits").argmax(1)
    paths.prepared.mkdir(parents=True)
    write_split(paths.prepared / "test", pixels, labels, np.arange(ITEMS).astype(str), np.arange(ITEMS))
    evaluated(paths, passed=True)
    return paths


def model(paths: Paths, seed: int, scale: float = 1.0) -> None:
    """A candidate; another scale of the weights is another file with the same decisions."""
    for path in paths.model.glob("*"):
        path.unlink()
    if paths.model.exists():
        paths.model.rmdir()
    folder = write_package(paths.model, seed=seed)
    network = onnx.load(folder / model_package.NETWORK)
    for tensor in network.graph.initializer:
        if tensor.name == "weights":
            tensor.CopyFrom(
                numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(scale), "weights")
            )
    onnx.save(network, folder / model_package.NETWORK)
    described = read_json(folder / model_package.DESCRIPTION)
    del described["files"], described["format"]
    model_package.describe(folder, described | {"data_sha256": "0" * 64})


def evaluated(paths: Paths, *, passed: bool) -> None:
    write_json(
        paths.reports / "evaluation" / "result.json",
        {"gates": [{"name": "accuracy", "passed": passed}], "metrics": {"accuracy": 0.99}},
    )


def run(paths: Paths) -> tuple[Evidence, dict]:
    evidence = stage.execute("register", paths, register.run, register.PARAMS, time.time())
    return evidence, json.loads((paths.reports / "registration.json").read_text())


def alias(paths: Paths, name: str) -> str | None:
    found = registry.by_alias(MlflowClient(f"sqlite:///{paths.root}/mlflow.db"), "digits", name)
    return found.version if found else None


def test_the_first_model_is_promoted_by_its_gates_and_registering_it_again_changes_nothing(
    paths: Paths,
) -> None:
    for _ in range(2):
        evidence, told = run(paths)
        assert told["promoted"] and told["candidate"]["version"] == told["champion"]["version"] == "1"
        assert evidence.failed == []
    assert (alias(paths, "champion"), alias(paths, "previous")) == ("1", None)


def test_a_first_model_that_fails_a_gate_is_no_champion(paths: Paths) -> None:
    evaluated(paths, passed=False)
    evidence, told = run(paths)
    assert not told["promoted"] and told["champion"] is None
    assert "gates_of_evaluation_failed FAILS" in told["reason"]
    assert not evidence.stops and [gate.revisit for gate in evidence.failed] == ["training"]
    assert (alias(paths, "champion"), alias(paths, "challenger")) == (None, "1")


def test_a_worse_model_is_refused_with_the_difference_and_the_champion_stays(paths: Paths) -> None:
    run(paths)
    model(paths, seed=1)
    _, told = run(paths)
    assert not told["promoted"]
    assert (told["candidate"]["version"], told["champion"]["version"]) == ("2", "1")
    assert "difference_to_champion_1 FAILS: -0." in told["reason"]
    assert (alias(paths, "champion"), alias(paths, "challenger")) == ("1", "2")


def test_an_equal_model_is_promoted_and_the_old_one_is_kept_as_previous(paths: Paths) -> None:
    run(paths)
    model(paths, seed=0, scale=2)
    _, told = run(paths)
    assert told["promoted"] and told["champion"]["version"] == "2"
    assert (alias(paths, "champion"), alias(paths, "previous")) == ("2", "1")


def test_a_better_model_that_fails_a_gate_is_refused(paths: Paths) -> None:
    run(paths)
    model(paths, seed=0, scale=2)
    evaluated(paths, passed=False)
    _, told = run(paths)
    assert not told["promoted"] and alias(paths, "champion") == "1"


def test_a_champion_that_knows_other_classes_is_replaced_and_it_is_said(paths: Paths) -> None:
    """As after a change of the project's classes: there is nothing to compare."""
    described = read_json(paths.model / model_package.DESCRIPTION)
    del described["files"], described["format"]
    model_package.describe(paths.model, described | {"classes": [*described["classes"][:-1], "nine"]})
    run(paths)
    model(paths, seed=0, scale=2)
    evidence, told = run(paths)
    assert told["promoted"] and told["champion"]["version"] == "2"
    assert "version 1 could not be compared: It was trained for" in told["reason"]
    assert "could not be compared" in evidence.summary


def test_a_model_that_was_changed_in_the_store_is_not_handed_out(paths: Paths, tmp_path: Path) -> None:
    run(paths)
    version = registry.champion(paths)
    assert version is not None
    whole = registry.download(paths, version, tmp_path / "whole")
    assert model_package.verify(whole)["project"] == "digits"
    (stored,) = (paths.root / "mlruns").rglob("model.onnx")
    stored.write_bytes(stored.read_bytes() + b"\0")
    with pytest.raises(ModelError, match="does not have the SHA-256 of the registry"):
        registry.download(paths, version, tmp_path / "damaged")
    assert not (tmp_path / "damaged").exists()


def test_a_damaged_package_is_not_registered(paths: Paths) -> None:
    (paths.model / model_package.WEIGHTS).write_bytes(b"other")
    with pytest.raises(ModelError, match=r"weights.safetensors: SHA-256 is"):
        run(paths)
    assert not (paths.reports / "registration.json").exists()
