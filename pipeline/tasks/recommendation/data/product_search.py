"""Finding products by words of their names."""

import bisect
import re
from collections.abc import Sequence

import numpy as np

WORD = re.compile(r"[^\W_]+")  # letters and digits, of any script


class ProductSearch:
    def __init__(self, names: Sequence[str], share: np.ndarray) -> None:
        """share: float32 (P,), how well each product sells; better ones are found first."""
        self._by_rank = np.argsort(-share, kind="stable")
        number: dict[str, int] = {}  # of each name; many products share one
        named = np.array([number.setdefault(name, len(number)) for name in names], dtype=np.int64)
        named = named[self._by_rank]
        words = [sorted(set(_words(name))) for name in number]
        self._words = sorted(set().union(*words))
        place = {word: i for i, word in enumerate(self._words)}
        places = np.array([place[word] for each in words for word in each], dtype=np.int64)
        counts = np.array([len(each) for each in words], dtype=np.int64)
        # Each product with each word of its name, by words, of a word the best-selling product first.
        ranks = np.repeat(np.arange(len(named)), counts[named])
        begins = np.cumsum(counts)[named] - np.cumsum(counts[named])  # of names less of products
        word = places[begins[ranks] + np.arange(len(ranks))]
        order = np.argsort(word, kind="stable")
        self._ranks = ranks[order]
        self._start = np.searchsorted(word[order], np.arange(len(self._words) + 1))

    def find(self, text: str, count: int) -> list[int]:
        """Places of at most `count` products whose names hold words that begin with each of the words."""
        wanted = set(_words(text))
        if not wanted:
            return []
        matches: np.ndarray | None = None
        for word in wanted:
            first = bisect.bisect_left(self._words, word)
            last = bisect.bisect_left(self._words, word + "\U0010ffff")
            ranks = self._ranks[self._start[first] : self._start[last]]
            matches = np.unique(ranks) if matches is None else np.intersect1d(matches, ranks)
        assert matches is not None
        return [int(place) for place in self._by_rank[matches[:count]]]


def _words(text: str) -> list[str]:
    return WORD.findall(text.casefold())
