"""The image table: one row an image, beside one array of pixels in the same order.

Columns of items.parquet
    item_id        str    SOURCE:PART:INDEX, stable and unique
    source         str    name of the source in params.yaml
    part           str    published part: "train", "test" or ""
    source_index   int64  the image's place in the published file, from 0
    content        str    SHA-256 of the pixels, first 16 hex digits
    label          int64  index into collect.classes
images.npy         uint8 (N, C, H, W)
"""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

TABLE = "items.parquet"
PIXELS = "images.npy"


def table(source: str, part: str, pixels: np.ndarray, labels: np.ndarray) -> pa.Table:
    """pixels: uint8 (N, C, H, W); labels: int64 (N,)"""
    n = len(labels)
    return pa.table(
        {
            "item_id": [f"{source}:{part or 'all'}:{i}" for i in range(n)],
            "source": pa.array([source] * n, pa.string()),
            "part": pa.array([part] * n, pa.string()),
            "source_index": np.arange(n),
            "content": [content(image) for image in pixels],
            "label": labels,
        }
    )


def content(image: np.ndarray) -> str:
    """image: uint8 (C, H, W)"""
    return hashlib.sha256(image.tobytes()).hexdigest()[:16]


def concatenate(tables: list[pa.Table]) -> pa.Table:
    return pa.concat_tables(tables)


def write(folder: Path, rows: pa.Table, pixels: np.ndarray) -> None:
    pq.write_table(rows, folder / TABLE)
    np.save(folder / PIXELS, pixels)


def read(folder: Path) -> tuple[pa.Table, np.ndarray]:
    """The table, and the pixels memory-mapped (nothing is read until it is used)."""
    return pq.read_table(folder / TABLE), np.load(folder / PIXELS, mmap_mode="r")
