"""TIFU-KNN: a customer's frequencies, decayed over groups of baskets, and those of similar customers.

Hu, He, Gao, Zhang (SIGIR 2020, arXiv:2006.00556). A customer's baskets are split, from the newest
back, into at most GROUPS groups of equal size; within a group baskets count alike (r_b = 1), from group
to group less (r_g = GROUP_DECAY). The outlook is ALPHA times the customer's own vector plus the rest
times the mean vector of the nearest customers (Euclidean distance).

Used as a baseline, and both vectors as features of the network.
"""

import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from pipeline.tasks.recommendation.data.grouping import Groups, distinct, group
from pipeline.tasks.recommendation.data.histories import Histories, Rows
from pipeline.tasks.recommendation.data.sparse_sums import rows_of, times

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

GROUPS = 12
GROUP_DECAY = 0.8
ALPHA = 0.5
POOL_SEED = 7
TOGETHER = 128  # customers whose neighbours are looked for at once


@dataclass(frozen=True)
class Pool:
    """The customers among whom neighbours are looked for, and their vectors as a sparse matrix.

    customers: int32 (K,) rising; values float32, products int32, start int64 (K + 1,): of a CSR matrix
    squares: float32 (K,) squared length of each vector
    """

    customers: np.ndarray
    values: np.ndarray
    products: np.ndarray
    start: np.ndarray
    squares: np.ndarray

    def matrix(self, products: int) -> "csr_matrix":
        """(K, products)"""
        from scipy.sparse import csr_matrix

        shape = (len(self.customers), products)
        return csr_matrix((self.values, self.products, self.start), shape=shape, copy=False)

    @cached_property
    def by_product(self) -> "csr_matrix":
        """The same with a row a product, made once: turning it costs more than an answer.

        It ends at the last product that anybody of the pool bought.
        """
        return self.matrix(int(self.products.max(initial=0)) + 1).T.tocsr()


