"""Figures of an evaluation against libraries and against known truth; their intervals cover it."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv as pacsv
import pytest
import yaml
from sklearn import metrics

from pipeline.tasks.image_classification.learning.calibration import expected_calibration_error
from pipeline.tasks.image_classification.parameters import Evaluate, Goals
from pipeline.tasks.image_classification.testing import classification, reliability
from pipeline.tasks.image_classification.testing.answers import Answers
from tests.imports import ROOT

SHIPPED: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())["projects"]["digits"]
LIMITS = Evaluate.model_validate(SHIPPED["evaluate"] | {"draws": 300})
GOALS = Goals.model_validate(SHIPPED["goals"])
CLASSES = ("apple", "pear", "plum", "quince")


def answers(n: int, seed: int, *, sharper: float = 1.0, classes: int = 3) -> Answers:
    """Of a network whose probabilities are exact where `sharper` is 1, overconfident above."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (n, classes))
    powers = np.exp(logits)
    exact = powers / powers.sum(1, keepdims=True)
    labels = (rng.random((n, 1)) > exact.cumsum(1)).sum(1)
    told = np.exp(logits * sharper)
    return Answers(labels, (logits * sharper).astype(np.float32), told / told.sum(1, keepdims=True))


def test_the_figures_are_those_of_scikit_learn(tmp_path: Path) -> None:
    made = answers(500, 0)
    part = classification.measure(made, CLASSES[:3], LIMITS, GOALS, tmp_path)
    figures = {name: found["value"] for name, found in part.details["figures"].items()}
    assert figures == pytest.approx(
        {
            "accuracy": metrics.accuracy_score(made.labels, made.predicted),
            "balanced_accuracy": metrics.balanced_accuracy_score(made.labels, made.predicted),
            "macro_f1": metrics.f1_score(made.labels, made.predicted, average="macro"),
            "log_loss": metrics.log_loss(made.labels, made.probabilities),
            "brier_score": metrics.brier_score_loss(made.labels, made.probabilities, scale_by_half=False),
            "top_2_accuracy": metrics.top_k_accuracy_score(made.labels, made.probabilities, k=2),
        }
    )
    for name, found in part.details["figures"].items():
        low, high = found["interval"]
        assert low < figures[name] < high, name
    precision, recall, f1, items = metrics.precision_recall_fscore_support(made.labels, made.predicted)
    table = pacsv.read_csv(tmp_path / "classes.csv").to_pydict()
    assert table["precision"] == pytest.approx(precision) and table["recall"] == pytest.approx(recall)
    assert table["f1"] == pytest.approx(f1) and table["items"] == items.tolist()
    assert part.metrics["worst_class_recall"] == pytest.approx(min(recall))
    assert {path.name for path in tmp_path.iterdir()} >= {"classes.png", "confusion.csv", "confusion.png"}


def test_a_class_that_no_unseen_image_has_counts_nowhere_and_is_told_as_unknown(tmp_path: Path) -> None:
    labels = np.array([0, 0, 1, 1])
    probabilities = np.eye(4)[[0, 0, 1, 2]] * 0.7 + 0.075
    part = classification.measure(
        Answers(labels, probabilities, probabilities), CLASSES, LIMITS, GOALS, tmp_path
    )
    rows = {row["class"]: row for row in part.details["classes"]}
    assert rows["quince"]["recall"] is None and rows["quince"]["f1"] is None
    assert rows["plum"]["recall"] is None and rows["plum"]["precision"] == 0
    assert part.metrics["balanced_accuracy"] == pytest.approx(0.75)
    assert part.metrics["worst_class_recall"] == 0.5
    (gate,) = (gate for gate in part.gates if gate.name == "worst_class_recall")
    assert "pear" in gate.remedy


def test_two_classes_have_no_top_2(tmp_path: Path) -> None:
    part = classification.measure(answers(100, 1, classes=2), CLASSES[:2], LIMITS, GOALS, tmp_path)
    assert "top_2_accuracy" not in part.details["figures"]


def test_the_interval_of_macro_f1_covers_the_truth() -> None:
    truth = answers(200_000, 2)
    _, exact = classification.macro(*counts(truth))
    covered = []
    for seed in range(120):
        made = answers(400, 1000 + seed)
        low, high = classification._figures(made, classification.confusion(made, 3), LIMITS)["macro_f1"][1]
        covered.append(low <= exact <= high)
    assert 0.9 <= np.mean(covered) <= 0.99


@pytest.mark.parametrize(("sharper", "least"), [(1.0, 0.9), (2.0, 0.88)])
def test_the_interval_of_the_calibration_error_covers_the_truth(sharper: float, least: float) -> None:
    """Also where there is no error at all, which the percentile bootstrap never finds."""
    many = answers(400_000, 3, sharper=sharper)
    truth = 0.0 if sharper == 1 else expected_calibration_error(many.probabilities, many.right)
    intervals = []
    for seed in range(120):
        made = answers(600, 2000 + seed, sharper=sharper)
        chance = reliability.gaps_by_chance(made, 100, seed)
        intervals.append(reliability.calibration_error(made, chance, 100, seed)[1])
    assert np.mean([low <= truth <= high for low, high in intervals]) >= least


def test_exact_confidence_is_within_chance_and_overconfidence_is_not() -> None:
    for sharper, within in ((1.0, True), (2.0, False)):
        made = answers(3000, 5, sharper=sharper)
        error = expected_calibration_error(made.probabilities, made.right)
        most = reliability.largest_by_chance(reliability.gaps_by_chance(made, 300, 0), len(made))
        assert (error < most) == within


def test_what_the_temperature_changed_is_told(tmp_path: Path) -> None:
    sharp = answers(3000, 6, sharper=3.0)
    powers = np.exp(sharp.logits.astype(np.float64) / 3)
    cooled = Answers(sharp.labels, sharp.logits, powers / powers.sum(1, keepdims=True))
    part = reliability.measure(cooled, 3.0, 500, LIMITS, GOALS, tmp_path)
    told = part.details["calibration"]
    assert told["without_temperature"]["overconfidence"] > 0.1 > told["with_temperature"]["overconfidence"]
    assert told["log_loss_change"]["interval"][1] < 0
    assert told["with_temperature"]["calibration_error"] == part.metrics["calibration_error"]
    assert told["temperature"] == 3.0 and "500 validation images" in told["fitted_on"]
    table = pacsv.read_csv(tmp_path / "reliability.csv").to_pydict()
    assert sum(table["items"]) == 3000
    inside = [
        low <= share <= high
        for low, share, high in zip(table["chance_low"], table["accuracy"], table["chance_high"], strict=True)
    ]
    assert np.mean(inside) > 0.8
    assert (tmp_path / "reliability.png").is_file()


def counts(made: Answers) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    matrix = classification.confusion(made, 3)
    return np.diag(matrix), matrix.sum(1), matrix.sum(0)
