"""Near duplicates: the same picture again, brightened, shifted, turned or compressed.

Perceptual hashes of 64 bits do not tell small drawings apart, so each image is compared with all others
in two steps: the CANDIDATES nearest ones by their blurred, downsampled, normalised look, and of these the
one with the best normalised cross-correlation (Lewis 1995, "Fast normalized cross-correlation") over
shifts of up to SHIFT pixels. What correlation says "near duplicate" depends on how alike the unrelated
images of a collection are; `threshold` measures that.
"""

from dataclasses import dataclass

import numpy as np

SIDE = 32  # pixels; larger images are compared at this size
LOOK = 14  # pixels a side of the blurred, downsampled look
DIMENSIONS = 48  # principal components kept of it
CANDIDATES = 8  # nearest looks that are compared pixel by pixel
SHIFT = 2  # pixels, either way, along both axes
BLOCK = 512  # queries compared with all others at once: 120 MB of similarities among 60,000 images
IMAGES = 4096  # images that are floats at once
PAIRS = 1024  # pairs correlated at once
FITTED = 10_000  # images that the principal components are fitted to, spread over all


@dataclass(frozen=True)
class Collection:
    """Images that others are looked for among.

    pixels: uint8 (N, C, h, w), neither side above SIDE; components: float32 (LOOK², D);
    looks: float32 (N, D)
    """

    pixels: np.ndarray
    components: np.ndarray
    looks: np.ndarray


