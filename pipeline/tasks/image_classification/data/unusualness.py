"""Images that do not belong: blank, inverted, noise, of another domain. How unusual each one is.

The score is a Mahalanobis distance of a few simple features, made robust: they are centred by medians,
scaled by median absolute deviations, and their covariance is that of the CORE of the images (one step
of reweighting, after Rousseeuw and van Driessen 1999), so that a tenth of rubbish hides nothing.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.tasks.image_classification.data import pixels as pixel_code
from pipeline.tasks.image_classification.data.near_duplicates import looks

SHAPES = 24  # principal components of the look of an image
CORE = 0.9  # share of the images that the covariance is taken of
IMAGES = 4096  # images that are floats at once
FITTED = 10_000  # images that the components are fitted to, spread over all
MAD = 1.4826  # standard deviation of a normal distribution over its median absolute deviation
LOGARITHMIC = ("contrast", "sharpness", "noise")  # what is a ratio: a blank image is far away, not near 0
SMALLEST = 1e-3  # added before the logarithm: a quarter of a grey level
FEATURES = (*pixel_code.PROPERTIES, "unexplained", *(f"shape_{i}" for i in range(SHAPES)))


@dataclass(frozen=True)
class Detector:
    """components: float32 (LOOK², SHAPES); middle, scale: float64 (F,); precision: float64 (F, F)."""

    components: np.ndarray
    middle: np.ndarray
    scale: np.ndarray
    precision: np.ndarray


def fit(pixels: np.ndarray) -> tuple[Detector, np.ndarray]:
    """The detector, and the features of the images it was fitted to. pixels: uint8 (N, C, H, W), N > 0"""
    some = looks(pixels[:: -(-len(pixels) // FITTED)], centred=False)
    _, vectors = np.linalg.eigh(some.T @ some)
    components = np.ascontiguousarray(vectors[:, : -SHAPES - 1 : -1])
    found = features(pixels, components)
    middle = np.median(found, axis=0)
    scale = MAD * np.median(np.abs(found - middle), axis=0)
    # A feature that is the same in most images has no deviation of its own to be measured by.
    scale = np.where(scale > 0, scale, np.maximum(found.std(axis=0), SMALLEST))
    standard = (found - middle) / scale
    distance = np.square(standard).sum(axis=1)
    core = standard[distance <= np.quantile(distance, CORE)]
    spread = core.T @ core / len(core)
    # A little of the identity, so that few images or constant features leave it invertible.
    precision = np.linalg.inv(spread + 0.01 * np.eye(len(spread)))
    return Detector(components, middle, scale, precision), found


def scores(detector: Detector, found: np.ndarray) -> np.ndarray:
    """How unusual, float64 (N,), 0 upwards: root of the mean square deviation, in standard deviations."""
    standard = (found - detector.middle) / detector.scale
    squares = np.einsum("nf,fg,ng->n", standard, detector.precision, standard, optimize=True)
    return np.asarray(np.sqrt(np.maximum(squares, 0) / standard.shape[1]))


def reasons(detector: Detector, found: np.ndarray) -> list[str]:
    """Of each image the feature that is farthest from the middle, and by how many deviations."""
    standard = (found - detector.middle) / detector.scale
    worst = np.abs(standard).argmax(axis=1)
    return [f"{FEATURES[k]} {standard[i, k]:+.1f}" for i, k in enumerate(worst)]


def features(pixels: np.ndarray, components: np.ndarray) -> np.ndarray:
    """float64 (N, F), columns FEATURES. unexplained: share of the look that the components leave."""
    columns = np.empty((len(pixels), len(FEATURES)))
    for start in range(0, len(pixels), IMAGES):
        block = np.asarray(pixels[start : start + IMAGES])
        said = pixel_code.properties(block)
        for name in LOGARITHMIC:
            said[name] = np.log(said[name] + SMALLEST)
        look = looks(block, centred=False)
        shape = look @ components
        left = 1 - np.square(shape).sum(axis=1)
        columns[start : start + IMAGES] = np.column_stack([*said.values(), left, shape])
    return columns
