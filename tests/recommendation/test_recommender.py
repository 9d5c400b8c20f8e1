"""The recommender on a package of the synthetic shop: lists, ids, notes, reasons."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.core import model_package
from pipeline.core.errors import ModelError
from pipeline.tasks.recommendation.data import inputs, ranking
from pipeline.tasks.recommendation.data.asking import MODES, Ask, Id
from pipeline.tasks.recommendation.data.dataset import read_catalogue, read_split
from pipeline.tasks.recommendation.data.recommender import Recommender
from pipeline.tasks.recommendation.data.state import CATALOGUE, SPLITS
from pipeline.tasks.recommendation.learning import examples
from tests.imports import ROOT
from tests.recommendation import shop_package
from tests.recommendation.shop_package import RETRIEVAL, ids, one
from tests.recommendation.shop_project import ShopProject

CUSTOMER = 7


@pytest.fixture(scope="module")
def package(prepared_shop: ShopProject, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shop_package.with_state(tmp_path_factory.mktemp("model") / "shop", prepared_shop.paths.prepared)


@pytest.fixture(scope="module")
def shared(package: Path) -> Recommender:
    """For tests that send no events."""
    return Recommender(package)


def bought(recommender: Recommender, customer: Id) -> set[Id]:
    return {item["product_id"] for basket in recommender.history(customer) for item in basket["items"]}


def test_replenish_is_what_was_bought_discover_what_was_not_and_mixed_both(shared: Recommender) -> None:
    own = bought(shared, CUSTOMER)
    lists = {mode: one(shared, Ask(CUSTOMER, k=20, mode=mode)) for mode in MODES}
    assert set(ids(lists["replenish"])) <= own
    assert not set(ids(lists["discover"])) & own
    assert {answer.served_by for answer in lists.values()} == {"network"}
    scores = {item.product_id: item.score for mode in ("replenish", "discover") for item in lists[mode].items}
    best = sorted(scores, key=lambda product: -scores[product])[:10]
    assert ids(lists["mixed"])[:10] == best


def test_an_answer_is_plain_and_falls(shared: Recommender) -> None:
    answer = one(shared, Ask(CUSTOMER, k=15))
    scores = [item.score for item in answer.items]
    assert len(answer.items) == len(set(ids(answer))) == 15
    assert scores == sorted(scores, reverse=True)
    for item in answer.items:
        assert type(item.product_id) is int
        assert type(item.score) is float
        assert item.name.startswith("TYPE")
        assert item.reason
    assert all(type(value) is float for value in answer.properties.values())
    json.dumps([dict(answer.properties), scores], allow_nan=False)


def test_ids_are_the_same_as_numbers_and_as_text(shared: Recommender) -> None:
    basket = ids(one(shared, Ask(CUSTOMER)))[:2]
    number = one(shared, Ask(CUSTOMER, tuple(basket), exclude=(1005,), store=32))
    text = one(shared, Ask(str(CUSTOMER), tuple(map(str, basket)), exclude=("1005",), store="32"))
    assert text == number
    assert shared.history(str(CUSTOMER)) == shared.history(CUSTOMER)
    assert shared.has_customer("7")
    assert shared.has_product("1005")
    assert not shared.has_product("05")


@pytest.mark.parametrize("mode", MODES)
def test_nothing_of_the_basket_or_excluded_is_recommended(shared: Recommender, mode: Any) -> None:
    first = ids(one(shared, Ask(CUSTOMER, k=6, mode=mode)))
    answer = one(shared, Ask(CUSTOMER, tuple(first[:3]), k=100, mode=mode, exclude=tuple(first[3:])))
    assert not set(first) & set(ids(answer))
    assert answer.items


@pytest.mark.parametrize("customer", [CUSTOMER, "nobody", None])
def test_a_list_is_filled_up_to_k(shared: Recommender, customer: Id | None) -> None:
    """Of 288 products about 60 are candidates of a question."""
    excluded = tuple(ids(one(shared, Ask(customer, k=20))))
    answer = one(shared, Ask(customer, k=100, exclude=excluded, mode="discover"))
    assert len(set(ids(answer))) == 100
    assert not set(excluded) & set(ids(answer))
    scores = [item.score for item in answer.items]
    assert scores == sorted(scores, reverse=True)


def test_what_was_bought_is_not_filled_up_with_anything_else(shared: Recommender) -> None:
    own = bought(shared, CUSTOMER)
    answer = one(shared, Ask(CUSTOMER, k=100, mode="replenish"))
    assert set(ids(answer)) == own
    assert answer.notes == (f"only {len(own)} products bought before are left",)


def test_an_unknown_customer_gets_what_sells_best(shared: Recommender) -> None:
    named, anonymous = one(shared, Ask("nobody")), one(shared, Ask(None))
    assert named.items == anonymous.items
    assert {named.served_by, anonymous.served_by} == {"popularity"}
    assert named.notes == ("customer nobody is unknown: this is what sells best",)
    assert anonymous.notes == ("neither a customer nor a basket was named: this is what sells best",)
    assert not shared.has_customer("nobody")


def test_a_store_has_best_sellers_of_its_own(shared: Recommender) -> None:
    everywhere = one(shared, Ask(None, k=30))
    stores = [one(shared, Ask(None, k=30, store=store)) for store in shared.stores]
    assert all(ids(answer) != ids(everywhere) for answer in stores)
    unknown = one(shared, Ask(None, k=30, store=99))
    assert unknown.items == everywhere.items
    assert "store 99 is unknown: the list is that of the whole shop" in unknown.notes


def test_a_basket_of_somebody_unknown_is_answered_by_the_network(shared: Recommender) -> None:
    product = ids(one(shared, Ask(None)))[0]
    answer = one(shared, Ask("nobody", (product, "no product")))
    assert answer.served_by == "network"
    assert answer.notes == (
        "customer nobody is unknown",
        "product no product is unknown and was left out",
    )
    only_unknown = one(shared, Ask(None, ("a", "b", "c", "d", "e", "f", "g")))
    assert only_unknown.served_by == "popularity"
    assert any("a, b, c, d, e and 2 more are unknown" in note for note in only_unknown.notes)


def test_demographics_are_said_not_to_be_used(shared: Recommender) -> None:
    plain = one(shared, Ask("nobody"))
    answer = one(shared, Ask("nobody", demographics={"age": "19-24"}))
    assert answer.items == plain.items
    assert any("demographics are not used" in note for note in answer.notes)


def test_the_customer_decides_and_so_does_the_basket(shared: Recommender) -> None:
    customers = shared.customers(20)
    answers = shared.recommend([Ask(customer) for customer in customers])
    assert len({tuple(ids(answer)) for answer in answers}) == len(customers)
    baskets = [(product,) for product in ids(one(shared, Ask(None, k=12)))]
    answers = shared.recommend([Ask(None, basket, k=5) for basket in baskets])
    assert len({tuple(ids(answer)) for answer in answers}) > len(baskets) / 2


def test_many_are_answered_as_one(shared: Recommender) -> None:
    asks = [Ask(c, k=5, mode=MODES[c % 3]) for c in range(1, 121)] + [Ask("x"), Ask(None, (1000,))]
    assert shared.recommend(asks) == [one(shared, ask) for ask in asks]
    assert shared.recommend([]) == []


def test_reasons_say_why(shared: Recommender) -> None:
    history = shared.history(CUSTOMER)
    (first, *_) = one(shared, Ask(CUSTOMER, mode="replenish")).items
    times = sum(first.product_id in [i["product_id"] for i in basket["items"]] for basket in history)
    assert first.reason.startswith(f"bought {times} times, about every ")
    assert {item.reason for item in one(shared, Ask(None)).items} == {"sells best in this shop now"}
    held = tuple(ids(one(shared, Ask(None)))[:3])
    names = {name["name"] for product in held for name in shared.search(str(product), 1)}
    reasons = [item.reason for item in one(shared, Ask(None, held, k=20)).items]
    said = {reason.removeprefix("often bought with ") for reason in reasons if "bought with" in reason}
    assert said
    assert said <= names


def test_the_page_is_told_what_it_asks_for(shared: Recommender) -> None:
    assert shared.name == "shop"
    assert len(shared.sha256) == 64
    assert set(shared.stores) == {31, 32, 33}
    assert shared.attributes["age"] == ("19-24", "25-34", "35-44")
    customers = shared.customers(10)
    assert len(customers) == 10
    assert all(shared.history(customer) for customer in customers)
    assert len(shared.customers(1000)) <= 120
    days = [basket["day"] for basket in shared.history(CUSTOMER)]
    assert days == sorted(days, reverse=True)
    assert shared.history("nobody") == []


def test_products_are_found_by_the_beginnings_of_words(shared: Recommender) -> None:
    names = [product["name"] for product in shared.search("oz typ 1-3", 100)]
    assert "TYPE 1-3 3 OZ" in names
    for name in names:
        words = name.replace("-", " ").split()
        assert all(any(word.startswith(w) for word in words) for w in ("OZ", "TYP", "1", "3")), name
    assert len(shared.search("ty", 7)) == 7
    assert shared.search("1003", 3)[0]["product_id"] == 1003
    assert shared.search("nothing-like-it", 5) == shared.search("  ", 5) == []


def test_training_and_service_compute_the_same(
    shared: Recommender, prepared_shop: ShopProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit for bit, whether customers are asked one by one or together."""
    prepared = prepared_shop.paths.prepared
    known = read_catalogue(prepared / "train" / CATALOGUE)
    past = examples.Past([read_split(prepared / s) for s in SPLITS], known, RETRIEVAL, 28)
    customers = np.arange(len(known.customer_ids))
    rng = np.random.default_rng(0)
    held = [rng.choice(len(known.product_ids), rng.integers(0, 4), replace=False) for _ in customers]
    targets = examples.Targets(customers, [np.array([0])] * len(customers))
    expected = examples.at(past, past.parts[-1].end_day, targets, held).inputs

    found: list[inputs.Inputs] = []
    computed = inputs.of_counts

    def kept(*arguments: Any, **more: Any) -> inputs.Inputs:
        found.append(computed(*arguments, **more))
        return found[-1]

    monkeypatch.setattr(ranking.inputs, "of_counts", kept)
    for customer, basket in zip(known.customer_ids, held, strict=True):
        one(shared, Ask(int(customer), tuple(known.product_ids[basket].tolist())))
    assert found[0].names == expected.names
    for i, served in enumerate(found):
        there, wanted = served.products[0] >= 0, expected.products[i] >= 0
        for name in ("products", "bought", "features", "held"):
            assert np.array_equal(getattr(served, name)[0, there], getattr(expected, name)[i, wanted]), (
                f"{name} of {i}"
            )
        assert np.array_equal(served.sequence[0], expected.sequence[i])
        assert np.array_equal(served.ages[0], expected.ages[i])


