"""The prepared data: what `prepare` writes for each split, and reading it back.

images.npy    uint8 (N, C, H, W), memory-mapped when read
labels.npy    int64 (N,), index into collect.classes
ids.npy       str (N,), item_id of the image table
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Split:
    pixels: np.ndarray
    labels: np.ndarray
    ids: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


def write_split(folder: Path, pixels: np.ndarray, labels: np.ndarray, ids: np.ndarray) -> None:
    folder.mkdir()
    np.save(folder / "images.npy", pixels)
    np.save(folder / "labels.npy", labels)
    np.save(folder / "ids.npy", ids)


def read_split(folder: Path) -> Split:
    return Split(
        np.load(folder / "images.npy", mmap_mode="r"),
        np.load(folder / "labels.npy"),
        np.load(folder / "ids.npy"),
    )
