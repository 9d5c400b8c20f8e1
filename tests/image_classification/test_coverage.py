"""Coverage curves of known cases; thresholds come from the validation images alone."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.tasks.image_classification.testing import coverage
from pipeline.tasks.image_classification.testing.answers import Answers
from tests.image_classification.test_classification import LIMITS

CONFIDENCE = np.array([0.9, 0.8, 0.7, 0.7, 0.5])
RIGHT = np.array([True, True, False, True, False])


def test_a_curve_by_hand() -> None:
    table = coverage.curve(CONFIDENCE, RIGHT)
    assert table["threshold"].tolist() == [0.9, 0.8, 0.7, 0.5]
    assert table["coverage"] == pytest.approx([0.2, 0.4, 0.8, 1.0])
    assert table["accuracy"] == pytest.approx([1.0, 1.0, 0.75, 0.6])


def test_the_area_by_hand_and_at_its_least() -> None:
    # Risks at 1 to 5 images; the two of confidence 0.7 share their one error.
    area, (low, high) = coverage.risk_area(CONFIDENCE, RIGHT, 200, 0)
    assert area == pytest.approx((0 + 0 + 0.5 / 3 + 1 / 4 + 2 / 5) / 5)
    assert low < area < high
    ordered = np.arange(100_000)[::-1]
    best, _ = coverage.risk_area(ordered.astype(float), np.arange(100_000) < 80_000, 2, 0)
    assert best == pytest.approx(coverage.least_risk_area(0.8), abs=1e-4)
    mixed = np.random.default_rng(0).permutation(np.arange(100_000) < 80_000)
    assert coverage.risk_area(ordered.astype(float), mixed, 2, 0)[0] == pytest.approx(0.2, abs=0.01)
    assert coverage.least_risk_area(0.0) == 1.0 and coverage.least_risk_area(1.0) == 0.0


def test_the_threshold_is_the_lowest_that_keeps_the_accuracy() -> None:
    assert coverage.threshold(CONFIDENCE, RIGHT, 0.9) == 0.8
    assert coverage.threshold(CONFIDENCE, RIGHT, 0.7) == 0.7
    assert coverage.threshold(CONFIDENCE, RIGHT, 0.6) == 0.0, "all may be answered"
    assert coverage.threshold(CONFIDENCE, ~RIGHT, 0.9) is None


def test_the_threshold_of_the_validation_images_is_measured_on_the_unseen_ones(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)

    def draw(n: int) -> Answers:
        """Right with the probability that the confidence says: at or above t the accuracy is (1 + t) / 2."""
        confidence = rng.random(n) / 2 + 0.5
        labels = (rng.random(n) > confidence).astype(np.int64)
        probabilities = np.stack([confidence, 1 - confidence], axis=1)
        return Answers(labels, probabilities, probabilities)

    limits = LIMITS.model_copy(update={"automatic_accuracies": (0.9, 0.99, 0.5)})
    part = coverage.measure(draw(20_000), draw(20_000), limits, tmp_path)
    most, few, everything = part.details["coverage"]["automatic"]
    assert most["threshold"] == pytest.approx(0.8, abs=0.02)
    assert most["share"] == pytest.approx(0.4, abs=0.04) == part.metrics["automatic_share"]
    assert most["accuracy_interval"][0] < 0.9 < most["accuracy_interval"][1]
    assert few["share"] < 0.1
    assert everything["threshold"] == 0.0 and everything["share"] == 1.0
    assert {path.name for path in tmp_path.iterdir()} == {"coverage.csv", "coverage.png"}


def test_an_accuracy_out_of_reach_leaves_everything_to_people(tmp_path: Path) -> None:
    probabilities = np.tile([0.9, 0.1], (50, 1))
    wrong = Answers(np.ones(50, dtype=np.int64), probabilities, probabilities)
    part = coverage.measure(wrong, wrong, LIMITS, tmp_path)
    assert part.metrics["automatic_share"] == 0
    assert part.details["coverage"]["automatic"][0]["threshold"] is None
    assert part.details["coverage"]["automatic"][0]["accuracy"] is None
