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
Columns = dict[str, np.ndarray]  # one feature each, of (B, C) or what spreads to it


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
    question = np.arange(len(questions))[:, None]
    keys = question * state.products + products
    columns = {
        **_own(counts, candidates.own, state, products),
        **_kinds(counts, candidates.own, places, state, products),
        **_item(state, counts, products),
        **_customer(counts),
        **_others(state, questions, counts, candidates, products, retrieval),
        **_basket(state, questions, candidates, products, question, keys),
    }
    by_column = np.empty((len(columns), *products.shape), dtype=np.float32)
    for values, into in zip(columns.values(), by_column, strict=True):
        into[:] = values
    by_column[:, candidates.products < 0] = 0
    return tuple(columns), np.ascontiguousarray(by_column.transpose(1, 2, 0))


def _log1(values: np.ndarray) -> np.ndarray:
    return np.log1p(np.maximum(values, 0))


def _due(elapsed: np.ndarray, typical: np.ndarray) -> np.ndarray:
    return np.minimum(elapsed / np.maximum(typical, 1), DUE_MAX)


def _own(counts: Counts, place: np.ndarray, state: State, products: np.ndarray) -> Columns:
    """The customer's own purchases of the product. place: among those counted, -1 where there are none."""
    own = counts.product
    logarithmic = [own.count, own.age, own.lag, own.gap, own.gap_spread, own.pieces, own.last_pieces]
    others = [own.gap_lag, own.first_lag, *own.by_basket.T]
    # The last column is of what was never bought.
    table = np.zeros((15, len(own.count) + 1), dtype=np.float32)
    for values, into in zip([*logarithmic, *own.decayed.T, *others], table, strict=True):
        into[:-1] = values
    table[7:11] *= PER_MONTH
    table[[1, 2], -1] = LONG_AGO, LONG_LAG
    found = table.take(place, axis=1)
    count, age, lag, gap, spread = found[:5]
    gap_lag, first_lag, *by_basket = found[11:]
    repeated, bought = count > 1, place >= 0
    known_gaps = np.maximum(count - 1, 0)
    item_gap = state.items.gap[products]
    shrunk = (gap * known_gaps + GAP_WEIGHT * item_gap) / (known_gaps + GAP_WEIGHT)
    baskets = np.maximum(counts.customer.baskets, 1)[:, None]
    logs = _log1(found[:11])
    return {
        "bought": bought,
        "count": logs[0],
        "share_of_baskets": count / baskets,
        "share_since_first": count / np.maximum(first_lag + 1, 1),
        **{f"decayed_{i}": logs[7 + i] for i in range(4)},
        "log_decayed_1": np.log(found[8] / PER_MONTH + 0.02),
        "log_decayed_3": np.log(found[10] / PER_MONTH + 0.05),
        **{f"by_basket_{i}": by_basket[i] for i in range(2)},
        "age": logs[1],
        "lag": logs[2],
        "gap": logs[3],
        "gap_spread": logs[4],
        "due": np.where(repeated, _due(age, gap), 0),
        "due_baskets": np.where(repeated, np.minimum((lag + 1) / np.maximum(gap_lag, 0.5), DUE_MAX), 0),
        "due_spread": np.where(
            repeated, np.minimum(np.maximum((age - gap) / np.maximum(spread, 3), -4), 4), 0
        ),
        "shrunk_gap": _log1(shrunk),
        "shrunk_due": np.where(bought, _due(age, shrunk), -1),
        "item_due": np.where(bought, _due(age, item_gap), -1),
        "pieces": logs[5],
        "last_pieces": logs[6],
    }


def _kinds(counts: Counts, own: np.ndarray, places: Places, state: State, products: np.ndarray) -> Columns:
    """The customer's purchases of the product's type and category."""
    of_types, of_categories = _kind(counts.type), _kind(counts.category)
    recent, type_age = of_types[[1, 5]].take(places.type, axis=1)
    of_type = recent / PER_MONTH
    gap = state.items.type_gap[state.catalogue.codes[:, 0][products]]
    of_product = taken(counts.product.decayed[:, 2], own, 0)
    expected = of_type * state.items.share_of_type[products]
    return {
        **_named("type", of_types, places.type),
        "type_due": np.where(type_age < LONG_AGO, _due(type_age, gap), -1),
        **_named("category", of_categories, places.category),
        "share_of_own_type": np.where(of_type > 0, of_product / np.maximum(of_type, 1e-6), 0),
        "type_times_share": expected,
        "own_or_expected": np.log(of_product + 0.05 * expected + 1e-4),
    }


