"""TIFU-KNN: a customer's frequencies, decayed over groups of baskets, and those of similar customers.

Hu, He, Gao, Zhang (SIGIR 2020, arXiv:2006.00556). A customer's baskets are split, from the newest
back, into at most GROUPS groups of equal size; within a group baskets count alike (r_b = 1), from group
to group less (r_g = GROUP_DECAY). The outlook is ALPHA times the customer's own vector plus the rest
times the mean vector of the nearest customers (Euclidean distance).

Used as a baseline, and both vectors as features of the network.
"""

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from pipeline.tasks.recommendation.data.grouping import Groups, group
from pipeline.tasks.recommendation.data.histories import Histories, Rows

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

GROUPS = 12
GROUP_DECAY = 0.8
ALPHA = 0.5
POOL_SEED = 7


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
        """The same turned, (products, K); made once, since turning costs more than an answer.

        It ends at the last product that anybody of the pool bought.
        """
        return self.matrix(int(self.products.max(initial=0)) + 1).T.tocsr()


def weights(rows: Rows) -> np.ndarray:
    """float32 (N,): what each purchase adds to its customer's vector."""
    baskets = rows.baskets()
    size = np.maximum(-(-baskets // GROUPS), 1)
    groups = np.maximum(-(-baskets // size), 1)
    lag = baskets[rows.question] - 1 - rows.ordinal
    of = lag // size[rows.question]
    oldest = of == groups[rows.question] - 1
    in_group = np.where(
        oldest, (baskets - (groups - 1) * size)[rows.question], size[rows.question]
    )  # baskets in the row's group
    found: np.ndarray = (GROUP_DECAY**of / in_group / groups[rows.question]).astype(np.float32)
    return found


def vectors(rows: Rows, products: int, groups: Groups | None = None) -> "csr_matrix":
    """One vector a question, sparse (questions, products).

    groups: of the rows by question * products + product, if they are at hand already
    """
    from scipy.sparse import csr_matrix

    groups = groups or group(rows.question.astype(np.int64) * products + rows.product)
    start = np.searchsorted(groups.keys, np.arange(rows.questions + 1) * products)
    arrays = (groups.sums(weights(rows)), groups.keys % products, start)
    return csr_matrix(arrays, shape=(rows.questions, products))


def pool(histories: Histories, ends: np.ndarray, products: int, size: int) -> Pool:
    """At most `size` customers with purchases, drawn at random but always the same."""
    candidates = np.flatnonzero(ends > histories.start[:-1])
    if len(candidates) > size:
        candidates = np.sort(np.random.default_rng(POOL_SEED).choice(candidates, size, replace=False))
    made = vectors(histories.rows(candidates, ends), products)
    squares = np.asarray(made.multiply(made).sum(axis=1), dtype=np.float32).ravel()
    return Pool(
        candidates.astype(np.int32),
        made.data,
        made.indices.astype(np.int32),
        made.indptr.astype(np.int64),
        squares,
    )


def nearest(own: "csr_matrix", customers: np.ndarray, pool: Pool, count: int) -> np.ndarray:
    """int64 (B, count): places in the pool of the customers nearest to each question.

    own: vectors of the questions; customers: who asks, so that nobody is a neighbour of himself; -1 unknown
    """
    question = np.repeat(np.arange(own.shape[0]), np.diff(own.indptr))
    squares = np.bincount(question, own.data**2, own.shape[0]).astype(np.float32)[:, None]
    distance = squares + pool.squares[None, :] - 2 * _products(own, pool)
    places = np.minimum(np.searchsorted(pool.customers, customers), max(0, len(pool.customers) - 1))
    himself = np.flatnonzero(pool.customers[places] == customers)
    distance[himself, places[himself]] = np.inf
    count = min(count, len(pool.customers) - 1)
    return np.argpartition(distance, count - 1, axis=1)[:, :count]


def _products(own: "csr_matrix", pool: Pool) -> np.ndarray:
    """float32 (B, K): scalar products with the vectors of the pool."""
    turned = pool.by_product
    found = np.zeros((own.shape[0], len(pool.customers)), dtype=np.float32)
    for i, (start, end) in enumerate(itertools.pairwise(own.indptr.tolist())):
        bought = own.indices[start:end]
        known = bought < turned.shape[0]
        found[i] = turned[bought[known]].T @ own.data[start:end][known]
    return found


def mean_at(nearest: np.ndarray, wanted: np.ndarray, pool: Pool) -> np.ndarray:
    """float32 (B, C): what the mean vector of the nearest customers says of some products.

    nearest: int (B, count) places in the pool; wanted: int (B, C) products
    """
    turned = pool.by_product
    share = np.zeros((len(pool.customers), len(nearest)), dtype=np.float32)
    share[nearest, np.arange(len(nearest))[:, None]] = 1 / max(1, nearest.shape[1])
    asked, place = np.unique(np.minimum(wanted, turned.shape[0] - 1), return_inverse=True)
    found = (turned[asked] @ share)[place.reshape(wanted.shape), np.arange(len(nearest))[:, None]]
    return np.where(wanted < turned.shape[0], found, 0)


def neighbours(own: "csr_matrix", customers: np.ndarray, pool: Pool, count: int) -> "csr_matrix":
    """The mean vector of the `count` nearest customers of the pool, sparse (questions, products)."""
    from scipy.sparse import csr_matrix

    near = nearest(own, customers, pool, count)
    shares = np.full(near.size, 1 / max(1, near.shape[1]), dtype=np.float32)
    start = np.arange(len(near) + 1) * near.shape[1]
    shape = (len(near), len(pool.customers))
    return (csr_matrix((shares, near.ravel(), start), shape=shape) @ pool.matrix(own.shape[1])).tocsr()
