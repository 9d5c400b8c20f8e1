"""A recommender that counts, with a small shop of its own: what the service is tested against.

It keeps the interface of pipeline.tasks.recommendation.data.recommender.Recommender.
"""

import random
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from pipeline.tasks.recommendation.data.asking import Answer, Ask, Basket, Event, Id, Item

NAMES = (
    "FLUID MILK WHITE ONLY 1 GA", "BANANAS", "EGGS LARGE 1 DZ", "MAINSTREAM WHITE BREAD 20 OZ",
    "SHREDDED CHEESE 8 OZ", "STRAWBERRIES 16 OZ", "POTATO CHIPS 11.5 OZ", "SOFT DRINKS 12/18&15PK CAN",
    "HAMBURGER BUNS", "GROUND BEEF 85% LEAN 1 LB", "CHICKEN BREAST BONELESS", "YOGURT NOT MULTI-PACK 6 OZ",
    "ICE CREAM PREMIUM 48 OZ", "BATHROOM TISSUE 12 ROLLS", "PAPER TOWELS 6 ROLLS", "DOG FOOD DRY 17.6 LB",
    "CAT LITTER 20 LB", "ORANGE JUICE 64 OZ", "COFFEE GROUND 33.9 OZ", "CEREAL ALL FAMILY 18 OZ",
    "TOMATOES HOTHOUSE ON THE VINE", "AVOCADO", "ROMAINE SALAD BAG 10 OZ", "BUTTER 1 LB",
    "CREAM CHEESE 8 OZ", "TORTILLA CHIPS 13 OZ", "SALSA MEDIUM 16 OZ", "PIZZA FROZEN PREMIUM",
    "DIAPERS SIZE 4", "BABY WIPES 72 CT", "LAUNDRY DETERGENT 100 OZ", "DISH SOAP 24 OZ",
    "PASTA SPAGHETTI 16 OZ", "PASTA SAUCE 24 OZ", "PEANUT BUTTER 18 OZ", "GRAPES RED",
    "APPLES GALA 3 LB BAG", "ONIONS YELLOW 3 LB", "POTATOES RUSSET 5 LB", "BACON 16 OZ",
)  # fmt: skip
CUSTOMERS = tuple(range(1, 41))
LAST_DAY = date(2017, 12, 31)


class FakeRecommender:
    """Products are 1001, 1002, ...; customers 1 to 40, but for 40, who never bought, each with baskets."""

    name, version, sha256 = "shop", "7", "a5" * 32
    stores = (31, 32)

    def __init__(self) -> None:
        self.attributes = {"age": ("19-24", "25-34", "35-44"), "income": ("Under 15K", "75-99K")}
        self.products: dict[str, Id] = {str(1001 + i): 1001 + i for i in range(len(NAMES))}
        self.names = dict(zip(self.products, NAMES, strict=True))
        self.baskets = {str(customer): _baskets(customer, self.names) for customer in CUSTOMERS}
        self.live: list[Event] = []
        self.lock = threading.Lock()

    def recommend(self, asks: Sequence[Ask], now: datetime | None = None) -> list[Answer]:
        assert now is None, "the service asks for this moment"
        return [self._answer(ask) for ask in asks]

    def _answer(self, ask: Ask) -> Answer:
        notes = []
        if ask.customer is not None and not self.has_customer(ask.customer):
            notes.append(f"customer {ask.customer} is unknown")
        for product in ask.basket:
            if not self.has_product(product):
                notes.append(f"product {product} is unknown and was left out")
        own = self._counted(str(ask.customer))
        out = {str(product) for product in (*ask.basket, *ask.exclude)}
        everybody = Counter(dict.fromkeys(self.names, 1))
        for baskets in self.baskets.values():
            everybody.update(_products(baskets))
            for basket in baskets:  # what others bought with what is in the basket
                together = _products([basket])
                if out.intersection(together):
                    everybody.update(dict.fromkeys(together, 5))
        lists = {
            "replenish": [id_ for id_, _ in own.most_common()],
            "discover": [id_ for id_, _ in everybody.most_common() if id_ not in own],
        }
        wanted = lists.get(ask.mode, [*lists["replenish"], *lists["discover"]])
        if not own:
            notes.append("nothing is known of what this customer buys: what most others buy")
            wanted = lists["discover"]
        chosen = [id_ for id_ in wanted if id_ not in out][: ask.k]
        items = tuple(
            Item(self.products[id_], self.names[id_], 1 - i / 100, self._reason(id_, own, ask))
            for i, id_ in enumerate(chosen)
        )
        served_by = "network" if own else "popularity"
        return Answer(items, served_by, tuple(notes), {"history": float(sum(own.values()))})

    def _reason(self, id_: str, own: Counter[str], ask: Ask) -> str:
        if own[id_]:
            return (
                f"bought {own[id_]} times, every {200 // (own[id_] + 1)} days, last {own[id_] + 3} days ago"
            )
        if ask.basket:
            return f"often bought with {self.names.get(str(ask.basket[-1]), 'your basket')}"
        return "popular with households like this one"

    def _counted(self, customer: str) -> Counter[str]:
        counted = Counter(_products(self.history(customer)))
        with self.lock:
            counted.update(str(event.product) for event in self.live if str(event.customer) == customer)
        return Counter({id_: number for id_, number in counted.items() if id_ in self.products})

    def add_events(self, events: Sequence[Event]) -> None:
        with self.lock:
            self.live.extend(events)

    def history(self, customer: Id) -> list[Basket]:
        return self.baskets.get(str(customer), [])

    def customers(self, count: int) -> Sequence[Id]:
        return CUSTOMERS[:count]

    def search(self, text: str, count: int) -> list[dict[str, Any]]:
        found = [id_ for id_, name in self.names.items() if text.lower() in name.lower()]
        return [{"product_id": self.products[id_], "name": self.names[id_]} for id_ in found[:count]]

    def has_product(self, id_: Id, /) -> bool:
        return str(id_) in self.products

    def has_customer(self, id_: Id, /) -> bool:
        return str(id_) in self.baskets


def _products(baskets: Iterable[Basket]) -> list[str]:
    return [str(item["product_id"]) for basket in baskets for item in basket["items"]]


def _baskets(customer: int, names: dict[str, str]) -> list[Basket]:
    if customer == CUSTOMERS[-1]:
        return []
    rng = random.Random(customer)
    liked = rng.sample(sorted(names), 14)
    found: list[Basket] = []
    day = LAST_DAY - timedelta(days=rng.randint(0, 9))
    for _ in range(rng.randint(4, 30)):
        chosen = sorted(rng.sample(liked, rng.randint(2, 8)), key=liked.index)
        items = [
            {"product_id": int(id_), "name": names[id_], "quantity": float(rng.choice((1, 1, 1, 2)))}
            for id_ in chosen
        ]
        found.append({"day": day.isoformat(), "items": items})  # type: ignore[typeddict-item]
        day -= timedelta(days=rng.randint(3, 14))
    return found
