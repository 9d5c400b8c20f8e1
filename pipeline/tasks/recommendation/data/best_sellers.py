"""What sells best now: for whom nothing is known, and to fill a list up."""

import numpy as np

from pipeline.tasks.recommendation.data.item_tables import RECENT, ItemTables


class BestSellers:
    """share: float32 (P,) of all purchases of the last weeks; everywhere: int64, products that sold in
    them, best first"""

    def __init__(self, items: ItemTables) -> None:
        self._items = items
        self.share = np.ascontiguousarray(items.popularity[:, RECENT])
        order = np.argsort(-self.share, kind="stable")
        self.everywhere = order[: int((self.share > 0).sum())]

    def in_store(self, store: int) -> np.ndarray:
        """int64: what sold most often in the store, best first, and after it what sells everywhere.

        store: place in the catalogue, -1 for none
        """
        products = len(self.share)
        if store < 0:
            return self.everywhere
        start, end = np.searchsorted(self._items.store_keys, [store * products, (store + 1) * products])
        sold = self._items.store_keys[start:end] % products
        order = np.lexsort((-self.share[sold], -self._items.store_counts[start:end]))
        first = sold[order]
        return np.concatenate([first, self.everywhere[~np.isin(self.everywhere, first)]])
