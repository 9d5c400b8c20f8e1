"""`fullcycle ablate`: gradients that vanish and gradients that do not, and what each advance brings."""

import csv
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from mlflow import MlflowClient

from pipeline.core.errors import ModelError
from pipeline.core.parameters import load
from pipeline.core.statistics import student_interval
from pipeline.tasks.image_classification.data.dataset import write_split
from pipeline.tasks.image_classification.learning import ablation, networks, sanity
from pipeline.tasks.image_classification.learning.gradients import layer_norms
from pipeline.tasks.image_classification.parameters import BASE, Image, Train
from tests import synthetic_digits
from tests.command_line import exit_code
from tests.imports import ROOT

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")


def digits(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % 10).astype(np.int64)
    return synthetic_digits.draw(labels, rng)[:, None], labels


def section() -> dict[str, Any]:
    """The shipped table, cut to rows and sizes that are trained in a moment."""
    shipped: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())["projects"]["digits"][
        "ablate"
    ]
    shipped["recipe"]["network"]["widths"] = [16] * 6
    shipped["recipe"] |= {"epochs": 2, "batch_size": 20}
    kept = ("plain_sigmoid", "sgd", "perceptron")
    changes = {name: shipped["changes"][name] for name in kept}
    return shipped | {"images": 200, "seeds": [1, 2], "changes": changes, "drawn": [BASE, "plain_sigmoid"]}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Prepared digits without a test part, which the command must not need."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["projects"]["digits"]["ablate"] = section()
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    prepared = tmp_path / "data/digits/prepared"
    prepared.mkdir(parents=True)
    for name, count in (("train", 240), ("val", 100)):
        pixels, labels = digits(count, seed=count)
        write_split(prepared / name, pixels, labels, np.arange(count).astype(str), np.arange(count))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ablate(monkeypatch: pytest.MonkeyPatch, project: str = "digits") -> int:
    """The exit code of the command line."""
    return exit_code(monkeypatch, "ablate", project)


def change(folder: Path, **values: Any) -> None:
    content = yaml.safe_load((folder / "params.yaml").read_text())
    content["projects"]["digits"]["ablate"] |= values
    (folder / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


def test_gradients_vanish_in_thirty_sigmoid_layers_and_not_with_the_advances() -> None:
    """The shipped rows, at their depth."""
    rows = load(ROOT / "params.yaml", "digits").section("ablate").rows()
    pixels, labels = (torch.from_numpy(array) for array in digits(100))
    ratios = {}
    for name in (BASE, "plain_sigmoid"):
        assert len(rows[name].network.widths) == 30
        torch.manual_seed(0)
        image = Image(height=28, width=28, channels=1)
        network = networks.build(rows[name].network, image, 10, [0.1], [0.3])
        norms = layer_norms(network, pixels, labels)
        assert len(norms) == 31
        ratios[name] = norms[0] / norms[-1]
        if name == "plain_sigmoid":  # from layer to layer by the sigmoid's slope, 1/4 at most
            assert all(0.05 < near / far < 0.5 for near, far in pairwise(norms[2:]))
    assert 0 < ratios["plain_sigmoid"] < 1e-12
    assert 0.1 < ratios[BASE] < 100


def test_a_network_whose_gradients_vanish_is_stopped_before_a_long_training() -> None:
    shipped = load(ROOT / "params.yaml", "digits")
    recipe = shipped.section("ablate").rows()["plain_sigmoid"]
    train = Train.model_validate(shipped.section("train").model_dump(by_alias=True) | recipe.model_dump())
    network = networks.build(train.network, Image(height=28, width=28, channels=1), 10, [0.1], [0.3])
    with pytest.raises(ModelError, match="its output does not depend on its input"):
        sanity.check(network, train, digits(100))


def test_measuring_gradients_leaves_the_network_alone() -> None:
    rows = load(ROOT / "params.yaml", "digits").section("ablate").rows()
    network = networks.build(rows[BASE].network, Image(height=28, width=28, channels=1), 10, [0.1], [0.3])
    before = {name: value.clone() for name, value in network.state_dict().items()}
    layer_norms(network, *(torch.from_numpy(array) for array in digits(20)))
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(p.grad is None for p in network.parameters())


def test_the_command_leaves_the_table_the_pictures_and_a_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ablate(monkeypatch) == 0
    said = capsys.readouterr().out
    assert "8 trainings in" in said and "plain_sigmoid" in said
    report = folder / "reports/digits/ablation"
    names = {"ablation.json", "ablation.csv", "ablation.md", "accuracy.png", "gradients.png"}
    assert {path.name for path in report.iterdir()} == names
    found = json.loads((report / "ablation.json").read_text())
    rows = {row["name"]: row for row in found["rows"]}
    assert list(rows) == [BASE, "plain_sigmoid", "sgd", "perceptron"]
    assert rows[BASE]["gain"] == 0 and rows[BASE]["changed"] == ""
    assert rows["sgd"]["changed"] == "optimiser.momentum 0.0; optimiser.nesterov False"
    assert rows["perceptron"]["changed"] == "network perceptron (initialisation xavier)"
    assert rows["plain_sigmoid"]["first_over_last"] < 1e-2 < rows[BASE]["first_over_last"]
    assert rows[BASE]["accuracy"] > rows["plain_sigmoid"]["accuracy"]
    assert rows[BASE]["accuracy"] == pytest.approx(np.mean(found["accuracies"][BASE]))
    assert np.array(found["gradient_norms"][BASE]).shape == (3, 7)  # before and after each epoch; layers
    with (report / "ablation.csv").open(newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)] == list(rows)
    assert all(f"| {name} |" in (report / "ablation.md").read_text() for name in rows)

    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("digits")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id], "tags.`fullcycle.stage` = 'ablate'")
    assert run.info.status == "FINISHED"
    assert run.data.metrics["sgd.accuracy"] == pytest.approx(rows["sgd"]["accuracy"])
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == names


