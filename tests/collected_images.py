"""What `collect` leaves of images that are at hand already."""

from pathlib import Path

import numpy as np

from pipeline.tasks.image_classification.data import items
from pipeline.tasks.image_classification.data.formats import Images


def write(folder: Path, part: str, pixels: np.ndarray, labels: np.ndarray, source: str = "drawn") -> None:
    """pixels: uint8 (N, C, H, W); labels: int64 (N,)"""
    with items.writing(folder, pixels.shape[1:]) as writer:
        writer.add(source, Images(part, pixels, labels))
