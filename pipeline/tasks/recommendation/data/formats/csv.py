"""CSV with a header, UTF-8. Every column is text: `007` stays itself, types are the schema's matter."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

TYPED = False
NULLS = ["", "NULL", "null", "NA", "NaN", "nan", "None"]
BYTES_A_ROW = 64  # to turn rows into a block of bytes, roughly


def column_types(path: Path) -> dict[str, pa.DataType]:
    with path.open(encoding="utf-8-sig") as file:
        header = file.readline().strip()
    if not header:
        raise pa.ArrowInvalid("no header line")
    with pyarrow.csv.open_csv(pa.BufferReader(f"{header}\n{header}\n".encode())) as reader:
        return dict.fromkeys(reader.schema.names, pa.string())


def batches(path: Path, columns: list[str], rows: int) -> Iterator[pa.RecordBatch]:
    reader = pyarrow.csv.open_csv(
        path,
        read_options=pyarrow.csv.ReadOptions(block_size=rows * BYTES_A_ROW),
        convert_options=pyarrow.csv.ConvertOptions(
            include_columns=columns,
            column_types=dict.fromkeys(columns, pa.string()),
            null_values=NULLS,
            strings_can_be_null=True,
        ),
    )
    with reader:
        yield from reader
