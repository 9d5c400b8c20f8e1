"""Where things lie."""

from pathlib import Path

import pytest

from pipeline.core.paths import Paths
from pipeline.core.tracking import tracking_uri


def test_copies_for_experiments_write_to_the_store_they_were_made_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    copy = Paths(Path("/home/me/repo/.dvc/tmp/exps/tmpabc"), "digits")
    assert copy.home == Path("/home/me/repo")
    assert tracking_uri(copy) == "sqlite:////home/me/repo/mlflow.db"
    assert copy.model == copy.root / "models/digits"
    plain = Paths(Path("/home/me/repo"), "digits")
    assert plain.home == plain.root
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    assert tracking_uri(plain) == "http://mlflow:5000"
