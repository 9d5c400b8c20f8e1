"""How good a ranking of candidates is: recall among the first k. Finished lists are judged by lists.py.

scores float32 (B, C); relevant float32 (B, C), 1 where a candidate is wanted; wanted int64 (B,) how
many are wanted altogether, among the candidates or not: what was no candidate counts as missed.
A candidate that does not exist must have a very low score.
"""

import numpy as np


def recall(scores: np.ndarray, relevant: np.ndarray, wanted: np.ndarray, k: int) -> np.ndarray:
    """Share of what is wanted that is among the first k, float64 (B,)."""
    return _first(scores, relevant, k).sum(axis=1) / np.maximum(wanted, 1)


def order(scores: np.ndarray, k: int) -> np.ndarray:
    """Places of the first k, best first, int64 (B, k); equal scores keep their order."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def _first(scores: np.ndarray, relevant: np.ndarray, k: int) -> np.ndarray:
    return np.take_along_axis(relevant, order(scores, k), axis=1).astype(np.float64)
