"""From questions to lists of products: the network ranks the candidates, best sellers fill up.

The same for the service and for `fullcycle recommend`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.core.errors import IncompatibleModel
from pipeline.tasks.recommendation.data import counts, inputs
from pipeline.tasks.recommendation.data.asking import Mode
from pipeline.tasks.recommendation.data.best_sellers import BestSellers
from pipeline.tasks.recommendation.data.counts import Counts, Questions
from pipeline.tasks.recommendation.data.grouping import find
from pipeline.tasks.recommendation.data.network import RankingNetwork
from pipeline.tasks.recommendation.data.retrieval import Retrieval
from pipeline.tasks.recommendation.data.state import State


@dataclass(frozen=True)
class Wish:
    """What a list is to be. left_out: int64, products that must not be in it."""

    k: int
    mode: Mode
    left_out: np.ndarray


@dataclass(frozen=True)
class List:
    """Best first: products int64 (n,), scores float64 (n,) falling, bought bool (n,) before; n <= k.

    filled: how many at the end the network has not ranked
    """

    products: np.ndarray
    scores: np.ndarray
    bought: np.ndarray
    filled: int


def feature_names(state: State, retrieval: Retrieval) -> tuple[str, ...]:
    nobody, nothing = np.array([-1]), np.empty(0, dtype=np.int64)
    rows = state.histories.rows(nobody)
    questions = Questions(state.day, nobody, rows, nobody, nothing, nothing)
    return inputs.compute(state, questions, retrieval).names


def refuse_other_features(computed: Sequence[str], trained: Sequence[str]) -> None:
    """IncompatibleModel where a network was trained with other features than this code computes."""
    if list(computed) != list(trained):
        differing = sorted(set(computed) ^ set(trained)) or ["their order"]
        raise IncompatibleModel(
            f"The network was trained with other features than this code computes ({', '.join(differing)}). "
            "Train it again."
        )


def ranked(
    state: State,
    network: RankingNetwork,
    retrieval: Retrieval,
    sellers: BestSellers,
    questions: Questions,
    wishes: Sequence[Wish],
) -> tuple[list[List], Counts]:
    """One list a question, by the network.

    Lists of what was bought before are never filled with anything else, and end when all of it is in them.
    """
    counted = counts.count(questions, state.catalogue)
    computed = inputs.of_counts(state, questions, counted, retrieval, [wish.mode for wish in wishes])
    scores = network.scores(computed)
    start = counted.product.question.searchsorted(np.arange(len(questions) + 1))
    found = []
    for i, wish in enumerate(wishes):
        products = computed.products[i]
        wanted = products >= 0
        if len(wish.left_out):
            wanted &= find(np.sort(wish.left_out), products) < 0
        places = wanted.nonzero()[0]
        places = places[(-scores[i, places]).argsort(kind="stable")[: wish.k]]
        listed = List(
            products[places].astype(np.int64),
            scores[i, places].astype(np.float64),
            computed.bought[i, places],
            0,
        )
        if len(places) < wish.k:
            own = slice(start[i], start[i + 1])
            store = int(counted.customer.store[i])
            listed = _filled(listed, wish, sellers, counted, own, store)
        found.append(listed)
    return found, counted


def _filled(listed: List, wish: Wish, sellers: BestSellers, counted: Counts, own: slice, store: int) -> List:
    """own: where the customer's products stand in `counted.product`."""
    bought = counted.product.product[own]
    if wish.mode == "replenish":
        more = bought[np.argsort(-counted.product.count[own], kind="stable")]
    else:
        more = sellers.in_store(store)
    unwanted = bought if wish.mode == "discover" else bought[:0]
    more = more[~np.isin(more, np.concatenate([listed.products, wish.left_out, unwanted]))][
        : wish.k - len(listed.products)
    ]
    # Below whatever the network ranked, and in their own order.
    below = min(0.0, float(listed.scores.min(initial=0))) - 1
    return List(
        np.concatenate([listed.products, more]),
        np.concatenate([listed.scores, below - np.arange(len(more)) / 100]),
        np.concatenate([listed.bought, np.isin(more, bought)]),
        len(more),
    )


def popular(sellers: BestSellers, store: int, wish: Wish) -> List:
    """What sells best, for whom nothing is known; scores: share of all purchases of the last weeks."""
    products = sellers.in_store(store)
    products = products[~np.isin(products, wish.left_out)][: wish.k] if len(wish.left_out) else products
    products = products[: wish.k]
    shares = sellers.share[products].astype(np.float64)
    # In a store the order is its own: shares of all stores need not fall with it.
    scores = np.minimum.accumulate(shares) if len(shares) else shares
    return List(products, scores, np.zeros(len(products), dtype=bool), 0)
