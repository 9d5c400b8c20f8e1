"""Which products are worth ranking for each question: a few hundred of the whole catalogue.

What the customer bought, best by frequency and recency first; and what he never bought: by item
similarity, by what sells in his types, by what sells everywhere, by what goes with his live basket.
Products in the live basket are no candidates.
"""

from dataclasses import dataclass, replace

import numpy as np

from pipeline.tasks.recommendation.data.counts import Counts, KindCounts, Questions
from pipeline.tasks.recommendation.data.dataset import CODES, Catalogue
from pipeline.tasks.recommendation.data.grouping import rank_in_group
from pipeline.tasks.recommendation.data.retrieval import Retrieval
from pipeline.tasks.recommendation.data.state import State

TYPES = 24  # of a customer, looked through for new products
NONE = np.int32(-1)


@dataclass(frozen=True)
class Candidates:
    """products: int32 (B, C), -1 where there are fewer, each once a question; bought: bool (B, C);
    similarity: float32 (B, M) what the item similarity says of its M items for each question;
    lift_keys, lifts: as from `basket_lifts`"""

    products: np.ndarray
    bought: np.ndarray
    similarity: np.ndarray
    lift_keys: np.ndarray
    lifts: np.ndarray


@dataclass(frozen=True)
class Places:
    """Where the customer's counts of each candidate, of its type and of its category stand; int64 (B, C),
    -1 where he bought none, or none is known."""

    own: np.ndarray
    type: np.ndarray
    category: np.ndarray


def find(state: State, questions: Questions, counts: Counts, retrieval: Retrieval) -> Candidates:
    size, products = len(questions), state.products
    own = counts.product
    live = np.sort(questions.basket_question * products + questions.basket_product)

    owned, similarity = _similarity(state, counts, size)
    lift_keys, lifts = basket_lifts(state, questions)
    repeats = _repeats(counts, size, retrieval.repeats)
    new = [
        _similar(state, similarity, owned, retrieval.similar),
        _affine(state, counts, size, retrieval.affine),
        np.tile(state.items.best_sellers[: retrieval.popular], (size, 1)),
        _together(state, lift_keys, lifts, size, retrieval.together),
    ]
    unseen = np.concatenate(new, axis=1)
    keys = np.arange(size)[:, None] * products + unseen
    unseen = np.where((unseen >= 0) & (own.groups.find(keys) < 0), unseen, NONE)
    unseen = np.sort(unseen, axis=1)
    unseen[:, 1:][unseen[:, 1:] == unseen[:, :-1]] = NONE
    found = np.concatenate([repeats, unseen], axis=1).astype(np.int32)
    if len(live):
        keys = np.arange(size)[:, None] * products + found
        found = np.where(np.isin(keys, live) & (found >= 0), NONE, found)
    bought = np.zeros(found.shape, dtype=bool)
    bought[:, : repeats.shape[1]] = True
    return Candidates(found, bought & (found >= 0), similarity, lift_keys, lifts)


def trimmed(found: Candidates) -> Candidates:
    """The same in the same order, as narrow as the question with the most candidates allows."""
    there = found.products >= 0
    order = np.argsort(~there, axis=1, kind="stable")[:, : max(1, int(there.sum(axis=1).max(initial=0)))]
    return replace(
        found,
        products=np.take_along_axis(found.products, order, axis=1),
        bought=np.take_along_axis(found.bought, order, axis=1),
    )


def places(catalogue: Catalogue, counts: Counts, products: np.ndarray) -> Places:
    """products: int (B, C), -1 where there is no candidate"""
    question, products = np.arange(len(products))[:, None], np.maximum(products, 0)

    def of_kind(kinds: KindCounts, name: str) -> np.ndarray:
        kind = catalogue.codes[:, CODES.index(name)][products]
        return np.where(kind > 0, kinds.groups.find(question * kinds.size + kind), -1)

    return Places(
        own=counts.product.groups.find(question * len(catalogue.product_ids) + products),
        type=of_kind(counts.type, "type"),
        category=of_kind(counts.category, "category"),
    )


def _similarity(state: State, counts: Counts, size: int) -> tuple[np.ndarray, np.ndarray]:
    """bool (B, M): which of the M items each customer bought; float32 (B, M): what that says of each.

    A sparse product sums in the same order whatever the number of questions; a dense one does not.
    """
    from scipy.sparse import csr_matrix

    own, items = counts.product, len(state.similarity.items)
    slot = state.similarity.slots[own.product]
    question, slot = own.question[slot >= 0], slot[slot >= 0]
    start = np.searchsorted(question, np.arange(size + 1))
    bought = csr_matrix((np.ones(len(slot), dtype=np.float32), slot, start), shape=(size, items))
    owned = np.zeros((size, items), dtype=bool)
    owned[question, slot] = True
    return owned, bought @ state.similarity.ease


def _repeats(counts: Counts, size: int, wanted: int) -> np.ndarray:
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
    found = np.full((size, wanted), NONE)
    found[own.question[best], ranks[best]] = own.product[best]
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
    best = (ranks < TYPES) & (weight > 0)
    types = np.zeros((size, TYPES), dtype=np.int64)
    weights = np.zeros((size, TYPES), dtype=np.float32)
    types[kinds.question[best], ranks[best]] = kinds.kind[best]
    weights[kinds.question[best], ranks[best]] = weight[best]
    found = state.items.top_of_type[types]
    promise = np.where(found >= 0, weights[:, :, None] * state.items.share_of_type[found], 0)
    found, promise = found.reshape(size, -1), promise.reshape(size, -1)
    keys = np.arange(size)[:, None] * state.products + found
    promise[counts.product.groups.find(keys) >= 0] = 0
    best_places = np.argpartition(-promise, wanted, axis=1)[:, :wanted]
    chosen = np.take_along_axis(found, best_places, axis=1)
    return np.where(np.take_along_axis(promise, best_places, axis=1) > 0, chosen, NONE)


def _together(state: State, keys: np.ndarray, lifts: np.ndarray, size: int, wanted: int) -> np.ndarray:
    """What goes with the live basket. keys, lifts: as from `basket_lifts`."""
    found = np.full((size, wanted), NONE)
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
