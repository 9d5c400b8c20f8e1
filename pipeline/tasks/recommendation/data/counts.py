"""How often and how lately the customer of each question bought each product, each type, each category.

Ages are in days before the day of the questions, lags in the customer's baskets since (0 is the newest).
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from pipeline.tasks.recommendation.data.dataset import CODES, Catalogue
from pipeline.tasks.recommendation.data.grouping import Groups, group
from pipeline.tasks.recommendation.data.histories import Rows

DECAY_DAYS = np.array([7.0, 21.0, 60.0, 180.0], dtype=np.float32)
DECAY_BASKETS = np.array([0.9, 0.7], dtype=np.float32)  # factor from a basket to the next older one
LONG_AGO = 400.0  # days, of what never happened
LONG_LAG = 200.0  # baskets


@dataclass(frozen=True)
class Questions:
    """Many questions on one day.

    customers: int64 (B,) place in the catalogue, -1 unknown; rows: what each has bought
    stores: int64 (B,) where the customer is, -1 to take that of the newest purchase
    basket_question, basket_product: int64 (N,) products in the live baskets, each once a basket
    nearest: int (B, n) places in the pool of the customers most like each; None where that is still to find
    """

    day: int
    customers: np.ndarray
    rows: Rows
    stores: np.ndarray
    basket_question: np.ndarray
    basket_product: np.ndarray
    nearest: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.customers)


@dataclass(frozen=True)
class CustomerCounts:
    """(B,) float32 each: baskets; size: products in a basket; since: days since the newest; gap: days
    between two; tenure: days since the first; variety: different products among all bought.
    store: int64 (B,), -1 where it is not known"""

    baskets: np.ndarray
    size: np.ndarray
    since: np.ndarray
    gap: np.ndarray
    tenure: np.ndarray
    variety: np.ndarray
    store: np.ndarray


@dataclass(frozen=True)
class ProductCounts:
    """One row a question and product that its customer bought, (G,) float32 unless said otherwise.

    groups: keys question * P + product; question, product: int64
    count: baskets with it; decayed: (G, 4) by DECAY_DAYS; by_basket: (G, 2) by DECAY_BASKETS
    age, lag: of the newest; first_lag: of the oldest; gap, gap_lag: mean between two;
    gap_spread: standard deviation of the gaps in days; pieces: mean; last_pieces: of the newest
    """

    groups: Groups
    question: np.ndarray
    product: np.ndarray
    count: np.ndarray
    decayed: np.ndarray
    by_basket: np.ndarray
    age: np.ndarray
    lag: np.ndarray
    first_lag: np.ndarray
    gap: np.ndarray
    gap_lag: np.ndarray
    gap_spread: np.ndarray
    pieces: np.ndarray
    last_pieces: np.ndarray


@dataclass(frozen=True)
class KindCounts:
    """The same for a coarser kind of product (type, category): keys question * K + kind.

    decayed: (G, 3) by the last three of DECAY_DAYS; count: purchases; products: different ones; age
    """

    size: int
    groups: Groups
    question: np.ndarray
    kind: np.ndarray
    decayed: np.ndarray
    count: np.ndarray
    products: np.ndarray
    age: np.ndarray


@dataclass(frozen=True)
class Counts:
    customer: CustomerCounts
    product: ProductCounts
    type: KindCounts
    category: KindCounts


def count(questions: Questions, catalogue: Catalogue) -> Counts:
    rows, day = questions.rows, questions.day
    age = (day - rows.day).astype(np.float32)
    customer = _customers(questions)
    lag = customer.baskets[rows.question] - 1 - rows.ordinal
    product = _products(rows, age, lag.astype(np.float32), len(catalogue.product_ids))
    customer.variety[:] = np.bincount(product.question, minlength=rows.questions) / np.maximum(
        rows.lengths, 1
    )
    return Counts(
        customer=customer,
        product=product,
        type=_kinds(product, catalogue, "type"),
        category=_kinds(product, catalogue, "category"),
    )


def _customers(questions: Questions) -> CustomerCounts:
    rows, size = questions.rows, len(questions)
    lengths, last = rows.lengths, rows.ends - 1
    first, bought = last + 1 - lengths, lengths > 0
    baskets = rows.baskets.astype(np.float32)
    first_age, last_age = np.zeros(size, np.float32), np.full(size, LONG_AGO, np.float32)
    store = questions.stores.copy()
    if bought.any():
        first_age[bought] = questions.day - rows.day[first[bought]]
        last_age[bought] = questions.day - rows.day[last[bought]]
        unsaid = bought & (store < 0)
        store[unsaid] = rows.store[last[unsaid]]
    return CustomerCounts(
        baskets=baskets,
        size=(lengths / np.maximum(baskets, 1)).astype(np.float32),
        since=last_age,
        gap=np.maximum(first_age - last_age, 0) / np.maximum(baskets - 1, 1),
        tenure=np.maximum(first_age, 1),
        variety=np.zeros(size, dtype=np.float32),
        store=store,
    )


def _products(rows: Rows, age: np.ndarray, lag: np.ndarray, products: int) -> ProductCounts:
    groups = group(rows.question.astype(np.int64) * products + rows.product)
    columns = np.empty((7, len(age)), dtype=np.float32)
    _day_decays(_size(age)).take(age.astype(np.int64), axis=1, out=columns[:4], mode="clip")
    _basket_decays(_size(lag)).take(lag.astype(np.int64), axis=1, out=columns[4:6], mode="clip")
    columns[6] = rows.quantity
    sums = groups.sums(columns.T)
    count = groups.sizes.astype(np.float32)
    repeats = np.maximum(count - 1, 1)
    newest, oldest = groups.of_last(age), groups.of_first(age)
    newest_lag, oldest_lag = groups.of_last(lag), groups.of_first(lag)
    gap = (oldest - newest) / repeats
    between = np.zeros(len(age), dtype=np.float32)  # days to the purchase before, in the order of the groups
    ordered = age[groups.order]
    between[1:] = ordered[:-1] - ordered[1:]
    between[groups.first] = 0
    squares = np.add.reduceat(between**2, groups.first) if len(groups.first) else between
    return ProductCounts(
        groups=groups,
        question=groups.keys // products,
        product=groups.keys % products,
        count=count,
        decayed=sums[:, :4],
        by_basket=sums[:, 4:6],
        age=newest,
        lag=newest_lag,
        first_lag=oldest_lag,
        gap=gap,
        gap_lag=(oldest_lag - newest_lag) / repeats,
        gap_spread=np.sqrt(np.maximum(squares / repeats - gap**2, 0)),
        pieces=sums[:, 6] / count,
        last_pieces=groups.of_last(rows.quantity),
    )


def _size(whole: np.ndarray) -> int:
    """Of a table for whole numbers >= 0; a power of two, so that few tables are made."""
    return 1 << int(whole.max(initial=0)).bit_length()


@cache
def _day_decays(size: int) -> np.ndarray:
    """float32 (4, size): what a purchase counts by DECAY_DAYS, for each age below `size`."""
    return np.ascontiguousarray(np.exp(-np.arange(size, dtype=np.float32)[:, None] / DECAY_DAYS).T)


@cache
def _basket_decays(size: int) -> np.ndarray:
    """float32 (2, size): the same by DECAY_BASKETS, for each lag below `size`."""
    return np.ascontiguousarray((DECAY_BASKETS ** np.arange(size, dtype=np.float32)[:, None]).T)


def _kinds(product: ProductCounts, catalogue: Catalogue, name: str) -> KindCounts:
    """name: one of CODES; a code of 0 is a kind of its own here, of the products without one."""
    codes, size = catalogue.codes[:, CODES.index(name)], len(catalogue.vocabularies[name])
    groups = group(product.question * size + codes[product.product])
    columns = np.empty((4, len(product.count)), dtype=np.float32)
    columns[:3], columns[3] = product.decayed.T[1:], product.count
    sums = groups.sums(columns.T)
    return KindCounts(
        size=size,
        groups=groups,
        question=groups.keys // size,
        kind=groups.keys % size,
        decayed=sums[:, :3],
        count=sums[:, 3],
        products=groups.sizes.astype(np.float32),
        age=groups.least(product.age),
    )
