"""A recommender takes another one's place while customers ask and buy."""

import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from pipeline.core import golden_set, model_package
from pipeline.core.artifacts import read_json
from pipeline.core.errors import IncompatibleModel, ModelError
from pipeline.tasks.recommendation.data.asking import Ask, Event
from pipeline.tasks.recommendation.data.recommender import Recommender
from tests.recommendation import shop_package
from tests.recommendation.shop_package import ids, one
from tests.recommendation.shop_project import ShopProject

NOW = datetime(2026, 3, 1, 18, 0, tzinfo=UTC)
ASKS = [Ask(7, k=20), Ask(8, k=20, mode="discover"), Ask("nobody", (1001, 1002), k=20), Ask("nobody", k=5)]


@pytest.fixture(scope="module")
def shipped(prepared_shop: ShopProject, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shop_package.with_state(tmp_path_factory.mktemp("model") / "shop", prepared_shop.paths.prepared)


@pytest.fixture
def recommender(shipped: Path) -> Recommender:
    return Recommender(shipped)


@pytest.fixture
def registered(prepared_shop: ShopProject, tmp_path: Path) -> Path:
    """Another network, in a package as `train` leaves it: without a state."""
    package = shop_package.write(tmp_path / "registered", prepared_shop.paths.prepared)
    change(package, lambda weights: weights[::-1].copy())
    return package


def change(package: Path, of_weights: Any = None, **description: Any) -> str:
    """Other weights or another description; returns the network's checksum."""
    if of_weights:
        network = onnx.load(package / model_package.NETWORK)
        (weights,) = (tensor for tensor in network.graph.initializer if tensor.name == "weights")
        weights.CopyFrom(numpy_helper.from_array(of_weights(numpy_helper.to_array(weights)), "weights"))
        onnx.save(network, package / model_package.NETWORK)
    before = read_json(package / model_package.DESCRIPTION)
    kept = {key: value for key, value in before.items() if key not in ("format", "files")}
    more = [name for name in before["files"] if name not in model_package.REQUIRED]
    model_package.describe(package, kept | description, more)
    return checksum(package)


def checksum(package: Path) -> str:
    found: str = model_package.verify(package)["files"][model_package.NETWORK]
    return found


def bought(customer: str, products: Sequence[int]) -> list[Event]:
    return [Event(customer, product, "purchase", NOW) for product in products]


def test_it_answers_as_if_it_had_been_deployed(
    recommender: Recommender, registered: Path, prepared_shop: ShopProject, tmp_path: Path
) -> None:
    deployed = shop_package.with_state(tmp_path / "deployed", prepared_shop.paths.prepared)
    change(deployed, lambda weights: weights[::-1].copy())
    new = recommender.successor(registered, "5", checksum(registered))
    assert (new.name, new.version, new.sha256) == ("shop", "5", checksum(registered))
    assert new.recommend(ASKS, NOW) == Recommender(deployed).recommend(ASKS, NOW)
    assert new.recommend(ASKS, NOW) != recommender.recommend(ASKS, NOW)


def test_the_old_one_goes_on_as_before(recommender: Recommender, registered: Path) -> None:
    before = recommender.recommend(ASKS, NOW)
    recommender.successor(registered, "5", checksum(registered))
    assert recommender.recommend(ASKS, NOW) == before
    assert recommender.version == ""


def test_what_customers_did_is_known_to_both(recommender: Recommender, registered: Path) -> None:
    recommender.add_events(bought("guest", [1001, 1002]))
    new = recommender.successor(registered, "5", checksum(registered))
    assert set(ids(one(new, Ask("guest", mode="replenish"), NOW))) == {1001, 1002}
    recommender.add_events(bought("guest", [1003]))  # by a request that began before the swap
    new.add_events(bought("guest", [1004]))
    for either in (recommender, new):
        assert set(ids(one(either, Ask("guest", mode="replenish"), NOW))) == {1001, 1002, 1003, 1004}


def test_no_event_is_lost_while_models_are_exchanged(recommender: Recommender, registered: Path) -> None:
    state = [recommender]
    told: list[str] = []
    stop = threading.Event()

    def tell() -> None:
        while not stop.is_set():
            told.append(f"customer {len(told)}")
            state[0].add_events(bought(told[-1], [1001]))

    thread = threading.Thread(target=tell)
    thread.start()
    for turn in range(10):
        state[0] = state[0].successor(registered, str(turn), checksum(registered))
    stop.set()
    thread.join()
    assert len(told) > 10
    assert all(state[0].has_customer(customer) for customer in told)


@pytest.mark.parametrize(
    ("description", "why"),
    [
        ({"project": "another"}, "project is another"),
        ({"timezone": "Asia/Tokyo"}, "timezone is Asia/Tokyo"),
        ({"retrieval": shop_package.RETRIEVAL.__dict__ | {"ridge": 1.0}}, "retrieval.ridge is 1.0"),
        ({"features": ["one", "two"]}, "other features than this code computes"),
    ],
)
def test_what_the_state_does_not_fit_is_refused(
    description: dict[str, Any], why: str, recommender: Recommender, registered: Path
) -> None:
    found = change(registered, **description)
    with pytest.raises(IncompatibleModel, match=why):
        recommender.successor(registered, "5", found)


def test_scores_that_are_no_numbers_are_refused(recommender: Recommender, registered: Path) -> None:
    found = change(registered, lambda weights: np.full_like(weights, np.nan))
    with pytest.raises(ModelError, match="not finite"):
        recommender.successor(registered, "5", found)


def test_another_network_than_the_registered_one_is_refused(
    recommender: Recommender, registered: Path
) -> None:
    with pytest.raises(ModelError, match="the registry says 0000"):
        recommender.successor(registered, "5", "0" * 64)


def test_a_golden_set_of_a_ranker_is_met_by_it_and_by_no_other(
    recommender: Recommender, registered: Path
) -> None:
    rng = np.random.default_rng(0)
    retrieval, features = shop_package.RETRIEVAL, read_json(registered / "model.json")["features"]
    given = {
        "products": rng.integers(0, 30, (4, 9)).astype(np.int32),
        "features": rng.normal(size=(4, 9, len(features))).astype(np.float32),
        "sequence": rng.integers(-1, 30, (4, retrieval.baskets, retrieval.basket_products)).astype(np.int32),
        "ages": rng.random((4, retrieval.baskets)).astype(np.float32),
        "held": rng.integers(0, 2, (4, 9, 3)).astype(np.int32),
    }
    golden_set.write(registered, given, ("scores",))
    description = read_json(registered / model_package.DESCRIPTION)
    model_package.describe(registered, {k: v for k, v in description.items() if k != "files"},
                           ["products.npy", golden_set.FILE])  # fmt: skip
    description = model_package.verify(registered)
    new = recommender.successor(registered, "5", checksum(registered))
    apart = golden_set.difference(registered, description, new.session)
    assert apart is not None and apart < 1e-6
    other = golden_set.difference(registered, description, recommender.session)
    assert other is not None and other > 0.1
