"""What is known of each product at a moment, from everybody's purchases before it.

All (P,) float32 unless said otherwise; P products of the catalogue, T types
    popularity      (P, 3) share of all purchases, weighted by exp(-age / days) for 7, 28, 120 days
    repeat_rate     share of its buyers who bought it more than once, shrunk towards that of all
    share_of_type   of the purchases of its type in the last weeks
    price           mean shelf price of a piece, in the data's currency; discount, recent_discount: share
                    taken off it, ever and in the last 7 days
    gap, type_gap   (P,), (T,) typical days between two purchases of the product, of the type, by a customer
    display, mailer share of the stores that promote it in the week of the day;
                    display_before, mailer_before: in the week before that
    top_of_type     int32 (T, n) best-selling products of each type, -1 where there are fewer
    best_sellers    int32 (n,)
    store_keys      int64, rising: store * P + product of what a store sold in the last 28 days;
    store_counts    how often, aligned with store_keys
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pipeline.tasks.recommendation.data.dataset import Catalogue, Promotions, Purchases
from pipeline.tasks.recommendation.data.grouping import find, group, rank_in_group, taken

POPULARITY_DAYS = (7.0, 28.0, 120.0)
RECENT = 1  # which of them says what sells now
TOP_OF_TYPE = 12
BEST_SELLERS = 200
PRIOR = 5.0  # buyers, or gaps, that what holds on average counts as
WEEK = 7
STORE_DAYS = 28


@dataclass(frozen=True)
class ItemTables:
    popularity: np.ndarray
    repeat_rate: np.ndarray
    share_of_type: np.ndarray
    price: np.ndarray
    discount: np.ndarray
    recent_discount: np.ndarray
    gap: np.ndarray
    type_gap: np.ndarray
    display: np.ndarray
    mailer: np.ndarray
    display_before: np.ndarray
    mailer_before: np.ndarray
    top_of_type: np.ndarray
    best_sellers: np.ndarray
    store_keys: np.ndarray
    store_counts: np.ndarray

    @cached_property
    def features(self) -> tuple[tuple[str, ...], np.ndarray]:
        """Names and values, float32 (P, n), of what the network is told of a product whoever asks."""
        popularity = np.log(self.popularity + 1e-7)
        columns = {
            **{f"popularity_{i}": popularity[:, i] for i in range(len(POPULARITY_DAYS))},
            "trend": popularity[:, 0] - popularity[:, 1],
            "repeat_rate": self.repeat_rate,
            "share_of_type": self.share_of_type,
            "price": np.log1p(np.maximum(self.price, 0)),
            "discount": self.discount,
            "recent_discount": self.recent_discount,
            "extra_discount": self.recent_discount - self.discount,
            "display": self.display,
            "mailer": self.mailer,
            "display_before": self.display_before,
            "mailer_before": self.mailer_before,
            "item_gap": np.log1p(np.maximum(self.gap, 0)),
        }
        return tuple(columns), np.stack(list(columns.values()), axis=1)

    def sold_in_store(self, store: int, products: np.ndarray) -> np.ndarray:
        """float32 (C,): logarithm of one more than a store sold of each product in the last weeks."""
        first, last = self.store_keys.searchsorted(np.array([store, store + 1]) * len(self.price))
        keys, counts = self.store_keys[first:last], self.store_counts[first:last]
        return np.log1p(taken(counts, find(keys, store * len(self.price) + products), 0))


def build(parts: Sequence[Purchases], catalogue: Catalogue, day: int) -> ItemTables:
    """parts: splits in the order of time; only purchases before `day` are counted."""
    names = ("customer", "product", "day", "store", "quantity", "value", "discount")
    rows = {
        name: np.concatenate([getattr(part, name)[: np.searchsorted(part.day, day)] for part in parts])
        for name in names
    }
    product, products, types = rows["product"], len(catalogue.product_ids), catalogue.codes[:, 0]
    age = (day - rows["day"]).astype(np.float32)
    popularity = np.stack(
        [np.bincount(product, np.exp(-age / days), products) for days in POPULARITY_DAYS], 1
    )
    popularity = (popularity / np.maximum(popularity.sum(0), 1e-9)).astype(np.float32)
    selling = popularity[:, RECENT]
    of_type = np.bincount(types, selling)[types]
    gross = rows["value"] + rows["discount"]
    recent = age <= WEEK
    sold = rows["store"][age <= STORE_DAYS].astype(np.int64) * products + product[age <= STORE_DAYS]
    store_keys, store_counts = np.unique(sold[sold >= 0], return_counts=True)
    promotions = [part.promotions for part in parts]
    display, mailer = _promotions(promotions, products, day)
    display_before, mailer_before = _promotions(promotions, products, day - WEEK)
    return ItemTables(
        popularity=popularity,
        repeat_rate=_repeat_rate(rows["customer"], product, products),
        share_of_type=np.where(types > 0, selling / np.maximum(of_type, 1e-9), 0).astype(np.float32),
        price=_ratio(product, gross, np.maximum(rows["quantity"], 1), products),
        discount=_ratio(product, rows["discount"], gross, products),
        recent_discount=_ratio(product[recent], rows["discount"][recent], gross[recent], products),
        gap=_gaps(rows["customer"], product, rows["day"], products),
        type_gap=_gaps(rows["customer"], types[product], rows["day"], int(types.max()) + 1),
        display=display,
        mailer=mailer,
        display_before=display_before,
        mailer_before=mailer_before,
        top_of_type=_top_of_type(types, selling),
        best_sellers=np.argsort(-selling, kind="stable")[:BEST_SELLERS].astype(np.int32),
        store_keys=store_keys,
        store_counts=store_counts.astype(np.float32),
    )


def _ratio(product: np.ndarray, above: np.ndarray, below: np.ndarray, products: int) -> np.ndarray:
    sums = np.bincount(product, above, products), np.bincount(product, below, products)
    return (sums[0] / np.maximum(sums[1], 1e-6)).astype(np.float32)


def _repeat_rate(customer: np.ndarray, product: np.ndarray, products: int) -> np.ndarray:
    keys, counts = np.unique(customer.astype(np.int64) * products + product, return_counts=True)
    bought = keys % products
    buyers = np.bincount(bought, minlength=products)
    again = np.bincount(bought[counts > 1], minlength=products)
    overall = again.sum() / max(1, buyers.sum())
    return ((again + PRIOR * overall) / (buyers + PRIOR)).astype(np.float32)


def _gaps(customer: np.ndarray, thing: np.ndarray, day: np.ndarray, things: int) -> np.ndarray:
    """Geometric mean of the days between a customer's purchases of a thing, shrunk towards that of all."""
    groups = group(customer.astype(np.int64) * things + thing)
    elapsed = np.diff(day[groups.order], prepend=0)
    elapsed[groups.first] = 0
    repeated = elapsed > 0
    gaps, of = np.log(elapsed[repeated]), thing[groups.order[repeated]]
    overall = gaps.mean() if len(gaps) else np.log(WEEK)
    sums, counts = np.bincount(of, gaps, things), np.bincount(of, minlength=things)
    return np.exp((sums + PRIOR * overall) / (counts + PRIOR)).astype(np.float32)


def _promotions(parts: Sequence[Promotions], products: int, day: int) -> tuple[np.ndarray, np.ndarray]:
    """Those of the week in which `day` lies: they are out when the week begins."""
    display, mailer = np.zeros(products, np.float32), np.zeros(products, np.float32)
    for part in parts:
        current = (part.start <= day) & (part.start > day - WEEK)
        display[part.product[current]] = part.display[current]
        mailer[part.product[current]] = part.mailer[current]
    return display, mailer


def _top_of_type(types: np.ndarray, selling: np.ndarray) -> np.ndarray:
    table = np.full((int(types.max()) + 1, TOP_OF_TYPE), -1, dtype=np.int32)
    products = np.flatnonzero((types > 0) & (selling > 0))
    ranks = rank_in_group(types[products].astype(np.int64), selling[products])
    best = ranks < TOP_OF_TYPE
    table[types[products[best]], ranks[best]] = products[best]
    return table
