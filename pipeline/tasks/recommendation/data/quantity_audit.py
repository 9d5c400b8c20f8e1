"""Quantities that the price contradicts: the price of a line, over what the product usually costs apiece."""

import numpy as np

PRICED_LINES_MIN = 5  # of a product, to say what it usually costs


def suggested_quantity(product: np.ndarray, quantity: np.ndarray, price: np.ndarray) -> np.ndarray:
    """float64 (N,): pieces that the price of each line suggests; NaN where nothing can be said.

    product: int64 (N,), codes; quantity: float64 (N,); price: float64 (N,) before discounts
    The usual price of a piece is the median over the product's lines that have a price.
    """
    priced = (price > 0) & (quantity > 0)
    apiece = price[priced] / quantity[priced]
    order = np.lexsort((apiece, product[priced]))
    products, starts, counts = np.unique(product[priced][order], return_index=True, return_counts=True)
    middle = apiece[order][starts + (counts - 1) // 2] if len(order) else apiece
    usual = np.full(int(product.max(initial=-1)) + 1, np.nan)
    enough = counts >= PRICED_LINES_MIN
    usual[products[enough]] = middle[enough]
    return np.where(priced, price / usual[product], np.nan)


def agreement(quantity: np.ndarray, suggested: np.ndarray) -> np.ndarray:
    """float64 (N,) in (0, 1]: the smaller over the larger; 1 where nothing can be said."""
    smaller, larger = np.minimum(quantity, suggested), np.maximum(quantity, suggested)
    return np.nan_to_num(smaller / np.where(larger > 0, larger, 1.0), nan=1.0)