def test_the_same_seeds_give_the_same_table(folder: Path) -> None:
    parameters = load(folder / "params.yaml", "digits")
    params, collect = parameters.section("ablate"), parameters.section("collect")
    chosen = {name: params.rows()[name] for name in (BASE, "perceptron")}
    one, two = (
        ablation.table(ablation.train_all(chosen, params.seeds, collect, digits(100), digits(50, seed=1)))
        for _ in range(2)
    )
    assert one == two


def test_a_training_that_diverges_is_a_row_like_any_other(folder: Path) -> None:
    parameters = load(folder / "params.yaml", "digits")
    params, collect = parameters.section("ablate"), parameters.section("collect")
    diverging = params.recipe.model_copy(update={"learning_rate": 1e30})
    rows = ablation.train_all({BASE: diverging}, (1, 2), collect, digits(100), digits(50, seed=1))
    (row,) = ablation.table(rows)
    assert 0 <= float(str(row["accuracy"])) <= 0.5
    assert None in ablation.gradients(rows)[BASE][-1]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"images": 241}, "ablate.images: 241 is more than the 240 training images"),
        ({"seeds": [1, 1]}, "seeds must differ"),
        ({"drawn": ["nobody"]}, "drawn must name rows (base, plain_sigmoid, sgd, perceptron)"),
        ({"changes": {"base": {"epochs": 1}}}, "no change may be called 'base'"),
        ({"changes": {"odd": {"network": {"activation": "step"}}}}, "changes.odd.network.mlp.activation"),
        ({"changes": {"odd": {"epoch": 1}}}, "digits.ablate: changes.odd.epoch: unknown key."),
    ],
)
def test_wrong_tables_are_told(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    values: dict[str, Any],
    told: str,
) -> None:
    change(folder, **{"drawn": [BASE]} | values)
    assert ablate(monkeypatch) == 2
    assert told in capsys.readouterr().err
    assert not (folder / "reports").exists()


def test_projects_without_prepared_images_are_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ablate(monkeypatch, "retail") == 2
    assert "of the task recommendation. `fullcycle ablate` is for: digits" in capsys.readouterr().err
    (folder / "data/digits/prepared/train/images.npy").unlink()
    assert ablate(monkeypatch) == 3
    assert "Run `dvc repro prepare@digits` first" in capsys.readouterr().err


def test_the_interval_of_few_values_is_students() -> None:
    mean, (low, high) = student_interval([1.0, 2.0, 3.0])
    assert mean == 2.0
    assert high - mean == pytest.approx(mean - low) == pytest.approx(4.302653 / np.sqrt(3))
