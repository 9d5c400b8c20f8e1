"""Promotions week by week: how many stores showed or mailed a product.

The table has a row a product, store and week, and may be many times longer than that of purchases. It
is read in batches; what is kept of a row is one number of 4 bytes (8 in a very large chain).
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.tasks.recommendation.data import tables
from pipeline.tasks.recommendation.data.columns import day_numbers

DISPLAY, MAILER, FLAGS = 1, 2, 2  # bits of a key, and how many
BREAKS_MAX = 1000  # changes of week within a batch, above which it is sorted first


@dataclass(frozen=True)
class PromotionWeek:
    """One week. start: day number of its first day; stores: with any promotion in it.

    product: int64 (M,), rising places in the catalogue; display, mailer: float64 (M,) share of `stores`
    rows: of the table; unlisted: whose product is not in the catalogue; repeated: of the others, those
    whose product and store came before
    """

    start: int
    stores: int
    rows: int
    repeated: int
    unlisted: int
    product: np.ndarray
    display: np.ndarray
    mailer: np.ndarray


def weeks(path: Path, products: pa.Array) -> Iterator[PromotionWeek]:
    """The weeks of promotions.parquet in order of time. products: distinct ids of the catalogue."""
    stores = _distinct(path, "store")
    width = len(stores) + 1  # the last is for promotions of no store in particular
    keys: dict[int, list[np.ndarray]] = defaultdict(list)
    largest = (len(products) + 1) * width << FLAGS
    dtype: type[np.unsignedinteger] = np.uint32 if largest <= np.iinfo(np.uint32).max else np.uint64
    for batch in _batches(path, ["product", "store", "start", "display", "mailer"]):
        key = _places(batch.column("product"), products).astype(dtype)
        key *= dtype(width)
        key += _places(batch.column("store"), stores).astype(dtype)
        key <<= dtype(FLAGS)
        for name, bit in (("display", DISPLAY), ("mailer", MAILER)):
            key |= np.asarray(batch.column(name)).astype(dtype) * dtype(bit)
        day = day_numbers(batch.column("start"))
        breaks = np.flatnonzero(np.diff(day)) + 1  # tables are mostly sorted by week
        if len(breaks) > BREAKS_MAX:
            order = np.argsort(day, kind="stable")
            key, day = key[order], day[order]
            breaks = np.flatnonzero(np.diff(day)) + 1
        for start, part in zip(day[np.append(0, breaks)].tolist(), np.split(key, breaks), strict=True):
            keys[start].append(part)
    for week in sorted(keys):
        yield _week(week, np.concatenate(keys.pop(week)), width, len(products))


def _week(start: int, key: np.ndarray, width: int, products: int) -> PromotionWeek:
    key.sort()
    place, flags = key >> FLAGS, key & (DISPLAY | MAILER)
    first = np.flatnonzero(np.append(True, place[1:] != place[:-1]))
    flags = np.bitwise_or.reduceat(flags, first)
    product, store = np.divmod(place[first].astype(np.int64), width)
    stores = int(np.count_nonzero(np.bincount(store, minlength=width)))
    listed = np.searchsorted(product, products)  # products rise; those after are not in the catalogue
    rows = np.searchsorted(place, products * width)
    begins = np.flatnonzero(np.append(True, np.diff(product[:listed]) != 0)[:listed])

    def share(bit: int) -> np.ndarray:
        shown = (flags[:listed] & bit) > 0
        return np.add.reduceat(shown.astype(np.float64), begins) / stores if listed else np.zeros(0)

    return PromotionWeek(
        start=start,
        stores=stores,
        rows=len(key),
        repeated=int(rows - listed),
        unlisted=len(key) - int(rows),
        product=product[begins],
        display=share(DISPLAY),
        mailer=share(MAILER),
    )


def _distinct(path: Path, column: str) -> pa.Array:
    with pq.ParquetFile(path) as file:
        found = pa.array([], file.schema_arrow.field(column).type)
    for batch in _batches(path, [column]):
        found = pc.unique(pa.concat_arrays([found, pc.unique(batch.column(0)).drop_null()]))
    return found


def _batches(path: Path, columns: list[str]) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(path) as file:
        yield from file.iter_batches(batch_size=tables.ROWS, columns=columns)


def _places(column: pa.Array, known: pa.Array) -> np.ndarray:
    """int32 (N,): place in `known`, its length where it is not there."""
    return np.asarray(pc.fill_null(pc.index_in(column, known), len(known)))
