"""What customers did since the state was built, laid over it as it happens.

Purchases become baskets: of one customer, those no more than TRIP apart lie in one. What was put into the
cart and not bought is the live basket of whoever asks for that customer without one, for the same time.
Views, exposures and coupons are kept in the log for the next training; they change no answer.
Purchases of the days that the state covers may be in it already, and are left out.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, tzinfo
from functools import partial

import numpy as np

from pipeline.tasks.recommendation.data.asking import Event, Id
from pipeline.tasks.recommendation.data.histories import Rows
from pipeline.tasks.recommendation.data.ids import Ids

TRIP = timedelta(hours=2)
EPOCH_DAY = datetime(1970, 1, 1).toordinal()


@dataclass(frozen=True)
class Purchase:
    at: datetime
    day: int
    product: int
    quantity: float


@dataclass(frozen=True)
class Doings:
    """Of one customer. purchases: oldest first; carts: when and which product, oldest first.

    product, day, basket: int64 (N,), quantity: float32 (N,): the purchases as rows, one a product of a
    basket; baskets are counted from 0
    """

    purchases: tuple[Purchase, ...] = ()
    carts: tuple[tuple[datetime, int], ...] = ()
    product: np.ndarray = field(default_factory=partial(np.empty, 0, np.int64))
    day: np.ndarray = field(default_factory=partial(np.empty, 0, np.int64))
    basket: np.ndarray = field(default_factory=partial(np.empty, 0, np.int64))
    quantity: np.ndarray = field(default_factory=partial(np.empty, 0, np.float32))

    def cart(self, now: datetime) -> list[int]:
        """Products put in during the last TRIP and not bought since."""
        bought = {purchase.product: purchase.at for purchase in self.purchases}
        since = now - TRIP
        found = {product: at for at, product in self.carts if at >= since}
        return [product for product, at in found.items() if product not in bought or bought[product] < at]


NOTHING = Doings()


class LiveEvents:
    """Read by many threads without a lock: what is known of a customer is replaced as a whole."""

    def __init__(self, products: Ids, zone: tzinfo, first_day: int) -> None:
        """zone: where the shop is; first_day: the first day that the state does not cover."""
        self._products, self._zone, self._first_day = products, zone, first_day
        self._doings: dict[str, Doings] = {}
        self._lock = threading.Lock()

    def local_day(self, moment: datetime) -> int:
        """Days since 1970-01-01 in the shop's zone."""
        return moment.astimezone(self._zone).toordinal() - EPOCH_DAY

    def of(self, customer: Id | None) -> Doings:
        return NOTHING if customer is None else self._doings.get(str(customer), NOTHING)

    def add(self, events: Sequence[Event]) -> None:
        by_customer: dict[str, list[Event]] = {}
        for event in events:
            by_customer.setdefault(str(event.customer), []).append(event)
        with self._lock:
            for customer, own in by_customer.items():
                self._doings[customer] = self._after(self._doings.get(customer, NOTHING), own)

    def _after(self, before: Doings, events: Sequence[Event]) -> Doings:
        purchases, carts = list(before.purchases), list(before.carts)
        for event in events:
            product, day = self._products.place(event.product), self.local_day(event.at)
            if product < 0:
                continue
            if event.kind == "cart":
                carts.append((event.at, product))
            elif event.kind == "purchase" and day >= self._first_day:
                purchases.append(Purchase(event.at, day, product, event.quantity))
        carts.sort()
        newest = [cart for cart in carts if cart[0] >= carts[-1][0] - TRIP]  # older ones count no more
        after = replace(before, carts=tuple(newest))
        if len(purchases) == len(before.purchases):
            return after
        return _with_rows(after, sorted(purchases, key=lambda purchase: purchase.at))


def _with_rows(doings: Doings, purchases: Sequence[Purchase]) -> Doings:
    """purchases: oldest first."""
    pieces: dict[tuple[int, int], float] = {}  # of (basket, product)
    days: list[int] = []  # of each basket
    before: datetime | None = None
    for purchase in purchases:
        if before is None or purchase.at - before > TRIP:
            days.append(purchase.day)
        before = purchase.at
        row = (len(days) - 1, purchase.product)
        pieces[row] = pieces.get(row, 0.0) + purchase.quantity
    basket, product = np.array(list(pieces), dtype=np.int64).T
    return replace(
        doings,
        purchases=tuple(purchases),
        product=product,
        basket=basket,
        day=np.array(days)[basket],
        quantity=np.array(list(pieces.values()), dtype=np.float32),
    )


def overlaid(rows: Rows, live: Sequence[Doings], day: int) -> Rows:
    """The rows of some questions, each followed by what its customer bought since.

    live: of each question; day: that of the questions, on which everything later counts as bought
    """
    added = [(question, doings) for question, doings in enumerate(live) if len(doings.product)]
    if not added:
        return rows
    baskets, end = rows.baskets, rows.ends
    start = end - rows.lengths
    columns: dict[str, list[np.ndarray]] = {
        name: [getattr(rows, name)] for name in ("question", "product", "day", "ordinal", "quantity", "store")
    }
    for question, doings in added:
        size = len(doings.product)
        store = rows.store[end[question] - 1] if end[question] > start[question] else -1
        columns["question"].append(np.full(size, question))
        columns["product"].append(doings.product)
        columns["day"].append(np.minimum(doings.day, day))
        columns["ordinal"].append(doings.basket + baskets[question])
        columns["quantity"].append(doings.quantity)
        columns["store"].append(np.full(size, store))
    joined = {
        name: np.concatenate(parts).astype(parts[0].dtype, copy=False) for name, parts in columns.items()
    }
    order = np.argsort(joined["question"], kind="stable")
    return Rows(rows.questions, **{name: values[order] for name, values in joined.items()})
