"""Training in several processes: the same training as in one, and one stage, not several."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from mlflow import MlflowClient

from pipeline import train
from pipeline.core import processes, stage
from pipeline.core.artifacts import read_json
from pipeline.core.errors import ParameterError
from pipeline.core.parameters import Hardware
from pipeline.core.paths import Paths
from pipeline.tasks.image_classification.data.dataset import write_split
from pipeline.training import lightning_training
from pipeline.training.batches import Batches
from tests import synthetic_digits
from tests.conftest import run_stage
from tests.imports import ROOT

ROWS = {"train": 203, "val": 101}  # neither is a multiple of the batch or of two


def two(**more: Any) -> Hardware:
    shown = {"accelerator": "cpu", "strategy": "auto", "devices": 2, "num_nodes": 1}
    return Hardware.model_validate(shown | more)


def shares(rows: int, batch: int, count: int, *, shuffle: bool) -> list[list[list[int]]]:
    """For each process the rows of each of its batches."""
    made = [
        Batches((torch.arange(rows),), batch, seed=3, shuffle=shuffle, rank=rank, processes=count)
        for rank in range(count)
    ]
    for batches in made:
        batches.sampler.set_epoch(2)
        assert len(batches) == len(list(batches))
    return [[index.tolist() for (index,) in batches] for batches in made]


@pytest.mark.parametrize("count", [2, 3, 4])
def test_shuffled_batches_are_shared_out_in_equal_slices_without_overlap(count: int) -> None:
    (alone,) = shares(103, 12, 1, shuffle=True)
    shared = shares(103, 12, count, shuffle=True)
    assert {len(batch) for of_one in shared for batch in of_one} == {12 // count}
    assert [[row for share in whole for row in share] for whole in zip(*shared, strict=True)] == alone


@pytest.mark.parametrize(("rows", "batch"), [(103, 12), (97, 12), (96, 12), (7, 64), (3, 2)])
def test_validation_rows_are_each_seen_once_in_as_many_batches_by_every_process(
    rows: int, batch: int
) -> None:
    for count in (2, 3):
        shared = shares(rows, batch, count, shuffle=False)
        assert len({len(of_one) for of_one in shared}) == 1
        assert all(batch for of_one in shared for batch in of_one)
        assert sorted(row for of_one in shared for batch in of_one for row in batch) == list(range(rows))


def test_fewer_rows_than_a_batch_still_make_equal_slices() -> None:
    assert [[len(b) for b in of_one] for of_one in shares(25, 98, 2, shuffle=True)] == [[12], [12]]


def test_a_batch_that_cannot_be_shared_out_is_refused() -> None:
    rows = (torch.arange(50),)
    with pytest.raises(ParameterError, match=r"train.hardware: 3 processes .* a multiple of 3"):
        Batches(rows, 16, seed=0, shuffle=True, rank=0, processes=3)
    with pytest.raises(ParameterError, match=r"64 processes cannot share out 50 rows"):
        Batches(rows, 64, seed=0, shuffle=False, rank=0, processes=64)


@pytest.mark.parametrize(
    ("numbers", "first"),
    [
        ({}, True),
        ({"RANK": "0", "LOCAL_RANK": "0"}, True),
        ({"LOCAL_RANK": "1"}, False),
        ({"RANK": "2", "LOCAL_RANK": "0"}, False),
        ({"NODE_RANK": "1"}, False),
        ({"SLURM_PROCID": "3"}, False),
        ({"SLURM_PROCID": "0", "LOCAL_RANK": "1"}, False),
    ],
)
def test_the_first_process_is_known_however_they_were_started(
    numbers: dict[str, str], first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in processes.NUMBERS:
        monkeypatch.delenv(name, raising=False)
    for name, value in numbers.items():
        monkeypatch.setenv(name, value)
    assert processes.is_first() is first


def test_other_processes_than_the_parameters_say_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(ParameterError, match=r"2 process\(es\), but 3 were started"):
        lightning_training.trainer(1, "float32", two())
    monkeypatch.delenv("WORLD_SIZE")
    monkeypatch.setenv("SLURM_PROCID", "1")
    with pytest.raises(ParameterError, match=r"1 process\(es\), but 2 were started"):
        lightning_training.trainer(1, "float32", two(devices=1))


def test_a_stage_that_runs_in_one_process_refuses_to_be_another(workspace: Path) -> None:
    done = run_stage("plan", workspace, RANK="1")
    assert done.returncode == 2 and "plan runs in one process" in done.stderr
    assert not (workspace / "mlflow.db").exists() and not (workspace / "reports").exists()


@pytest.fixture
def prepared(workspace: Path) -> Path:
    """The workspace with digits ready to be trained on, and a short training."""
    rng = np.random.default_rng(0)
    for part, rows in ROWS.items():
        labels = rng.permutation(np.arange(rows) % 10)
        pixels = synthetic_digits.draw(labels, rng)[:, None]
        folder = Paths(workspace, "digits").prepared / part
        folder.parent.mkdir(parents=True, exist_ok=True)
        write_split(folder, pixels, labels, np.arange(rows).astype(str), np.arange(rows))
    return workspace


def set_train(folder: Path, **values: Any) -> None:
    content = yaml.safe_load((folder / "params.yaml").read_text())
    content["projects"]["digits"]["train"] |= values
    (folder / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


def trained(folder: Path) -> tuple[np.ndarray, float]:
    """The rows of history.csv, and the accuracy of the package on the validation part."""
    history = np.loadtxt(folder / "models/digits/history.csv", delimiter=",", skiprows=1)
    return history, read_json(folder / "models/digits/model.json")["val_accuracy"]


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.slow
def test_two_processes_train_as_one_does_and_leave_one_run_each_way(
    prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Started by Lightning, and by torchrun. No row of the validation part counts twice."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{prepared / 'mlflow.db'}")
    short = {"epochs": 3, "precision": "float32", "batch_size": 16, "learning_rate": 0.001}
    set_train(prepared, **short, hardware=two(devices=1).model_dump())
    stage.execute("train", Paths(prepared, "digits"), train.run, train.PARAMS, time.time())
    alone, accuracy = trained(prepared)

    set_train(prepared, hardware=two().model_dump())
    torchrun = ("torch.distributed.run", "--nproc-per-node", "2", "-m", "pipeline.train")
    for module in (("pipeline.train",), torchrun):
        done = subprocess.run(
            [sys.executable, "-m", *module, "digits"],
            cwd=prepared,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        assert done.stdout.count("train@digits: ") == 1 and "2 processes" in done.stdout
        together, shared_accuracy = trained(prepared)
        assert alone.shape == (3, 4)
        # At higher rates weights that differ by 1e-7 at the start move the loss of one process by 1e-4, too.
        assert (np.abs(together - alone).max(axis=0) <= [0, 1e-4, 1e-4, 0.02]).all()
        assert shared_accuracy == pytest.approx(accuracy, abs=0.02)  # of weights that differ by rounding
    assert [run.info.status for run in _runs(prepared)] == ["FINISHED"] * 3
    assert not list(prepared.glob("models/.*"))


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.slow
def test_two_processes_that_are_interrupted_go_on_to_the_same_files(prepared: Path) -> None:
    """A signal to one of them ends both, after the same step and with a checkpoint of both."""
    short = {"epochs": 3, "precision": "float32", "batch_size": 16, "learning_rate": 0.001}
    set_train(prepared, **short, checkpoint_seconds=1e-9, hardware=two().model_dump())
    done = run_stage("train", prepared)
    assert done.returncode == 0, done.stderr[-3000:]
    model, interrupted = prepared / "models/digits", prepared / "models/.digits.interrupted"
    undisturbed = files(model)
    shutil.rmtree(model)

    asked = subprocess.Popen(
        [sys.executable, "-m", "pipeline.train", "digits"],
        cwd=prepared,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    while asked.poll() is None and not (interrupted / "last.ckpt").exists():
        time.sleep(0.005)
    asked.terminate()
    _, errors = asked.communicate()
    assert asked.returncode == 128 + signal.SIGTERM
    assert errors.count("train@digits: interrupted by SIGTERM after step ") == 1 and not model.exists()
    assert sorted(run.info.status for run in _runs(prepared)) == ["FINISHED", "KILLED"]
    kept = torch.load(interrupted / "last.ckpt", weights_only=True)
    assert 0 < kept["global_step"] < 3 * 12 and len(kept["random"]) == 2

    done = run_stage("train", prepared)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "An interrupted training is gone on with" in done.stdout
    assert files(model) == undisturbed
    assert [run.info.status for run in _runs(prepared)] == ["FINISHED", "FINISHED"]


def files(model: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in model.iterdir() if path.suffix != ".png"}


def _runs(folder: Path) -> list[Any]:
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    (experiment,) = client.search_experiments(filter_string="name = 'digits'")
    found = client.search_runs([experiment.experiment_id])
    return [run for run in found if run.data.tags.get("fullcycle.stage") == "train"]
