"""The registry's challenger in a running Bento: loaded, tried in silence, taken over when it is promoted."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from benchmarks import swap
from pipeline.core import model_package
from pipeline.core.registry import Version
from pipeline.core.serve_parameters import KEPT_VARIABLE, REGISTRY_VARIABLE
from pipeline.log import prediction_log
from pipeline.log.prediction_log_url import URL_VARIABLE
from pipeline.log.trial_log import trials
from pipeline.service import bento
from pipeline.service.service_process import serving
from tests.serving.conftest import ROOT, SERVICE
from tests.serving.mlflow_registry import MlflowRegistry
from tests.serving.synthetic import SETTINGS, write_package
from tests.serving.test_follower import add_golden_set

ASKED = 20
PIXELS = {"pixels": [[128] * 28] * 28}


def test_the_challenger_is_tried_in_silence_and_taken_over(
    bento_home: Path, empty_mlflow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copy(empty_mlflow, tmp_path / "mlflow.db")
    registry = MlflowRegistry(f"sqlite:///{tmp_path}/mlflow.db", "digits", tmp_path)
    packages = [write_package(tmp_path / f"trained {seed}", seed=seed) for seed in (0, 1)]
    for package in packages:
        add_golden_set(package)
    one, two = map(registry.add, packages)
    registry.point("champion", one)
    registry.point("challenger", two)
    sha256 = model_package.verify(packages[0])["files"][model_package.NETWORK]
    settings = swap.looking(SETTINGS, 0.1)
    settings = settings.model_copy(
        update={"trial": settings.trial.model_copy(update={"mode": "shadow", "share": 1.0})}
    )
    tag = bento.build(ROOT, SERVICE, bento.store_model(packages[0], Version("digits", one, sha256)), settings)
    log_url = f"sqlite:///{tmp_path}/log.db"
    places = {URL_VARIABLE: log_url, REGISTRY_VARIABLE: registry.uri, KEPT_VARIABLE: str(tmp_path / "kept")}
    with (
        serving(tag, places) as url,
        httpx.Client(base_url=url, trust_env=False, timeout=20) as client,
    ):

        def described() -> dict[str, Any]:
            told: dict[str, Any] = client.get("/model").json()
            return told

        until(lambda: described()["trial"]["state"] == "running")
        assert described()["trial"]["challenger"] == two
        answers = [client.post("/predict", json=PIXELS).json() for _ in range(ASKED)]
        assert {answer["model"]["version"] for answer in answers} == {one}
        until(lambda: tried(log_url, two) == ASKED)
        registry.point("champion", two)
        registry.client.delete_registered_model_alias("digits", "challenger")
        until(lambda: described()["version"] == two)
        assert client.post("/predict", json=PIXELS).json()["model"]["version"] == two
        until(lambda: described()["trial"]["challenger"] is None)
    assert tried(log_url, two) == ASKED


def tried(log_url: str, version: str) -> int:
    """Answers of a version that no client saw."""
    engine = prediction_log.engine(log_url)
    try:
        with engine.connect() as connection:
            return connection.scalar(select(func.count()).where(trials.c.model_version == version)) or 0
    finally:
        engine.dispose()


def until(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
