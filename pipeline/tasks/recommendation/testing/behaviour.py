"""What any recommender must do whatever its recall: behavioural tests (CheckList, Ribeiro et al. 2020,
arXiv:2005.04118; for recommenders RecList, Chia et al. 2022, arXiv:2111.09963).

Invariance: a change without meaning changes no list. Directional: a change with a meaning moves a list the
right way. Minimum functionality: what must hold at any rate. All go the way of the service (data/ranking.py,
data/live.py), on customers of an unseen week; which share must pass stands in params.yaml.
"""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.gates import Gate
from pipeline.core.statistics import wilson_interval
from pipeline.tasks.recommendation.data import ranking
from pipeline.tasks.recommendation.data.asking import Event, Mode
from pipeline.tasks.recommendation.data.best_sellers import BestSellers
from pipeline.tasks.recommendation.data.counts import Questions
from pipeline.tasks.recommendation.data.histories import Rows
from pipeline.tasks.recommendation.data.ids import Ids
from pipeline.tasks.recommendation.data.live import EPOCH_DAY, Doings, LiveEvents, overlaid
from pipeline.tasks.recommendation.data.network import RankingNetwork
from pipeline.tasks.recommendation.data.ranking import Wish
from pipeline.tasks.recommendation.data.retrieval import Retrieval
from pipeline.tasks.recommendation.data.state import State
from pipeline.tasks.recommendation.learning.judging import LONG
from pipeline.tasks.recommendation.parameters import Behaviour, BehaviouralTest, Evaluate
from pipeline.tasks.recommendation.testing.week import NOTHING, Week
from pipeline.testing.evaluation import Part

DEEP = 100  # products of a list in which a rank is looked for
HABIT_WEEKS = 12
HABIT_OTHERS = 3  # further products in each of these baskets
FAILURES = 10  # examples of each test in the table


@dataclass(frozen=True)
class Asked:
    """The questions that all tests begin with; lists: their lists of 20, as they are."""

    state: State
    ranker: RankingNetwork
    retrieval: Retrieval
    sellers: BestSellers
    questions: Questions
    lists: list[np.ndarray]
    rng: np.random.Generator

    def answered(self, questions: Questions, k: int = LONG, mode: Mode = "mixed",
                 left_out: Sequence[np.ndarray] | None = None) -> list[np.ndarray]:  # fmt: skip
        """Products of each list, best first, as the service would answer."""
        without = left_out or [NOTHING] * len(questions)
        wishes = [Wish(k, mode, products) for products in without]
        made, _ = ranking.ranked(self.state, self.ranker, self.retrieval, self.sellers, questions, wishes)
        return [listed.products for listed in made]

    def bought(self, i: int) -> np.ndarray:
        """Products that the customer of a question had bought."""
        rows = self.questions.rows
        return np.unique(rows.product[rows.question == i])

    def who(self, i: int) -> str:
        return f"customer {self.state.catalogue.customer_ids[self.questions.customers[i]]}"


# bool (cases,): passed; and what happened in each case, for the table of failures
Outcome = tuple[np.ndarray, list[str]]
Test = Callable[[Asked], Outcome]


def _same(asked: Asked, other: Sequence[np.ndarray]) -> Outcome:
    pairs = list(zip(asked.lists, other, strict=True))
    told = [
        f"{asked.who(i)}: {len(np.setdiff1d(one, two))} of {len(one)} products differ, else the order"
        for i, (one, two) in enumerate(pairs)
    ]
    return np.array([np.array_equal(one, two) for one, two in pairs]), told


def _order_in_basket(asked: Asked) -> Outcome:
    """The order in which the lines of a basket are written says nothing."""
    rows = asked.questions.rows
    order = np.lexsort((asked.rng.random(len(rows.product)), rows.ordinal, rows.question))
    columns = (rows.product, rows.day, rows.ordinal, rows.quantity, rows.store)
    mixed = Rows(rows.questions, rows.question[order], *(column[order] for column in columns))
    return _same(asked, asked.answered(replace(asked.questions, rows=mixed)))


def _alone_or_in_a_batch(asked: Asked) -> Outcome:
    """Who is asked about at the same time changes nothing."""
    alone = [asked.answered(_one(asked.questions, i))[0] for i in range(len(asked.questions))]
    return _same(asked, alone)


def _repeated_lines(asked: Asked) -> Outcome:
    """Events of one basket that name a product twice are one line with both quantities."""
    twice, once = (
        replace(
            asked.questions, rows=overlaid(asked.questions.rows, _live(asked, pieces), asked.questions.day)
        )
        for pieces in ((1, 1), (2,))
    )
    return _same(replace(asked, lists=asked.answered(twice)), asked.answered(once))