def _kind(kinds: KindCounts) -> np.ndarray:
    """float32 (6, G + 1): purchases by age, decayed, all of them, different products, and days since the
    newest; the last column is of what was never bought."""
    table = np.empty((6, len(kinds.count) + 1), dtype=np.float32)
    np.multiply(kinds.decayed.T, PER_MONTH, out=table[:3, :-1])
    table[3, :-1], table[4, :-1], table[5, :-1] = kinds.count, kinds.products, kinds.age
    table[:, -1] = 0
    table[5, -1] = LONG_AGO
    return table


def _named(kind: str, table: np.ndarray, place: np.ndarray) -> Columns:
    """table: as from `_kind`"""
    names = (*(f"{kind}_decayed_{i}" for i in range(3)), f"{kind}_count", f"{kind}_products", f"{kind}_age")
    return dict(zip(names, _log1(table).take(place, axis=1), strict=True))


def _item(state: State, counts: Counts, products: np.ndarray) -> Columns:
    """The product among all customers, its price and promotion."""
    names, table = state.items.features
    sold = np.zeros(products.shape, dtype=np.float32)
    for i, store in enumerate(counts.customer.store.tolist()):
        if store >= 0:
            sold[i] = state.items.sold_in_store(store, products[i])
    return {**dict(zip(names, table[products].transpose(2, 0, 1), strict=True)), "sold_in_store": sold}


def _customer(counts: Counts) -> Columns:
    """The customer, the same for all candidates."""
    who = counts.customer
    logarithmic = {
        "customer_baskets": who.baskets,
        "customer_size": who.size,
        "customer_since": who.since,
        "customer_gap": who.gap,
        "customer_tenure": who.tenure,
    }
    logs = _log1(np.array(list(logarithmic.values())))
    return {
        **dict(zip(logarithmic, logs[..., None], strict=True)),
        "customer_due": np.minimum(who.since / np.maximum(who.gap, 1), DUE_MAX)[:, None],
        "customer_variety": who.variety[:, None],
    }


def _others(
    state: State,
    questions: Questions,
    counts: Counts,
    candidates: Candidates,
    products: np.ndarray,
    retrieval: Retrieval,
) -> Columns:
    """What similar products and similar customers say."""
    slot = state.similarity.slots[products]
    ease = candidates.similarity[np.arange(len(slot))[:, None], np.maximum(slot, 0)]
    own = tifu.of_rows(questions.rows, state.products, counts.product.groups)
    nearest = questions.nearest
    if nearest is None:
        nearest = tifu.nearest(own, questions.customers, state.pool, retrieval.neighbours)
    theirs = tifu.mean_at(nearest, products, state.pool)
    mine = taken(own.values, candidates.own, 0)
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
) -> Columns:
    """The live basket; all 0 when there is none."""
    if not len(questions.basket_product):
        none = np.zeros(1, dtype=np.float32)
        names = ("basket_products", "basket_lift", "basket_lift_mean", "basket_has_type")
        return dict.fromkeys(names, none)
    lift = taken(candidates.lifts, find(candidates.lift_keys, keys), 0)
    types, size = state.catalogue.codes[:, 0], len(state.catalogue.vocabularies["type"])
    held = types[questions.basket_product]
    held_keys = distinct((questions.basket_question * size + held)[held > 0])
    count = np.bincount(questions.basket_question, minlength=len(questions))[:, None]
    return {
        "basket_products": _log1(count),
        "basket_lift": 5 * lift,
        "basket_lift_mean": 10 * lift / np.maximum(count, 1),
        "basket_has_type": find(held_keys, question * size + types[products]) >= 0,
    }
