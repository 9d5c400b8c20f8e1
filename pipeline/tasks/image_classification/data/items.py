"""The image table: one row an image, beside one array of pixels in the same order.

Columns of items.parquet
    item_id        str    SOURCE:PART:INDEX, or SOURCE:FILE; stable and unique
    source         str    name of the source in params.yaml
    part           str    published part: "train", "test" or ""
    source_index   int64  the image's place in the published file, or among the sound files, from 0
    file           str    the image's file in the source's folder, "" where one file holds all images
    group          str    images of one group stay on one side of the split; "" for none
    time           timestamp[ms, UTC]  when it was captured; null where the source says nothing of it
    labelled_by    str    who said the label; "" where the source says nothing of it: label.policy does
    content        str    SHA-256 of the pixels, first 16 hex digits
    label          int64  index into collect.classes
images.npy         uint8 (N, C, H, W)
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.tasks.image_classification.data.formats import Images

TABLE = "items.parquet"
PIXELS = "images.npy"
SCHEMA = pa.schema(
    {
        **dict.fromkeys(("item_id", "source", "part"), pa.string()),
        "source_index": pa.int64(),
        **dict.fromkeys(("file", "group"), pa.string()),
        "time": pa.timestamp("ms", "UTC"),
        **dict.fromkeys(("labelled_by", "content"), pa.string()),
        "label": pa.int64(),
    }
)


class Writer:
    """Appends images to an open array, so that memory holds one batch of pixels and the table."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._tables: list[pa.Table] = []
        self.counts: Counter[tuple[str, str]] = Counter()  # images of each source and part

    def add(self, source: str, images: Images) -> None:
        n, part = len(images.labels), images.part
        first = self.counts[source, part]
        self.counts[source, part] += n
        if images.files:
            ids = [f"{source}:{file}" for file in images.files]
        else:
            ids = [f"{source}:{part or 'all'}:{i}" for i in range(first, first + n)]
        columns = {
            "item_id": ids,
            "source": [source] * n,
            "part": [part] * n,
            "source_index": np.arange(first, first + n),
            "file": images.files or [""] * n,
            "group": images.groups or [""] * n,
            "time": images.times or [None] * n,
            "labelled_by": images.by or [""] * n,
            "content": [content(image) for image in images.pixels],
            "label": images.labels,
        }
        self._tables.append(pa.table(columns, SCHEMA))
        self._file.write(np.ascontiguousarray(images.pixels).data)

    @property
    def table(self) -> pa.Table:
        """All rows so far."""
        return pa.concat_tables(self._tables) if self._tables else SCHEMA.empty_table()


def content(image: np.ndarray) -> str:
    """image: uint8 (C, H, W)"""
    return hashlib.sha256(image.tobytes()).hexdigest()[:16]


@contextmanager
def writing(folder: Path, image: tuple[int, int, int]) -> Iterator[Writer]:
    """Writes items.parquet and images.npy into `folder`. image: (C, H, W) of every image."""
    with (folder / PIXELS).open("wb") as file:
        _write_header(file, 0, image)
        writer = Writer(file)
        yield writer
        table = writer.table
        # NumPy leaves room in the header for the first axis to grow in place.
        file.seek(0)
        _write_header(file, table.num_rows, image)
    pq.write_table(table, folder / TABLE)


def _write_header(file: BinaryIO, count: int, image: tuple[int, int, int]) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": (count, *image)}
    np.lib.format.write_array_header_1_0(file, header)


def read(folder: Path) -> tuple[pa.Table, np.ndarray]:
    """The table, and the pixels memory-mapped (nothing is read until it is used)."""
    return pq.read_table(folder / TABLE), np.load(folder / PIXELS, mmap_mode="r")
