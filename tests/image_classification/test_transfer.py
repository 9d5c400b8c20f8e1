"""`fullcycle transfer`: a fair comparison, its report, and what it refuses."""

import argparse
import csv
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file

from pipeline.commands import transfer
from pipeline.core import model_package, registry
from pipeline.core.artifacts import read_json
from pipeline.core.errors import ModelError, ParameterError
from pipeline.core.parameters import Start
from pipeline.core.paths import Paths
from pipeline.core.statistics import crossed_mean
from pipeline.core.tracking import StageRun
from pipeline.tasks.image_classification.data.dataset import Split, write_split
from pipeline.tasks.image_classification.learning import fitting, networks
from pipeline.tasks.image_classification.parameters import Parameters, Train
from pipeline.tasks.image_classification.transfer import Trials
from pipeline.training.starting import Beginning
from tests import synthetic_digits
from tests.serving.synthetic import linear_network

pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"
)
START = Start.model_validate(
    {"from": "digits", "freeze": [], "learning_rate_factor": 0.5, "margin": 0, "draws": 200}
)


def parameters(folder: Path) -> Parameters:
    section = yaml.safe_load((folder / "params.yaml").read_text())["projects"]["digits"]
    return Parameters.model_validate(section)


def recipe(folder: Path, epochs: int) -> Train:
    return parameters(folder).train.model_copy(
        update={"epochs": epochs, "precision": "float32", "start": START, "label_smoothing": 0.0}
    )


def drawn(rows: int, seed: int) -> Split:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(rows) % 10)
    ids = np.array([f"{seed}-{i}" for i in range(rows)])
    return Split(synthetic_digits.draw(labels, rng)[:, None], labels, ids)


@pytest.fixture
def package(workspace: Path) -> Path:
    """A network that has learnt 600 digits, as a package (its graph answers, but is another one)."""
    import onnx

    params, digits = parameters(workspace), drawn(600, seed=1)
    torch.manual_seed(0)
    network = networks.build(params.train.network, params.collect.image, 10, [0.2], [0.3])
    fitting.fit(network, recipe(workspace, 8), 1, (digits.pixels, digits.labels))
    folder = workspace / "package"
    folder.mkdir()
    weights = {name: value.contiguous() for name, value in network.state_dict().items()}
    save_file(weights, folder / model_package.WEIGHTS)
    onnx.save(linear_network(10, (1, 28, 28), 0), str(folder / model_package.NETWORK))
    described: dict[str, Any] = {
        "task": "image_classification",
        "classes": list("0123456789"),
        "data_sha256": "0" * 64,
    }
    model_package.describe(folder, described)
    return folder


def test_few_digits_are_learnt_better_by_a_network_that_knows_many(workspace: Path, package: Path) -> None:
    trials = Trials(parameters(workspace).collect, drawn(60, seed=2), drawn(200, seed=3))
    beginning = Beginning(registry.Version("digits", "1", "0" * 64), package, own=False)
    found = transfer.compare(trials, recipe(workspace, 2), beginning, [30, 60], 2, 200)
    assert [row["items"] for row in found["sizes"]] == [30, 60] and found["validation_items"] == 200
    for row in found["sizes"]:
        assert row["gain"] == pytest.approx(row["begun_with"] - row["from_scratch"])
        assert row["gain_interval"][0] > 0.1
    again = trials.scores(recipe(workspace, 2), beginning, 30, 0)
    assert again.mean() == found["sizes"][0]["begun_with_of_seeds"][0]


def test_both_ways_see_the_same_items_and_seeds() -> None:
    asked: list[tuple[bool, int, int]] = []

    class Same:
        items, unit, score = 40, "things", "share right"

        def scores(self, _: Any, beginning: Beginning | None, size: int, seed: int) -> np.ndarray:
            asked.append((beginning is None, size, seed))
            return np.random.default_rng(seed).random(50) + (beginning is not None) * 0.25

    beginning = Beginning(registry.Version("q", "1", "0" * 64), Path(), own=False)
    found = transfer.compare(Same(), SimpleNamespace(epochs=3, start=START), beginning, [10], 3, 200)
    assert sorted(asked) == sorted((way, 10, seed) for seed in range(3) for way in (True, False))
    (row,) = found["sizes"]
    assert row["gain"] == pytest.approx(0.25) and row["gain_interval"] == pytest.approx([0.25, 0.25])


def test_an_interval_over_seeds_and_items_is_wider_than_over_items_alone() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, (5, 1)) + rng.normal(0, 1, (5, 400))
    mean, (low, high) = crossed_mean(values, draws=500, seed=0)
    _, (narrow_low, narrow_high) = crossed_mean(values - values.mean(1, keepdims=True), draws=500, seed=0)
    assert low < mean < high and high - low > 2 * (narrow_high - narrow_low)
    assert crossed_mean(values, draws=500, seed=0) == (mean, (low, high))


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    transfer.add_arguments(parser)
    return parser.parse_args(list(words))


def test_the_command_leaves_json_table_and_picture(
    workspace: Path, package: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{workspace / 'mlflow.db'}")
    monkeypatch.chdir(workspace)
    paths = Paths(workspace, "digits")
    few = arguments("digits", "--from", "digits/1", "--sizes", "20", "40", "--seeds", "2", "--epochs", "1")
    with pytest.raises(ParameterError, match="dvc repro prepare@digits"):
        transfer.run(few)
    paths.prepared.mkdir(parents=True)
    for part, rows in (("train", 40), ("val", 30)):
        split = drawn(rows, seed=rows)
        write_split(paths.prepared / part, split.pixels, split.labels, split.ids, np.arange(rows))
    with pytest.raises(ModelError, match="no registered version 1 of digits"):
        transfer.run(few)
    registry.register(StageRun(paths, "register", time.time()), package, {})
    transfer.run(few)
    assert "begun with digits version 1, or from scratch" in capsys.readouterr().out
    folder = paths.reports / "transfer"
    assert sorted(path.name for path in folder.iterdir()) == [
        "transfer.csv", "transfer.json", "transfer.png",
    ]  # fmt: skip
    told = read_json(folder / "transfer.json")
    assert told["begun_with"]["version"] == "1" and [row["items"] for row in told["sizes"]] == [20, 40]
    with (folder / "transfer.csv").open() as file:
        assert [row["items"] for row in csv.DictReader(file)] == ["20", "40"]
    with pytest.raises(ParameterError, match="there are 40 training images"):
        transfer.run(replace_sizes(few, 41))


def replace_sizes(given: argparse.Namespace, *sizes: int) -> argparse.Namespace:
    return argparse.Namespace(**(vars(given) | {"sizes": list(sizes)}))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--from", "../x"], "fullcycle transfer.from: '../x' is not allowed"),
        (["--from", "digits", "--learning-rate-factor", "0"], "learning_rate_factor: 0.0 is not allowed"),
        (["--from", "digits", "--seeds", "1"], "at least 2 seeds"),
    ],
)
def test_wrong_options_are_told(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], told: str
) -> None:
    monkeypatch.chdir(workspace)
    with pytest.raises(ParameterError, match=told):
        transfer.run(arguments("digits", *words))
