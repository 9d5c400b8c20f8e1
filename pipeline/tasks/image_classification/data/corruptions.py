"""What can go wrong with an image between the camera and the network.

After Hendrycks and Dietterich 2019 (arXiv:1903.12261), chosen for small images. Each takes uint8
(N, C, H, W) and a severity from 1 (slight) to 3 (severe) and returns the same shape and type. Lengths are
shares of the shorter side, so that images of any size are spoilt alike; what is said in pixels is for 28.
"""

from collections.abc import Callable

import numpy as np

from pipeline.tasks.image_classification.data.edits import as_jpeg

Corruption = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]


def noise(pixels: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise of standard deviation 20, 40 or 80 of 255."""
    return _uint8(pixels + rng.normal(0, 20 * 2 ** (severity - 1), pixels.shape))


def blur(pixels: np.ndarray, severity: int, _: np.random.Generator) -> np.ndarray:
    """Gaussian blur of 0.7, 1.4 or 2.1 pixels."""
    from scipy.ndimage import gaussian_filter

    sigma = severity * min(pixels.shape[2:]) / 40
    return _uint8(gaussian_filter(pixels.astype(np.float32), (0, 0, sigma, sigma)))


def shift(pixels: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Moved by 2, 4 or 6 pixels along both axes, all images the same way; the border is repeated."""
    height, width = pixels.shape[2:]
    distance = max(1, round(severity * min(height, width) / 14))
    dy, dx = rng.choice([-1, 1], 2) * distance
    rows = np.clip(np.arange(height) - dy, 0, height - 1)
    columns = np.clip(np.arange(width) - dx, 0, width - 1)
    return pixels[:, :, rows[:, None], columns]


def rotation(pixels: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Turned by 15, 30 or 45 degrees, all images the same way; the border is repeated."""
    from scipy.ndimage import rotate

    angle = rng.choice([-1, 1]) * 15 * severity
    turned = rotate(pixels.astype(np.float32), angle, axes=(3, 2), reshape=False, order=1, mode="nearest")
    return _uint8(turned)


def scale(pixels: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Larger or smaller by 1.2, 1.5 or 1.9 times, all images the same way; the border is repeated."""
    from scipy.ndimage import affine_transform

    step = (1.2, 1.5, 1.9)[severity - 1] ** rng.choice([-1, 1])  # source pixels for each of the result
    middle = (np.array(pixels.shape[2:]) - 1) / 2
    matrix, offset = np.array([1, 1, step, step]), np.array([0, 0, *(middle * (1 - step))])
    return _uint8(affine_transform(pixels.astype(np.float32), matrix, offset, order=1, mode="nearest"))


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


def jpeg(pixels: np.ndarray, severity: int, _: np.random.Generator) -> np.ndarray:
    """Stored as JPEG of quality 30, 15 or 7 and read again."""
    return as_jpeg(pixels, (30, 15, 7)[severity - 1])


CORRUPTIONS: dict[str, Corruption] = {
    f.__name__: f for f in (noise, blur, shift, rotation, scale, contrast, occlusion, inversion, jpeg)
}
SEVERITIES = (1, 2, 3)


def _uint8(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
