"""Recommendations in real time: a model package with its state, and what happens while it answers.

What is known of all customers together (popularity, which products go together, customers to compare
with) is that of the state; each customer's own history goes on with his live events.

The clock stands in model.json. `wall`: today is today, in the shop's time zone. `data`: today is the day
after the state's last one, for data that ended long ago; live purchases count as of that day.
"""

import copy
import os
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np

from pipeline.core import model_package
from pipeline.core.artifacts import read_json
from pipeline.core.errors import IncompatibleModel, ModelError
from pipeline.tasks.recommendation.data import network, notes, properties, ranking, state
from pipeline.tasks.recommendation.data.asking import Answer, Ask, Basket, Event, Id, Item
from pipeline.tasks.recommendation.data.best_sellers import BestSellers
from pipeline.tasks.recommendation.data.counts import LONG_AGO, Questions
from pipeline.tasks.recommendation.data.ids import Ids
from pipeline.tasks.recommendation.data.live import Doings, LiveEvents, overlaid
from pipeline.tasks.recommendation.data.ranking import List, Wish
from pipeline.tasks.recommendation.data.reasons import Reasons
from pipeline.tasks.recommendation.data.retrieval import COUNTED_WITH, Retrieval

if TYPE_CHECKING:
    import onnxruntime

PART = 32  # questions answered together by one thread
NETWORK, POPULARITY = "network", "popularity"
EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class Resolved:
    """An ask in places of the catalogue, -1 for what is unknown or not said."""

    ask: Ask
    customer: int
    store: int
    basket: list[int]
    live: Doings
    has_history: bool
    wish: Wish
    notes: tuple[str, ...]


