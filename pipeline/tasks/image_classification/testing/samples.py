"""Which images the tests look at. None is chosen because it makes the network look good."""

import numpy as np

from pipeline.tasks.image_classification.data.dataset import Split


def drawn(split: Split, images: int, seed: int) -> Split:
    """As many images as there are, at most `images`, drawn once; in memory."""
    rows = np.random.default_rng(seed).choice(len(split), min(images, len(split)), replace=False)
    return taken(split, np.sort(rows))


def taken(split: Split, rows: np.ndarray) -> Split:
    return Split(split.pixels[rows], split.labels[rows], split.ids[rows])


def usual_and_hard(
    labels: np.ndarray, probabilities: np.ndarray, classes: int, each: int
) -> list[np.ndarray]:
    """Of each class, right answers from that of median confidence to that of the lowest, in `each` steps.

    labels: int64 (N,); probabilities: float (N, K). A list of `classes` arrays int (at most each,), rows;
    an array is empty where the network is never right about the class.
    """
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    chosen = []
    for label in range(classes):
        rows = np.flatnonzero(right & (labels == label))
        rows = rows[np.argsort(confidence[rows], kind="stable")]
        places = np.linspace(len(rows) // 2, 0, min(each, len(rows))).round().astype(int)
        chosen.append(rows[np.unique(places)[::-1]])
    return chosen


def worst_errors(labels: np.ndarray, probabilities: np.ndarray, most: int) -> np.ndarray:
    """Rows of the wrong answers, the most confident first; int (at most `most`,)."""
    wrong = np.flatnonzero(probabilities.argmax(1) != labels)
    return wrong[np.argsort(-probabilities[wrong].max(1), kind="stable")][:most]
