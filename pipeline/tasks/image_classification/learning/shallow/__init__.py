"""The shallow comparators by name: what methods without a deep network reach on the same images.

One readable file each, with `answers(params, pixels, labels, asked, seed)`: fitted on `pixels`, float32
(N, C x H x W) in [0, 1], and `labels`, int64 (N,), it says the class of each of `asked`, int64 (M,).
"""

import importlib
from dataclasses import dataclass

import numpy as np

from pipeline.core.statistics import Interval, paired_difference, wilson_interval
from pipeline.tasks.image_classification.data.dataset import Split
from pipeline.tasks.image_classification.parameters import Evaluate, Shallow


@dataclass(frozen=True)
class Comparison:
    """What one comparator reached on the unseen images. images: how many it was fitted on; gain: accuracy of
    the network over it, paired by image; intervals are 95 %."""

    name: str
    images: int
    accuracy: float
    accuracy_interval: Interval
    worst_class_recall: float
    gain: float
    gain_interval: Interval

    @property
    def title(self) -> str:
        return self.name.replace("_", " ")


def compare(limits: Evaluate, train: Split, test: Split, network_right: np.ndarray) -> list[Comparison]:
    """Every comparator of `limits.shallow`, the best first. Only the training part is fitted on.

    network_right: bool (N,), where the network is right about `test`
    """
    asked = _flat(test.pixels)
    found = []
    for params in limits.shallow:
        rows = _drawn(len(train), params.images, limits.seed)
        known, labels = _flat(train.pixels[rows]), train.labels[rows]
        right = _answers(params, known, labels, asked, limits.seed) == test.labels
        gain, interval = paired_difference(network_right, right, draws=limits.draws, seed=limits.seed)
        found.append(
            Comparison(
                name=params.name,
                images=len(labels),
                accuracy=float(right.mean()),
                accuracy_interval=wilson_interval(int(right.sum()), len(right)),
                worst_class_recall=min(float(right[test.labels == k].mean()) for k in np.unique(test.labels)),
                gain=gain,
                gain_interval=interval,
            )
        )
    return sorted(found, key=lambda comparison: -comparison.accuracy)


def _answers(
    params: Shallow, pixels: np.ndarray, labels: np.ndarray, asked: np.ndarray, seed: int
) -> np.ndarray:
    module = importlib.import_module(f"pipeline.tasks.image_classification.learning.shallow.{params.name}")
    answers: np.ndarray = module.answers(params, pixels, labels, asked, seed)
    return answers


def _drawn(count: int, most: int | None, seed: int) -> slice | np.ndarray:
    """`most` of `count` rows in their order, or all of them."""
    if most is None or most >= count:
        return slice(None)
    return np.sort(np.random.default_rng(seed).choice(count, most, replace=False))


def _flat(pixels: np.ndarray) -> np.ndarray:
    return pixels.reshape(len(pixels), -1).astype(np.float32) / 255
