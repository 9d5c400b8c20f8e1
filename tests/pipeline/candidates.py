"""A project whose unseen labels are what the network of seed 0 answers, and candidates to register in it."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import yaml
from mlflow import MlflowClient
from onnx import numpy_helper

from pipeline import register
from pipeline.core import model_package, registry, stage
from pipeline.core.artifacts import read_json, write_json
from pipeline.core.deployed_network import DeployedNetwork
from pipeline.core.paths import Paths
from pipeline.core.stage import Evidence
from pipeline.tasks.image_classification.data.dataset import write_split
from tests.serving.synthetic import write_package

ITEMS = 1000


def make(workspace: Path) -> Paths:
    paths = Paths(workspace, "digits")
    parameters(paths, margin=0.01, slice_margin=0.05, slice_items_min=30)
    model(paths, seed=0)
    unseen(paths, seed=0)
    evaluated(paths, passed=True)
    return paths


def parameters(paths: Paths, **register_section: Any) -> None:
    path = paths.root / "params.yaml"
    content = yaml.safe_load(path.read_text())
    content["projects"]["digits"]["register"] |= register_section
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def unseen(paths: Paths, seed: int) -> None:
    """Other images for another seed; the network of seed 0 is right about all of them."""
    shutil.rmtree(paths.prepared, ignore_errors=True)
    paths.prepared.mkdir(parents=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (ITEMS, 1, 28, 28), dtype=np.uint8)
    package = write_package(paths.root / "teacher", seed=0)
    labels = DeployedNetwork(package).run(pixels, "logits").argmax(1)
    shutil.rmtree(package)
    ids, rows = np.arange(ITEMS).astype(str), np.arange(ITEMS)
    for part in ("train", "test"):  # of the training images only the bounds of slices are taken
        write_split(paths.prepared / part, pixels, labels, ids, rows)


def model(
    paths: Paths, seed: int, scale: float = 1.0, change: Callable[[np.ndarray], np.ndarray] | None = None
) -> None:
    """A candidate; another scale of the weights is another file with the same decisions.

    change: takes float32 (784, 10) weights to others
    """
    shutil.rmtree(paths.model, ignore_errors=True)
    folder = write_package(paths.model, seed=seed)
    network = onnx.load(folder / model_package.NETWORK)
    for tensor in network.graph.initializer:
        if tensor.name == "weights":
            weights = numpy_helper.to_array(tensor) * np.float32(scale)
            tensor.CopyFrom(numpy_helper.from_array(change(weights) if change else weights, "weights"))
    onnx.save(network, folder / model_package.NETWORK)
    described = read_json(folder / model_package.DESCRIPTION)
    del described["files"], described["format"]
    model_package.describe(folder, described | {"data_sha256": "0" * 64})


def evaluated(paths: Paths, *, passed: bool) -> None:
    write_json(
        paths.reports / "evaluation" / "result.json",
        {"gates": [{"name": "accuracy", "passed": passed}], "metrics": {"accuracy": 0.99}},
    )


def run(paths: Paths) -> tuple[Evidence, dict[str, Any]]:
    evidence = stage.execute("register", paths, register.run, register.PARAMS, time.time())
    return evidence, json.loads((paths.reports / "registration.json").read_text())


def client(paths: Paths) -> MlflowClient:
    return MlflowClient(f"sqlite:///{paths.root}/mlflow.db")


def aliases(paths: Paths) -> dict[str, str]:
    found = {name: registry.by_alias(client(paths), "digits", name) for name in registry.ALIASES}
    return {name: version.version for name, version in found.items() if version}
