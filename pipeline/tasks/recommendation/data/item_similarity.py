"""Which products go with which: over all of a customer's purchases, and within one basket.

ease       float32 (M, M): weight of having bought the row's product for wanting the column's. A linear
           autoencoder with a zero diagonal, in closed form: EASE (Steck 2019, arXiv:1905.03375).
items      int32 (M,) rising: the products behind rows and columns, the best sellers
slots      int32 (P,): a product's place among `items`, -1 where it is not there
together   int32 (M, n): products that a basket with the row's product holds more often than others do,
           -1 where there are fewer; lift: float32 (M, n), cosine of the two products' baskets
M is bounded (`similarity_items`), so the cost is linear in purchases and never customers x products.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.tasks.recommendation.data.dataset import Purchases
from pipeline.tasks.recommendation.data.grouping import distinct

TOGETHER = 40  # neighbours kept of each product
TOGETHER_MIN = 5  # baskets that two products must share to count as bought together


@dataclass(frozen=True)
class ItemSimilarity:
    items: np.ndarray
    slots: np.ndarray
    ease: np.ndarray
    together: np.ndarray
    lift: np.ndarray


def build(
    parts: Sequence[Purchases], products: int, customers: int, day: int, size: int, ridge: float
) -> ItemSimilarity:
    """From the purchases before `day`. size: M at most; ridge: EASE's regularisation."""
    from scipy import sparse

    rows = {
        name: np.concatenate([getattr(part, name)[: np.searchsorted(part.day, day)] for part in parts])
        for name in ("customer", "product", "basket")
    }
    pairs = distinct(rows["customer"].astype(np.int64) * products + rows["product"])
    buyers = np.bincount(pairs % products, minlength=products)
    best = np.argsort(-buyers, kind="stable")[: min(size, max(1, int((buyers > 0).sum())))]
    items = np.sort(best).astype(np.int32)
    slots = np.full(products, -1, dtype=np.int32)
    slots[items] = np.arange(len(items))

    def incidence(owner: np.ndarray, product: np.ndarray, owners: int) -> "sparse.csr_matrix":
        kept = slots[product] >= 0
        ones = np.ones(int(kept.sum()), dtype=np.float32)
        return sparse.csr_matrix((ones, (owner[kept], slots[product[kept]])), shape=(owners, len(items)))

    bought = incidence(pairs // products, pairs % products, customers)
    numbers, basket = np.unique(rows["basket"], return_inverse=True)
    baskets = incidence(basket, rows["product"], len(numbers))
    together, lift = _together(baskets)
    gram = np.asarray((bought.T @ bought).toarray(), dtype=np.float32)
    return ItemSimilarity(items, slots, _ease(gram, ridge), together, lift)


def _ease(gram: np.ndarray, ridge: float) -> np.ndarray:
    """gram: float32 (M, M), how many customers bought both; overwritten."""
    from scipy.linalg import lapack

    gram[np.diag_indices_from(gram)] += ridge
    factor, _ = lapack.spotrf(gram, lower=1, overwrite_a=1)
    inverse, _ = lapack.spotri(factor, lower=1, overwrite_c=1)
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    weights = -inverse / np.diag(inverse)[None, :]
    np.fill_diagonal(weights, 0)
    return np.ascontiguousarray(weights, dtype=np.float32)


def _together(baskets: "sparse.csr_matrix") -> tuple[np.ndarray, np.ndarray]:  # type: ignore[name-defined] # noqa: F821
    """baskets: sparse (baskets, M) of ones."""
    shared = np.asarray((baskets.T @ baskets).toarray(), dtype=np.float32)
    counts = np.maximum(np.diag(shared).copy(), 1)
    shared[shared < TOGETHER_MIN] = 0
    np.fill_diagonal(shared, 0)
    shared /= np.sqrt(counts)[:, None]
    shared /= np.sqrt(counts)[None, :]
    width = min(TOGETHER, len(shared))
    best = np.argpartition(-shared, width - 1, axis=1)[:, :width]
    lift = np.take_along_axis(shared, best, axis=1)
    order = np.argsort(-lift, axis=1, kind="stable")
    best, lift = np.take_along_axis(best, order, axis=1), np.take_along_axis(lift, order, axis=1)
    return np.where(lift > 0, best, -1).astype(np.int32), np.ascontiguousarray(lift)
