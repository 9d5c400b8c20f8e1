"""The deletion test: does painting the pixels that an attribution marks lower the score more than others?

After Samek et al. 2017, "Evaluating the Visualization of What a Deep Neural Network Has Learned"
(arXiv:1509.06321), pixel by pixel. Pixels are painted in the colour of the blank image (data/intruders.py),
and only those that differ from it count: else random order would mostly paint what is blank already.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.core.deployed_network import DeployedNetwork
from pipeline.tasks.image_classification.data.intruders import blank

SHARES = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0)  # shares of the pixels painted over
ORDERS = 2  # random ones


@dataclass(frozen=True)
class Deletion:
    """Mean probability of the answer after each of SHARES, float (N, D), by attribution and at random."""

    by_attribution: np.ndarray
    at_random: np.ndarray

    @property
    def gain(self) -> np.ndarray:
        """Area between both curves for each image, float (N,), in [-1, 1]; above 0 the attributions know."""
        return np.asarray(np.trapezoid(self.at_random - self.by_attribution, SHARES, axis=1))


def deletion(
    deployed: DeployedNetwork, pixels: np.ndarray, targets: np.ndarray, attribution: np.ndarray, seed: int
) -> Deletion:
    """Paints pixels in the blank image's colour, the most attributed first, or at random.

    pixels: uint8 (N, C, H, W); targets: int (N,), classes; attribution: float (N, H, W)
    """
    rng = np.random.default_rng(seed)
    ground = blank(pixels, rng)
    differs = (pixels != ground).any(1)

    def probability(order: np.ndarray) -> np.ndarray:
        """order: float (N, H, W), the highest goes first; float (N, D)"""
        flat = np.where(differs, order, -np.inf).reshape(len(pixels), -1)
        places = (-flat).argsort(1, kind="stable").argsort(1, kind="stable").reshape(differs.shape)
        curve = []
        for share in SHARES:
            last = np.rint(share * differs.sum((1, 2), keepdims=True))
            left = np.where((places < last)[:, None], ground, pixels)
            answers = deployed.run(left, "probabilities")
            curve.append(answers[np.arange(len(left)), targets])
        return np.stack(curve, axis=1)

    at_random = [probability(rng.random(differs.shape)) for _ in range(ORDERS)]
    return Deletion(probability(attribution), np.mean(at_random, axis=0))
