"""What several tests share."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipeline.core import quiet
from tests import synthetic_digits
from tests.imports import ROOT

# Networks of these sizes are learnt faster by one thread, much faster where others use the processor too.
# Read by torch and NumPy when they are imported, here and in every process that a test starts.
os.environ["OMP_NUM_THREADS"] = "1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes minutes begins first, so that several processes end at about the same time."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(autouse=True)
def _silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reports usage or reaches the user's own stores."""
    for name, value in quiet.SWITCHES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="session")
def small_parameters(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, Path]:
    """params.yaml's `digits` shrunk to 900 drawn digits, and the archive that holds them."""
    folder = tmp_path_factory.mktemp("source")
    archive, sums = synthetic_digits.archive(folder, train=600, test=300)
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    digits = content["projects"]["digits"]
    sha256 = sums.pop("sha256")
    digits["collect"]["sources"] = [
        {
            "name": "drawn",
            "kind": "file",
            "path": "digits.zip",
            "sha256": sha256,
            "licence": "CC0-1.0",
            "format": "idx",
            "idx_md5": sums,
        }
    ]
    digits["goals"] |= {"accuracy_min": 0.8, "class_recall_min": 0.5, "calibration_error_max": 0.2}
    digits["goals"]["latency_p99_ms_max"] = 2000
    digits["plan"] |= {"min_items": 100, "min_items_per_class": 10}
    digits["plan"]["resources"]["minutes_max"] = 30
    digits["plan"]["expected"] |= {"items": 900, "test_items": 300, "precision": 0.05}
    recipes = [digits["label"]["recipe"], digits["forecast"]["recipe"], digits["train"]]
    for recipe in recipes:
        recipe["network"] |= {"stem_channels": 8, "channels": [8, 16], "blocks": [1, 1], "strides": [1, 2]}
        recipe |= {"epochs": 8, "batch_size": 16, "learning_rate": 0.1}
    digits["train"] |= {"epochs": 12, "checkpoint_seconds": 0.1}
    digits["forecast"] |= {"train_sizes": [100, 200, 400], "repeats": 1, "draws": 100}
    digits["evaluate"]["draws"] = 100
    digits["evaluate"]["slices"]["floor"] = 0.5
    # What a network that has learnt from 600 drawn digits bears is not known, and few images tell little.
    evaluate = digits["evaluate"]
    for section, keys in (("robustness", ("floors",)), ("behaviour", ("invariance", "less_sure", "unsure"))):
        for key in keys:
            evaluate[section][key] = dict.fromkeys(evaluate[section][key])
        evaluate[section]["images"] = 60
    evaluate["behaviour"] |= {"typical": None, "typical_images": 3}
    evaluate["attributions"] |= {"images": 10, "deletion_gain_min": None, "unexplained_max": 0.1}
    evaluate["representations"]["images"] = 60
    # Digits drawn by one hand are too alike to tell a copy from the next one.
    digits["validate"] |= {
        "doubtful_share_max": 0.3,
        "near_duplicate_recall_min": 0.2,
        "near_duplicate_share_max": 0.2,
        "outlier_share_max": 0.02,
    }
    digits["deploy"] |= {"samples": 40, "load_seconds": 1, "ready_seconds_max": 60}
    digits["monitor"] |= {"window": 100, "windows": 20, "degraded_windows": 4}
    return content, archive


@pytest.fixture
def workspace(tmp_path: Path, small_parameters: tuple[dict, Path]) -> Path:
    """A folder with params.yaml and the raw data, in which stages can run."""
    content, archive = small_parameters
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    shutil.copy(archive, tmp_path / "digits.zip")
    return tmp_path


def run_stage(stage: str, folder: Path, project: str = "digits", **env: str) -> subprocess.CompletedProcess:
    """`python -m pipeline.STAGE PROJECT` as DVC runs it."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | env
    return subprocess.run(
        [sys.executable, "-m", f"pipeline.{stage}", project],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
