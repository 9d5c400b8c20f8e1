"""`register` leaves the model card where people look for it before they approve a version."""

import time
from pathlib import Path

import numpy as np
from mlflow import MlflowClient

from pipeline import register
from pipeline.core import model_package, registry, stage
from pipeline.core.artifacts import read_json, write_json
from pipeline.core.paths import Paths
from pipeline.tasks.image_classification.data.dataset import write_split
from tests.serving.synthetic import write_package


def test_the_card_is_the_description_of_the_version_and_an_artifact_of_the_run(workspace: Path) -> None:
    paths = Paths(workspace, "digits")
    described = read_json(write_package(paths.model, seed=0) / model_package.DESCRIPTION)
    del described["files"], described["format"]
    model_package.describe(paths.model, described | {"data_sha256": "0" * 64})
    pixels, labels = np.zeros((10, 1, 28, 28), dtype=np.uint8), np.arange(10)
    paths.prepared.mkdir(parents=True)
    write_split(paths.prepared / "test", pixels, labels, labels.astype(str), labels)
    # So many figures that the card is longer than MLflow's description may be.
    metrics = {f"figure_{i}": i / 128 for i in range(300)}
    result = {"gates": [], "metrics": metrics, "intervals": {}}
    write_json(paths.reports / "evaluation" / "result.json", result)

    stage.execute("register", paths, register.run, register.PARAMS, time.time())

    client = MlflowClient(f"sqlite:///{paths.root}/mlflow.db")
    version = client.get_model_version("digits", "1")
    assert version.description and version.run_id
    card = paths.model_card.read_text()
    assert card.startswith("# Model card: digits, version 1\n") and "| figure 64 | 0.5 |" in card
    assert card.startswith(version.description[:500]) and "`model_card.md`" in version.description
    assert len(version.description) <= registry.DESCRIPTION_LENGTH_MAX < len(card)
    logged = {artifact.path for artifact in client.list_artifacts(version.run_id)}
    assert {"model_card.md", "model_card.html"} <= logged