def collection(pixels: np.ndarray) -> Collection:
    """pixels: uint8 (N, C, H, W), N > 0"""
    small = _at_most(pixels, SIDE)
    some = looks(small[:: -(-len(small) // FITTED)])
    _, vectors = np.linalg.eigh(some.T @ some)
    components = np.ascontiguousarray(vectors[:, : -DIMENSIONS - 1 : -1])
    return Collection(small, components, looks(small) @ components)


def nearest(
    among: Collection, pixels: np.ndarray, own: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The most alike image of a collection: its row, int64 (M,), and the correlation, float32 (M,).

    pixels: uint8 (M, C, H, W) of the collection's original size; own: int64 (M,), a row that does not
    count for each image, because it is the image itself; -1 where there is none
    """
    small = _at_most(pixels, SIDE)
    found = _candidates(among, looks(small) @ among.components, own)
    values = np.empty(found.shape, dtype=np.float32)
    for start in range(0, len(small), PAIRS):
        block = slice(start, start + PAIRS)
        for k in range(found.shape[1]):
            values[block, k] = correlation(small[block], among.pixels[found[block, k]])
    if own is not None:
        values[found == own[:, None]] = -1
    best = values.argmax(1)
    rows = np.arange(len(small))
    return found[rows, best], values[rows, best]


def threshold(unrelated: np.ndarray, false_alarms: float) -> float:
    """The correlation that a share of `false_alarms` of unrelated images exceeds.

    unrelated: float (M,), correlations of images with the most alike one of others
    """
    return float(np.quantile(unrelated, 1 - false_alarms))


def correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Best normalised cross-correlation of each pair over all shifts, float32 (M,) in [-1, 1].

    first, second: uint8 (M, C, H, W). The middle of `first`, SHIFT pixels short of each edge, is laid on
    every place of `second`; colour channels count together. 0 where either shows nothing at all.
    """
    from scipy import fft

    inner = slice(SHIFT, -SHIFT)
    height, width = first.shape[2] - 2 * SHIFT, first.shape[3] - 2 * SHIFT
    template = np.zeros(first.shape, dtype=np.float32)
    template[:, :, :height, :width] = first[:, :, inner, inner]
    middle = template[:, :, :height, :width]
    middle -= middle.mean(axis=(1, 2, 3), keepdims=True)
    size = np.sqrt(np.square(middle).sum(axis=(1, 2, 3)))
    other = second.astype(np.float32)
    # A product of spectra is a circular correlation; the template is short by the shifts, so none wraps.
    product = np.conj(fft.rfft2(template)) * fft.rfft2(other)
    places = 2 * SHIFT + 1
    sums = fft.irfft2(product.sum(axis=1), s=first.shape[2:])[:, :places, :places]
    area = first.shape[1] * height * width
    # Integers, so that flat windows come out as exactly flat.
    total = _windows(second.sum(axis=1, dtype=np.int64), height, width)
    squares = _windows(np.square(second.astype(np.int64)).sum(axis=1), height, width)
    spread = np.sqrt(np.maximum(squares - total * (total / area), 0))
    scale = size[:, None, None] * spread
    values = np.where(scale > 1, sums / np.maximum(scale, 1), 0)
    return np.asarray(values.max(axis=(1, 2)).clip(-1, 1), dtype=np.float32)


def _windows(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Sums int64 (M, 5, 5) over windows of height x width of int64 (M, H, W), from cumulative sums."""
    table = np.pad(values, ((0, 0), (1, 0), (1, 0))).cumsum(axis=1).cumsum(axis=2)
    upper, lower = table[:, :-height], table[:, height:]
    return np.asarray(lower[:, :, width:] - lower[:, :, :-width] - upper[:, :, width:] + upper[:, :, :-width])


def _candidates(among: Collection, looks: np.ndarray, own: np.ndarray | None) -> np.ndarray:
    """Rows of the CANDIDATES nearest looks, int64 (M, CANDIDATES); fewer where there are fewer images."""
    count = min(CANDIDATES, len(among.looks))
    found = np.empty((len(looks), count), dtype=np.int64)
    for start in range(0, len(looks), BLOCK):
        alike = looks[start : start + BLOCK] @ among.looks.T
        rows = np.arange(len(alike))
        if own is not None:
            known = own[start : start + BLOCK] >= 0
            alike[rows[known], own[start : start + BLOCK][known]] = -np.inf
        for k in range(count):  # a pass over the maxima is cheaper than a partition for so few
            best = alike.argmax(1)
            found[start : start + BLOCK, k] = best
            alike[rows, best] = -np.inf
    return found


def looks(pixels: np.ndarray) -> np.ndarray:
    """float32 (N, LOOK²): grey, blurred, downsampled, of mean 0 and length 1 (0 for a blank image)."""
    found = np.empty((len(pixels), LOOK * LOOK), dtype=np.float32)
    for start in range(0, len(pixels), IMAGES):
        grey = pixels[start : start + IMAGES].mean(axis=1, dtype=np.float32)
        flat = _resized(grey, LOOK, LOOK).reshape(len(grey), -1)
        flat -= flat.mean(axis=1, keepdims=True)
        length = np.sqrt(np.square(flat).sum(axis=1, keepdims=True))
        found[start : start + IMAGES] = np.where(length > 1, flat / np.maximum(length, 1), 0)
    return found


def _at_most(pixels: np.ndarray, side: int) -> np.ndarray:
    """uint8 (N, C, h, w), shrunk where a side is longer than `side`; else the same array."""
    height, width = (min(size, side) for size in pixels.shape[2:])
    if (height, width) == pixels.shape[2:]:
        return pixels
    small = np.empty((*pixels.shape[:2], height, width), dtype=np.uint8)
    for start in range(0, len(pixels), IMAGES):
        block = pixels[start : start + IMAGES].astype(np.float32)
        small[start : start + IMAGES] = np.rint(_resized(block, height, width))
    return small


def _resized(images: np.ndarray, height: int, width: int) -> np.ndarray:
    """float32 (..., height, width) of float32 (..., H, W)."""
    down, across = _kernel(images.shape[-2], height), _kernel(images.shape[-1], width)
    return np.asarray(down @ (images @ across.T))


def _kernel(size: int, target: int) -> np.ndarray:
    """float32 (target, size): each row averages around its place, a Gaussian half a target pixel wide."""
    step = size / target
    centre = (np.arange(target) + 0.5) * step - 0.5
    weight = np.exp(-0.5 * np.square((np.arange(size) - centre[:, None]) / (step / 2)))
    return np.asarray(weight / weight.sum(axis=1, keepdims=True), dtype=np.float32)