def test_a_network_of_other_features_is_refused(package: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(package, other)
    description = json.loads((other / model_package.DESCRIPTION).read_text())
    description["features"][0] = "of_long_ago"
    (other / model_package.DESCRIPTION).write_text(json.dumps(description))
    with pytest.raises(ModelError, match="bought, of_long_ago"):
        Recommender(other)


def test_a_package_without_state_is_refused(prepared_shop: ShopProject, tmp_path: Path) -> None:
    package = shop_package.write(tmp_path / "bare", prepared_shop.paths.prepared)
    with pytest.raises(ModelError, match="no state/"):
        Recommender(package)


def test_a_state_without_an_index_of_names_is_refused(package: Path, tmp_path: Path) -> None:
    older = tmp_path / "older"
    shutil.copytree(package, older)
    shutil.rmtree(older / "state" / "search")
    with pytest.raises(ModelError, match=r"dvc repro --force deploy@shop"):
        Recommender(older)


def test_it_needs_nothing_that_the_image_lacks(package: Path) -> None:
    code = (
        "import sys, json; from pathlib import Path\n"
        "from pipeline.tasks.recommendation.data.recommender import Recommender\n"
        "from pipeline.tasks.recommendation.data.asking import Ask\n"
        "answer = Recommender(Path(sys.argv[1])).recommend([Ask(7)])[0]\n"
        "heavy = ('torch', 'pandas', 'pyarrow', 'sklearn', 'mlflow', 'onnx', 'pydantic', 'yaml')\n"
        "print(json.dumps([len(answer.items), [name for name in heavy if name in sys.modules]]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(package)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == [10, []]


def test_ids_that_are_text_stay_text(prepared_shop: ShopProject, tmp_path: Path) -> None:
    """The same shop with other ids."""
    prepared = tmp_path / "prepared"
    shutil.copytree(prepared_shop.paths.prepared, prepared)
    for name in ("product_ids", "customer_ids", "store_ids"):
        path = prepared / "train" / CATALOGUE / f"{name}.npy"
        np.save(path, np.array([f"{name[0]}{id_}" for id_ in np.load(path)]))
    recommender = Recommender(shop_package.with_state(tmp_path / "shop", prepared))
    answer = one(recommender, Ask("c7", ("p1001",), store="s31"))
    assert answer.served_by == "network"
    assert all(type(item.product_id) is str and item.product_id.startswith("p1") for item in answer.items)
    assert not answer.notes
