"""Spoilt images: what a corruption costs is counted right, and a broken floor is a failed gate."""

import csv
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import yaml

from pipeline.tasks.image_classification.data.corruptions import CORRUPTIONS
from pipeline.tasks.image_classification.data.dataset import Split
from pipeline.tasks.image_classification.data.edits import EDITS
from pipeline.tasks.image_classification.data.intruders import INTRUDERS
from pipeline.tasks.image_classification.parameters import Corruption, Edit, Evaluate, Intruder
from pipeline.tasks.image_classification.testing import robustness
from tests.image_classification.answering import Answering, by_brightness
from tests.imports import ROOT

SHIPPED = yaml.safe_load((ROOT / "params.yaml").read_text())["projects"]["digits"]["evaluate"]


def limits(**changes: Any) -> Evaluate:
    return Evaluate.model_validate(SHIPPED | {"draws": 100, "robustness": SHIPPED["robustness"] | changes})


def dark_and_light(n: int, shape: tuple[int, int, int] = (1, 12, 12)) -> Split:
    """Images around 60 or around 200 of 255, with some texture."""
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 2
    level = np.where(labels, 200, 60)[:, None, None, None]
    pixels = np.clip(level + rng.normal(0, 25, (n, *shape)), 0, 255).astype(np.uint8)
    return Split(pixels, labels.astype(np.int64), np.arange(n).astype(str))


def test_the_names_in_the_parameters_are_those_that_there_are() -> None:
    assert set(get_args(Corruption)) == set(CORRUPTIONS)
    assert set(get_args(Edit)) == set(EDITS)
    assert set(get_args(Intruder)) == set(INTRUDERS)


def test_a_network_that_inversion_breaks_fails_its_floor_and_no_other(tmp_path: Path) -> None:
    said = limits(severities=[3], floors={"noise": 0.9, "inversion": 0.9, "blur": None})
    found = robustness.measure(said, Answering(by_brightness), dark_and_light(60), tmp_path)
    noise, inversion = found.gates
    assert (noise.name, noise.value, noise.passed) == ("right_with_noise", 1.0, True)
    assert (inversion.name, inversion.value, inversion.passed) == ("right_with_inversion", 0.0, False)
    assert inversion.interval is not None and inversion.interval[1] < 0.1
    assert found.metrics["mean_corruption_accuracy"] == pytest.approx(2 / 3)
    assert (tmp_path / "robustness.png").is_file()


@pytest.mark.parametrize("shape", [(1, 12, 12), (3, 9, 40)])
def test_every_corruption_is_told_at_every_severity_the_same_twice(
    tmp_path: Path, shape: tuple[int, int, int]
) -> None:
    said = limits(images=40, floors=dict.fromkeys(CORRUPTIONS))
    one, two = (
        robustness.measure(said, Answering(by_brightness), dark_and_light(50, shape), tmp_path)
        for _ in range(2)
    )
    assert one == two and one.gates == ()
    with (tmp_path / "robustness.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["corruption"], int(row["severity"])) for row in rows] == [
        ("none", 0), *((name, severity) for name in CORRUPTIONS for severity in (1, 2, 3))
    ]  # fmt: skip
    accuracies = [float(row["accuracy"]) for row in rows]
    assert one.metrics["mean_corruption_accuracy"] == pytest.approx(np.mean(accuracies[1:]), abs=1e-5)
    low, high = one.intervals["mean_corruption_accuracy"]
    assert low <= one.metrics["mean_corruption_accuracy"] <= high
    assert accuracies[0] == 1 and all(row["images"] == "40" for row in rows)
    for row in rows:
        assert float(row["low"]) <= float(row["accuracy"]) <= float(row["high"])


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"severities": [2, 1]}, "severities must ascend"),
        ({"severities": [1, 4]}, "Input should be 1, 2 or 3"),
        ({"floors": {"fog": 0.9}}, "'noise', 'blur', 'shift'"),
        ({"floors": {"noise": 90}}, "less than or equal to 1"),
    ],
)
def test_wrong_parameters_are_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        limits(**changes)
