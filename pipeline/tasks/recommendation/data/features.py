"""What the network is told of each candidate; the one piece of code for training, evaluation and service.

Logarithms tame counts and days; log1(x) is log(1 + x). Ratios of a time to a typical gap say how due
something is and end at DUE_MAX.
"""

import numpy as np

from pipeline.tasks.recommendation.data import tifu
from pipeline.tasks.recommendation.data.candidates import Candidates, Places
from pipeline.tasks.recommendation.data.counts import LONG_AGO, LONG_LAG, Counts, KindCounts, Questions
from pipeline.tasks.recommendation.data.grouping import distinct, find, taken
from pipeline.tasks.recommendation.data.retrieval import Retrieval
from pipeline.tasks.recommendation.data.state import State

DUE_MAX = 6.0
PER_MONTH = 4.0  # decayed counts are shown per about a month, so that one purchase is no tiny number
GAP_WEIGHT = 2.0  # gaps that the product's typical gap counts as in the customer's own
Columns = dict[str, np.ndarray]
Block = tuple[tuple[str, ...], np.ndarray]  # names, and values of all of them


def compute(
    state: State,
    questions: Questions,
    counts: Counts,
    candidates: Candidates,
    places: Places,
    retrieval: Retrieval,
) -> tuple[tuple[str, ...], np.ndarray]:
    """Names of the features, and their values float32 (B, C, F); 0 where there is no candidate."""
    products = np.maximum(candidates.products, 0)
    question = np.broadcast_to(np.arange(len(questions))[:, None], products.shape)
    keys = question * state.products + products
    blocks = [
        *_singles(_own(counts, places.own, state, products)),
        *_kinds(counts, places, state, products),
        *_item(state, counts, products),
        _customer(counts),
        *_singles(_others(state, questions, counts, candidates, places.own, products, retrieval)),
        _basket(state, questions, candidates, products, question, keys),
    ]
    names = tuple(name for block, _ in blocks for name in block)
    found = np.empty((*products.shape, len(names)), dtype=np.float32)
    start = 0
    for block, values in blocks:
        found[..., start : start + len(block)] = values
        start += len(block)
    found[candidates.products < 0] = 0
    return names, found


def _singles(columns: Columns) -> list[Block]:
    return [((name,), values[..., None]) for name, values in columns.items()]


def _log1(values: np.ndarray) -> np.ndarray:
    return np.log1p(np.maximum(values, 0))


def _due(elapsed: np.ndarray, typical: np.ndarray) -> np.ndarray:
    return np.minimum(elapsed / np.maximum(typical, 1), DUE_MAX)


def _own(counts: Counts, place: np.ndarray, state: State, products: np.ndarray) -> Columns:
    """The customer's own purchases of the product. place: among those counted, -1 where there are none."""
    own = counts.product
    several = [own.count, own.age, own.lag, own.gap, own.gap_lag, own.gap_spread, own.first_lag]
    table = np.column_stack([*several, own.pieces, own.last_pieces, own.decayed, own.by_basket])
    never = np.zeros(table.shape[1], dtype=np.float32)
    never[[1, 2]] = LONG_AGO, LONG_LAG
    found = taken(table, place, never)
    count, age, lag, gap, gap_lag, spread, first_lag, pieces, last_pieces = np.moveaxis(found[..., :9], -1, 0)
    decayed, by_basket = found[..., 9:13], found[..., 13:]
    repeated, bought = count > 1, place >= 0
    known_gaps = np.maximum(count - 1, 0)
    shrunk = (gap * known_gaps + GAP_WEIGHT * state.items.gap[products]) / (known_gaps + GAP_WEIGHT)
    baskets = np.maximum(counts.customer.baskets, 1)[:, None]
    per_month = _log1(PER_MONTH * decayed)
    return {
        "bought": bought,
        "count": _log1(count),
        "share_of_baskets": count / baskets,
        "share_since_first": count / np.maximum(first_lag + 1, 1),
        **{f"decayed_{i}": per_month[..., i] for i in range(4)},
        "log_decayed_1": np.log(decayed[..., 1] + 0.02),
        "log_decayed_3": np.log(decayed[..., 3] + 0.05),
        **{f"by_basket_{i}": by_basket[..., i] for i in range(2)},
        "age": _log1(age),
        "lag": _log1(lag),
        "gap": _log1(gap),
        "gap_spread": _log1(spread),
        "due": np.where(repeated, _due(age, gap), 0),
        "due_baskets": np.where(repeated, np.minimum((lag + 1) / np.maximum(gap_lag, 0.5), DUE_MAX), 0),
        "due_spread": np.where(repeated, np.clip((age - gap) / np.maximum(spread, 3), -4, 4), 0),
        "shrunk_gap": _log1(shrunk),
        "shrunk_due": np.where(bought, _due(age, shrunk), -1),
        "item_due": np.where(bought, _due(age, state.items.gap[products]), -1),
        "pieces": _log1(pieces),
        "last_pieces": _log1(last_pieces),
    }


