"""How often the network is right: over all images, and in each class."""

from pathlib import Path

import numpy as np

from pipeline.core.evaluation import Part
from pipeline.core.gates import Gate
from pipeline.core.statistics import wilson_interval
from pipeline.tasks.image_classification.data import pictures
from pipeline.tasks.image_classification.parameters import Goals
from pipeline.tasks.image_classification.testing.answers import Answers

SMALLEST_PROBABILITY = 1e-12  # so that the logarithm of a certain mistake is finite


def measure(answers: Answers, classes: tuple[str, ...], goals: Goals, folder: Path) -> Part:
    """Writes confusion.csv and confusion.png."""
    right, matrix = answers.right, confusion(answers, len(classes))
    accuracy, interval = float(right.mean()), wilson_interval(int(right.sum()), len(right))
    recall = np.diag(matrix) / np.maximum(matrix.sum(1), 1)
    worst = int(recall.argmin())
    worst_interval = wilson_interval(int(matrix[worst, worst]), int(matrix[worst].sum()))
    log_loss = float(-np.log(np.maximum(answers.of_label, SMALLEST_PROBABILITY)).mean())
    np.savetxt(
        folder / "confusion.csv", matrix, fmt="%d", delimiter=",", header=",".join(classes), comments=""
    )
    pictures.confusion(matrix, classes, folder / "confusion.png")
    return Part(
        metrics={"accuracy": accuracy, "worst_class_recall": float(recall[worst]), "log_loss": log_loss},
        intervals={"accuracy": interval, "worst_class_recall": worst_interval},
        gates=(
            Gate("accuracy", accuracy, "at least", goals.accuracy_min, "training",
                 "train longer or a larger network; look at evaluation/errors.png.", interval),
            Gate("worst_class_recall", float(recall[worst]), "at least", goals.class_recall_min, "data",
                 f"collect or relabel more of class {classes[worst]!r}.", worst_interval),
        ),
        details={
            "items": len(right),
            "classes": [
                {"class": name, "recall": float(recall[k]), "items": int(matrix[k].sum())}
                for k, name in enumerate(classes)
            ],
        },
    )  # fmt: skip


def confusion(answers: Answers, classes: int) -> np.ndarray:
    """int64 (K, K): how many images of the class of the row are taken for that of the column."""
    cells = np.bincount(answers.labels * classes + answers.predicted, minlength=classes**2)
    return cells.reshape(classes, classes)
