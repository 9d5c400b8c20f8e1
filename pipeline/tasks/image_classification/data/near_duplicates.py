"""Near duplicates: the same picture again, brightened, shifted, turned or compressed.

Perceptual hashes of 64 bits do not tell small drawings apart, so each image is compared with all others
in two steps: the CANDIDATES nearest ones by their centred, blurred, downsampled, normalised look, and of
these the best normalised cross-correlation (Lewis 1995, "Fast normalized cross-correlation") over shifts
of up to SHIFT pixels.

What correlation says "near duplicate" depends on how alike unrelated images are, which differs between
collections and within them: one 1 is like many others, one 8 like none. So an image is a near duplicate if
its best correlation is higher than unrelated images reach, or if it stands out from the second best by
more than they do (the ratio test of Lowe 2004, "Distinctive image features", on 1 - correlation). The
first finds copies that are there several times, the second those that were changed more.
"""

from dataclasses import dataclass

import numpy as np

SIDE = 32  # pixels; larger images are compared at this size
LOOK = 14  # pixels a side of the blurred, downsampled look
DIMENSIONS = 32  # principal components kept of it
CANDIDATES = 8  # nearest looks that are compared pixel by pixel
SHIFT = 2  # pixels, either way, along both axes
PLACES = (2 * SHIFT + 1) ** 2
BLOCK = 512  # queries compared with all others at once: 120 MB of similarities among 60,000 images
IMAGES = 2048  # images that are floats at once
QUERIES = 128  # images correlated with their candidates at once
FITTED = 10_000  # images that the principal components are fitted to, spread over all
BY_RATIO = 0.8  # share of the false alarms spent on the ratio, which finds what is harder to find
SMALLEST = 1e-4  # of 1 - correlation: what lies below is one grey level here and there

NOWHERE = np.zeros((), dtype=np.float32)


@dataclass(frozen=True)
class Collection:
    """Images that others are looked for among.

    pixels: uint8 (N, C, h, w), neither side above SIDE; components: float32 (LOOK², D);
    looks: float32 (N, D); spread: float32 (N, PLACES), root of the sum of squared deviations in each window
    """

    pixels: np.ndarray
    components: np.ndarray
    looks: np.ndarray
    spread: np.ndarray


@dataclass(frozen=True)
class Likeness:
    """row: int64 (M,), the most alike image; correlation: float32 (M,) with it, in [-1, 1];
    ratio: float32 (M,), 1 - correlation over that of the second best, in [0, 1]; small stands out."""

    row: np.ndarray
    correlation: np.ndarray
    ratio: np.ndarray


@dataclass(frozen=True)
class Limits:
    """From which correlation, or below which ratio, two images are near duplicates."""

    correlation: float
    ratio: float

    def passed(self, likeness: Likeness) -> np.ndarray:
        """bool (M,)"""
        return (likeness.correlation >= self.correlation) | (likeness.ratio <= self.ratio)


def calibrated(unrelated: Likeness, false_alarms: float) -> Limits:
    """Limits that at most a share of `false_alarms` of unrelated images pass."""
    return Limits(
        correlation=float(np.quantile(unrelated.correlation, 1 - (1 - BY_RATIO) * false_alarms)),
        ratio=float(np.quantile(unrelated.ratio, BY_RATIO * false_alarms)),
    )


