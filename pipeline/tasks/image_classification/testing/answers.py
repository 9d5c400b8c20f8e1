"""What the exported network answers to one part of the data, as all tests read it."""

from dataclasses import dataclass

import numpy as np

from pipeline.core.deployed_network import DeployedNetwork
from pipeline.tasks.image_classification.data.dataset import Split

OUTPUTS = ("logits", "probabilities")


@dataclass(frozen=True)
class Answers:
    """labels: int64 (N,); logits: float32 (N, K); probabilities: float64 (N, K), calibrated, as served."""

    labels: np.ndarray
    logits: np.ndarray
    probabilities: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def predicted(self) -> np.ndarray:
        """int64 (N,), the likeliest class."""
        return self.probabilities.argmax(1)

    @property
    def right(self) -> np.ndarray:
        """bool (N,)"""
        return np.asarray(self.predicted == self.labels)

    @property
    def confidence(self) -> np.ndarray:
        """float64 (N,), the probability of the likeliest class."""
        return np.asarray(self.probabilities.max(1))

    @property
    def of_label(self) -> np.ndarray:
        """float64 (N,), the probability of the true class."""
        return self.probabilities[np.arange(len(self)), self.labels]


def ask(network: DeployedNetwork, split: Split) -> Answers:
    logits, probabilities = network.run_all(split.pixels, OUTPUTS)
    return Answers(split.labels, logits, probabilities.astype(np.float64))
