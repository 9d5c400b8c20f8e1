"""How good finished lists of products are, against the baskets that came.

A list is int64 (B, k), best first, -1 where it ends earlier; baskets are B arrays of products, each
product once. Products that could not be known count as missed. All return float64 (B,).
"""

from collections.abc import Sequence

import numpy as np

from pipeline.tasks.recommendation.data.grouping import distinct


def hits(lists: np.ndarray, baskets: Sequence[np.ndarray], size: int) -> np.ndarray:
    """bool (B, k): whether each product of a list is in the basket. size: products of the catalogue."""
    row = np.arange(len(lists))[:, None].astype(np.int64)
    wanted = np.concatenate([i * size + basket.astype(np.int64) for i, basket in enumerate(baskets)])
    return np.isin(row * size + lists, wanted) & (lists >= 0)


def recall(found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """found: bool (B, k) from `hits`; wanted: int (B,) products of each basket."""
    return found.sum(axis=1) / np.maximum(wanted, 1)


def ndcg(found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Normalised discounted cumulative gain (Järvelin and Kekäläinen 2002), gain 1 each."""
    discounts = 1 / np.log2(np.arange(2, found.shape[1] + 2))
    ideal = np.concatenate([[1.0], np.cumsum(discounts)])[np.clip(wanted, 0, found.shape[1])]
    return (found * discounts).sum(axis=1) / ideal


def average_precision(found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Mean of the precision at each hit (Buckley and Voorhees 2000), of as many as a list of k could hold."""
    ranks = np.arange(1, found.shape[1] + 1)
    precision = found.cumsum(axis=1) / ranks
    return (precision * found).sum(axis=1) / np.clip(wanted, 1, found.shape[1])


def reciprocal_rank(found: np.ndarray) -> np.ndarray:
    """One over the rank of the first hit, 0 where there is none (Voorhees 1999)."""
    return np.where(found.any(axis=1), 1 / (1 + found.argmax(axis=1)), 0.0)


def recall_of_kinds(lists: np.ndarray, baskets: Sequence[np.ndarray], kinds: np.ndarray) -> np.ndarray:
    """Recall of the kinds of product (their type) instead of the very products. kinds: int (P,)."""
    size = int(kinds.max()) + 1
    wanted = distinct(np.concatenate([i * size + kinds[basket] for i, basket in enumerate(baskets)]))
    listed = np.arange(len(lists))[:, None] * size + kinds[lists]
    found = np.isin(wanted, listed[lists >= 0])
    rows, question = len(lists), wanted // size
    return np.bincount(question, found, rows) / np.bincount(question, minlength=rows)
