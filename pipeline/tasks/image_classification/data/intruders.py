"""Pictures that do not belong, made of those that do: planted, they tell how well such are noticed.

Each takes uint8 (N, C, H, W) and returns the same shape and type.
"""

from collections.abc import Callable

import numpy as np

Intruder = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def blank(pixels: np.ndarray, _: np.random.Generator) -> np.ndarray:
    """Each image in its median colour: nothing was drawn, or the lens was covered."""
    middle = np.median(pixels, axis=(2, 3), keepdims=True)
    return np.broadcast_to(middle, pixels.shape).astype(np.uint8)


def inverted(pixels: np.ndarray, _: np.random.Generator) -> np.ndarray:
    return 255 - pixels


def noise(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The pixels of each image in another order: its brightness and contrast, and nothing else of it."""
    flat = pixels.reshape(len(pixels), -1)
    return rng.permuted(flat, axis=1).reshape(pixels.shape)


def texture(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another domain: cloudy surfaces of the brightness and contrast of each image."""
    from scipy.ndimage import gaussian_filter

    height, width = pixels.shape[2:]
    grain = (0, 0, height / 12, width / 12)
    cloud = gaussian_filter(rng.normal(size=pixels.shape).astype(np.float32), grain, mode="wrap")
    cloud /= np.maximum(cloud.std(axis=(1, 2, 3), keepdims=True), np.float32(1e-6))
    mean, std = (f(pixels, axis=(1, 2, 3), keepdims=True) for f in (np.mean, np.std))
    return np.clip(np.rint(mean + std * cloud), 0, 255).astype(np.uint8)


def scrambled(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another domain: the four by four tiles of each image in another order."""
    height, width = (size // 4 for size in pixels.shape[2:])
    changed = pixels.copy()
    places = [(slice(y * height, (y + 1) * height), slice(x * width, (x + 1) * width))
              for y in range(4) for x in range(4)]  # fmt: skip
    for image, new in zip(pixels, changed, strict=True):
        for place, source in zip(places, rng.permutation(len(places)), strict=True):
            new[:, *place] = image[:, *places[source]]
    return changed


INTRUDERS: dict[str, Intruder] = {f.__name__: f for f in (blank, inverted, noise, texture, scrambled)}
