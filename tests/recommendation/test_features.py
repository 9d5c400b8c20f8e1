"""What is counted of a small shop, against what a person counts; and that nothing later is seen."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.tasks.recommendation.data import candidates, counts, inputs, state
from pipeline.tasks.recommendation.data.counts import LONG_AGO, Questions
from pipeline.tasks.recommendation.data.dataset import (
    CODES,
    Catalogue,
    Promotions,
    Purchases,
    read_catalogue,
    read_split,
)
from pipeline.tasks.recommendation.data.state import CATALOGUE, SPLITS, State
from tests.recommendation.shop_package import RETRIEVAL
from tests.recommendation.shop_project import ShopProject

PRODUCTS, CUSTOMERS, TODAY = 8, 3, 25
# (customer, basket, day, product, pieces); customer 2 never buys. Product 7 is sold on day 25 alone.
ROWS = [
    (0, 0, 10, 0, 1), (0, 0, 10, 1, 2),
    (1, 1, 12, 0, 1), (1, 1, 12, 3, 1), (1, 1, 12, 4, 1),
    (0, 2, 14, 0, 1),
    (0, 3, 20, 0, 3), (0, 3, 20, 2, 1),
    (1, 4, 24, 4, 1), (1, 4, 24, 5, 1),
    (0, 5, 25, 7, 1), (0, 5, 25, 1, 1),
]  # fmt: skip
TYPES = (1, 1, 2, 2, 3, 3, 0, 1)  # of each product; 0 is none


def catalogue() -> Catalogue:
    codes = np.zeros((PRODUCTS, len(CODES)), dtype=np.int32)
    codes[:, 0], codes[:, 1] = TYPES, np.minimum(TYPES, 1)
    named = {name: ("", "a", "b", "c") for name in CODES}
    return Catalogue(
        product_ids=np.arange(PRODUCTS) + 100,
        customer_ids=np.arange(CUSTOMERS) + 1,
        store_ids=np.array([31, 32]),
        names=tuple("ABCDEFGH"),
        codes=codes,
        vocabularies=named,
        demographics=np.zeros((CUSTOMERS, 0), dtype=np.int32),
        attributes={},
    )


def purchases(rows: Sequence[tuple[int, int, int, int, int]] = ROWS) -> Purchases:
    customer, basket, day, product, pieces = np.array(rows, dtype=np.int32).T
    promotions = {"product": [0, 1, 2], "start": [12, 19, 26], "display": [0.1, 0.2, 0.3]}
    promoted = {name: np.array(values) for name, values in promotions.items()}
    ones = np.ones(len(rows), dtype=np.float32)
    return Purchases(
        customer=customer,
        product=product,
        basket=basket,
        day=day,
        second=day * 0,
        store=customer % 2,
        quantity=pieces.astype(np.float32),
        value=4 * ones * pieces,
        discount=ones * pieces,
        promotions=Promotions(**promoted, mailer=promoted["display"] / 2),
        first_day=10,
        end_day=TODAY + 1,
    )


def built(rows: Sequence[tuple[int, int, int, int, int]] = ROWS, day: int = TODAY) -> State:
    return state.build([purchases(rows)], catalogue(), day, RETRIEVAL)


def asked(made: State, customers: Sequence[int], baskets: Sequence[Sequence[int]] = ()) -> Questions:
    held = [list(basket) for basket in baskets] or [[] for _ in customers]
    places = np.array(customers)
    return Questions(
        day=made.day,
        customers=places,
        rows=made.histories.rows(places),
        stores=np.full(len(places), -1),
        basket_question=np.repeat(np.arange(len(places)), [len(basket) for basket in held]),
        basket_product=np.array([product for basket in held for product in basket], dtype=np.int64),
    )


def feature(found: inputs.Inputs, name: str, product: int, question: int = 0) -> float:
    (place,) = np.flatnonzero(found.products[question] == product)
    return float(found.features[question, place, found.names.index(name)])


def test_counts_of_a_customer() -> None:
    made = built()
    found = counts.count(asked(made, [0, 1, 2, -1]), made.catalogue).customer
    assert found.baskets.tolist() == [3, 2, 0, 0]
    assert found.since.tolist() == [5, 1, LONG_AGO, LONG_AGO]
    assert found.tenure.tolist() == [15, 13, 1, 1]
    assert found.gap.tolist() == [5, 12, 0, 0]
    assert found.size.tolist() == pytest.approx([5 / 3, 5 / 2, 0, 0])
    assert found.variety.tolist() == pytest.approx([3 / 5, 4 / 5, 0, 0])
    assert found.store.tolist() == [0, 1, -1, -1]


def test_counts_of_a_product_bought_thrice() -> None:
    made = built()
    found = counts.count(asked(made, [0]), made.catalogue).product
    assert found.product.tolist() == [0, 1, 2]
    assert found.count.tolist() == [3, 1, 1]
    assert found.age.tolist() == [5, 15, 5]
    assert found.lag.tolist() == [0, 2, 0]
    assert found.first_lag.tolist() == [2, 2, 0]
    assert found.gap.tolist() == [5, 0, 0]  # 4 and 6 days
    assert found.gap_spread.tolist() == [1, 0, 0]
    assert found.gap_lag.tolist() == [1, 0, 0]
    assert found.pieces.tolist() == pytest.approx([5 / 3, 2, 1])
    assert found.last_pieces.tolist() == [3, 2, 1]
    expected = [sum(np.exp(-age / days) for age in (15, 11, 5)) for days in (7, 21, 60, 180)]
    assert found.decayed[0].tolist() == pytest.approx(expected)
    assert found.by_basket[0].tolist() == pytest.approx([1 + 0.9 + 0.81, 1 + 0.7 + 0.49])


def test_counts_of_a_type() -> None:
    made = built()
    found = counts.count(asked(made, [0, 1]), made.catalogue).type
    assert found.kind.tolist() == [1, 2, 1, 2, 3]
    assert found.question.tolist() == [0, 0, 1, 1, 1]
    assert found.count.tolist() == [4, 1, 1, 1, 3]
    assert found.products.tolist() == [2, 1, 1, 1, 2]
    assert found.age.tolist() == [5, 5, 13, 13, 1]


def test_features_of_a_product() -> None:
    made = built()
    found = inputs.compute(made, asked(made, [0]), RETRIEVAL)
    assert feature(found, "bought", 0) == 1
    assert feature(found, "count", 0) == pytest.approx(np.log1p(3))
    assert feature(found, "share_of_baskets", 0) == 1
    assert feature(found, "share_since_first", 0) == 1
    assert feature(found, "due", 0) == 1  # 5 days ago, every 5 days
    assert feature(found, "due_baskets", 0) == 1
    assert feature(found, "due_spread", 0) == 0
    assert feature(found, "due", 1) == 0  # bought once: nobody knows how often
    assert feature(found, "age", 1) == pytest.approx(np.log1p(15))
    assert feature(found, "price", 0) == pytest.approx(np.log1p(5))
    assert feature(found, "discount", 0) == pytest.approx(0.2)
    assert feature(found, "display", 0) == 0  # last week's promotion
    assert feature(found, "display", 1) == pytest.approx(0.2)
    assert feature(found, "display", 2) == 0  # next week's
    assert feature(found, "bought", 4) == 0
    assert feature(found, "age", 4) == pytest.approx(np.log1p(LONG_AGO))
    assert feature(found, "type_count", 4) == 0
    assert feature(found, "customer_baskets", 4) == pytest.approx(np.log1p(3))


def test_features_are_of_nothing_left_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """New arrays hold what memory held before; here that is the largest number, whose product overflows."""
    made = built()
    expected = inputs.compute(made, asked(made, [0, 1, 2]), RETRIEVAL)

    def full_of_leftovers(shape: Any, dtype: Any = float) -> np.ndarray:
        largest: dict[str, Any] = {"f": np.finfo, "i": np.iinfo}
        kind = np.dtype(dtype)
        return np.full(shape, largest[kind.kind](kind).max if kind.kind in largest else True, dtype=kind)

    monkeypatch.setattr(np, "empty", full_of_leftovers)
    found = inputs.compute(made, asked(made, [0, 1, 2]), RETRIEVAL)
    assert np.array_equal(found.features, expected.features)


def test_the_network_reads_the_newest_baskets_last() -> None:
    made = built()
    found = inputs.compute(made, asked(made, [0]), replace(RETRIEVAL, baskets=2, basket_products=3))
    assert found.sequence.tolist() == [[[0, -1, -1], [0, 2, -1]]]
    assert found.ages.tolist() == [[11, 5]]


def test_the_network_is_told_which_baskets_held_a_candidate_and_its_type() -> None:
    """Of two baskets: bit 0 is the older one, bit 1 the newest."""
    made = built()
    found = inputs.compute(made, asked(made, [0, 1]), replace(RETRIEVAL, baskets=2))
    expected = {
        (0, 0): [0b11, 0b11, 0],
        (0, 1): [0, 0b11, 0],  # itself longer ago, its type in both
        (0, 2): [0b10, 0b10, 0],
        (0, 3): [0, 0b10, 0],
        (0, 4): [0, 0, 0],
        (0, 6): [0, 0, 0],  # of no type
        (1, 4): [0b11, 0b11, 0b10],  # two of its type in the newest
        (1, 5): [0b10, 0b11, 0b10],
        (1, 0): [0b01, 0b01, 0],
    }
    for (question, product), held in expected.items():
        (place,) = np.flatnonzero(found.products[question] == product)
        assert found.held[question, place].tolist() == held, (question, product)


def test_candidates_are_what_was_bought_and_what_was_not() -> None:
    made = built()
    questions = asked(made, [0, 2])
    found = candidates.find(made, questions, counts.count(questions, made.catalogue), RETRIEVAL)
    for products, bought, own in zip(found.products, found.bought, ({0, 1, 2}, set()), strict=True):
        assert set(products[bought].tolist()) == own
        there = products[products >= 0].tolist()
        assert len(there) == len(set(there))
    assert set(found.products[0].tolist()) >= {0, 1, 2, 3, 4, 5}


def test_a_list_of_one_kind_looks_at_candidates_of_that_kind_alone() -> None:
    made = built()
    questions = asked(made, [0, 0, 0])
    counted = counts.count(questions, made.catalogue)
    every = inputs.of_counts(made, questions, counted, RETRIEVAL)
    found = inputs.of_counts(made, questions, counted, RETRIEVAL, ["replenish", "discover", "mixed"])
    for i, wanted in enumerate((every.bought[0], ~every.bought[0], every.bought[0] | True)):
        wanted = wanted & (every.products[0] >= 0)
        there = found.products[i] >= 0
        for name in ("products", "bought", "features", "held"):
            assert np.array_equal(getattr(found, name)[i, there], getattr(every, name)[0, wanted]), name


def test_nothing_in_the_live_basket_is_a_candidate() -> None:
    made = built()
    found = inputs.compute(made, asked(made, [0, 0, -1], [[0, 4], [], [0, 4]]), RETRIEVAL)
    for question in (0, 2):
        assert not {0, 4} & set(found.products[question].tolist())
    assert {0, 4} <= set(found.products[1].tolist())
    assert feature(found, "basket_products", 2) == pytest.approx(np.log1p(2))
    assert feature(found, "basket_has_type", 1) == 1
    assert feature(found, "basket_has_type", 2) == 0
    assert (found.features[found.products < 0] == 0).all()


def test_one_question_is_answered_as_among_many() -> None:
    made = built()
    many = inputs.compute(made, asked(made, [0, 1, 2, -1], [[3], [], [0], [0, 4]]), RETRIEVAL)
    for i, (customer, basket) in enumerate(zip([0, 1, 2, -1], [[3], [], [0], [0, 4]], strict=True)):
        one = inputs.compute(made, asked(made, [customer], [basket]), RETRIEVAL)
        assert np.array_equal(one.products[0], many.products[i])
        assert np.array_equal(one.features[0], many.features[i])


@pytest.mark.parametrize(
    "later",
    [
        pytest.param([], id="removed"),
        pytest.param([(1, 6, 25, 6, 900), (2, 7, 25, 7, 1)], id="others"),
        pytest.param([(0, 5, 25, 0, 1), (0, 6, 40, 0, 1)], id="more"),
    ],
)
def test_what_is_bought_on_the_day_or_later_changes_nothing(
    later: list[tuple[int, int, int, int, int]],
) -> None:
    now, then = built(), built([row for row in ROWS if row[2] < TODAY] + later)
    customers, baskets = [0, 1, 2, -1], [[], [3], [0], [0, 4]]
    found, expected = (
        inputs.compute(made, asked(made, customers, baskets), RETRIEVAL) for made in (then, now)
    )
    for name in ("products", "bought", "features", "sequence", "ages", "held"):
        assert np.array_equal(getattr(found, name), getattr(expected, name)), name


def test_a_whole_shop_sees_nothing_later(prepared_shop: ShopProject) -> None:
    """Spoiling every later purchase and promotion leaves the state of the day as it was."""
    parts = [read_split(prepared_shop.paths.prepared / split) for split in SPLITS]
    known = read_catalogue(prepared_shop.paths.prepared / "train" / CATALOGUE)
    day = parts[2].first_day + 3
    spoilt = [*parts[:2], _spoilt(parts[2], day)]
    one, other = (state.build(made, known, day, RETRIEVAL) for made in (parts, spoilt))
    customers = list(range(len(known.customer_ids)))
    found, expected = (inputs.compute(made, asked(made, customers), RETRIEVAL) for made in (other, one))
    for name in ("products", "bought", "features", "sequence", "ages", "held"):
        assert np.array_equal(getattr(found, name), getattr(expected, name)), name


def _spoilt(part: Purchases, day: int) -> Purchases:
    later, rng = np.asarray(part.day) >= day, np.random.default_rng(0)
    changed: dict[str, Any] = {
        name: np.where(later, rng.permutation(getattr(part, name)), getattr(part, name))
        for name in ("customer", "product", "store", "quantity", "value", "discount")
    }
    week = part.promotions.start > day
    promotions = replace(part.promotions, display=np.where(week, 1, part.promotions.display))
    return replace(part, **changed, promotions=promotions)


def test_a_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    made = built()
    state.write(made, tmp_path / "state")
    again = state.read(tmp_path / "state")
    found, expected = (inputs.compute(s, asked(s, [0, 1], [[3], []]), RETRIEVAL) for s in (again, made))
    assert again.day == TODAY
    assert np.array_equal(found.features, expected.features)
    assert np.array_equal(found.products, expected.products)
