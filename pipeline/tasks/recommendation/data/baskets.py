"""Baskets made of purchase lines, and whether what a customer bought next is known."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.tasks.recommendation.data.cleaning import Rule
from pipeline.tasks.recommendation.data.columns import SECONDS_A_DAY, day_numbers, seconds


def codes(column: pa.ChunkedArray) -> np.ndarray:
    """int64 (N,): place of each value among the distinct ones in rising order; 0 for null too."""
    encoded = column.combine_chunks().dictionary_encode()
    rank = np.empty(len(encoded.dictionary), dtype=np.int64)
    rank[np.asarray(pc.sort_indices(encoded.dictionary))] = np.arange(len(rank))
    places = np.asarray(pc.fill_null(encoded.indices, 0))
    return rank[places] if len(rank) else places.astype(np.int64)


def number(lines: pa.Table) -> tuple[np.ndarray, list[Rule]]:
    """A number for the basket of each line, int64 (N,), and the rules about baskets.

    A line without a basket id is put with the others of its customer and day. An id that several
    customers share is parted: a basket has one customer. Baskets of one day stay baskets of their own.
    """
    customer, day = codes(lines["customer"]), day_numbers(lines["time"])
    basket, missing = codes(lines["basket"]), np.asarray(pc.is_null(lines["basket"]))
    made = np.where(missing, basket.max(initial=0) + 1 + day - day.min(initial=0), basket)
    keys, first, found = np.unique(
        customer * (made.max(initial=0) + 1) + made, return_index=True, return_inverse=True
    )
    parted = np.count_nonzero(~missing[first]) - len(np.unique(basket[~missing]))
    rules = [
        Rule("without_basket", int(missing.sum()), len(missing), 0,
             "no basket id: put with the other lines of the customer and day"),
        Rule("shared_baskets", int(parted), len(keys), 0,
             "an id that several customers share is parted, one basket a customer"),
        Rule("same_day_baskets", same_day(customer, found, day), len(keys), 0,
             "shares customer and day with an earlier one: a basket of its own all the same"),
    ]  # fmt: skip
    return found, rules


def same_day(customer: np.ndarray, basket: np.ndarray, day: np.ndarray) -> int:
    """How many baskets share customer and day with an earlier one; int64 (N,) of lines each."""
    _, first = np.unique(basket, return_index=True)
    days = customer[first] * (day.max(initial=0) + 1) + day[first]
    return len(first) - len(np.unique(days))


def summed(lines: pa.Table, basket: np.ndarray) -> tuple[pa.Table, float, Rule]:
    """One row a product of a basket, sorted by time, basket and product; all lines of a basket have
    the time of its first. Also the longest time in hours between two lines of one basket."""
    time = seconds(lines["time"])
    baskets = int(basket.max(initial=-1)) + 1
    began, ended = np.full(baskets, np.iinfo(np.int64).max), np.full(baskets, np.iinfo(np.int64).min)
    np.minimum.at(began, basket, time)
    np.maximum.at(ended, basket, time)
    hours_max = float((ended[basket] - began[basket]).max(initial=0)) / 3600
    product, basket_id = codes(lines["product"]), codes(lines["basket"])
    order = np.lexsort((product, basket, basket_id, began[basket]))
    key = basket[order] * (product.max(initial=0) + 1) + product[order]
    starts = np.flatnonzero(np.append(True, np.diff(key) != 0)[: len(key)])
    rows = lines.take(pa.array(order[starts]))
    rows = rows.set_column(
        rows.schema.get_field_index("time"),
        "time",
        pc.cast(pa.array(began[basket[order[starts]]]), pa.timestamp("s")),
    )
    for name in ("quantity", "value", "discount"):
        figures = np.asarray(lines[name])[order]
        total = np.add.reduceat(figures, starts) if len(starts) else figures
        rows = rows.set_column(rows.schema.get_field_index(name), name, pa.array(total))
    rule = Rule("repeated_lines", len(key) - len(starts), len(key), 0,
                "the product stands in the basket already: added up")  # fmt: skip
    return rows, hours_max, rule


@dataclass(frozen=True)
class Outcomes:
    """Questions are baskets of a customer (those of one moment count once); the answer to each is the
    next basket within the horizon.

    answered: there is one; unanswered: the horizon passed without; immature: the horizon, and the days
    until what was booked is final, end after the data, so nobody knows yet. simultaneous: baskets that
    begin with another one of the customer: were they answers, they would be known when the question is
    asked. customers_without_outcome: have a mature question and no answer; customers_too_new: have neither.
    """

    questions: int
    answered: int
    unanswered: int
    immature: int
    simultaneous: int
    customers: int
    customers_without_outcome: int
    customers_too_new: int


def outcomes(purchases: pa.Table, horizon_days: int, maturity_days: int, end_day: int) -> Outcomes:
    """purchases: as `summed` gives them; end_day: the first day after the data, days since 1970-01-01."""
    customer, basket = codes(purchases["customer"]), codes(purchases["basket"])
    time = seconds(purchases["time"])
    begins = np.append(True, (np.diff(basket) != 0) | (np.diff(time) != 0) | (np.diff(customer) != 0))
    customer, time = customer[begins[: len(time)]], time[begins[: len(time)]]
    baskets = len(time)
    span = time.max(initial=0) + 1
    moments = np.unique(customer * span + time)
    customer, time = moments // span, moments % span
    follows = np.append(customer[1:] == customer[:-1], False) if len(moments) else np.zeros(0, bool)
    gap = np.append(np.diff(time), 0)[: len(moments)]
    answered = follows & (gap <= horizon_days * SECONDS_A_DAY)
    final = time + (horizon_days + maturity_days) * SECONDS_A_DAY
    immature = ~follows & (final > end_day * SECONDS_A_DAY)
    known, judged = np.unique(customer), np.unique(customer[~immature])
    return Outcomes(
        questions=len(moments),
        answered=int(answered.sum()),
        unanswered=int((~answered & ~immature).sum()),
        immature=int(immature.sum()),
        simultaneous=baskets - len(moments),
        customers=len(known),
        customers_without_outcome=len(judged) - len(np.unique(customer[answered])),
        customers_too_new=len(known) - len(judged),
    )
