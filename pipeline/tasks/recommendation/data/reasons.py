"""Why a product is in a list, in words for the customer to read."""

import numpy as np

from pipeline.tasks.recommendation.data.counts import Counts, ProductCounts, Questions
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
        new = (places < 0).nonzero()[0]
        said = dict(zip(new.tolist(), self._new(listed.products[new], question, questions, own), strict=True))
        bought = places[places >= 0]
        again = zip(
            own.count[bought].tolist(), own.gap[bought].tolist(), own.age[bought].tolist(), strict=True
        )
        return [said[i] if i in said else _bought(*next(again)) for i in range(len(places))]

    def popular(self, listed: List, in_store: bool) -> list[str]:
        return [_best_seller(in_store)] * len(listed.products)

    def _new(
        self, products: np.ndarray, question: int, questions: Questions, own: ProductCounts
    ) -> list[str]:
        """Of products that the customer never bought."""
        if not len(products):
            return []
        basket = questions.basket_product[questions.basket_question == question]
        first, last = own.question.searchsorted([question, question + 1])
        partners = self._together(products, basket).tolist()
        similar = self._similar(products, own.product[first:last]).tolist()
        kinds = self._types[products]
        favourite = (self._state.items.top_of_type[kinds] == products[:, None]).any(axis=1) & (kinds > 0)
        last = int(questions.rows.ends[question])
        rows = slice(last - int(questions.rows.lengths[question]), last)
        history = _History(self._types[questions.rows.product[rows]], questions.rows.day[rows])
        said = []
        for i, (product, kind) in enumerate(zip(products.tolist(), kinds.tolist(), strict=True)):
            every = history.every(kind) if favourite[i] and partners[i] < 0 else ""
            if partners[i] >= 0:
                said.append(f"often bought with {self._names[partners[i]]}")
            elif every:
                said.append(f"a favourite in {self._type_names[kind]}, which you buy {every}")
            elif similar[i] >= 0:
                said.append(f"often bought by those who buy {self._names[similar[i]]}")
            elif product in self._popular:
                said.append(_best_seller(in_store=False))
            else:
                said.append("customers with similar baskets buy it")
        return said

    def _together(self, products: np.ndarray, basket: np.ndarray) -> np.ndarray:
        """int64 (n,): the product of the live basket that goes best with each, -1 where none does."""
        similarity = self._state.similarity
        slots = similarity.slots[basket]
        basket, slots = basket[slots >= 0], slots[slots >= 0]
        if not len(slots):
            return np.full(len(products), -1)
        wanted = similarity.slots[products][:, None, None]
        lifts = np.where(
            (similarity.together[slots] == wanted) & (wanted >= 0), similarity.lift[slots], 0
        ).max(axis=2)
        best = lifts.argmax(axis=1)
        return np.where(lifts.max(axis=1) > 0, basket[best], -1)

    def _similar(self, products: np.ndarray, habits: np.ndarray) -> np.ndarray:
        """int64 (n,): the product bought before that speaks most for each, -1 where none does."""
        similarity, names = self._state.similarity, self._names
        wanted, slots = similarity.slots[products], similarity.slots[habits]
        habits, slots = habits[slots >= 0], slots[slots >= 0]
        if not len(slots):
            return np.full(len(products), -1)
        weights = similarity.ease[slots[:, None], np.maximum(wanted, 0)]
        best = weights.argmax(axis=0)
        found = habits[best]
        # A namesake says nothing, and looks like a mistake.
        namesake = np.array(
            [names[a] == names[b] for a, b in zip(found.tolist(), products.tolist(), strict=True)], dtype=bool
        )
        enough = (weights.max(axis=0) >= EASE_MIN) & (wanted >= 0) & ~namesake
        return np.where(enough, found, -1)


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
    """types, days: of one customer's purchases, oldest first"""

    def __init__(self, types: np.ndarray, days: np.ndarray) -> None:
        self._types, self._days = types, days
        self._said: dict[int, str] = {}

    def every(self, kind: int) -> str:
        """How often a type was bought; nothing where that is no habit."""
        if kind not in self._said:
            days = self._days[self._types == kind]
            different = 1 + np.count_nonzero(days[1:] != days[:-1])
            habit = len(days) > 0 and different >= HABIT
            self._said[kind] = _interval((days[-1] - days[0]) / (different - 1)) if habit else ""
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
