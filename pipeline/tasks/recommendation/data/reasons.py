"""Why a product is in a list, in words for the customer to read."""

import numpy as np

from pipeline.tasks.recommendation.data.counts import Counts, Questions
from pipeline.tasks.recommendation.data.dataset import CODES, Catalogue
from pipeline.tasks.recommendation.data.ranking import List
from pipeline.tasks.recommendation.data.state import State

TYPE, CATEGORY = CODES.index("type"), CODES.index("category")
HABIT = 3  # days on which something of a type was bought, for saying how often
EASE_MIN = 0.01  # weight of one product for another that is worth a word
POPULAR = 100  # places among the best sellers


class Reasons:
    def __init__(self, state: State) -> None:
        self._state = state
        self._names = state.catalogue.names
        self._types = np.ascontiguousarray(state.catalogue.codes[:, TYPE])
        self._type_names = _type_names(state.catalogue)
        self._popular = set(state.items.best_sellers[:POPULAR].tolist())

    def of(self, listed: List, question: int, questions: Questions, counted: Counts) -> list[str]:
        """One sentence for each product of a list that the network has made."""
        own = counted.product
        places = own.groups.find(question * self._state.products + listed.products)
        first, last = np.searchsorted(questions.rows.question, [question, question + 1])
        rows = slice(int(first), int(last))
        history = _History(self._types[questions.rows.product[rows]], questions.rows.day[rows], questions.day)
        basket = questions.basket_product[questions.basket_question == question]
        first, last = np.searchsorted(own.question, [question, question + 1])
        habits = own.product[first:last]
        return [
            _bought(own.count[place], own.gap[place], own.age[place])
            if place >= 0
            else self._new(int(product), basket, habits, history)
            for product, place in zip(listed.products, places, strict=True)
        ]

    def popular(self, listed: List, in_store: bool) -> list[str]:
        return [_best_seller(in_store)] * len(listed.products)

    def _new(self, product: int, basket: np.ndarray, habits: np.ndarray, history: "_History") -> str:
        """Of a product that the customer never bought."""
        partner = self._together(product, basket)
        if partner >= 0:
            return f"often bought with {self._names[partner]}"
        kind = int(self._types[product])
        if kind and product in self._state.items.top_of_type[kind]:
            every = history.every(kind)
            if every:
                return f"a favourite in {self._type_names[kind]}, which you buy {every}"
        partner = self._similar(product, habits)
        if partner >= 0:
            return f"often bought by those who buy {self._names[partner]}"
        if product in self._popular:
            return _best_seller(in_store=False)
        return "customers with similar baskets buy it"

    def _together(self, product: int, basket: np.ndarray) -> int:
        """The product of the live basket that goes best with this one, -1 where none does."""
        similar = self._state.similarity
        slots = similar.slots[basket]
        basket, slots = basket[slots >= 0], slots[slots >= 0]
        lifts = np.where(similar.together[slots] == similar.slots[product], similar.lift[slots], 0)
        best = lifts.max(axis=1, initial=0)
        return int(basket[np.argmax(best)]) if best.any() else -1

    def _similar(self, product: int, habits: np.ndarray) -> int:
        """The product bought before that speaks most for this one, -1 where none does."""
        similar = self._state.similarity
        slot, slots = similar.slots[product], similar.slots[habits]
        habits, slots = habits[slots >= 0], slots[slots >= 0]
        if slot < 0 or not len(slots):
            return -1
        weights = similar.ease[slots, slot]
        best = int(np.argmax(weights))
        namesake = self._names[habits[best]] == self._names[product]  # says nothing, looks like a mistake
        return int(habits[best]) if weights[best] >= EASE_MIN and not namesake else -1


def _type_names(catalogue: Catalogue) -> list[str]:
    """Names of the types without that of the category, which stands before each."""
    types, categories = (catalogue.vocabularies[CODES[column]] for column in (TYPE, CATEGORY))
    category = np.zeros(len(types), dtype=np.int64)
    category[catalogue.codes[:, TYPE]] = catalogue.codes[:, CATEGORY]
    return [
        name.removeprefix(categories[code]).lstrip(" >")
        for name, code in zip(types, category.tolist(), strict=True)
    ]


class _History:
    """types, days: of one customer's purchases, oldest first; today: day of the question"""

    def __init__(self, types: np.ndarray, days: np.ndarray, today: int) -> None:
        self._types, self._days, self._today = types, days, today
        self._said: dict[int, str] = {}

    def every(self, kind: int) -> str:
        """How often a type was bought; nothing where that is no habit."""
        if kind not in self._said:
            days = np.unique(self._days[self._types == kind])
            habit = len(days) >= HABIT
            self._said[kind] = _interval((days[-1] - days[0]) / (len(days) - 1)) if habit else ""
        return self._said[kind]


def _bought(count: float, gap: float, age: float) -> str:
    times = {1: "once", 2: "twice"}.get(int(count), f"{int(count)} times")
    if int(count) == 1:
        return f"bought {times}, {_ago(age)}"
    every = f"about {_interval(gap)}, " if gap >= 1 else ""
    return f"bought {times}, {every}last {_ago(age)}"


def _interval(days: float) -> str:
    whole = max(1, round(float(days)))
    return "every day" if whole == 1 else f"every {whole} days"


def _ago(days: float) -> str:
    whole = int(days)
    return {0: "today", 1: "yesterday"}.get(whole, f"{whole} days ago")


def _best_seller(in_store: bool) -> str:
    return "sells best in this store now" if in_store else "sells best in this shop now"
