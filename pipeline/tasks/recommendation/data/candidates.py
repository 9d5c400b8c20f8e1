"""Which products are worth ranking for each question: a few hundred of the whole catalogue.

What the customer bought, best by frequency and recency first; and what he never bought: by item
similarity, by what sells in his types, by what sells everywhere, by what goes with his live basket.
Products in the live basket are no candidates.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.tasks.recommendation.data.asking import Mode
from pipeline.tasks.recommendation.data.counts import Counts, KindCounts, Questions
from pipeline.tasks.recommendation.data.dataset import CODES, Catalogue
from pipeline.tasks.recommendation.data.grouping import find as find_keys
from pipeline.tasks.recommendation.data.grouping import rank_in_group, within
from pipeline.tasks.recommendation.data.retrieval import Retrieval
from pipeline.tasks.recommendation.data.sparse_sums import times
from pipeline.tasks.recommendation.data.state import State

TYPES = 24  # of a customer, looked through for new products
NONE = np.int32(-1)


@dataclass(frozen=True)
class Candidates:
    """products: int32 (B, C), -1 where there are fewer, each once a question; own: int64 (B, C), where the
    customer's counts of each stand, -1 where he bought none;
    similarity: float32 (B, M) what the item similarity says of its M items for each question;
    lift_keys, lifts: as from `basket_lifts`"""

    products: np.ndarray
    own: np.ndarray
    similarity: np.ndarray
    lift_keys: np.ndarray
    lifts: np.ndarray

    @property
    def bought(self) -> np.ndarray:
        """bool (B, C)"""
        return self.own >= 0


@dataclass(frozen=True)
class Places:
    """Where the customer's counts of each candidate's type and of its category stand; int64 (B, C),
    -1 where he bought none, or none is known."""

    type: np.ndarray
    category: np.ndarray


def find(state: State, questions: Questions, counts: Counts, retrieval: Retrieval) -> Candidates:
    size, products = len(questions), state.products
    first = np.arange(size)[:, None] * products  # key of each question's first product
    own = counts.product.groups

    owned, similarity = _similarity(state, counts, size)
    lift_keys, lifts = basket_lifts(state, questions)
    repeats = _repeats(counts, size, retrieval.repeats)
    new = [
        _similar(state, similarity, owned, retrieval.similar),
        _affine(state, counts, size, retrieval.affine),
        state.items.best_sellers[None, : retrieval.popular].repeat(size, axis=0),
        _together(state, lift_keys, lifts, size, retrieval.together),
    ]
    unseen = np.concatenate(new, axis=1)
    unseen[(unseen < 0) | (own.find(first + unseen) >= 0)] = NONE
    unseen.sort(axis=1)
    unseen[:, 1:][unseen[:, 1:] == unseen[:, :-1]] = NONE
    place = np.full((size, repeats.shape[1] + unseen.shape[1]), -1)
    place[:, : repeats.shape[1]] = repeats
    found = np.empty(place.shape, dtype=np.int32)
    found[:, repeats.shape[1] :] = unseen
    found[:, : repeats.shape[1]] = np.append(counts.product.product, NONE)[repeats]
    if len(questions.basket_product):
        live = np.sort(questions.basket_question * products + questions.basket_product)
        held = (find_keys(live, first + found) >= 0) & (found >= 0)
        found[held], place[held] = NONE, -1
    return Candidates(found, place, similarity, lift_keys, lifts)


def trimmed(found: Candidates, modes: Sequence[Mode]) -> Candidates:
    """Those that each list may hold in the same order, as narrow as the question with the most allows."""
    there = found.products >= 0
    for i, mode in enumerate(modes):
        if mode != "mixed":
            there[i] &= found.bought[i] == (mode == "replenish")
    question, column = there.nonzero()
    place = within(question)
    shape = (len(found.products), int(place.max(initial=0)) + 1)
    products, own = np.full(shape, NONE), np.full(shape, -1)
    products[question, place] = found.products[question, column]
    own[question, place] = found.own[question, column]
    return Candidates(products, own, found.similarity, found.lift_keys, found.lifts)


def places(catalogue: Catalogue, counts: Counts, products: np.ndarray) -> Places:
    """products: int (B, C), -1 where there is no candidate"""
    question, products = np.arange(len(products))[:, None], np.maximum(products, 0)

    def of_kind(kinds: KindCounts, name: str) -> np.ndarray:
        kind = catalogue.codes[:, CODES.index(name)][products]
        return np.where(kind > 0, kinds.groups.find(question * kinds.size + kind), -1)

    return Places(type=of_kind(counts.type, "type"), category=of_kind(counts.category, "category"))


def _similarity(state: State, counts: Counts, size: int) -> tuple[np.ndarray, np.ndarray]:
    """bool (B, M): which of the M items each customer bought; float32 (B, M): what that says of each.

    A sparse product sums in the same order whatever the number of questions; a dense one does not.
    """
    own, items = counts.product, len(state.similarity.items)
    slot = state.similarity.slots[own.product]
    known = slot >= 0
    question, slot = own.question[known], slot[known]
    start = question.searchsorted(np.arange(size + 1)).astype(slot.dtype)
    owned = np.zeros((size, items), dtype=bool)
    owned[question, slot] = True
    return owned, times(np.ones(len(slot), dtype=np.float32), slot, start, state.similarity.ease)


def _repeats(counts: Counts, size: int, wanted: int) -> np.ndarray:
    """int64 (B, wanted): places of the most promising in the counts, best first; -1 where there are fewer."""
    own = counts.product
    promise = (
        own.decayed[:, 2]
        + 0.1 * own.decayed[:, 3]
        + 0.3 * own.by_basket[:, 0]
        + 0.02 * own.count
        + own.decayed[:, 1]
    )
    ranks = rank_in_group(own.question, promise)
    best = ranks < wanted
    found = np.full((size, wanted), -1)
    found[own.question[best], ranks[best]] = best.nonzero()[0]
    return found


def _similar(state: State, similarity: np.ndarray, owned: np.ndarray, wanted: int) -> np.ndarray:
    wanted = min(wanted, similarity.shape[1] - 1)
    best = np.argpartition(np.where(owned, np.inf, -similarity), wanted, axis=1)[:, :wanted]
    return state.similarity.items[best]


def _affine(state: State, counts: Counts, size: int, wanted: int) -> np.ndarray:
    """Best sellers of the customer's types, by how much he buys of the type and its share there."""
    kinds = counts.type
    weight = np.where(kinds.kind > 0, kinds.decayed[:, 1], 0)
    ranks = rank_in_group(kinds.question, weight)
    best = ((ranks < TYPES) & (weight > 0)).nonzero()[0]
    asked, rank = kinds.question[best], ranks[best]
    types = np.zeros((size, TYPES), dtype=np.int64)
    weights = np.zeros((size, TYPES), dtype=np.float32)
    types[asked, rank], weights[asked, rank] = kinds.kind[best], weight[best]
    found = state.items.top_of_type[types]
    promise = (weights[:, :, None] * state.items.share_of_type[found]).reshape(size, -1)
    found, question = found.reshape(size, -1), np.arange(size)[:, None]
    promise[(found < 0) | (counts.product.groups.find(question * state.products + found) >= 0)] = 0
    best_places = np.argpartition(-promise, wanted, axis=1)[:, :wanted]
    return np.where(promise[question, best_places] > 0, found[question, best_places], NONE)


def _together(state: State, keys: np.ndarray, lifts: np.ndarray, size: int, wanted: int) -> np.ndarray:
    """What goes with the live basket. keys, lifts: as from `basket_lifts`."""
    found = np.full((size, wanted), NONE)
    if not len(keys):
        return found
    question = keys // state.products
    ranks = rank_in_group(question, lifts)
    best = ranks < wanted
    found[question[best], ranks[best]] = keys[best] % state.products
    return found


def basket_lifts(state: State, questions: Questions) -> tuple[np.ndarray, np.ndarray]:
    """keys: int64 rising, question * P + product; float32: the sum of the lifts from its live basket."""
    if not len(questions.basket_product):
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
    slot = state.similarity.slots[questions.basket_product]
    known = slot >= 0
    partners = state.similarity.together[slot[known]]
    lifts = state.similarity.lift[slot[known]]
    question = np.repeat(questions.basket_question[known], partners.shape[1])
    real = partners.ravel() >= 0
    keys = question[real] * state.products + state.similarity.items[partners.ravel()[real]]
    unique, place = np.unique(keys, return_inverse=True)
    return unique, np.bincount(place, lifts.ravel()[real], len(unique)).astype(np.float32)
