"""A project in which candidates can be registered."""

import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from pipeline.core.paths import Paths
from tests.pipeline import candidates


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow store with its tables: making them takes longer than most of these tests."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_registered_models()
    return path


@pytest.fixture
def paths(workspace: Path, empty_store: Path) -> Paths:
    shutil.copy(empty_store, workspace / "mlflow.db")
    return candidates.make(workspace)