def _kinds(counts: Counts, places: Places, state: State, products: np.ndarray) -> list[Block]:
    """The customer's purchases of the product's type and category."""
    type_block, of_type, type_age = _kind(counts.type, "type", places.type)
    category_block, _, _ = _kind(counts.category, "category", places.category)
    gap = state.items.type_gap[state.catalogue.codes[:, 0][products]]
    of_product = taken(counts.product.decayed[:, 2], places.own, 0)
    expected = of_type * state.items.share_of_type[products]
    due = {"type_due": np.where(type_age < LONG_AGO, _due(type_age, gap), -1)}
    shares = {
        "share_of_own_type": np.where(of_type > 0, of_product / np.maximum(of_type, 1e-6), 0),
        "type_times_share": expected,
        "own_or_expected": np.log(of_product + 0.05 * expected + 1e-4),
    }
    return [type_block, *_singles(due), category_block, *_singles(shares)]


def _kind(kinds: KindCounts, name: str, place: np.ndarray) -> tuple[Block, np.ndarray, np.ndarray]:
    """Features; purchases of the last weeks, decayed; days since the newest, LONG_AGO where there is none."""
    table = np.column_stack([PER_MONTH * kinds.decayed, kinds.count, kinds.products, kinds.age])
    never = np.array([0, 0, 0, 0, 0, LONG_AGO], dtype=np.float32)
    found = taken(table, place, never)
    names = (*(f"{name}_decayed_{i}" for i in range(3)), f"{name}_count", f"{name}_products", f"{name}_age")
    return (names, _log1(found)), found[..., 1] / PER_MONTH, found[..., 5]


def _item(state: State, counts: Counts, products: np.ndarray) -> list[Block]:
    """The product among all customers, its price and promotion."""
    items = state.items
    names, table = items.features
    store = counts.customer.store[:, None]
    in_store = find(items.store_keys, np.maximum(store, 0) * state.products + products)
    sold = np.where(store >= 0, _log1(taken(items.store_counts, in_store, 0)), 0)
    return [(names, table[products]), *_singles({"sold_in_store": sold})]


def _customer(counts: Counts) -> Block:
    """The customer, the same for all candidates."""
    who = counts.customer
    columns = {
        "customer_baskets": _log1(who.baskets),
        "customer_size": _log1(who.size),
        "customer_since": _log1(who.since),
        "customer_gap": _log1(who.gap),
        "customer_tenure": _log1(who.tenure),
        "customer_due": np.minimum(who.since / np.maximum(who.gap, 1), DUE_MAX),
        "customer_variety": who.variety,
    }
    return tuple(columns), np.stack(list(columns.values()), axis=-1)[:, None, :]


def _others(
    state: State,
    questions: Questions,
    counts: Counts,
    candidates: Candidates,
    place: np.ndarray,
    products: np.ndarray,
    retrieval: Retrieval,
) -> Columns:
    """What similar products and similar customers say."""
    slot = state.similarity.slots[products]
    ease = np.take_along_axis(candidates.similarity, np.maximum(slot, 0), axis=1)
    own = tifu.of_rows(questions.rows, state.products, counts.product.groups)
    nearest = tifu.nearest(own, questions.customers, state.pool, retrieval.neighbours)
    theirs = tifu.mean_at(nearest, products, state.pool)
    mine = taken(own.values, place, 0)
    return {
        "similarity": np.where(slot >= 0, 10 * ease, 0),
        "frequency": np.log(mine + 1e-4),
        "frequency_of_similar": np.log(theirs + 1e-5),
        "tifu": np.log(tifu.ALPHA * mine + (1 - tifu.ALPHA) * theirs + 1e-5),
    }


def _basket(
    state: State,
    questions: Questions,
    candidates: Candidates,
    products: np.ndarray,
    question: np.ndarray,
    keys: np.ndarray,
) -> Block:
    """The live basket; all 0 when there is none."""
    names = ("basket_products", "basket_lift", "basket_lift_mean", "basket_has_type")
    if not len(questions.basket_product):
        return names, np.zeros(len(names), dtype=np.float32)
    lift = taken(candidates.lifts, find(candidates.lift_keys, keys), 0)
    types, size = state.catalogue.codes[:, 0], len(state.catalogue.vocabularies["type"])
    held = types[questions.basket_product]
    held_keys = distinct((questions.basket_question * size + held)[held > 0])
    same_type = find(held_keys, question * size + types[products]) >= 0
    count = np.bincount(questions.basket_question, minlength=len(questions))[:, None]
    columns = (
        np.broadcast_to(_log1(count), products.shape),
        5 * lift,
        10 * lift / np.maximum(count, 1),
        same_type,
    )
    return names, np.stack(columns, axis=-1)
