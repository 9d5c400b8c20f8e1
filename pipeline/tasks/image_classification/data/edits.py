"""What happens to a picture on its way into a collection a second time.

Each takes uint8 (N, C, H, W) and returns the same shape and type: the same pictures, slightly changed.
Planted, they tell how many near duplicates would be found (data/leakage.py).
"""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image

Edit = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def brightness(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Brighter or darker by up to 30 %, and by up to 25 of 255; each image for itself."""
    factor, offset = rng.uniform(0.7, 1.3, len(pixels)), rng.uniform(-25, 25, len(pixels))
    return _uint8(pixels * factor[:, None, None, None] + offset[:, None, None, None])


def noise(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise of standard deviation 15 of 255."""
    return _uint8(pixels + rng.normal(0, 15, pixels.shape))


def shift(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Moved by one pixel up, down, left or right; the border is repeated."""
    padded = np.pad(pixels, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    height, width = pixels.shape[2:]
    places = np.array([(0, 1), (2, 1), (1, 0), (1, 2)])[rng.integers(0, 4, len(pixels))]
    moved = [image[:, y : y + height, x : x + width] for image, (y, x) in zip(padded, places, strict=True)]
    return np.stack(moved)


def rotation(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Turned by 5 degrees, either way; the corners are filled with the colour of the nearest edge."""
    from scipy.ndimage import rotate

    angles = rng.choice([-5.0, 5.0], len(pixels))
    turned = [
        rotate(image.astype(np.float32), angle, axes=(2, 1), reshape=False, order=1, mode="nearest")
        for image, angle in zip(pixels, angles, strict=True)
    ]
    return _uint8(np.stack(turned))


def jpeg(pixels: np.ndarray, _: np.random.Generator) -> np.ndarray:
    """Stored as JPEG of quality 50 and read again."""
    return as_jpeg(pixels, 50)


def crop(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One or two pixels less on each side, resized to the old size."""
    height, width = pixels.shape[2:]

    def cropped(image: Image.Image) -> Image.Image:
        left, upper, right, lower = (int(n) for n in rng.integers(1, 3, 4))
        box = (left, upper, width - right, height - lower)
        return image.resize((width, height), Image.Resampling.BILINEAR, box=box)

    return _through_pillow(pixels, cropped)


def as_jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    """Stored as JPEG and read again. quality: 1 to 95, as Pillow has it"""

    def stored(image: Image.Image) -> Image.Image:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality)
        return Image.open(file)

    return _through_pillow(pixels, stored)


EDITS: dict[str, Edit] = {f.__name__: f for f in (brightness, noise, shift, rotation, jpeg, crop)}


def _through_pillow(pixels: np.ndarray, change: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    if pixels.shape[1] == 1:
        return np.stack([np.asarray(change(Image.fromarray(image[0])))[None] for image in pixels])
    pictures = [Image.fromarray(np.ascontiguousarray(np.moveaxis(image, 0, -1))) for image in pixels]
    return np.stack([np.moveaxis(np.asarray(change(picture)), -1, 0) for picture in pictures])


def _uint8(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
