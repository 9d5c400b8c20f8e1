"""Tables for validation, with what would need many passes computed once, in columns of their own.

A boolean column is true in the rows that are wrong, so that its sum or mean is what is bounded.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.tasks.recommendation.data import promotion_weeks, tables
from pipeline.tasks.recommendation.data.baskets import codes
from pipeline.tasks.recommendation.data.columns import day_numbers, seconds
from pipeline.tasks.recommendation.data.conversion import EPOCH
from pipeline.tasks.recommendation.parameters import Collect, Period, Split

if TYPE_CHECKING:
    import pandas as pd


def events(collected: Path, collect: Collect) -> "pd.DataFrame":
    """One row an event.

    without_customer, without_time; other_week: the week, as the source says, is not that of the time;
    unknown_coupon: redeemed, but no source lists it; discount
    """
    names = ["kind", "customer", "time", "week", "discount", "coupon"]
    table = tables.read(collected / tables.EVENTS, names)
    coupons = tables.read(collected / tables.COUPONS, ["coupon"])
    listed = pc.is_in(table["coupon"], coupons["coupon"].combine_chunks())
    return _frame(
        without_customer=pc.is_null(table["customer"]),
        without_time=pc.is_null(table["time"]),
        other_week=_other_week(table, collect),
        unknown_coupon=pc.and_(pc.is_valid(table["coupon"]), pc.invert(listed)),
        discount=table["discount"],
    )


def _other_week(table: pa.Table, collect: Collect) -> np.ndarray:
    known = np.asarray(pc.and_(pc.is_valid(table["week"]), pc.is_valid(table["time"])))
    if collect.first_week is None:
        return np.zeros(len(known), dtype=bool)
    days = day_numbers(table["time"].filter(pa.array(known))) - (collect.first_week - EPOCH).days
    found = np.zeros(len(known), dtype=bool)
    found[known] = days // 7 + 1 != np.asarray(table["week"].filter(pa.array(known)))
    return found


def purchases(collected: Path, labelled: Path, period: Period, split: Split) -> "pd.DataFrame":
    """One row a product of a basket, as sorted in purchases.parquet; day: days since 1970-01-01.

    unlisted, unknown_customer: not in the tables that say who and what there is
    out_of_order: earlier than the row before; outside: of the declared period
    repeated: product, basket and customer of the row before; other_store: of the same basket as the row
    before, but in another store; earlier_part: of an earlier part (train, val, test) than the row before
    """
    table = tables.read(labelled / tables.PURCHASES)
    products = tables.read(labelled / tables.PRODUCTS, ["product"])["product"].combine_chunks()
    customers = tables.read(collected / tables.CUSTOMERS, ["customer"])["customer"].combine_chunks()
    time, day = seconds(table["time"]), day_numbers(table["time"])
    customer, store, product = (codes(table[name]) for name in ("customer", "store", "product"))
    named = np.asarray(pc.is_valid(table["basket"]))
    same_basket = _as_before(codes(table["basket"])) & _as_before(customer) & _as_before(time) & named
    cuts = [(cut - EPOCH).days for cut in (split.val_from, split.test_from)]
    part = np.searchsorted(cuts, day, side="right")
    return _frame(
        day=day,
        quantity=table["quantity"],
        value=table["value"],
        discount=table["discount"],
        unlisted=pc.invert(pc.is_in(table["product"], products)),
        unknown_customer=pc.invert(pc.is_in(table["customer"], customers)),
        out_of_order=_falls(time),
        outside=(day < (period.first - EPOCH).days) | (day >= (period.end - EPOCH).days),
        repeated=same_basket & _as_before(product),
        other_store=same_basket & ~_as_before(store),
        earlier_part=_falls(part),
    )


def days(day: np.ndarray, period: Period) -> "pd.DataFrame":
    """One row a day of the period: purchases, and how many days in a row there were none (0 if some).

    day: int64 (N,) of each purchase, days since 1970-01-01
    """
    first, end = ((day - EPOCH).days for day in (period.first, period.end))
    counts = np.bincount(np.clip(day - first, 0, end - first - 1), minlength=end - first)
    number = np.arange(len(counts))
    last = np.maximum.accumulate(np.where(counts > 0, number, -1))
    return _frame(purchases=counts, without_purchases=number - last)


def rules(audit: dict[str, Any]) -> "pd.DataFrame":
    """One row: the share of each cleaning rule, and what else the audit of the labels found."""
    shares = {rule["rule"]: [rule["share"]] for rule in audit["rules"]}
    names = (
        "basket_hours_max",
        "without_outcome_share",
        "late_returns_share",
        "doubtful_share",
        "ambiguous_types",
    )
    return _frame(**shares, **{name: [audit[name]] for name in names})


def products(collected: Path) -> "pd.DataFrame":
    """One row a product. ambiguous_type: its type's name stands under several categories."""
    table = tables.read(collected / tables.PRODUCTS)
    return _frame(
        product=table["product"],
        name=table["name"],
        without_category=pc.is_null(table["category"]),
        without_size=pc.is_null(table["size"]),
    )


