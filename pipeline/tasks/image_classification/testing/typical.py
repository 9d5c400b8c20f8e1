"""The images of each class that are most like their mean: the simple cases that any network must know."""

import numpy as np

from pipeline.tasks.image_classification.data.dataset import Split
from pipeline.tasks.image_classification.testing.samples import taken

VALUES = 2**22  # pixel values in memory at once


def of_each_class(split: Split, images: int) -> Split:
    """Of each class the images (at most so many) nearest to its mean image, by Euclidean distance, the
    nearest first. Reads the split twice, a part at a time: it may be larger than memory."""
    labels = split.labels
    known = np.unique(labels)
    part = max(1, VALUES // split.pixels[0].size)
    parts = [slice(start, start + part) for start in range(0, len(split), part)]
    means = np.zeros((int(known.max()) + 1, split.pixels[0].size))
    for rows in parts:
        flat = _flat(split.pixels[rows])
        for label in np.unique(labels[rows]):
            means[label] += flat[labels[rows] == label].sum(0, dtype=np.float64)
    means /= np.maximum(np.bincount(labels), 1)[:, None]
    means = means.astype(np.float32)
    distance = np.empty(len(split), dtype=np.float32)
    for rows in parts:
        distance[rows] = np.square(_flat(split.pixels[rows]) - means[labels[rows]]).sum(1)
    nearest = [
        of_class[np.argsort(distance[of_class], kind="stable")][:images]
        for of_class in (np.flatnonzero(labels == label) for label in known)
    ]
    return taken(split, np.concatenate(nearest))


def _flat(pixels: np.ndarray) -> np.ndarray:
    return pixels.reshape(len(pixels), -1).astype(np.float32)
