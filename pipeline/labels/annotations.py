"""Labels that several people gave to the same items: a CSV or Parquet file, one row a label.

Columns: item_id, annotator, label (name of a class).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from pipeline.core.errors import SourceError
from pipeline.labels.label_names import LabelNames

COLUMNS = ("item_id", "annotator", "label")


@dataclass(frozen=True)
class Annotations:
    """rows: int64 (A,), the items that somebody labelled, ascending; annotators: their M names, sorted;
    labels: float64 (A, M), index of the class that each gave, NaN where none."""

    rows: np.ndarray
    annotators: tuple[str, ...]
    labels: np.ndarray


def read(path: Path, item_ids: Sequence[str], classes: Sequence[str]) -> Annotations:
    """item_ids: of all items, in their order. SourceError names what in the file cannot be."""
    table = _read(path)
    names = LabelNames(path, item_ids, classes)
    columns = (table[name].to_pylist() for name in COLUMNS)
    given: dict[tuple[int, str], int] = {}
    for item, annotator, label in zip(*columns, strict=True):
        if not (item and annotator and label):
            raise SourceError(
                f"{path}: a row says item_id {item!r}, annotator {annotator!r}, label {label!r}; "
                "none of them may be empty. Complete the row, or take it out."
            )
        key = (names.row(item), annotator)
        if key in given:
            raise SourceError(f"{path}: {annotator!r} labelled item {item!r} twice. Keep one of the rows.")
        given[key] = names.index(label, item)
    rows, row = np.unique([row for row, _ in given], return_inverse=True)
    annotators, column = np.unique([name for _, name in given], return_inverse=True)
    labels = np.full((len(rows), len(annotators)), np.nan)
    labels[row, column] = list(given.values())
    return Annotations(rows, tuple(annotators.tolist()), labels)


def _read(path: Path) -> pa.Table:
    """The three columns as text: a class named 07 is no number."""
    if not path.is_file():
        raise SourceError(f"{path}: no such file. Put it there, or set label.annotations to null.")
    schema = pa.schema([(name, pa.string()) for name in COLUMNS])
    try:
        if path.suffix == ".parquet":
            table = pq.read_table(path)
        else:
            options = pyarrow.csv.ConvertOptions(column_types=schema)
            table = pyarrow.csv.read_csv(path, convert_options=options)
        if set(table.column_names) == set(COLUMNS) and table.num_rows:
            return table.select(COLUMNS).cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise SourceError(f"{path}: not a table of text that can be read: {error}. Write it anew.") from error
    raise SourceError(
        f"{path}: {table.num_rows} rows with the columns {', '.join(table.column_names)}; it must have rows, "
        f"and the columns {', '.join(COLUMNS)}."
    )
