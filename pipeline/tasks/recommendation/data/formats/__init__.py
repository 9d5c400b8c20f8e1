"""How tables of sources are read; one file a format (`captures`: a folder, the inbox), each with

    TYPED                   whether its columns have types; those of others are all text
    column_types(path) -> dict[str, pa.DataType]
    batches(path, columns, rows) -> Iterator[pa.RecordBatch]    of at most about `rows` rows each

A table is never in memory as a whole.
"""

import importlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from pipeline.core.errors import SourceError


def column_types(path: Path, name: str) -> dict[str, pa.DataType]:
    """Columns of a file in format `name`; SourceError if it is not such a file."""
    try:
        types: dict[str, pa.DataType] = _reader(name).column_types(path)
    except pa.ArrowInvalid as error:
        raise SourceError(
            f"{path}: cannot be read as {name} ({_first_line(error)}). Correct `format` in params.yaml, "
            "or bring a whole file."
        ) from None
    return types


def batches(path: Path, name: str, columns: list[str], rows: int) -> Iterator[pa.RecordBatch]:
    try:
        yield from _reader(name).batches(path, columns, rows)
    except (pa.ArrowInvalid, OSError) as error:
        raise SourceError(f"{path}: damaged while being read as {name} ({_first_line(error)}).") from None


def is_typed(name: str) -> bool:
    return bool(_reader(name).TYPED)


def _reader(name: str):  # type: ignore[no-untyped-def]
    return importlib.import_module(f"{__name__}.{name}")


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
