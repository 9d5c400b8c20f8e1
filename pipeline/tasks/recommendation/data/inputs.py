"""From questions to the arrays that the network takes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.tasks.recommendation.data import candidates, counts, features
from pipeline.tasks.recommendation.data.asking import Mode
from pipeline.tasks.recommendation.data.candidates import Places
from pipeline.tasks.recommendation.data.counts import Counts, Questions
from pipeline.tasks.recommendation.data.grouping import within
from pipeline.tasks.recommendation.data.histories import Rows
from pipeline.tasks.recommendation.data.retrieval import Retrieval
from pipeline.tasks.recommendation.data.state import State

GIVEN = ("products", "features", "sequence", "ages", "held")  # to the network, in its order
BY_CANDIDATE = ("products", "features", "held")  # of them: (B, C, ...)


@dataclass(frozen=True)
class Inputs:
    """products: int32 (B, C) candidates, -1 where there are fewer; bought: bool (B, C)
    features: float32 (B, C, F), in the order of `names`
    sequence: int32 (B, L, n) products of the newest baskets, the newest last; -1 where there are fewer
    ages: float32 (B, L) days since each of these baskets, 0 where there is none
    held: int32 (B, C, 3) which of these baskets, bit l for the one at place l, held the candidate; a product
    of its type; two or more of its type
    """

    names: tuple[str, ...]
    products: np.ndarray
    bought: np.ndarray
    features: np.ndarray
    sequence: np.ndarray
    ages: np.ndarray
    held: np.ndarray

    def given(self, rows: slice | np.ndarray) -> tuple[np.ndarray, ...]:
        """What the network takes of some questions, in its order."""
        return tuple(getattr(self, name)[rows] for name in GIVEN)


def compute(state: State, questions: Questions, retrieval: Retrieval) -> Inputs:
    return of_counts(state, questions, counts.count(questions, state.catalogue), retrieval)


def of_counts(
    state: State,
    questions: Questions,
    counted: Counts,
    retrieval: Retrieval,
    modes: Sequence[Mode] | None = None,
) -> Inputs:
    """The same from the questions' counts, where they are at hand already.

    modes: of the list that each question is asked for; only what it may hold is looked at. C is then smaller,
    and not the same for all questions. None looks at all candidates
    """
    found = candidates.find(state, questions, counted, retrieval)
    if modes is not None:
        found = candidates.trimmed(found, modes)
    places = candidates.places(state.catalogue, counted, found.products)
    names, values = features.compute(state, questions, counted, found, places, retrieval)
    place = _place_in_sequence(questions.rows, retrieval.baskets)
    sequence, ages = _sequence(questions, place, retrieval.baskets, retrieval.basket_products)
    return Inputs(
        names=names,
        products=found.products,
        bought=found.bought,
        features=values,
        sequence=sequence,
        ages=ages,
        held=_held(place, counted, found.own, places, retrieval.baskets),
    )


def _sequence(
    questions: Questions, place: np.ndarray, length: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """place: as from `_place_in_sequence`"""
    rows, newest = questions.rows, place >= 0
    question, place = rows.question[newest], place[newest]
    basket = question * length + place
    place_in_basket = within(basket)
    sequence = np.full((rows.questions, length, width), -1, dtype=np.int32)
    ages = np.zeros((rows.questions, length), dtype=np.float32)
    fits = place_in_basket < width
    sequence[question[fits], place[fits], place_in_basket[fits]] = rows.product[newest][fits]
    ages[question, place] = questions.day - rows.day[newest]
    return sequence, ages


def _place_in_sequence(rows: Rows, length: int) -> np.ndarray:
    """int64 (N,): of each row's basket, negative where it is older than all of the sequence."""
    return rows.ordinal + (length - rows.baskets)[rows.question]


def _held(place: np.ndarray, counted: Counts, own: np.ndarray, places: Places, length: int) -> np.ndarray:
    """As Inputs.held. place: as from `_place_in_sequence`; own: as in Candidates

    Counted here once for all epochs: in the network it would be a comparison of every candidate with every
    product of the sequence.
    """
    newest = place >= 0
    power = np.int32(1) << np.arange(length, dtype=np.int32)
    products, types = counted.product.groups, counted.type.groups
    product, place = products.of_row[newest], place[newest]
    # A product stands in a basket once: its bits of different baskets add up to all of them.
    of_product = np.zeros(len(products.keys) + 1, dtype=np.int32)
    of_product[:-1] = np.bincount(product, power[place], len(products.keys))
    of_type = np.zeros((len(types.keys) + 1, length), dtype=np.int64)
    of_type[:-1] = np.bincount(
        types.of_row[product] * length + place, minlength=len(types.keys) * length
    ).reshape(-1, length)
    found = np.empty((*own.shape, 3), dtype=np.int32)
    found[..., 0] = of_product[own]
    found[..., 1] = ((of_type >= 1) @ power)[places.type]
    found[..., 2] = ((of_type >= 2) @ power)[places.type]
    return found
