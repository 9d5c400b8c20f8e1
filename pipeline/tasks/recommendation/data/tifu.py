"""TIFU-KNN: a customer's frequencies, decayed over groups of baskets, and those of similar customers.

Hu, He, Gao, Zhang (SIGIR 2020, arXiv:2006.00556). A customer's baskets are split, from the newest
back, into at most GROUPS groups of equal size; within a group baskets count alike (r_b = 1), from group
to group less (r_g = GROUP_DECAY). The outlook is ALPHA times the customer's own vector plus the rest
times the mean vector of the nearest customers (Euclidean distance).

Used as a baseline, and both vectors as features of the network.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

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
        from scipy.sparse import csr_matrix

        shape = (len(self.customers), products)
        return csr_matrix((self.values, self.products, self.start), shape=shape, copy=False)


def vectors(rows: Rows, products: int) -> "csr_matrix":
    """One vector a question, sparse (questions, products)."""
    from scipy.sparse import csr_matrix

    baskets = rows.baskets()
    size = np.maximum(-(-baskets // GROUPS), 1)
    groups = np.maximum(-(-baskets // size), 1)
    lag = baskets[rows.question] - 1 - rows.ordinal
    of = lag // size[rows.question]
    oldest = of == groups[rows.question] - 1
    in_group = np.where(
        oldest, (baskets - (groups - 1) * size)[rows.question], size[rows.question]
    )  # baskets in the row's group
    weight = GROUP_DECAY**of / in_group / groups[rows.question]
    made = csr_matrix(
        (weight.astype(np.float32), (rows.question, rows.product)), shape=(rows.questions, products)
    )
    made.sum_duplicates()
    return made


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


def neighbours(own: "csr_matrix", customers: np.ndarray, pool: Pool, count: int) -> "csr_matrix":
    """The mean vector of the `count` nearest customers of the pool, sparse (questions, products).

    own: vectors of the questions; customers: who asks, so that nobody is a neighbour of himself; -1 unknown
    """
    from scipy.sparse import csr_matrix

    matrix = pool.matrix(own.shape[1])
    squares = np.asarray(own.multiply(own).sum(axis=1), dtype=np.float32)
    distance = squares + pool.squares[None, :] - 2 * (own @ matrix.T).toarray()
    places = np.minimum(np.searchsorted(pool.customers, customers), max(0, len(pool.customers) - 1))
    himself = np.flatnonzero(pool.customers[places] == customers)
    distance[himself, places[himself]] = np.inf
    count = min(count, len(pool.customers) - 1)
    nearest = np.argpartition(distance, count - 1, axis=1)[:, :count]
    shares = np.full(nearest.size, 1 / count, dtype=np.float32)
    start = np.arange(0, nearest.size + 1, count)
    return (csr_matrix((shares, nearest.ravel(), start), shape=distance.shape) @ matrix).tocsr()
