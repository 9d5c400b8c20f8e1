"""Finding products by words of their names."""

import bisect
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

WORD = re.compile(r"[^\W_]+")  # letters and digits, of any script
LETTERS = 40  # of a word; what comes after them is not looked at


@dataclass(frozen=True)
class ProductSearch:
    """An index of the words of all products' names.

    words: str (W,), sorted
    start: int64 (W + 1,), where the products of each word begin in `ranks`
    ranks: int32 (N,), of each word the products whose names hold it, what sells best first
    products: int32 (P,), place in the catalogue of each rank
    """

    words: np.ndarray
    start: np.ndarray
    ranks: np.ndarray
    products: np.ndarray

    def find(self, text: str, count: int) -> list[int]:
        """Places of at most `count` products whose names hold words that begin with each of the words."""
        wanted = set(_words(text))
        if not wanted:
            return []
        matches: np.ndarray | None = None
        for word in wanted:
            first = bisect.bisect_left(self.words, word)
            last = bisect.bisect_left(self.words, word + "\U0010ffff")
            ranks = self.ranks[self.start[first] : self.start[last]]
            matches = np.unique(ranks) if matches is None else np.intersect1d(matches, ranks)
        assert matches is not None
        return [int(place) for place in self.products[matches[:count]]]


def build(names: Sequence[str], share: np.ndarray) -> ProductSearch:
    """share: float32 (P,), how well each product sells; better ones are found first."""
    products = np.argsort(-share, kind="stable")
    number: dict[str, int] = {}  # of each name; many products share one
    named = np.array([number.setdefault(name, len(number)) for name in names], dtype=np.int64)
    named = named[products]
    words_of = [sorted(set(_words(name))) for name in number]
    words = sorted(set().union(*words_of))
    place = {word: i for i, word in enumerate(words)}
    places = np.array([place[word] for each in words_of for word in each], dtype=np.int64)
    counts = np.array([len(each) for each in words_of], dtype=np.int64)
    # Each product with each word of its name, by words, of a word the best-selling product first.
    ranks = np.repeat(np.arange(len(named)), counts[named])
    begins = np.cumsum(counts)[named] - np.cumsum(counts[named])  # of names less of products
    word = places[begins[ranks] + np.arange(len(ranks))]
    order = np.argsort(word, kind="stable")
    return ProductSearch(
        words=np.array(words, dtype=str),
        start=np.searchsorted(word[order], np.arange(len(words) + 1)),
        ranks=ranks[order].astype(np.int32),
        products=products.astype(np.int32),
    )


def _words(text: str) -> list[str]:
    return [word[:LETTERS] for word in WORD.findall(text.casefold())]