def _live(asked: Asked, pieces: Sequence[int]) -> list[Doings]:
    """Yesterday's purchase of the first three products of each list; pieces: quantity of each line of a
    product."""
    noon = datetime.fromordinal(asked.questions.day - 1 + EPOCH_DAY).replace(hour=12, tzinfo=UTC)
    products = asked.state.catalogue.product_ids
    live = LiveEvents(Ids(products), UTC, asked.questions.day - 7)
    live.add(
        [
            Event(i, products[product].item(), "purchase", noon + timedelta(minutes=minute), quantity)
            for i, listed in enumerate(asked.lists)
            for product in listed[:3].tolist()
            for minute, quantity in enumerate(pieces)
        ]
    )
    return [live.of(i) for i in range(len(asked.lists))]


def _bought_twice_more(asked: Asked) -> Outcome:
    """A product that stood low in the list and is bought in two more baskets does not fall."""
    deep = asked.answered(asked.questions, DEEP)
    chosen = [int(asked.rng.choice(listed[LONG:])) if len(listed) > LONG else -1 for listed in deep]
    changed = asked.answered(replace(asked.questions, rows=_with_two_more(asked.questions, chosen)), DEEP)
    passed, told = [], []
    for i, product in enumerate(chosen):
        if product >= 0:
            before, after = _rank(deep[i], product), _rank(changed[i], product)
            passed.append(after <= before)
            name = asked.state.catalogue.names[product]
            told.append(f"{asked.who(i)}: {name} was on rank {before + 1}, is on rank {after + 1}")
    return np.array(passed, dtype=bool), told


def _with_two_more(questions: Questions, products: Sequence[int]) -> Rows:
    """The rows with each customer's product added to his two newest baskets, where it is not in them."""
    rows = questions.rows
    columns = {
        name: [getattr(rows, name)] for name in ("question", "product", "day", "ordinal", "quantity", "store")
    }
    for i, product in enumerate(products):
        mine = np.flatnonzero(rows.question == i)
        for ordinal in np.unique(rows.ordinal[mine])[-2:]:
            basket = mine[rows.ordinal[mine] == ordinal]
            if product < 0 or (rows.product[basket] == product).any():
                continue
            row = basket[0]
            added = {"question": i, "product": product, "ordinal": ordinal, "quantity": 1}
            added |= {"day": rows.day[row], "store": rows.store[row]}
            for name, value in added.items():
                columns[name].append(np.array([value]))
    joined = {
        name: np.concatenate(parts).astype(parts[0].dtype, copy=False) for name, parts in columns.items()
    }
    order = np.lexsort((joined["product"], joined["ordinal"], joined["question"]))
    return Rows(rows.questions, **{name: values[order] for name, values in joined.items()})


def _rank(listed: np.ndarray, product: int) -> int:
    place = np.flatnonzero(listed == product)
    return int(place[0]) if len(place) else len(listed)


def _excluded_is_not_shown(asked: Asked) -> Outcome:
    left_out = [listed[:5] for listed in asked.lists]
    made = asked.answered(asked.questions, left_out=left_out)
    return _none(asked, [np.intersect1d(one, out) for one, out in zip(made, left_out, strict=True)])


def _each_once_and_of_the_catalogue(asked: Asked) -> Outcome:
    """A list is full, holds each product once, and none that the catalogue has not or that nobody ever
    bought."""
    sold = asked.state.items.popularity.sum(axis=1) > 0
    full = min(LONG, int(sold.sum()))
    passed = [
        len(np.unique(listed)) == len(listed) == full and bool((listed >= 0).all() and sold[listed].all())
        for listed in asked.lists
    ]
    return np.array(passed), [f"{asked.who(i)}: {each.tolist()}" for i, each in enumerate(asked.lists)]


def _discover_is_new(asked: Asked) -> Outcome:
    made = asked.answered(asked.questions, mode="discover")
    return _none(asked, [np.intersect1d(listed, asked.bought(i)) for i, listed in enumerate(made)])


def _replenish_was_bought(asked: Asked) -> Outcome:
    made = asked.answered(asked.questions, mode="replenish")
    return _none(asked, [np.setdiff1d(listed, asked.bought(i)) for i, listed in enumerate(made)])


def _none(asked: Asked, wrong: Sequence[np.ndarray]) -> Outcome:
    """wrong: products of each list that must not be in it."""
    names = asked.state.catalogue.names
    told = [
        f"{asked.who(i)}: {', '.join(names[product] for product in each)}" for i, each in enumerate(wrong)
    ]
    return np.array([not len(each) for each in wrong]), told


