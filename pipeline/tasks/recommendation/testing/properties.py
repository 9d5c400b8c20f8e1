"""What is known of each customer on a day: what slices are cut by.

Bounds of bins are quartiles of all customers with purchases before that day, or stand here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from pipeline.tasks.recommendation.data.dataset import Catalogue, Purchases
from pipeline.tasks.recommendation.data.histories import build

MONTH = 28  # days; a customer is new who came first within so many, and lapsed who did not come for as long
STORES = 8  # most visited ones, told apart
# Baskets before the day: from, up to but not including.
HISTORY = {
    "none": (0, 1),
    "1 to 4": (1, 5),
    "5 to 19": (5, 20),
    "20 to 59": (20, 60),
    "60 and more": (60, 10**9),
}


@dataclass(frozen=True)
class Customers:
    """figures: name -> float64 (C,), of each customer of the catalogue; NaN where he has bought nothing yet
    store: int64 (C,) where he shops most, -1 unknown"""

    figures: Mapping[str, np.ndarray]
    store: np.ndarray


def known(parts: list[Purchases], catalogue: Catalogue, day: int) -> Customers:
    """As of a day: nothing on it or later is looked at. parts: splits in the order of time."""
    size = len(catalogue.customer_ids)
    histories = build(parts, size, day)
    lengths = np.diff(histories.start)
    bought = lengths > 0
    first, last = histories.start[:-1][bought], histories.start[1:][bought] - 1
    baskets = np.zeros(size)
    baskets[bought] = histories.ordinal[last] + 1
    figures = {"baskets": baskets}

    def of_buyers(values: np.ndarray) -> np.ndarray:
        found = np.full(size, np.nan)
        found[bought] = values
        return found

    figures["days since the newest basket"] = of_buyers(day - histories.day[last])
    figures["days since the first basket"] = of_buyers(day - histories.day[first])
    figures["products a basket"] = of_buyers(lengths[bought] / baskets[bought])
    paid, saved = np.zeros(size), np.zeros(size)
    for part in parts:
        before = slice(np.searchsorted(part.day, day))
        paid += np.bincount(part.customer[before], part.value[before], size)
        saved += np.bincount(part.customer[before], part.discount[before], size)
    figures["share saved by promotions"] = of_buyers((saved / np.maximum(paid + saved, 1e-9))[bought])
    return Customers(figures, _store(histories.start, histories.store, len(catalogue.store_ids)))


def _store(start: np.ndarray, store: np.ndarray, stores: int) -> np.ndarray:
    customer = np.repeat(np.arange(len(start) - 1), np.diff(start))
    there = store >= 0
    keys, often = np.unique(customer[there] * max(stores, 1) + store[there], return_counts=True)
    found = np.full(len(start) - 1, -1)
    order = np.argsort(often, kind="stable")  # the most visited is written last
    found[keys[order] // max(stores, 1)] = keys[order] % max(stores, 1)
    return found


def named(customers: Customers, catalogue: Catalogue, chosen: np.ndarray) -> dict[str, np.ndarray]:
    """Slices `property: value` -> bool (N,) of the chosen customers, int64 (N,); empty ones are left out.

    Every customer is in one slice of each property; what is not known of him is a slice of its own.
    """
    found: dict[str, np.ndarray] = {}
    baskets = customers.figures["baskets"]
    for name, (low, high) in HISTORY.items():
        found[f"baskets before: {name}"] = (baskets[chosen] >= low) & (baskets[chosen] < high)
    found |= _standing(customers, chosen)
    for name in ("products a basket", "share saved by promotions"):
        found |= _quartiles(name, customers.figures[name], chosen)
    found |= _stores(customers, catalogue, chosen)
    for column, (attribute, values) in enumerate(catalogue.attributes.items()):
        codes = catalogue.demographics[chosen, column]
        said = [value or "unknown" for value in values]
        found |= {f"{attribute}: {value}": codes == code for code, value in enumerate(said)}
    return {name: rows for name, rows in found.items() if rows.any()}


def _standing(customers: Customers, chosen: np.ndarray) -> dict[str, np.ndarray]:
    since_first = customers.figures["days since the first basket"][chosen]
    since = customers.figures["days since the newest basket"][chosen]
    new = np.isnan(since) | (since_first <= MONTH)
    lapsed = ~new & (since > MONTH)
    return {
        f"standing: new, first basket within {MONTH} days": new,
        f"standing: returning after more than {MONTH} days": lapsed,
        "standing: regular": ~new & ~lapsed,
    }


def _quartiles(name: str, values: np.ndarray, chosen: np.ndarray) -> dict[str, np.ndarray]:
    """What lies between the quartiles of all customers."""
    known = values[~np.isnan(values)]
    bounds = np.unique(np.quantile(known, [0.25, 0.5, 0.75])) if len(known) else np.empty(0)
    own = values[chosen]
    bins = np.searchsorted(bounds, own, side="right")
    edges = ["", *(f"{bound:.3g}" for bound in bounds), ""]
    said = [
        " ".join(end for end in (f"from {low}" if low else "", f"below {high}" if high else "") if end)
        or "all"
        for low, high in pairwise(edges)
    ]
    found = {f"{name}: {label}": (bins == i) & ~np.isnan(own) for i, label in enumerate(said)}
    return found | {f"{name}: unknown": np.isnan(own)}


def _stores(customers: Customers, catalogue: Catalogue, chosen: np.ndarray) -> dict[str, np.ndarray]:
    """The stores where most customers shop, of all customers and not only of the chosen ones."""
    if not len(catalogue.store_ids):
        return {}
    visited = np.bincount(customers.store[customers.store >= 0], minlength=len(catalogue.store_ids))
    largest = np.argsort(-visited, kind="stable")[:STORES]
    own = customers.store[chosen]
    found = {f"store: {catalogue.store_ids[store]}": own == store for store in largest.tolist()}
    return found | {"store: another": (own >= 0) & ~np.isin(own, largest), "store: unknown": own < 0}


def table(customers: Customers, catalogue: Catalogue, chosen: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Names and values float64 (N, n) of all properties as numbers, one column for each known value of an
    attribute; -1 stands for what is not known."""
    columns = {name: np.nan_to_num(values[chosen], nan=-1.0) for name, values in customers.figures.items()}
    for column, (attribute, values) in enumerate(catalogue.attributes.items()):
        codes = catalogue.demographics[chosen, column]
        columns |= {
            f"{attribute} is {value or 'unknown'}": codes == code for code, value in enumerate(values)
        }
    return list(columns), np.stack([values.astype(float) for values in columns.values()], axis=1)
