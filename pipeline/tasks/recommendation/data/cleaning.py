"""The cleaning rules of the label policy: each counts the lines that it concerns, also when it is none.

Nothing is dropped without a rule. A rule counts all lines that it concerns, whether or not another
rule has dropped them already; `dropped` says how many of them were still there.
"""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.errors import SourceError
from pipeline.tasks.recommendation.data.columns import day_numbers
from pipeline.tasks.recommendation.data.conversion import EPOCH
from pipeline.tasks.recommendation.parameters import Exclude, Label, Period


@dataclass(frozen=True)
class Rule:
    """rows: lines (or baskets) concerned, of `of` in all; dropped: lines that were still there and went."""

    rule: str
    rows: int
    of: int
    dropped: int
    why: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"share": self.rows / self.of if self.of else 0.0}


class Lines:
    """Purchase lines, which of them are kept, and the rules that were applied."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table
        self.kept = np.ones(table.num_rows, dtype=bool)
        self.rules: list[Rule] = []

    def drop(self, rule: str, concerned: np.ndarray, why: str) -> None:
        """concerned: bool (N,)"""
        before = int(self.kept.sum())
        self.kept &= ~concerned
        self._count(rule, concerned, before - int(self.kept.sum()), why)

    def keep(self, rule: str, concerned: np.ndarray, why: str) -> None:
        self._count(rule, concerned, 0, why)

    def replace(self, column: str, values: np.ndarray) -> None:
        place = self.table.schema.get_field_index(column)
        self.table = self.table.set_column(place, column, pa.array(values))

    def _count(self, rule: str, concerned: np.ndarray, dropped: int, why: str) -> None:
        self.rules.append(Rule(rule, int(concerned.sum()), len(concerned), dropped, why))


def drop_incomplete(lines: Lines, period: Period) -> None:
    """Lines that no basket of a customer could be made of."""
    for entity in ("customer", "product", "time"):
        missing = np.asarray(pc.is_null(lines.table[entity]))
        lines.drop(f"without_{entity}", missing, f"names no {entity}; nothing can be learned from it")
    begin = datetime.combine(period.first, datetime.min.time())
    day = day_numbers(pc.fill_null(lines.table["time"], begin))
    outside = (day < (period.first - EPOCH).days) | (day >= (period.end - EPOCH).days)
    lines.drop("outside_period", outside, f"only {period.first} to {period.end} counts (collect.period)")


def clean(lines: Lines, catalogue: pa.Table, no_goods: np.ndarray, label: Label) -> None:
    """Lines that are no purchase of goods, and quantities that need mending.

    catalogue: products.parquet; no_goods: bool (P,) of its rows, see `excluded`
    """
    quantity, value = (_figures(lines.table[name]) for name in ("quantity", "value"))
    lines.drop("returns", (quantity < 0) | (value < 0), "goods that came back were not wanted")
    place = pc.index_in(lines.table["product"], catalogue["product"].combine_chunks())
    absent = np.asarray(pc.is_null(place))
    lines.drop("absent_product", absent, "the catalogue does not list the product")
    is_excluded = np.append(no_goods, False)[np.asarray(pc.fill_null(place, len(no_goods)))]
    lines.drop("excluded_product", is_excluded, "fuel, coupons and the like are no goods (label.exclude)")
    missing = np.isnan(quantity) | np.isnan(value)
    lines.keep("without_quantity", missing, "no quantity counts as one piece, no price as nothing paid")
    quantity, value = np.where(np.isnan(quantity), 1.0, quantity), np.nan_to_num(value)
    lines.drop("nothing_bought", (quantity == 0) & (value == 0), "neither pieces nor money changed hands")
    paid_zero, pieces = (quantity == 0) & (value > 0), label.paid_zero_quantity
    lines.keep("paid_zero_quantity", paid_zero, f"no pieces but a price: counts as {pieces:g} piece(s)")
    lines.keep("free_goods", (quantity > 0) & (value == 0), "taken home for nothing, as with a coupon")
    lines.replace("quantity", np.where(paid_zero, pieces, quantity))
    lines.replace("value", value)


def excluded(catalogue: pa.Table, exclude: Exclude) -> np.ndarray:
    """bool (P,): products that are no goods; SourceError for a name that the catalogue does not have."""
    found = np.zeros(catalogue.num_rows, dtype=bool)
    for column, names in (
        ("department", exclude.departments),
        ("category", exclude.categories),
        ("type", exclude.types),
    ):
        for name in names:
            rows = np.asarray(pc.fill_null(pc.equal(catalogue[column], name), False))
            if not rows.any():
                raise SourceError(
                    f"label.exclude names the {column} {name!r}, but no product of the catalogue has it. "
                    "Spell it as the catalogue does, or take it out of params.yaml."
                )
            found |= rows
    return found


def _figures(column: pa.ChunkedArray) -> np.ndarray:
    """float64 (N,), NaN where it is missing."""
    return np.asarray(pc.fill_null(column, float("nan")))