def _weekly_habit_is_listed(asked: Asked) -> Outcome:
    """Who buys a product every week for months, beside others that change, has it in the first 20."""
    cases = len(asked.questions)
    selling = asked.state.items.popularity[:, -1].astype(np.float64)
    habit = asked.rng.choice(len(selling), cases, p=selling / selling.sum())
    others = asked.rng.choice(len(selling), (cases, HABIT_WEEKS, HABIT_OTHERS), p=selling / selling.sum())
    products = np.concatenate(
        [np.broadcast_to(habit[:, None, None], (cases, HABIT_WEEKS, 1)), others], axis=2
    )
    weeks = np.broadcast_to(np.arange(HABIT_WEEKS)[None, :, None], products.shape)
    question = np.broadcast_to(np.arange(cases)[:, None, None], products.shape)
    keys = (question * HABIT_WEEKS + weeks) * len(selling) + products
    once = np.unique(keys)
    case, week = once // len(selling) // HABIT_WEEKS, once // len(selling) % HABIT_WEEKS
    rows = Rows(
        cases, case, once % len(selling), asked.questions.day - 7 * (HABIT_WEEKS - week), week,
        np.ones(len(once), dtype=np.float32), np.full(len(once), -1),
    )  # fmt: skip
    nobody = np.full(cases, -1)
    made = asked.answered(Questions(asked.questions.day, nobody, rows, nobody, NOTHING, NOTHING))
    passed = np.array([product in listed for product, listed in zip(habit, made, strict=True)])
    return passed, [
        f"{asked.state.catalogue.names[product]} bought weekly is not listed" for product in habit
    ]


TESTS: Mapping[BehaviouralTest, tuple[str, Test]] = {
    "order_in_basket": ("invariance", _order_in_basket),
    "alone_or_in_a_batch": ("invariance", _alone_or_in_a_batch),
    "repeated_lines": ("invariance", _repeated_lines),
    "bought_twice_more": ("directional", _bought_twice_more),
    "excluded_is_not_shown": ("minimum functionality", _excluded_is_not_shown),
    "each_once_and_of_the_catalogue": ("minimum functionality", _each_once_and_of_the_catalogue),
    "discover_is_new": ("minimum functionality", _discover_is_new),
    "replenish_was_bought": ("minimum functionality", _replenish_was_bought),
    "weekly_habit_is_listed": ("minimum functionality", _weekly_habit_is_listed),
}


def measure(week: Week, limits: Evaluate, folder: Path) -> Part:
    """Writes behaviour.csv and behaviour_failures.csv."""
    demanded: Behaviour = limits.behaviour
    questions = week.questions(week.some(demanded.customers).customers)
    rng = np.random.default_rng(limits.seed)
    sellers = BestSellers(week.state.items)
    asked = Asked(week.state, week.ranker, week.past.retrieval, sellers, questions, [], rng)
    asked = replace(asked, lists=asked.answered(questions))
    found, failures, gates = [], [], []
    for name, (kind, test) in TESTS.items():
        passed, told = test(asked)
        cases, right = len(passed), int(passed.sum())
        interval = wilson_interval(right, cases)
        least = demanded.passed_min.get(name)
        found.append({"test": name, "kind": kind, "cases": cases, "passed": right / max(1, cases),
                      "interval": interval, "floor": least})  # fmt: skip
        failures += [(name, told[i]) for i in np.flatnonzero(~passed)[:FAILURES].tolist()]
        if least is not None:
            gates.append(
                Gate(f"behaviour_{name}_high", interval[1], "at least", least, "training",
                     "see evaluation/behaviour_failures.csv for cases that fail.", interval)
            )  # fmt: skip
    _write(found, failures, folder)
    return Part(gates=tuple(gates), details={"behaviour": found})


def _one(questions: Questions, i: int) -> Questions:
    rows = questions.rows
    mine = rows.question == i
    columns = (rows.product, rows.day, rows.ordinal, rows.quantity, rows.store)
    only = Rows(1, np.zeros(int(mine.sum()), dtype=np.int64), *(column[mine] for column in columns))
    one = slice(i, i + 1)
    return replace(questions, customers=questions.customers[one], rows=only, stores=questions.stores[one])


def _write(found: Sequence[Mapping[str, Any]], failures: Sequence[tuple[str, str]], folder: Path) -> None:
    with (folder / "behaviour.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["test", "kind", "cases", "passed", "low", "high", "floor"])
        for row in found:
            figures = (row["passed"], *row["interval"])
            floor = "" if row["floor"] is None else row["floor"]
            writer.writerow([row["test"], row["kind"], row["cases"], *(f"{f:.4f}" for f in figures), floor])
    with (folder / "behaviour_failures.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["test", "what_happened"])
        writer.writerows(failures)
