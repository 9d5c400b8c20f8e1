"""The prepared data: what `prepare` writes for each split, and reading it back.

images.npy    uint8 (N, C, H, W), memory-mapped when read
labels.npy    int64 (N,), index into collect.classes
ids.npy       str (N,), item_id of the image table
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

CHUNK = 4096  # images


@dataclass(frozen=True)
class Split:
    pixels: np.ndarray
    labels: np.ndarray
    ids: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


def write_split(
    folder: Path, pixels: np.ndarray, labels: np.ndarray, ids: np.ndarray, rows: np.ndarray
) -> None:
    """Writes the images at `rows`, int (n,), of all (N, ...); n > 0. Copies CHUNK images at a time, so that
    pixels may be memory-mapped and larger than memory."""
    folder.mkdir()
    images = np.lib.format.open_memmap(
        folder / "images.npy", "w+", pixels.dtype, shape=(len(rows), *pixels.shape[1:])
    )
    for start in range(0, len(rows), CHUNK):
        images[start : start + CHUNK] = pixels[rows[start : start + CHUNK]]
    images.flush()
    np.save(folder / "labels.npy", labels[rows])
    np.save(folder / "ids.npy", ids[rows])


def read_split(folder: Path) -> Split:
    return Split(
        np.load(folder / "images.npy", mmap_mode="r"),
        np.load(folder / "labels.npy"),
        np.load(folder / "ids.npy"),
    )
