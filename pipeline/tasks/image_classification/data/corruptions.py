"""What can go wrong with an image between the camera and the network.

After Hendrycks and Dietterich 2019 (arXiv:1903.12261), chosen for small images. Each takes uint8
(N, C, H, W) and a severity from 1 (slight) to 3 (severe) and returns the same shape and type.
"""

from collections.abc import Callable

import numpy as np

Corruption = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]


def noise(pixels: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise of standard deviation 20, 40 or 80 of 255."""
    return _uint8(pixels + rng.normal(0, 20 * 2 ** (severity - 1), pixels.shape))


def blur(pixels: np.ndarray, severity: int, _: np.random.Generator) -> np.ndarray:
    """Gaussian blur of 0.7, 1.4 or 2.1 pixels."""
    from scipy.ndimage import gaussian_filter

    return _uint8(gaussian_filter(pixels.astype(np.float32), (0, 0, 0.7 * severity, 0.7 * severity)))


def shift(pixels: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Moved by 2, 4 or 6 pixels along both axes, all images the same way; the border is repeated."""
    from scipy.ndimage import shift as move

    dy, dx = rng.choice([-1, 1], 2) * 2 * severity
    return _uint8(move(pixels.astype(np.float32), (0, 0, dy, dx), order=0, mode="nearest"))


def rotation(pixels: np.ndarray, severity: int, _: np.random.Generator) -> np.ndarray:
    """Turned by 15, 30 or 45 degrees."""
    from scipy.ndimage import rotate

    turned = rotate(
        pixels.astype(np.float32), 15 * severity, axes=(3, 2), reshape=False, order=1, mode="nearest"
    )
    return _uint8(turned)


def contrast(pixels: np.ndarray, severity: int, _: np.random.Generator) -> np.ndarray:
    """Contrast lowered to a half, a quarter or an eighth, around each image's mean."""
    mean = pixels.mean(axis=(2, 3), keepdims=True)
    return _uint8(mean + (pixels - mean) / 2**severity)


def occlusion(pixels: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """A grey square of a fifth, two or three fifths of the shorter side, somewhere in each image."""
    n, _, height, width = pixels.shape
    side = severity * min(height, width) // 5
    top, left = rng.integers(0, height - side + 1, n), rng.integers(0, width - side + 1, n)
    rows = (np.arange(height) >= top[:, None]) & (np.arange(height) < top[:, None] + side)
    columns = (np.arange(width) >= left[:, None]) & (np.arange(width) < left[:, None] + side)
    hidden = rows[:, None, :, None] & columns[:, None, None, :]
    return np.where(hidden, np.uint8(128), pixels)


def inversion(pixels: np.ndarray, severity: int, _: np.random.Generator) -> np.ndarray:
    """Blended with its negative: a quarter, three quarters or all of it."""
    share = (0.25, 0.75, 1.0)[severity - 1]
    return _uint8(pixels * (1 - share) + (255 - pixels.astype(np.float32)) * share)


CORRUPTIONS: dict[str, Corruption] = {
    f.__name__: f for f in (noise, blur, shift, rotation, contrast, occlusion, inversion)
}
SEVERITIES = (1, 2, 3)


def _uint8(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
