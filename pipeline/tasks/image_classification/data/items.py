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
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.tasks.image_classification.data.formats import Images

TABLE = "items.parquet"
PIXELS = "images.npy"
ROWS = 1 << 14  # of a row group: what waits in memory
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
    """Appends images to an open array and an open table, so that memory holds one batch of pixels and at most
    ROWS rows."""

    def __init__(self, pixels: BinaryIO, table: pq.ParquetWriter) -> None:
        self._pixels, self._table = pixels, table
        self._waiting: list[pa.Table] = []
        self.counts: Counter[tuple[str, str]] = Counter()  # images of each source and part
        self.labels: Counter[int] = Counter()  # images of each class
        self.captured: dict[
            str, tuple[datetime, datetime]
        ] = {}  # first and last time of a source that says any

    def add(self, source: str, images: Images) -> None:
        n, part = len(images.labels), images.part
        first = self.counts[source, part]
        self.counts[source, part] += n
        self.labels.update(images.labels.tolist())
        if times := [*self.captured.get(source, ()), *(time for time in images.times if time is not None)]:
            self.captured[source] = min(times), max(times)
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
        self._waiting.append(pa.table(columns, SCHEMA))
        if sum(table.num_rows for table in self._waiting) >= ROWS:
            self.flush()
        self._pixels.write(np.ascontiguousarray(images.pixels).data)

    @property
    def rows(self) -> int:
        """Images so far."""
        return self.counts.total()

    def flush(self) -> None:
        """Writes the rows that wait, as a row group."""
        if self._waiting:
            self._table.write_table(pa.concat_tables(self._waiting))
            self._waiting = []


def content(image: np.ndarray) -> str:
    """image: uint8 (C, H, W)"""
    return hashlib.sha256(image.tobytes()).hexdigest()[:16]


@contextmanager
def writing(folder: Path, image: tuple[int, int, int]) -> Iterator[Writer]:
    """Writes items.parquet and images.npy into `folder`. image: (C, H, W) of every image."""
    with (folder / PIXELS).open("wb") as file, pq.ParquetWriter(folder / TABLE, SCHEMA) as table:
        _write_header(file, 0, image)
        writer = Writer(file, table)
        yield writer
        writer.flush()
        # NumPy leaves room in the header for the first axis to grow in place.
        file.seek(0)
        _write_header(file, writer.rows, image)


def _write_header(file: BinaryIO, count: int, image: tuple[int, int, int]) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": (count, *image)}
    np.lib.format.write_array_header_1_0(file, header)


def read(folder: Path) -> tuple[pa.Table, np.ndarray]:
    """The table, and the pixels memory-mapped (nothing is read until it is used)."""
    return pq.read_table(folder / TABLE), np.load(folder / PIXELS, mmap_mode="r")
