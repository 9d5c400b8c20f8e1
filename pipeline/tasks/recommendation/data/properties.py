"""Figures of a question and its answer whose distribution shows drift.

They are logged with every answer and compared by `monitor`; their names are part of the log.

    customer_baskets  baskets that the customer has bought
    days_since        days since the newest
    basket_products   products in the live basket
    top_score         score of the first item
    bought_share      share of items that the customer has bought before
    popularity        mean of log10 of the items' shares of all purchases
    filled_share      share of items that the network has not ranked
"""

import numpy as np

from pipeline.tasks.recommendation.data.ranking import List

SHARE_MIN = 1e-7  # so that the logarithm of what never sold is finite


def of_answer(
    listed: List, shares: np.ndarray, *, baskets: float, since: float, basket_products: int
) -> dict[str, float]:
    """shares: float32 (P,) of all purchases lately; an empty list has neither scores nor shares."""
    size = len(listed.products)
    return {
        "customer_baskets": baskets,
        "days_since": since,
        "basket_products": float(basket_products),
        "top_score": float(listed.scores[0]) if size else 0.0,
        "bought_share": float(np.count_nonzero(listed.bought) / size) if size else 0.0,
        "popularity": float(np.log10(shares[listed.products] + SHARE_MIN).sum() / size) if size else 0.0,
        "filled_share": listed.filled / size if size else 0.0,
    }
