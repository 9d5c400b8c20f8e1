"""The index of the products' names, against a search that reads each of them."""

from collections.abc import Sequence

import numpy as np
import pytest

from pipeline.tasks.recommendation.data import product_search
from pipeline.tasks.recommendation.data.product_search import LETTERS

WORDS = ("milk", "Milch", "MILKSHAKE", "2", "2L", "whole", "молоко", "молочный", "ẞ", "牛奶", "-", "_", "")


def read_through(names: Sequence[str], share: np.ndarray, text: str) -> list[int]:
    wanted = product_search._words(text)
    held = {
        i: product_search._words(name)
        for i, name in sorted(enumerate(names), key=lambda pair: (-share[pair[0]], pair[0]))
    }
    return [
        i
        for i, words in held.items()
        if wanted and all(any(each.startswith(word) for each in words) for word in wanted)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_it_finds_what_reading_all_names_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    names = [" ".join(rng.choice(WORDS, rng.integers(0, 4))) for _ in range(200)]
    share = rng.choice(np.array([0, 0.25, 0.5], dtype=np.float32), 200)
    found = product_search.build(names, share)
    for text in ("mil", "MILK", "2", "l", "мол", "молоко 2", "牛", "ss", "whole milk 2l", "-_ ", "", "milky"):
        assert found.find(text, 300) == read_through(names, share, text), text
    assert found.find("m", 3) == read_through(names, share, "m")[:3]


def test_names_without_words_and_a_word_without_end() -> None:
    share = np.zeros(3, dtype=np.float32)
    assert product_search.build(["", "--", "_"], share).find("a", 5) == []
    endless = product_search.build(["a" * 1_000_000, "b", "a" * (LETTERS - 1)], share)
    assert endless.words.nbytes < 1000
    assert endless.find("a", 5) == [0, 2] and endless.find("a" * 99, 5) == [0]