def customers(collected: Path) -> "pd.DataFrame":
    """One row a customer. undescribed: none of its attributes is known."""
    table = tables.read(collected / tables.CUSTOMERS)
    attributes = [name for name in table.column_names if name != "customer"]
    known = [np.asarray(pc.is_valid(table[name])) for name in attributes]
    return _frame(
        customer=table["customer"],
        undescribed=~np.any(known, axis=0) if known else np.zeros(table.num_rows, dtype=bool),
    )


def promotions(collected: Path) -> "pd.DataFrame":
    """One row a week: rows of the table; repeated_share, unlisted_share: of all rows, those whose product
    and store came before in the week, and whose product is not in the catalogue; weekday: days after
    the weekday on which the first week began."""
    listed = tables.read(collected / tables.PRODUCTS, ["product"])["product"].combine_chunks()
    weeks = list(promotion_weeks.weeks(collected / tables.PROMOTIONS, pc.unique(listed)))
    rows = sum(week.rows for week in weeks)
    return _frame(
        rows=[week.rows for week in weeks],
        repeated_share=[week.repeated / rows for week in weeks],
        unlisted_share=[week.unlisted / rows for week in weeks],
        weekday=[(week.start - weeks[0].start) % 7 for week in weeks],
    )


def campaigns(collected: Path) -> "pd.DataFrame":
    """One row a campaign and customer. unknown_campaign: nothing says when it ran."""
    table = tables.read(collected / tables.CAMPAIGNS)
    return _frame(
        without_start=pc.is_null(table["start"]),
        ends_before_start=pc.fill_null(pc.less(table["end"], table["start"]), False),
        repeated=_repeated(table, ["campaign", "customer"]),
    )


def coupons(collected: Path) -> "pd.DataFrame":
    """One row a coupon and product, as the source has them. repeated: came before."""
    table = tables.read(collected / tables.COUPONS)
    listed = tables.read(collected / tables.PRODUCTS, ["product"])["product"].combine_chunks()
    return _frame(
        repeated=_repeated(table, table.column_names),
        unlisted=pc.invert(pc.is_in(table["product"], listed)),
    )


def has_rows(path: Path) -> bool:
    return bool(pq.read_metadata(path).num_rows)


def _repeated(table: pa.Table, names: list[str]) -> np.ndarray:
    """bool (N,): the values of these columns came before."""
    rows = np.stack([codes(table[name]) for name in names])
    order = np.lexsort(rows[::-1])
    same = (np.diff(rows[:, order]) == 0).all(axis=0)
    found = np.zeros(table.num_rows, dtype=bool)
    found[order[1:]] = same
    return found


def _as_before(values: np.ndarray) -> np.ndarray:
    return np.append(False, values[1:] == values[:-1])[: len(values)]


def _falls(values: np.ndarray) -> np.ndarray:
    return np.append(False, values[1:] < values[:-1])[: len(values)]


def _frame(**columns: Any) -> "pd.DataFrame":
    import pandas as pd

    arrow = (pa.Array, pa.ChunkedArray)
    return pd.DataFrame({n: c.to_pandas() if isinstance(c, arrow) else c for n, c in columns.items()})
