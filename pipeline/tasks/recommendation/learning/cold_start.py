"""What helps for customers of whom nothing is known but, at best, who they are.

The history of customers with demographics is hidden; half of them are asked, the other half is learnt
from. Measured so that the service claims no gain that is not there.
"""

from typing import Any

import numpy as np

from pipeline.core.statistics import clustered_mean
from pipeline.tasks.recommendation.data.grouping import slices
from pipeline.tasks.recommendation.data.histories import Rows
from pipeline.tasks.recommendation.learning import baselines, lists
from pipeline.tasks.recommendation.learning.examples import Past, Targets
from pipeline.tasks.recommendation.parameters import Evaluate

LIST = 20
HALVES = 2


def measure(past: Past, day: int, limits: Evaluate) -> dict[str, Any]:
    """Recall at 20 of popularity and of popularity within demographics, and their paired difference."""
    targets = past.next_baskets(day, limits.first_basket_days)
    described: np.ndarray = np.any(past.catalogue.demographics > 0, axis=1)
    chosen = described[targets.customers]
    if not chosen.any():
        return {"customers": 0}
    targets = Targets(
        targets.customers[chosen],
        [basket for basket, kept in zip(targets.products, chosen, strict=True) if kept],
    )
    state = past.state(day)
    popular = np.empty(len(targets.customers))
    grouped = np.empty(len(targets.customers))
    half = np.random.default_rng(limits.seed).permutation(len(targets.customers)) % HALVES
    for each in range(HALVES):
        asked = np.flatnonzero(half == each)
        customers = targets.customers[asked]
        baskets = [targets.products[i] for i in asked]
        wanted = np.array([len(basket) for basket in baskets])
        others = np.setdiff1d(np.flatnonzero(described), customers)
        rows = _rows_of(past, others, day)
        everybody = baselines.Asked(state, customers, rows, past.retrieval)
        for values, made in (
            (popular, baselines.global_top(everybody, LIST)),
            (grouped, baselines.by_demographics(state, rows, customers, LIST)),
        ):
            values[asked] = lists.recall(lists.hits(made, baskets, state.products), wanted)
    difference, interval = clustered_mean(
        grouped - popular, targets.customers, draws=limits.draws, seed=limits.seed
    )
    return {
        "customers": len(targets.customers),
        "popularity": float(popular.mean()),
        "popularity_within_demographics": float(grouped.mean()),
        "difference": difference,
        "interval": interval,
    }


def _rows_of(past: Past, customers: np.ndarray, day: int) -> Rows:
    """Purchases before the day of some customers; `question` is the customer's place in the catalogue."""
    known = past.histories
    places, which = slices(known.start[customers], known.ends(day)[customers])
    columns = (known.product, known.day, known.ordinal, known.quantity, known.store)
    return Rows(len(known.start) - 1, customers[which], *(column[places] for column in columns))
