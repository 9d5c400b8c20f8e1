"""Networks that answer without a package, for the tests of what is said about a network."""

from collections.abc import Callable

import numpy as np
import torch
from scipy.special import softmax

from pipeline.core.deployed_network import DeployedNetwork
from pipeline.tasks.image_classification.learning.fitting import predict


class Answering(DeployedNetwork):
    """logits: uint8 (N, C, H, W) -> float (N, K)"""

    def __init__(self, logits: Callable[[np.ndarray], np.ndarray]) -> None:
        self.logits = logits

    def run(self, rows: np.ndarray, output: str) -> np.ndarray:
        found = self.logits(rows)
        return softmax(found, axis=1) if output == "probabilities" else found


def exported(network: torch.nn.Module) -> Answering:
    return Answering(lambda pixels: predict(network, pixels))


def by_brightness(pixels: np.ndarray) -> np.ndarray:
    """Two classes, dark and light, told apart by the mean of all pixels."""
    light = pixels.mean((1, 2, 3)) / 255 - 0.5
    return 20 * np.stack([-light, light], axis=1)
