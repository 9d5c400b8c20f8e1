"""What customers do while the recommender answers: seen at once, by all threads, counted once."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.tasks.recommendation.data.asking import Ask, Event, Id
from pipeline.tasks.recommendation.data.recommender import Recommender
from tests.recommendation import shop_package
from tests.recommendation.shop_package import ids, one
from tests.recommendation.shop_project import ShopProject

NOW = datetime(2026, 3, 1, 18, 0, tzinfo=UTC)
CUSTOMER = 7


@pytest.fixture(scope="module")
def package(prepared_shop: ShopProject, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shop_package.with_state(tmp_path_factory.mktemp("model") / "shop", prepared_shop.paths.prepared)


@pytest.fixture
def recommender(package: Path) -> Recommender:
    return Recommender(package)


def purchase(customer: Id, product: Id, at: datetime = NOW, quantity: float = 1.0) -> Event:
    return Event(customer, product, "purchase", at, quantity)


def test_a_purchase_counts_at_once(recommender: Recommender) -> None:
    new = ids(one(recommender, Ask(CUSTOMER, mode="discover")))[0]
    before = recommender.history(CUSTOMER)
    recommender.add_events([purchase(CUSTOMER, new, quantity=2.0)])
    replenish = one(recommender, Ask(str(CUSTOMER), k=100, mode="replenish"), NOW)
    (item,) = (item for item in replenish.items if item.product_id == new)
    assert item.reason == "bought once, today"
    assert new not in ids(one(recommender, Ask(CUSTOMER, k=100, mode="discover"), NOW))
    newest, *rest = recommender.history(CUSTOMER)
    assert rest == before
    assert [(found["product_id"], found["quantity"]) for found in newest["items"]] == [(new, 2.0)]
    assert newest["day"] == "2017-12-25"  # the clock stands at the end of the data
    assert replenish.properties["customer_baskets"] == len(before) + 1


def test_neighbours_found_beforehand_change_no_answer(package: Path, tmp_path: Path) -> None:
    """Nor those of who bought something since: his are found anew."""
    other = tmp_path / "other"
    shutil.copytree(package, other)
    shutil.rmtree(other / "state" / "neighbours")
    recommenders = [Recommender(package), Recommender(other)]
    asks = [Ask(customer, k=30) for customer in (CUSTOMER, CUSTOMER + 1)] + [Ask("nobody", (1001,), k=30)]
    before, expected = (recommender.recommend(asks, NOW) for recommender in recommenders)
    assert before == expected
    for recommender in recommenders:
        recommender.add_events([purchase(CUSTOMER, product) for product in (1001, 1002, 1003)])
    after, expected = (recommender.recommend(asks, NOW) for recommender in recommenders)
    assert after == expected
    assert after[0] != before[0]


def test_an_unknown_customer_becomes_known_by_what_he_buys(recommender: Recommender) -> None:
    recommender.add_events([purchase("new", 1001), purchase("new", "1002"), purchase("other", 1003)])
    assert recommender.has_customer("new")
    answer = one(recommender, Ask("new", mode="replenish"), NOW)
    assert set(ids(answer)) == {1001, 1002}
    assert answer.served_by == "network"
    assert [len(basket["items"]) for basket in recommender.history("new")] == [2]


def test_purchases_of_one_trip_are_one_basket(recommender: Recommender) -> None:
    minutes = [0, 60, 170, 300, 421]
    events = [purchase("new", 1001 + i % 3, NOW + timedelta(minutes=m)) for i, m in enumerate(minutes)]
    recommender.add_events(events[2:])
    recommender.add_events(events[:2])  # what comes late is put where it belongs
    found = [[item["product_id"] for item in basket["items"]] for basket in recommender.history("new")]
    assert found == [[1002], [1001], [1001, 1002, 1003]]


def test_what_the_state_may_hold_already_is_not_counted_twice(recommender: Recommender) -> None:
    before = recommender.history(CUSTOMER)
    recommender.add_events([purchase(CUSTOMER, 1001, datetime(2017, 12, 24, 12, tzinfo=UTC))])
    assert recommender.history(CUSTOMER) == before


def test_a_cart_is_the_basket_of_whoever_names_none(recommender: Recommender) -> None:
    first, second = ids(one(recommender, Ask(CUSTOMER)))[:2]
    recommender.add_events(
        [
            Event(CUSTOMER, first, "cart", NOW),
            Event(CUSTOMER, second, "view", NOW),
            Event("x", 1001, "cart", NOW),
        ]
    )
    soon, later = NOW + timedelta(minutes=90), NOW + timedelta(minutes=150)
    answer = one(recommender, Ask(CUSTOMER), soon)
    assert first not in ids(answer)
    assert second in ids(answer)
    assert answer.notes == ("1 product that was put into the cart within two hours: taken as the basket",)
    assert answer.properties["basket_products"] == 1
    assert first in ids(one(recommender, Ask(CUSTOMER), later))
    assert first in ids(one(recommender, Ask(CUSTOMER, (second,)), soon))
    assert one(recommender, Ask("x"), soon).served_by == "network"
    recommender.add_events([purchase(CUSTOMER, first, NOW + timedelta(minutes=5))])
    assert first in ids(one(recommender, Ask(CUSTOMER, k=20), soon))


def test_events_of_unknown_products_change_nothing(recommender: Recommender) -> None:
    before = one(recommender, Ask(CUSTOMER))
    recommender.add_events([purchase(CUSTOMER, "no product"), Event(CUSTOMER, 1001, "exposure", NOW)])
    assert one(recommender, Ask(CUSTOMER)) == before


def test_on_the_wall_clock_days_pass(prepared_shop: ShopProject, tmp_path: Path) -> None:
    package = shop_package.with_state(tmp_path / "wall", prepared_shop.paths.prepared, clock="wall")
    recommender = Recommender(package)
    evening = datetime(2018, 1, 3, 1, 0, tzinfo=UTC)  # still the day before in the shop
    recommender.add_events(
        [purchase("new", 1001, evening), purchase("new", 1001, evening + timedelta(days=4))]
    )
    reasons = [
        one(recommender, Ask("new", mode="replenish"), evening + timedelta(days=days)).items[0].reason
        for days in (4, 5, 10)
    ]
    assert reasons == [
        "bought twice, about every 4 days, last today",
        "bought twice, about every 4 days, last yesterday",
        "bought twice, about every 4 days, last 6 days ago",
    ]
    assert [basket["day"] for basket in recommender.history("new")] == ["2018-01-06", "2018-01-02"]


def test_it_is_asked_and_told_by_many_threads(recommender: Recommender) -> None:
    customers: list[Id] = [*recommender.customers(8), *(f"new {i}" for i in range(8))]
    before = sum(len(recommender.history(customer)) for customer in customers)

    def work(i: int) -> None:
        for turn in range(12):
            customer = customers[(i + turn) % len(customers)]
            if i % 2:
                recommender.add_events([purchase(customer, 1000 + turn, NOW + timedelta(hours=3 * turn))])
            answer = one(recommender, Ask(customer, (1050,), k=12))
            assert len(set(ids(answer))) == 12
            recommender.history(customer)

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(work, range(16)))
    after = sum(len(recommender.history(customer)) for customer in customers)
    assert after == before + 8 * 12  # each purchase is three hours from the next
