"""The shallow comparators: lists made by counting, over the whole catalogue.

Each returns the first k products for each customer, int64 (B, k), -1 where it has fewer. Personal and
combined top lists: Hu et al. 2020 and Li et al. 2023 (A next basket recommendation reality check), who
found them hard to beat. All are made from what was known on the day of the state.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from pipeline.tasks.recommendation.data import tifu
from pipeline.tasks.recommendation.data.grouping import distinct
from pipeline.tasks.recommendation.data.histories import Rows
from pipeline.tasks.recommendation.data.item_tables import RECENT
from pipeline.tasks.recommendation.data.retrieval import Retrieval
from pipeline.tasks.recommendation.data.state import State

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

DECAY_DAYS = 60.0  # of the decayed frequency
EASE_RIDGE = 50.0
COLUMNS = 4096  # products whose sums over the pool are held at once
ROWS = 128  # customers whose scores of the whole catalogue are held at once
TIFU_KNN = "TIFU-KNN"
PRIOR_SHARE = 1.0  # of a group's purchases, that what holds for all counts as


@dataclass(frozen=True)
class Asked:
    """Customers, int64 (B,), -1 unknown, and what they bought before the day of `state`."""

    state: State
    customers: np.ndarray
    rows: Rows
    retrieval: Retrieval


def global_top(asked: Asked, k: int) -> np.ndarray:
    """What sells most lately, the same for everybody."""
    best = np.argsort(-asked.state.items.popularity[:, RECENT], kind="stable")[:k]
    return np.broadcast_to(best, (len(asked.customers), k))


def personal_top(asked: Asked, k: int) -> np.ndarray:
    """What the customer bought in most baskets; of equals, what he bought last."""
    return _best(_counts(asked, np.ones(len(asked.rows.product))), k)


def combined_top(asked: Asked, k: int) -> np.ndarray:
    """The personal list, filled up with what sells most."""
    own, everybody = personal_top(asked, k), global_top(asked, 2 * k)
    filled = np.concatenate([own, everybody], axis=1)
    repeated = np.zeros(filled.shape, dtype=bool)
    for place in range(k, filled.shape[1]):
        repeated[:, place] = (filled[:, place : place + 1] == own).any(axis=1)
    order = np.argsort(repeated | (filled < 0), axis=1, kind="stable")[:, :k]
    return np.take_along_axis(filled, order, axis=1)


def decayed_top(asked: Asked, k: int) -> np.ndarray:
    """As personal_top, a purchase counting exp(-age / 60 days)."""
    return _best(_counts(asked, np.exp(-(asked.state.day - asked.rows.day) / DECAY_DAYS)), k)


def tifu_knn(asked: Asked, k: int) -> np.ndarray:
    """data/tifu.py, over the whole catalogue."""
    own = tifu.vectors(asked.rows, asked.state.products)
    others = tifu.neighbours(own, asked.customers, asked.state.pool, asked.retrieval.neighbours)
    return _best(tifu.ALPHA * own + (1 - tifu.ALPHA) * others, k)


def ease(asked: Asked, k: int) -> np.ndarray:
    """EASE (Steck 2019, arXiv:1905.03375) on the logarithm of how often, over the whole catalogue.

    In its dual form: with X the pool's customers x products and D = (X X' + ridge)^-1, the weights are
    B = I - (I - X'DX) / diag(I - X'DX). The cost grows with the pool squared, whatever the catalogue.
    """
    state = asked.state
    ends = state.histories.ends(state.day)
    of_pool = state.histories.rows(state.pool.customers.astype(np.int64), ends)
    sold = distinct(of_pool.product)  # of all others the weights are 0
    pool, own = (_log_counts(rows, state.products)[:, sold] for rows in (of_pool, asked.rows))
    gram = (pool @ pool.T).toarray().astype(np.float64)
    gram[np.diag_indices_from(gram)] += EASE_RIDGE
    dual = np.linalg.inv(gram).astype(np.float32)
    transposed = pool.T.tocsr()
    known = np.empty(len(sold), dtype=np.float32)
    for start in range(0, len(sold), COLUMNS):
        part = transposed[start : start + COLUMNS]
        known[start : start + COLUMNS] = part.multiply(part @ dual).sum(axis=1).ravel()
    found = np.full((len(asked.customers), k), -1, dtype=np.int64)
    k = min(k, len(sold))
    for start in range(0, len(asked.customers), ROWS):
        part = own[start : start + ROWS]
        mixed = transposed @ ((part @ transposed).toarray() @ dual).T
        dense = part.T.toarray()
        # Negative, so that the best come first.
        scores = np.ascontiguousarray(((dense - mixed) / (1 - known)[:, None] - dense).T)
        best = np.argpartition(scores, k - 1, axis=1)[:, :k]
        order = np.argsort(np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
        found[start : start + ROWS, :k] = sold[np.take_along_axis(best, order, axis=1)]
    return found


BASELINES: Mapping[str, Callable[[Asked, int], np.ndarray]] = {
    "global top": global_top,
    "personal top": personal_top,
    "combined top": combined_top,
    "decayed frequency": decayed_top,
    TIFU_KNN: tifu_knn,
    "EASE": ease,
}


def by_demographics(state: State, past: Rows, asked: np.ndarray, k: int) -> np.ndarray:
    """What sells most to customers of the same demographics, for customers without a history.

    past: rows whose `question` is the customer's place in the catalogue, of those one may learn from
    asked: int64 (B,). Naive Bayes, softened: the share of a product in each known attribute's group, shrunk
    towards its share in all of `past`; the logarithms of their ratios are averaged.
    """
    products = state.products
    weight = np.exp(-(state.day - past.day) / DECAY_DAYS)
    overall = np.bincount(past.product, weight, products) / weight.sum()
    sold = np.flatnonzero(overall)
    scores = np.tile(np.log(overall[sold]), (len(asked), 1))
    attributes = state.catalogue.demographics.T
    for column in attributes:
        for code in np.unique(column[asked]):
            of_group = column[past.question] == code
            if code == 0 or not of_group.any():
                continue
            counted = np.bincount(past.product[of_group], weight[of_group], products)[sold]
            prior = PRIOR_SHARE * weight[of_group].sum()
            share = (counted + prior * overall[sold]) / (counted.sum() + prior)
            scores[column[asked] == code] += np.log(share / overall[sold]) / len(attributes)
    return sold[np.argsort(-scores, axis=1, kind="stable")[:, :k]]


def _log_counts(rows: Rows, products: int) -> "csr_matrix":
    """log(1 + baskets with the product), sparse (questions, products)."""
    from scipy.sparse import csr_matrix

    ones = np.ones(len(rows.product), dtype=np.float32)
    made = csr_matrix((ones, (rows.question, rows.product)), shape=(rows.questions, products))
    made.sum_duplicates()
    made.data = np.log1p(made.data)
    return made


def _counts(asked: Asked, weights: np.ndarray) -> "csr_matrix":
    from scipy.sparse import csr_matrix

    # A tiny part for recency tells equals apart.
    weights = weights + 1e-6 * (asked.rows.day - asked.state.day)
    shape = (len(asked.customers), asked.state.products)
    made = csr_matrix((weights, (asked.rows.question, asked.rows.product)), shape=shape)
    made.sum_duplicates()
    return made


def _best(scores: "csr_matrix", k: int) -> np.ndarray:
    """The k products of the highest positive scores of each row, best first."""
    found = np.full((scores.shape[0], k), -1, dtype=np.int64)
    for row, (start, end) in enumerate(pairwise(scores.indptr.tolist())):
        values, products = scores.data[start:end], scores.indices[start:end]
        best = np.flatnonzero(values > 0)
        if len(best) > k:
            best = best[np.argpartition(-values[best], k - 1)[:k]]
        best = best[np.lexsort((products[best], -values[best]))]
        found[row, : len(best)] = products[best]
    return found
