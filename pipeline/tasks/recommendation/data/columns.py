"""Columns of a source turned into those of the schema; what cannot be turned is named.

Every function takes a column of one batch, and `where`, the source and column for the message.
"""

from itertools import product

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.errors import SourceError

INTEGER = r"^(0|-?[1-9][0-9]{0,17})$"  # as int64 writes it: no leading zeros, no plus
SECONDS_A_DAY = 86400
UNIX_UNITS = (("s", 1e11), ("ms", 1e14), ("us", 1e17), ("ns", float("inf")))


def is_integer(column: pa.Array) -> bool:
    """Whether all values of a column of floats or text are whole numbers, without leading zeros."""
    if pa.types.is_floating(column.type):
        whole = pc.equal(pc.floor(column), column)
    else:
        whole = pc.match_substring_regex(pc.utf8_trim_whitespace(column), INTEGER)
    return bool(pc.all(whole, min_count=0).as_py())


def ids(column: pa.Array, kind: pa.DataType, where: str) -> pa.Array:
    """kind: int64, or string where any source names such things by text."""
    column = _decoded(column)
    try:
        if pa.types.is_floating(column.type):
            column = pc.cast(column, pa.int64())
        if _is_text(column.type):
            column = pc.utf8_trim_whitespace(column)
            column = pc.if_else(pc.equal(column, ""), None, column)
        return pc.cast(column, kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise _wrong(where, column, "ids: whole numbers or text") from None


def texts(column: pa.Array, where: str) -> pa.Array:
    """Trimmed text; null where it is missing or empty."""
    column = _decoded(column)
    try:
        column = pc.utf8_trim_whitespace(pc.cast(column, pa.string()))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise _wrong(where, column, "text") from None
    return pc.if_else(pc.equal(column, ""), None, column)


def figures(column: pa.Array, where: str) -> pa.Array:
    """float64; null where the figure is missing, NaN or infinite."""
    column = _decoded(column)
    try:
        if _is_text(column.type):
            column = pc.utf8_trim_whitespace(column)
        column = pc.cast(column, pa.float64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise _wrong(where, column, "figures") from None
    return pc.if_else(pc.is_finite(column), column, None)


def whole(column: pa.Array, where: str) -> pa.Array:
    """int64, for instance the number of a week."""
    try:
        return pc.cast(figures(column, where), pa.int64())
    except pa.ArrowInvalid:
        raise _wrong(where, column, "whole numbers") from None


def moments(column: pa.Array, recorded: str, local: str, where: str) -> pa.Array:
    """timestamp[s] of the local clock, without a zone.

    A column with a zone of its own, or of Unix time, is what it says; another is of zone `recorded`.
    Where clocks are put back, the first of both hours is taken.
    """
    column = _timestamps(column, where)
    if column.type.tz is None:
        if recorded == local:
            return pc.cast(column, pa.timestamp("s"), safe=False)
        column = pc.assume_timezone(column, recorded, ambiguous="earliest", nonexistent="earliest")
    there = pc.cast(column, pa.timestamp(column.type.unit, local))
    return pc.cast(pc.local_timestamp(there), pa.timestamp("s"), safe=False)


def days(column: pa.Array, where: str) -> pa.Array:
    """date32: local dates without a time of day; a time of day is cut off."""
    return pc.cast(pc.floor_temporal(_timestamps(column, where), unit="day"), pa.date32(), safe=False)


def _timestamps(column: pa.Array, where: str) -> pa.Array:
    column = _decoded(column)
    kind = column.type
    if pa.types.is_timestamp(kind):
        return column
    if pa.types.is_date(kind) or pa.types.is_null(kind):
        return pc.cast(column, pa.timestamp("s"))
    if pa.types.is_integer(kind):
        largest = pc.max(pc.abs(pc.cast(column, pa.int64()))).as_py() or 0
        unit = next(unit for unit, limit in UNIX_UNITS if largest < limit)
        return pc.cast(pc.cast(column, pa.int64()), pa.timestamp(unit, "UTC"))
    if _is_text(kind):
        for unit, zone in product(("us", "ns"), (None, "UTC")):
            try:
                return pc.cast(column, pa.timestamp(unit, zone))
            except pa.ArrowInvalid:
                continue
    raise _wrong(where, column, "times, such as 2017-01-31 18:05:00, or Unix time in whole numbers")


def _decoded(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _wrong(where: str, column: pa.Array, wanted: str) -> SourceError:
    present = column.drop_null()
    example = f", for instance {present[0].as_py()!r}" if len(present) else ""
    return SourceError(
        f"{where} is of type {column.type}{example}, but {wanted} are needed. Name another column in "
        "`columns` (params.yaml), or correct the file."
    )


def day_numbers(times: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """int64 (N,): days since 1970-01-01 of a timestamp or date32 column without nulls."""
    if pa.types.is_date32(times.type):
        return np.asarray(pc.cast(times, pa.int32())).astype(np.int64)
    return seconds(times) // SECONDS_A_DAY


def seconds(times: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """int64 (N,): seconds since 1970-01-01 of a timestamp column without nulls, of any unit."""
    return np.asarray(pc.cast(pc.cast(times, pa.timestamp("s"), safe=False), pa.int64()))
