"""Splitting a shop by time: train < val_from <= val < test_from <= test < end.

What is later never decides anything about what is earlier: codes are fitted on the training part
alone, and the promotions of a week go to the part that its first day lies in.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.artifacts import write_json
from pipeline.core.errors import SourceError
from pipeline.tasks.recommendation.data import encoding, promotion_weeks, tables
from pipeline.tasks.recommendation.data.columns import SECONDS_A_DAY, seconds
from pipeline.tasks.recommendation.data.conversion import EPOCH
from pipeline.tasks.recommendation.data.dataset import PROMOTIONS, write_catalogue, write_split
from pipeline.tasks.recommendation.parameters import Prepare, Split

Rows = dict[str, np.ndarray]
MAX = np.iinfo(np.int64).max


def prepare(params: Prepare, collected: Path, labelled: Path, folder: Path) -> None:
    products = tables.read(labelled / tables.PRODUCTS).sort_by("product")
    customers = tables.read(collected / tables.CUSTOMERS).sort_by("customer")
    purchases = tables.read(labelled / tables.PURCHASES)
    stores = pc.unique(purchases["store"]).drop_null()
    stores = stores.take(pc.sort_indices(stores))
    rows = arrays(purchases, products, customers, stores)
    shown = promotions(collected / tables.PROMOTIONS, products)
    sizes = {}
    earliest = min(rows["day"].min(initial=MAX), shown["start"].min(initial=MAX))
    for part, first, end in periods(params.split, int(earliest)):
        lines, weeks = _within(rows, "day", first, end), _within(shown, "start", first, end)
        if not len(lines["day"]):
            raise SourceError(
                f"prepare.split leaves no purchases for {part}: they go from {_date(rows['day'].min())} to "
                f"{_date(rows['day'].max())}. Move val_from and test_from in params.yaml."
            )
        write_split(folder / part, lines, weeks, first, end)
        sizes[part] = len(lines["day"])
        if part == "train":
            trained, buyers = np.zeros(len(products), bool), np.zeros(len(customers), bool)
            trained[lines["product"]] = buyers[lines["customer"]] = True
            found = encoding.catalogue(products, customers, encoding.identifiers(stores), trained, buyers)
            write_catalogue(folder / part / "catalogue", found)
    write_json(folder / "sizes.json", sizes)


def periods(split: Split, earliest: int) -> list[tuple[str, int, int]]:
    """Name, first day and day after the last of each part, in days since 1970-01-01."""
    val, test, end = ((cut - EPOCH).days for cut in (split.val_from, split.test_from, split.end))
    return [("train", min(earliest, val), val), ("val", val, test), ("test", test, end)]


def arrays(purchases: pa.Table, products: pa.Table, customers: pa.Table, stores: pa.Array) -> Rows:
    """The arrays of a split (data/dataset.py), of all parts together; purchases: sorted by time."""
    time = seconds(purchases["time"])
    customer = _places(purchases["customer"], customers["customer"].combine_chunks())
    basket = purchases["basket"].combine_chunks().dictionary_encode().indices
    parts = np.stack([time, customer, np.asarray(pc.fill_null(basket, -1))])
    begins = np.append(False, (parts[:, 1:] != parts[:, :-1]).any(axis=0))[: len(time)]
    found = {
        "customer": customer,
        "product": _places(purchases["product"], products["product"].combine_chunks()),
        "basket": np.cumsum(begins),
        "day": time // SECONDS_A_DAY,
        "second": time % SECONDS_A_DAY,
        "store": _places(purchases["store"], stores),
    }
    return found | {name: np.asarray(purchases[name]) for name in ("quantity", "value", "discount")}


def promotions(path: Path, products: pa.Table) -> Rows:
    """The promotions of all parts: one row a product and week."""
    found: dict[str, list[np.ndarray]] = {name: [] for name in PROMOTIONS}
    for week in promotion_weeks.weeks(path, products["product"].combine_chunks()):
        found["product"].append(week.product)
        found["start"].append(np.full(len(week.product), week.start))
        found["display"].append(week.display)
        found["mailer"].append(week.mailer)
    return {name: np.concatenate([np.zeros(0, np.int64), *parts]) for name, parts in found.items()}


def _within(rows: Rows, column: str, first: int, end: int) -> Rows:
    """The rows of days first <= day < end; rows are sorted by day."""
    low, high = np.searchsorted(rows[column], [first, end])
    return {name: values[low:high] for name, values in rows.items()}


def _places(column: pa.ChunkedArray, known: pa.Array) -> np.ndarray:
    """int64 (N,): place of each id in `known`; -1 where it is missing."""
    return np.asarray(pc.fill_null(pc.index_in(column, known), -1)).astype(np.int64)


def _date(day: np.int64) -> np.datetime64:
    return np.datetime64(int(day), "D")
