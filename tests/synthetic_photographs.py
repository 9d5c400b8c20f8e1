"""Colour images with the statistics of photographs: detail at every scale, each unlike the others."""

import numpy as np
from scipy.ndimage import gaussian_filter


def draw(count: int, rng: np.random.Generator, side: int = 32) -> np.ndarray:
    """uint8 (N, 3, side, side). The power falls with the square of the frequency, as it does in nature."""
    images = np.zeros((count, 3, side, side), dtype=np.float32)
    for sigma in (0.5, 1, 2, 4, 8):
        grain = (0, 0, sigma, sigma)
        grey, colour = (gaussian_filter(rng.normal(size=(count, c, side, side)), grain) for c in (1, 3))
        for layer, weight in ((grey, sigma), (colour, sigma / 3)):
            images += weight * layer / layer.std()
    images -= images.mean(axis=(1, 2, 3), keepdims=True)
    images /= images.std(axis=(1, 2, 3), keepdims=True)
    contrast, brightness = rng.uniform(30, 60, (count, 1, 1, 1)), rng.uniform(90, 160, (count, 1, 1, 1))
    return np.clip(np.rint(brightness + contrast * images), 0, 255).astype(np.uint8)
