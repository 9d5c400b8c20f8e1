"""What each customer has bought, in the order of time.

start.npy                 int64 (customers + 1,) where a customer's rows begin
product, day, ordinal,    int32 (N,): one row a product of a basket; ordinal: number of the basket
store                     among the customer's, from 0; day: local days since 1970-01-01
quantity                  float32 (N,)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pipeline.tasks.recommendation.data.dataset import Purchases
from pipeline.tasks.recommendation.data.grouping import slices


@dataclass(frozen=True)
class Rows:
    """Purchases of the customers of some questions, sorted by question, then time; (N,) each.

    question: which question a row belongs to, 0 <= question < questions
    """

    questions: int
    question: np.ndarray
    product: np.ndarray
    day: np.ndarray
    ordinal: np.ndarray
    quantity: np.ndarray
    store: np.ndarray

    @cached_property
    def lengths(self) -> np.ndarray:
        """int64 (questions,): how many rows there are of each."""
        return np.bincount(self.question, minlength=self.questions)

    @cached_property
    def ends(self) -> np.ndarray:
        """int64 (questions,): where the rows of each end."""
        return self.lengths.cumsum()

    @cached_property
    def baskets(self) -> np.ndarray:
        """int64 (questions,): how many baskets there are of each."""
        found = np.zeros(self.questions, dtype=np.int64)
        there = self.lengths > 0
        found[there] = self.ordinal[self.ends[there] - 1] + 1
        return found

    def chosen(self, kept: np.ndarray) -> "Rows":
        """Some of the rows; baskets of each question are numbered anew from 0. kept: bool (N,)"""
        question, ordinal = self.question[kept], self.ordinal[kept]
        begins = (np.diff(ordinal, prepend=-1) != 0) | (np.diff(question, prepend=-1) != 0)
        running = np.cumsum(begins)
        first = np.flatnonzero(np.diff(question, prepend=-1)) if len(question) else np.empty(0, np.int64)
        lengths = np.diff(np.append(first, len(question)))
        numbered = running - np.repeat(running[first], lengths) if len(question) else running
        columns = (self.product[kept], self.day[kept], numbered, self.quantity[kept], self.store[kept])
        return Rows(self.questions, question, *columns)


@dataclass(frozen=True)
class Histories:
    start: np.ndarray
    product: np.ndarray
    day: np.ndarray
    ordinal: np.ndarray
    quantity: np.ndarray
    store: np.ndarray

    def ends(self, day: int) -> np.ndarray:
        """int64 (customers,): where the rows before `day` of each customer end."""
        before = np.concatenate([[0], np.cumsum(np.asarray(self.day) < day)])
        return self.start[:-1] + before[self.start[1:]] - before[self.start[:-1]]

    def rows(self, customers: np.ndarray, ends: np.ndarray | None = None) -> Rows:
        """The rows of one customer a question; -1 is a customer without any.

        ends: as from `ends`, to see no later purchase; None sees all
        """
        known = customers >= 0
        customer = np.maximum(customers, 0)
        start = self.start[customer]
        end = np.where(known, (self.start[1:] if ends is None else ends)[customer], start)
        places: slice | np.ndarray
        if len(customers) == 1:  # nothing need be copied
            places, question = slice(int(start[0]), int(end[0])), np.zeros(end[0] - start[0], dtype=np.int64)
        else:
            places, question = slices(start, end)
        columns = (self.product, self.day, self.ordinal, self.quantity, self.store)
        return Rows(len(customers), question, *(column[places] for column in columns))


def build(parts: Sequence[Purchases], customers: int, day: int) -> Histories:
    """parts: splits in the order of time; day: purchases on or after it are left out."""
    columns = {
        name: np.concatenate([getattr(part, name)[: np.searchsorted(part.day, day)] for part in parts])
        for name in ("customer", "product", "day", "basket", "quantity", "store")
    }
    order = np.argsort(columns["customer"], kind="stable")
    customer, basket = columns["customer"][order], columns["basket"][order]
    start = np.searchsorted(customer, np.arange(customers + 1))
    begins = (np.diff(basket, prepend=-1) != 0) | (np.diff(customer, prepend=-1) != 0)
    running = np.cumsum(begins)
    first = running[np.minimum(start[:-1], max(0, len(order) - 1))] if len(order) else start[:-1]
    return Histories(
        start=start,
        product=columns["product"][order],
        day=columns["day"][order],
        ordinal=(running - np.repeat(first, np.diff(start))).astype(np.int32),
        quantity=columns["quantity"][order],
        store=columns["store"][order],
    )
