"""Reading the ids of customers from a file of the user's own."""

import csv
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.core.errors import ParameterError

COLUMNS = ("customer_id", "customer")


def read(path: Path) -> list[str]:
    """Parquet by its beginning; else text: CSV with one of COLUMNS in its head, or an id a line."""
    with path.open("rb") as file:
        return _parquet(path) if file.read(4) == b"PAR1" else _text(path)


def _parquet(path: Path) -> list[str]:
    try:
        column = _column(pq.read_schema(path).names, path)
        values = pq.read_table(path, columns=[column])[column]
    except pa.ArrowException as error:
        raise ParameterError(f"--customers {path}: the Parquet file cannot be read: {error}") from error
    if values.null_count:
        raise ParameterError(
            f"--customers {path}: {values.null_count} ids of the column {column} are missing."
        )
    if pa.types.is_floating(values.type):
        try:
            values = values.cast(pa.int64())
        except pa.ArrowInvalid:
            raise ParameterError(f"--customers {path}: {column} holds numbers that are not whole.") from None
    return [str(value) for value in values.to_pylist()]


def _text(path: Path) -> list[str]:
    try:
        rows = [row for row in csv.reader(path.read_text(encoding="utf-8-sig").splitlines()) if any(row)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ParameterError(f"--customers {path}: neither Parquet nor text: {error}") from error
    if not rows:
        return []
    head = [name.strip() for name in rows[0]]
    if len(head) == 1 and head[0] not in COLUMNS:
        place, body = 0, rows
    else:
        place, body = head.index(_column(head, path)), rows[1:]
    short = [number for number, row in enumerate(body, 1) if len(row) <= place or not row[place].strip()]
    if short:
        raise ParameterError(f"--customers {path}: row {short[0]} has no id.")
    return [row[place].strip() for row in body]


def _column(names: Sequence[str], path: Path) -> str:
    for name in COLUMNS:
        if name in names:
            return name
    if len(names) == 1:
        return names[0]
    raise ParameterError(
        f"--customers {path}: which column holds the customers? There are {', '.join(names)}; "
        f"call it {' or '.join(COLUMNS)}."
    )