class Recommender:
    """Its methods may be called by many threads."""

    def __init__(self, package: Path) -> None:
        """package: a verified model package whose state was added (state.add_to_package)."""
        if not (package / state.FOLDER / state.DESCRIPTION).is_file():
            raise ModelError(
                f"{package}: there is no {state.FOLDER}/ in this package, so it cannot answer. "
                "The stage `deploy` adds it."
            )
        description = read_json(package / model_package.DESCRIPTION)
        self.name: str = description["project"]
        self.version = ""
        self.sha256: str = description["files"][model_package.NETWORK]
        self._clock: str = description["clock"]
        self._timezone: str = description["timezone"]
        self._retrieval = Retrieval(**description["retrieval"])
        self._state = state.read(package / state.FOLDER)
        if self._state.search is None:
            raise ModelError(
                f"{package}: the {state.FOLDER}/ of this package holds no index of the products' names, so it"
                f" cannot answer. `dvc repro --force deploy@{self.name}` makes it anew."
            )
        self._search = self._state.search
        ranking.refuse_other_features(
            ranking.feature_names(self._state, self._retrieval), description["features"]
        )
        catalogue = self._state.catalogue
        # One thread a question: many are answered at once.
        self._network = network.load(package, catalogue, threads=1)
        self._products, self._customers = Ids(catalogue.product_ids), Ids(catalogue.customer_ids)
        self._stores = Ids(catalogue.store_ids)
        self._sellers = BestSellers(self._state.items)
        self._reasons = Reasons(self._state)
        self._live = LiveEvents(self._products, ZoneInfo(self._timezone), self._state.day)
        self._threads = ThreadPoolExecutor(len(os.sched_getaffinity(0)))
        self.attributes: Mapping[str, tuple[str, ...]] = {
            name: values[1:] for name, values in catalogue.attributes.items()
        }
        self._warm_up()

    def successor(self, package: Path, version: str, sha256: str) -> "Recommender":
        """Another network that answers from the same state, and goes on with the same live events: what is
        told to either of the two is known to both.

        package: as registered, without a state; sha256: of its network
        ModelError: it is damaged; IncompatibleModel: it was made for other counts than those of this state.
        """
        description = model_package.verify(package, sha256)
        retrieval = Retrieval(**description["retrieval"])
        new = copy.copy(self)
        new.version, new.sha256 = version, sha256
        new._clock, new._retrieval = description["clock"], retrieval
        given = {"project": (self.name, description["project"])}
        given["timezone"] = (self._timezone, description["timezone"])
        for name in COUNTED_WITH:
            given[f"retrieval.{name}"] = (getattr(self._retrieval, name), getattr(retrieval, name))
        for name, (mine, its) in given.items():
            if mine != its:
                raise IncompatibleModel(
                    f"{name} is {its}, where the state that this service answers from was made with {mine}. "
                    "`dvc repro` deploys it with a state of its own; start that service."
                )
        ranking.refuse_other_features(ranking.feature_names(self._state, retrieval), description["features"])
        new._network = network.load(package, self._state.catalogue, threads=1)
        new._warm_up()
        return new

    @property
    def session(self) -> "onnxruntime.InferenceSession":
        return self._network.session

    @property
    def stores(self) -> Collection[Id]:
        return self._stores.values

    def recommend(self, asks: Sequence[Ask], now: datetime | None = None) -> list[Answer]:
        """One answer an ask. now: with a time zone; None is this moment."""
        moment = now or datetime.now(UTC)
        day = self._today(moment)
        resolved = [self._resolved(ask, moment) for ask in asks]
        by_network = [i for i, one in enumerate(resolved) if one.has_history or one.basket]
        answers: list[Answer | None] = [None] * len(asks)
        for i in set(range(len(asks))).difference(by_network):
            answers[i] = self._popular(resolved[i])
        parts = [by_network[start : start + PART] for start in range(0, len(by_network), PART)]
        # One part is answered by the thread that asks: handing it over costs more.
        over = map if len(parts) < 2 else self._threads.map
        for part, made in zip(
            parts, over(lambda part: self._ranked([resolved[i] for i in part], day), parts), strict=True
        ):
            for i, answer in zip(part, made, strict=True):
                answers[i] = answer
        return [answer for answer in answers if answer is not None]

    def add_events(self, events: Sequence[Event]) -> None:
        self._live.add(events)

    def history(self, customer: Id) -> list[Basket]:
        """A customer's baskets, the newest first."""
        rows = overlaid(
            self._state.histories.rows(np.array([self._customers.place(customer)])),
            [self._live.of(customer)],
            self._today(datetime.now(UTC)),
        )
        begins = np.flatnonzero(np.diff(rows.ordinal, prepend=-1))
        baskets: list[Basket] = []
        for start, end in pairwise([*begins.tolist(), len(rows.ordinal)]):
            day = (EPOCH + timedelta(days=int(rows.day[start]))).isoformat()
            places, pieces = rows.product[start:end].tolist(), rows.quantity[start:end].tolist()
            baskets.append(
                {
                    "day": day,
                    "items": [
                        {**self._named(place), "quantity": pieces[i]}  # type: ignore[typeddict-item]
                        for i, place in enumerate(places)
                    ],
                }
            )
        return baskets[::-1]

    def customers(self, count: int) -> list[Id]:
        """Some customers with purchases, spread over all."""
        bought = np.flatnonzero(np.diff(self._state.histories.start))
        chosen = bought[np.unique(np.linspace(0, len(bought) - 1, min(count, len(bought))).astype(int))]
        return [self._customers.values[place] for place in chosen]

    def search(self, text: str, count: int) -> list[dict[str, Any]]:
        """Products by words of the name, or by id; what sells better comes first."""
        exact = self._products.place(text)
        found = [exact] if exact >= 0 else []
        found += [place for place in self._search.find(text, count) if place != exact]
        return [self._named(place) for place in found[:count]]

    def has_product(self, id_: Id, /) -> bool:
        return self._products.place(id_) >= 0

    def has_customer(self, id_: Id, /) -> bool:
        return self._customers.place(id_) >= 0 or len(self._live.of(id_).product) > 0

    def _today(self, moment: datetime) -> int:
        if self._clock == "data":
            return self._state.day
        return max(self._state.day, self._live.local_day(moment))

    def _resolved(self, ask: Ask, moment: datetime) -> Resolved:
        customer = -1 if ask.customer is None else self._customers.place(ask.customer)
        live = self._live.of(ask.customer)
        start = self._state.histories.start
        has_history = bool(len(live.product)) or (customer >= 0 and start[customer] < start[customer + 1])
        basket, unknown = self._products.places(ask.basket)
        carts = [] if ask.basket else live.cart(moment)
        store = -1 if ask.store is None else self._stores.place(ask.store)
        known = ask.customer is None or self.has_customer(ask.customer)
        excluded, _ = self._products.places(ask.exclude)
        left_out = np.array([*basket, *carts, *excluded], dtype=np.int64)
        return Resolved(
            ask=ask,
            customer=customer,
            store=store,
            basket=basket or carts,
            live=live,
            has_history=has_history,
            # Nothing can be bought again by whom nothing is known.
            wish=Wish(ask.k, ask.mode if has_history else "discover", left_out),
            notes=notes.of_ask(
                ask, known, has_history, unknown, ask.store is not None and store < 0, len(carts)
            ),
        )

    def _ranked(self, part: Sequence[Resolved], day: int) -> list[Answer]:
        customers = np.array([one.customer for one in part], dtype=np.int64)
        rows = self._state.histories.rows(customers)
        questions = Questions(
            day=day,
            customers=customers,
            rows=overlaid(rows, [one.live for one in part], day),
            stores=np.array([one.store for one in part], dtype=np.int64),
            basket_question=np.repeat(np.arange(len(part)), [len(one.basket) for one in part]),
            basket_product=np.array([place for one in part for place in one.basket], dtype=np.int64),
            nearest=self._nearest(part, customers),
        )
        lists, counted = ranking.ranked(
            self._state,
            self._network,
            self._retrieval,
            self._sellers,
            questions,
            [one.wish for one in part],
        )
        return [
            self._answer(
                one,
                listed,
                self._reasons.of(listed, i, questions, counted),
                NETWORK,
                baskets=float(counted.customer.baskets[i]),
                since=float(counted.customer.since[i]),
            )
            for i, (one, listed) in enumerate(zip(part, lists, strict=True))
        ]

    def _nearest(self, part: Sequence[Resolved], customers: np.ndarray) -> np.ndarray | None:
        """Who bought something since has other neighbours than those that the state knows."""
        if self._state.neighbours is None or any(len(one.live.product) for one in part):
            return None
        return self._state.neighbours.places[customers]

    def _popular(self, one: Resolved) -> Answer:
        listed = ranking.popular(self._sellers, one.store, one.wish)
        return self._answer(one, listed, self._reasons.popular(listed, one.store >= 0), POPULARITY)

    def _answer(
        self,
        one: Resolved,
        listed: List,
        reasons: Sequence[str],
        served_by: str,
        baskets: float = 0.0,
        since: float = LONG_AGO,
    ) -> Answer:
        """baskets: that the customer has bought; since: days since the newest"""
        products, scores = listed.products.tolist(), listed.scores.tolist()
        return Answer(
            items=tuple(
                Item(self._products.values[place], self._state.catalogue.names[place], score, reason)
                for place, score, reason in zip(products, scores, reasons, strict=True)
            ),
            served_by=served_by,
            notes=(*one.notes, *notes.of_list(one.ask, listed)),
            properties=properties.of_answer(
                listed, self._sellers.share, baskets=baskets, since=since, basket_products=len(one.basket)
            ),
        )

    def _named(self, place: int) -> dict[str, Any]:
        return {"product_id": self._products.values[place], "name": self._state.catalogue.names[place]}

    def _warm_up(self) -> None:
        """What is made once is made before the first request, not by it."""
        for answer in self.recommend([Ask(customer) for customer in self.customers(2)]):
            if not np.isfinite([item.score for item in answer.items]).all():
                raise ModelError("The network gives scores that are no numbers.")
