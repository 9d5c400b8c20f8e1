"""The shallow comparators: each learns, all are reported alike, and the network is held against the best."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from safetensors.torch import save_file

from pipeline.core import model_package
from pipeline.core.parameters import load
from pipeline.core.paths import Paths
from pipeline.core.statistics import wilson_interval
from pipeline.tasks.image_classification.data.dataset import Split, write_split
from pipeline.tasks.image_classification.evaluate import evaluate
from pipeline.tasks.image_classification.learning import export, networks, shallow
from pipeline.tasks.image_classification.parameters import Evaluate
from tests import synthetic_digits
from tests.imports import ROOT

SHIPPED: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())["projects"]["digits"]
COMPARATORS = {entry["name"]: entry for entry in SHIPPED["evaluate"]["shallow"]}


def digits(n: int, seed: int) -> Split:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % 10).astype(np.int64)
    return Split(synthetic_digits.draw(labels, rng)[:, None], labels, np.arange(n).astype(str))


def limits(*entries: dict[str, Any]) -> Evaluate:
    return Evaluate.model_validate(SHIPPED["evaluate"] | {"shallow": list(entries), "draws": 100, "worst": 3})


@pytest.mark.parametrize("name", COMPARATORS)
def test_every_comparator_learns_and_answers_the_same_twice(name: str) -> None:
    train, test = digits(500, 0), digits(200, 1)
    said = limits(COMPARATORS[name])
    network_right = np.arange(200) % 4 > 0
    (found,), (again,) = (shallow.compare(said, train, test, network_right) for _ in range(2))
    assert found == again
    assert found.name == name and found.images == 500
    assert 0.8 < found.accuracy <= 1 and found.worst_class_recall <= found.accuracy
    assert found.accuracy_interval == wilson_interval(round(200 * found.accuracy), 200)
    assert found.gain == pytest.approx(0.75 - found.accuracy)
    assert found.gain_interval[0] < found.gain < found.gain_interval[1]


def test_a_comparator_is_fitted_on_as_many_images_as_it_may_and_the_best_comes_first() -> None:
    train, test = digits(400, 0), digits(200, 1)
    few = COMPARATORS["nearest_neighbours"] | {"images": 12, "neighbours": 1}
    found = shallow.compare(limits(few, COMPARATORS["svm"]), train, test, np.ones(200, dtype=bool))
    assert [(made.name, made.images) for made in found] == [("svm", 400), ("nearest_neighbours", 12)]
    assert found[0].accuracy > found[1].accuracy


def test_labels_without_any_pattern_are_not_learnt() -> None:
    train, test = digits(400, 0), digits(300, 1)
    shuffled = Split(train.pixels, np.random.default_rng(0).permutation(train.labels), train.ids)
    for made in shallow.compare(limits(*COMPARATORS.values()), shuffled, test, np.ones(300, dtype=bool)):
        assert made.accuracy < 0.25


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")
def test_an_untrained_network_does_not_beat_the_best_comparator(tmp_path: Path) -> None:
    parameters = load(ROOT / "params.yaml", "digits")
    params = SimpleNamespace(
        goals=parameters.section("goals"),
        collect=parameters.section("collect"),
        evaluate=limits(*COMPARATORS.values()),
    )
    paths, sizes = Paths(tmp_path, "digits"), {"train": 300, "val": 80, "test": 120}
    for place in (paths.prepared, paths.labelled, paths.model, tmp_path / "evaluation"):
        place.mkdir(parents=True)
    for name, count in sizes.items():
        split = digits(count, count)
        write_split(paths.prepared / name, split.pixels, split.labels, split.ids, np.arange(count))
    audit = {
        "item_id": split.ids.tolist(),
        "suggested": split.labels,
        "score": np.ones(len(split)),
        "doubtful": [False] * len(split),
    }
    pq.write_table(pa.table(audit), paths.labelled / "labels.parquet")
    image, shape = params.collect.image, parameters.section("train").network
    torch.manual_seed(0)
    network = networks.build(shape, image, 10, [0.1], [0.3]).eval()
    weights = {name: value.contiguous() for name, value in network.state_dict().items()}
    save_file(weights, paths.model / model_package.WEIGHTS)
    export.to_onnx(network, 1.0, image, paths.model / model_package.NETWORK)
    stated = {"classes": list(params.collect.classes), "image": image.model_dump(), "temperature": 1.0,
              "network": shape.model_dump(mode="json")}  # fmt: skip
    model_package.describe(paths.model, stated)

    found = evaluate(params, paths, tmp_path / "evaluation")
    accuracies = {made["name"]: made["accuracy"] for made in found.details["shallow"]}
    assert set(accuracies) == set(COMPARATORS)
    assert found.metrics["shallow_accuracy"] == max(accuracies.values())
    assert found.metrics["gain_over_shallow"] == pytest.approx(
        found.metrics["accuracy"] - max(accuracies.values())
    )
    (gate,) = (gate for gate in found.gates if gate.name == "gain_over_shallow_low")
    assert not gate.passed and gate.value == found.intervals["gain_over_shallow"][0] < 0
    assert (tmp_path / "evaluation" / "shallow.png").is_file()
    assert {"robustness", "behaviour", "attributions", "separability"} <= set(found.details)
    assert 0 < found.metrics["mean_corruption_accuracy"] < 0.4
    assert "right_with_noise" in {gate.name for gate in found.gates if not gate.passed}


def test_a_comparator_named_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="name each comparator once"):
        limits(COMPARATORS["svm"], COMPARATORS["svm"])