def weights(rows: Rows) -> np.ndarray:
    """float32 (N,): what each purchase adds to its customer's vector."""
    baskets = rows.baskets
    size = np.maximum(-(-baskets // GROUPS), 1)
    groups = np.maximum(-(-baskets // size), 1)
    # What a purchase adds in each group of baskets, the newest first: the oldest may have fewer of them.
    group = np.arange(GROUPS)
    oldest = group == groups[:, None] - 1
    in_group = np.where(oldest, (baskets - (groups - 1) * size)[:, None], size[:, None])
    adds = (GROUP_DECAY**group / np.maximum(in_group, 1) / groups[:, None]).astype(np.float32)
    lag = (baskets - 1)[rows.question] - rows.ordinal
    found: np.ndarray = adds[rows.question, lag // size[rows.question]]
    return found


@dataclass(frozen=True)
class Neighbours:
    """Of each customer, by all that he had bought when the state was built: found once, not by each answer.

    places: uint16 or uint32 (customers + 1, n) in the pool; the last row is of who has bought nothing
    """

    places: np.ndarray


@dataclass(frozen=True)
class Vectors:
    """One vector a question, sparse: of question i the values float32 of the products int64, rising,
    from start[i] to start[i + 1]."""

    values: np.ndarray
    products: np.ndarray
    start: np.ndarray

    def __len__(self) -> int:
        return len(self.start) - 1

    def matrix(self, products: int) -> "csr_matrix":
        """(questions, products)"""
        from scipy.sparse import csr_matrix

        return csr_matrix((self.values, self.products, self.start), shape=(len(self), products))


def of_rows(rows: Rows, products: int, groups: Groups | None = None) -> Vectors:
    """groups: of the rows by question * products + product, if they are at hand already"""
    groups = groups or group(rows.question.astype(np.int64) * products + rows.product)
    start = groups.keys.searchsorted(np.arange(rows.questions + 1) * products)
    return Vectors(groups.sums(weights(rows)), groups.keys % products, start)


def vectors(rows: Rows, products: int) -> "csr_matrix":
    """One vector a question, sparse (questions, products)."""
    return of_rows(rows, products).matrix(products)


def pool(histories: Histories, ends: np.ndarray, products: int, size: int) -> Pool:
    """At most `size` customers with purchases, drawn at random but always the same."""
    candidates = np.flatnonzero(ends > histories.start[:-1])
    if len(candidates) > size:
        candidates = np.sort(np.random.default_rng(POOL_SEED).choice(candidates, size, replace=False))
    made = of_rows(histories.rows(candidates, ends), products)
    return Pool(
        candidates.astype(np.int32),
        made.values,
        made.products.astype(np.int32),
        made.start.astype(np.int64),
        _squares(made),
    )


def _squares(own: Vectors) -> np.ndarray:
    """float32 (B,): squared lengths."""
    question = np.repeat(np.arange(len(own)), np.diff(own.start))
    return np.bincount(question, own.values**2, len(own)).astype(np.float32)


def nearest(own: Vectors, customers: np.ndarray, pool: Pool, count: int) -> np.ndarray:
    """int64 (B, count): places in the pool of the customers nearest to each question.

    customers: who asks, so that nobody is a neighbour of himself; -1 unknown
    """
    distance = _squares(own)[:, None] + pool.squares[None, :] - 2 * _scalar_products(own, pool)
    places = np.minimum(np.searchsorted(pool.customers, customers), max(0, len(pool.customers) - 1))
    himself = np.flatnonzero(pool.customers[places] == customers)
    distance[himself, places[himself]] = np.inf
    count = min(count, len(pool.customers) - 1)
    return np.argpartition(distance, count - 1, axis=1)[:, :count]


def neighbours_of_all(histories: Histories, products: int, pool: Pool, count: int) -> Neighbours:
    customers = np.append(np.arange(len(histories.start) - 1), -1)

    def found(start: int) -> np.ndarray:
        asked = customers[start : start + TOGETHER]
        near = nearest(of_rows(histories.rows(asked), products), asked, pool, count)
        return near.astype(np.uint16 if len(pool.customers) <= 1 << 16 else np.uint32)

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        return Neighbours(np.concatenate(list(threads.map(found, range(0, len(customers), TOGETHER)))))


def _scalar_products(own: Vectors, pool: Pool) -> np.ndarray:
    """float32 (B, K): of each question with each customer of the pool."""
    by_product = pool.by_product
    found = np.zeros((len(own), len(pool.customers)), dtype=np.float32)
    for i, (start, end) in enumerate(itertools.pairwise(own.start.tolist())):
        bought = own.products[start:end]
        known = bought < by_product.shape[0]
        found[i] = by_product[bought[known]].T @ own.values[start:end][known]
    return found


def mean_at(nearest: np.ndarray, wanted: np.ndarray, pool: Pool) -> np.ndarray:
    """float32 (B, C): what the mean vector of the nearest customers says of some products.

    nearest: int (B, count) places in the pool; wanted: int (B, C) products
    """
    by_product, question = pool.by_product, np.arange(len(nearest))[:, None]
    share = np.zeros((len(pool.customers), len(nearest)), dtype=np.float32)
    share[nearest, question] = 1 / max(1, nearest.shape[1])
    within = np.minimum(wanted, by_product.shape[0] - 1)
    if len(nearest) == 1:
        found = times(*rows_of(by_product, within[0]), share).T
    else:  # what many questions want is looked at once
        asked = distinct(within)
        found = times(*rows_of(by_product, asked), share)[asked.searchsorted(within), question]
    return np.where(wanted < by_product.shape[0], found, 0)


def neighbours(own: "csr_matrix", customers: np.ndarray, pool: Pool, count: int) -> "csr_matrix":
    """The mean vector of the `count` nearest customers of the pool, sparse (questions, products)."""
    from scipy.sparse import csr_matrix

    near = nearest(Vectors(own.data, own.indices, own.indptr), customers, pool, count)
    shares = np.full(near.size, 1 / max(1, near.shape[1]), dtype=np.float32)
    start = np.arange(len(near) + 1) * near.shape[1]
    shape = (len(near), len(pool.customers))
    return (csr_matrix((shares, near.ravel(), start), shape=shape) @ pool.matrix(own.shape[1])).tocsr()
