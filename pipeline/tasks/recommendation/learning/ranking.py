"""How good a ranking is: recall, NDCG and hit rate among the first k.

scores float32 (B, C); relevant float32 (B, C), 1 where a candidate is wanted; wanted int64 (B,) how
many are wanted altogether, among the candidates or not: what was no candidate counts as missed.
A candidate that does not exist must have a very low score. All return float64 (B,).
"""

import numpy as np


def recall(scores: np.ndarray, relevant: np.ndarray, wanted: np.ndarray, k: int) -> np.ndarray:
    """Share of what is wanted that is among the first k."""
    return _first(scores, relevant, k).sum(axis=1) / np.maximum(wanted, 1)


def ndcg(scores: np.ndarray, relevant: np.ndarray, wanted: np.ndarray, k: int) -> np.ndarray:
    """Normalised discounted cumulative gain (Järvelin and Kekäläinen 2002), gain 1 each."""
    discounts = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.concatenate([[1.0], np.cumsum(discounts)])[np.clip(wanted, 0, k)]
    gains = _first(scores, relevant, k)
    return (gains * discounts[: gains.shape[1]]).sum(axis=1) / np.where(wanted > 0, ideal, 1)


def hit_rate(scores: np.ndarray, relevant: np.ndarray, k: int) -> np.ndarray:
    """1 where at least one of the first k is wanted."""
    return (_first(scores, relevant, k).sum(axis=1) > 0).astype(np.float64)


def order(scores: np.ndarray, k: int) -> np.ndarray:
    """Places of the first k, best first, int64 (B, k); equal scores keep their order."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def _first(scores: np.ndarray, relevant: np.ndarray, k: int) -> np.ndarray:
    return np.take_along_axis(relevant, order(scores, k), axis=1).astype(np.float64)
