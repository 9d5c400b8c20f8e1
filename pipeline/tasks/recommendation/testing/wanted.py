"""Each product that came, one by one: could it be found, was it among the candidates, on which rank?"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pipeline.tasks.recommendation.data.grouping import distinct, find
from pipeline.tasks.recommendation.learning.examples import Past
from pipeline.tasks.recommendation.learning.judging import LONG, Judged


@dataclass(frozen=True)
class Owned:
    """What the customer of each question had bought before it.

    keys: int64, rising: question * products + product, each once; lines: int64 (B,) bought altogether
    """

    products: int
    keys: np.ndarray
    lines: np.ndarray

    def holds(self, question: np.ndarray, product: np.ndarray) -> np.ndarray:
        """bool: whether the customer of the question had bought the product."""
        return find(self.keys, question * self.products + product) >= 0


def owned(past: Past, judged: Judged) -> Owned:
    products = len(past.catalogue.product_ids)
    keys, lines = [], np.zeros(len(judged), dtype=np.int64)
    for day in np.unique(judged.days):
        asked = np.flatnonzero(judged.days == day)
        rows = past.histories.rows(judged.customers[asked], past.histories.ends(int(day)))
        keys.append(distinct(asked[rows.question] * products + rows.product))
        lines[asked] = rows.lengths
    return Owned(products, np.sort(np.concatenate(keys)), lines)


@dataclass(frozen=True)
class Wanted:
    """One row a product that came, (W,) each.

    question, product: int64; rank: int64 among the candidates, 0 is the first of the list, -1 where it was
    none; bought: bool, by the customer before; sold: bool, by anybody before, so that it could be known at
    all
    """

    question: np.ndarray
    product: np.ndarray
    rank: np.ndarray
    bought: np.ndarray
    sold: np.ndarray

    @cached_property
    def found(self) -> np.ndarray:
        """bool (W,): in the list of 20."""
        return (self.rank >= 0) & (self.rank < LONG)


def wanted(past: Past, judged: Judged, own: Owned) -> Wanted:
    question = np.repeat(np.arange(len(judged)), [len(basket) for basket in judged.baskets])
    product = np.concatenate(judged.baskets).astype(np.int64)
    order = np.argsort(-judged.scores, axis=1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.broadcast_to(np.arange(order.shape[1]), order.shape), axis=1)
    keys = np.arange(len(judged))[:, None] * own.products + judged.products
    there = judged.products >= 0
    keys, ranks = keys[there], rank[there]
    rising = np.argsort(keys)
    place = find(keys[rising], question * own.products + product)
    return Wanted(
        question=question,
        product=product,
        rank=np.where(place >= 0, ranks[rising][place], -1),
        bought=own.holds(question, product),
        sold=first_sold(past)[product] < judged.days[question],
    )


@dataclass(frozen=True)
class Answered:
    """Questions and all that the tests look up about them.

    cut: the day before which everything was known when the first was asked; bought_by: float64 (P,), share of
    the customers with purchases before the cut who bought each product
    """

    past: Past
    cut: int
    judged: Judged
    own: Owned
    came: Wanted
    bought_by: np.ndarray


def answered(past: Past, judged: Judged) -> Answered:
    own, cut = owned(past, judged), int(judged.days.min())
    return Answered(past, cut, judged, own, wanted(past, judged, own), buyers(past, cut))


def buyers(past: Past, day: int) -> np.ndarray:
    """As Answered.bought_by; of what nobody bought, what one buyer would be."""
    known = past.histories
    customer = np.repeat(np.arange(len(known.start) - 1), np.diff(known.start))
    before = np.asarray(known.day) < day
    products = len(past.catalogue.product_ids)
    pairs = distinct(customer[before] * products + known.product[before])
    counts = np.bincount(pairs % products, minlength=products)
    return np.maximum(counts, 1) / max(1, len(np.unique(customer[before])))


def first_sold(past: Past) -> np.ndarray:
    """int64 (P,): the day on which each product was first bought, far away where it never was."""
    found = np.full(len(past.catalogue.product_ids), np.iinfo(np.int64).max)
    np.minimum.at(found, past.histories.product, past.histories.day)
    return found
