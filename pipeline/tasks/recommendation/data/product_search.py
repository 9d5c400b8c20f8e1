"""Finding products by words of their names."""

import bisect
from collections.abc import Sequence

import numpy as np


class ProductSearch:
    def __init__(self, names: Sequence[str], share: np.ndarray) -> None:
        """share: float32 (P,), how well each product sells; better ones are found first."""
        rank = np.empty(len(names), dtype=np.int64)
        rank[np.argsort(-share, kind="stable")] = np.arange(len(names))
        self._by_rank = np.argsort(rank)
        found: dict[str, list[int]] = {}
        products_of_name: dict[str, list[int]] = {}
        for place, name in enumerate(names):
            products_of_name.setdefault(name, []).append(int(rank[place]))
        for name, ranks in products_of_name.items():
            for word in set(_words(name)):
                found.setdefault(word, []).extend(ranks)
        self._words = sorted(found)
        self._ranks = [np.sort(np.array(found[word], dtype=np.int32)) for word in self._words]

    def find(self, text: str, count: int) -> list[int]:
        """Places of at most `count` products whose names hold words that begin with each of the words."""
        wanted = set(_words(text))
        if not wanted:
            return []
        matches: np.ndarray | None = None
        for word in wanted:
            first = bisect.bisect_left(self._words, word)
            last = bisect.bisect_left(self._words, word + "\U0010ffff")
            ranks = np.concatenate([np.empty(0, dtype=np.int32), *self._ranks[first:last]])
            matches = np.unique(ranks) if matches is None else np.intersect1d(matches, ranks)
        assert matches is not None
        return [int(place) for place in self._by_rank[matches[:count]]]


def _words(text: str) -> list[str]:
    return "".join(c if c.isalnum() else " " for c in text.casefold()).split()
