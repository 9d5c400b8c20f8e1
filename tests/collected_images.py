"""What `collect` leaves of images that are at hand already."""

from pathlib import Path

import numpy as np

from pipeline.tasks.image_classification.data import items
from pipeline.tasks.image_classification.data.formats import Images


def write(folder: Path, parts: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """parts: of each published part, pixels uint8 (N, C, H, W) and labels int64 (N,)"""
    shape = next(iter(parts.values()))[0].shape[1:]
    with items.writing(folder, shape) as writer:
        for part, (pixels, labels) in parts.items():
            writer.add("drawn", Images(part, pixels, labels))
