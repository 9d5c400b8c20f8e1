"""From questions to the arrays that the network takes."""

from dataclasses import dataclass

import numpy as np

from pipeline.tasks.recommendation.data import candidates, counts, features
from pipeline.tasks.recommendation.data.counts import Counts, Questions
from pipeline.tasks.recommendation.data.grouping import within
from pipeline.tasks.recommendation.data.histories import Rows
from pipeline.tasks.recommendation.data.retrieval import Retrieval
from pipeline.tasks.recommendation.data.state import State


@dataclass(frozen=True)
class Inputs:
    """products: int32 (B, C) candidates, -1 where there are fewer; bought: bool (B, C)
    features: float32 (B, C, F), in the order of `names`
    sequence: int32 (B, L, n) products of the newest baskets, the newest last; -1 where there are fewer
    ages: float32 (B, L) days since each of these baskets, 0 where there is none
    """

    names: tuple[str, ...]
    products: np.ndarray
    bought: np.ndarray
    features: np.ndarray
    sequence: np.ndarray
    ages: np.ndarray


def compute(state: State, questions: Questions, retrieval: Retrieval) -> Inputs:
    return of_counts(state, questions, counts.count(questions, state.catalogue), retrieval)


def of_counts(
    state: State, questions: Questions, counted: Counts, retrieval: Retrieval, *, trim: bool = False
) -> Inputs:
    """The same from the questions' counts, where they are at hand already.

    trim: leaves out places that hold no candidate; C is then smaller, and not the same for all questions
    """
    found = candidates.find(state, questions, counted, retrieval)
    if trim:
        found = candidates.trimmed(found)
    names, values = features.compute(state, questions, counted, found, retrieval)
    sequence, ages = _sequence(
        questions.rows, questions.day, counted.customer.baskets, retrieval.baskets, retrieval.basket_products
    )
    return Inputs(
        names=names,
        products=found.products,
        bought=found.bought,
        features=values,
        sequence=sequence,
        ages=ages,
    )


def _sequence(
    rows: Rows, day: int, baskets: np.ndarray, length: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    lag = baskets[rows.question].astype(np.int64) - 1 - rows.ordinal
    newest = lag < length
    question, place = rows.question[newest], length - 1 - lag[newest]
    basket = question * length + place
    place_in_basket = within(basket)
    sequence = np.full((rows.questions, length, width), -1, dtype=np.int32)
    ages = np.zeros((rows.questions, length), dtype=np.float32)
    fits = place_in_basket < width
    sequence[question[fits], place[fits], place_in_basket[fits]] = rows.product[newest][fits]
    ages[question, place] = day - rows.day[newest]
    return sequence, ages