def collection(pixels: np.ndarray) -> Collection:
    """pixels: uint8 (N, C, H, W), N > 0"""
    small = _at_most(pixels, SIDE)
    found = looks(small, centred=True)
    some = found[:: -(-len(small) // FITTED)]
    _, vectors = np.linalg.eigh(some.T @ some)
    components = np.ascontiguousarray(vectors[:, : -DIMENSIONS - 1 : -1])
    return Collection(small, components, found @ components, _spread(small))


def nearest(among: Collection, pixels: np.ndarray, own: np.ndarray | None = None) -> Likeness:
    """The most alike image of a collection, for each image.

    pixels: uint8 (M, C, H, W) of the collection's original size; own: int64 (M,), the row that does not
    count because it is the image itself
    """
    small = _at_most(pixels, SIDE)
    found = _candidates(among, looks(small, centred=True) @ among.components, own)
    values = np.concatenate([np.zeros((0, found.shape[1]), np.float32)] + [
        correlations(small[start : start + QUERIES], among.pixels[rows], among.spread[rows])
        for start in range(0, len(small), QUERIES)
        for rows in [found[start : start + QUERIES]]
    ])  # fmt: skip
    if own is not None:
        values[found == own[:, None]] = -1
    order = np.argsort(-values, axis=1, kind="stable")
    ranked = np.take_along_axis(values, order, axis=1)
    best, second = ranked[:, 0], ranked[:, min(1, ranked.shape[1] - 1)]
    ratio = np.maximum(1 - best, SMALLEST) / np.maximum(1 - second, SMALLEST)
    return Likeness(found[np.arange(len(found)), order[:, 0]], best, ratio)


def correlations(pixels: np.ndarray, others: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Best normalised cross-correlation of each image with each of its K others, float32 (M, K).

    pixels: uint8 (M, C, H, W); others: uint8 (M, K, C, H, W); spread: float32 (M, K, PLACES) of the others
    The middle of each image, SHIFT pixels short of every edge, is laid on every place of the others; colour
    channels count together. 0 where either shows nothing at all.
    """
    m, channels, height, width = pixels.shape
    middle = pixels[:, :, SHIFT:-SHIFT, SHIFT:-SHIFT].astype(np.float32)
    middle -= middle.mean(axis=(1, 2, 3), keepdims=True)
    size = np.sqrt(np.square(middle).sum(axis=(1, 2, 3)))
    laid = np.zeros((m, PLACES, channels, height, width), dtype=np.float32)
    for place, (y, x) in enumerate(_places()):
        laid[:, place, :, y : y + middle.shape[2], x : x + middle.shape[3]] = middle
    # The template has mean 0, so the mean of what lies below it drops out.
    flat = others.reshape(m, others.shape[1], -1).astype(np.float32)
    sums = flat @ laid.reshape(m, PLACES, -1).transpose(0, 2, 1)
    scale = size[:, None, None] * spread
    values = np.where(scale > 1, sums / np.maximum(scale, 1), 0)
    return np.asarray(values.max(axis=2).clip(-1, 1), dtype=np.float32)


def looks(pixels: np.ndarray, centred: bool) -> np.ndarray:
    """float32 (N, LOOK²): grey, blurred, downsampled, of mean 0 and length 1 (0 for a blank image).

    centred: with what differs from the median colour in the middle, so that a shift changes nothing
    """
    found = np.empty((len(pixels), LOOK * LOOK), dtype=np.float32)
    for start in range(0, len(pixels), IMAGES):
        grey = pixels[start : start + IMAGES].mean(axis=1, dtype=np.float32)
        small = _resized(grey, LOOK, LOOK, *_middle(grey)) if centred else _resized(grey, LOOK, LOOK)
        flat = small.reshape(len(grey), -1)
        flat -= flat.mean(axis=1, keepdims=True)
        length = np.sqrt(np.square(flat).sum(axis=1, keepdims=True))
        found[start : start + IMAGES] = np.where(length > 1, flat / np.maximum(length, 1), 0)
    return found


def _middle(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many pixels down and across what differs from the median colour lies off the middle, (N,)."""
    height, width = grey.shape[1:]
    weight = np.square(grey - np.median(grey, axis=(1, 2), keepdims=True))
    mass = np.maximum(weight.sum(axis=(1, 2)), 1)
    down = weight.sum(axis=2) @ np.arange(height, dtype=np.float32) / mass - (height - 1) / 2
    across = weight.sum(axis=1) @ np.arange(width, dtype=np.float32) / mass - (width - 1) / 2
    return np.where(mass > 1, down, 0), np.where(mass > 1, across, 0)


def _candidates(among: Collection, projected: np.ndarray, own: np.ndarray | None) -> np.ndarray:
    """Rows of the CANDIDATES nearest looks, int64 (M, CANDIDATES); fewer where there are fewer images."""
    count = min(CANDIDATES, len(among.looks))
    found = np.empty((len(projected), count), dtype=np.int64)
    for start in range(0, len(projected), BLOCK):
        alike = projected[start : start + BLOCK] @ among.looks.T
        rows = np.arange(len(alike))
        if own is not None:
            alike[rows, own[start : start + BLOCK]] = -np.inf
        for k in range(count):  # a pass over the maxima is cheaper than a partition for so few
            best = alike.argmax(1)
            found[start : start + BLOCK, k] = best
            alike[rows, best] = -np.inf
    return found


def _places() -> list[tuple[int, int]]:
    return [(y, x) for y in range(2 * SHIFT + 1) for x in range(2 * SHIFT + 1)]


def _spread(pixels: np.ndarray) -> np.ndarray:
    """float32 (N, PLACES) of uint8 (N, C, H, W), from cumulative sums: float64 holds them exactly."""
    found = np.empty((len(pixels), PLACES), dtype=np.float32)
    height, width = (size - 2 * SHIFT for size in pixels.shape[2:])
    area = pixels.shape[1] * height * width
    for start in range(0, len(pixels), IMAGES):
        block = pixels[start : start + IMAGES].astype(np.float64)
        total, squares = (_windows(v.sum(axis=1), height, width) for v in (block, np.square(block)))
        found[start : start + IMAGES] = np.sqrt(np.maximum(squares - total * total / area, 0))
    return found


def _windows(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Sums float64 (N, PLACES) over windows of height x width of float64 (N, H, W)."""
    table = np.pad(values, ((0, 0), (1, 0), (1, 0))).cumsum(axis=1).cumsum(axis=2)
    rows = table[:, height:] - table[:, :-height]
    return np.asarray((rows[:, :, width:] - rows[:, :, :-width]).reshape(len(values), -1))


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


def _resized(
    images: np.ndarray, height: int, width: int, down: np.ndarray = NOWHERE, across: np.ndarray = NOWHERE
) -> np.ndarray:
    """float32 (..., height, width) of float32 (..., H, W), moved by `down` and `across` pixels of the old."""
    rows, columns = _kernel(images.shape[-2], height, down), _kernel(images.shape[-1], width, across)
    return np.asarray(rows @ (images @ columns.swapaxes(-1, -2)))


def _kernel(size: int, target: int, off: np.ndarray) -> np.ndarray:
    """float32 (..., target, size): each row averages around its place, a Gaussian half a target pixel wide.

    off: float (...), pixels by which the places are moved
    """
    step = size / target
    places = (np.arange(target, dtype=np.float32) + 0.5) * step - 0.5 + off[..., None]
    nearest = places.clip(0, size - 1)[..., None]
    weight = np.exp(-0.5 * np.square((np.arange(size, dtype=np.float32) - nearest) / (step / 2)))
    return np.asarray(weight / weight.sum(axis=-1, keepdims=True), dtype=np.float32)
