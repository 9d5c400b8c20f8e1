"""Rows of a table of pictures and labels: CSV with a header (UTF-8) or Parquet."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from pipeline.core.errors import SourceError
from pipeline.tasks.image_classification.data.listing import refusal


def rows(root: Path, table: str, columns: Sequence[str | None], source: str) -> list[tuple[str, ...]]:
    """The values of these columns in each row, "" where there is none.

    root: resolved; table: relative to it; source: its name, for messages. SourceError where the table is
    not there, cannot be read or lacks a column.
    """
    refused = refusal(root, table)
    if refused is not None:
        raise SourceError(f"{source}: labels {table}: {refused}. Correct the source's `labels`.")
    try:
        found = _read(root / table)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{root / table}: cannot be read as a table ({error}).") from None
    missing = [name for name in columns if name is not None and name not in found.column_names]
    if missing:
        raise SourceError(
            f"{root / table}: no column {', '.join(map(repr, missing))}; {source} needs it. There are: "
            f"{', '.join(found.column_names)}. Correct the table, or `columns` of {source} in params.yaml."
        )
    empty = [""] * found.num_rows
    values = [
        empty if name is None else [value or "" for value in found[name].cast(pa.string()).to_pylist()]
        for name in columns
    ]
    return list(zip(*values, strict=True))


def _read(path: Path) -> pa.Table:
    if path.suffix == ".parquet":
        return pq.read_table(path)
    with pyarrow.csv.open_csv(path) as reader:
        names = reader.schema.names
    # As text: a label 01 must not become the number 1.
    convert = pyarrow.csv.ConvertOptions(column_types={name: pa.string() for name in names})
    return pyarrow.csv.read_csv(path, convert_options=convert)
