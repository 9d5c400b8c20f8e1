"""How far the network's confidence is from the share that it is right about."""

from pathlib import Path

from pipeline.core.evaluation import Part
from pipeline.core.gates import Gate
from pipeline.core.statistics import bootstrap_interval
from pipeline.tasks.image_classification.data import pictures
from pipeline.tasks.image_classification.learning import calibration
from pipeline.tasks.image_classification.parameters import Evaluate, Goals
from pipeline.tasks.image_classification.testing.answers import Answers


def measure(answers: Answers, limits: Evaluate, goals: Goals, folder: Path) -> Part:
    """Writes reliability.png."""
    probabilities, right = answers.probabilities, answers.right
    error = calibration.expected_calibration_error(probabilities, right)
    interval = bootstrap_interval(
        lambda rows: calibration.expected_calibration_error(probabilities[rows], right[rows]),
        len(right), draws=limits.draws, seed=limits.seed,
    )  # fmt: skip
    pictures.reliability(*calibration.reliability(probabilities, right), folder / "reliability.png")
    return Part(
        metrics={"calibration_error": error},
        intervals={"calibration_error": interval},
        gates=(
            Gate("calibration_error", error, "at most", goals.calibration_error_max, "training",
                 "fit the temperature on more validation images.", interval),
        ),
    )  # fmt: skip
