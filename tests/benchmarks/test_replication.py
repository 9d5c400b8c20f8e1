"""A shop several times over is the same kind of shop, and a project that the stages can run."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from benchmarks import replication
from pipeline.core.artifacts import read_json
from pipeline.tasks.recommendation.data.columns import SECONDS_A_DAY
from tests import synthetic_shop
from tests.recommendation import shop_project
from tests.recommendation.shop_project import ShopProject

FACTOR = 3
CUSTOMERS = 120
Replicated = tuple[ShopProject, ShopProject]


@pytest.fixture(scope="module")
def shops(tmp_path_factory: pytest.TempPathFactory) -> Replicated:
    """A shop, and the same three times over; both collected and labelled."""
    root = tmp_path_factory.mktemp("once")
    once = shop_project.make(root, synthetic_shop.tables(customers=CUSTOMERS))
    once.collect()
    once.label()
    other = tmp_path_factory.mktemp("thrice")
    replication.write(once.paths.collected, other / "raw", FACTOR, once.section)
    section = replication.replicated(once.section, other / "raw", root)
    thrice = ShopProject(type(once.paths)(other, "shop"), section)
    thrice.collect()
    thrice.label()
    return once, thrice


def provenance(project: ShopProject) -> dict[str, Any]:
    found: dict[str, Any] = read_json(project.paths.collected / "provenance.json")
    return found


def test_all_that_belongs_to_customers_grows_and_nothing_else(shops: Replicated) -> None:
    before, after = map(provenance, shops)
    assert after["kinds"] == {kind: FACTOR * count for kind, count in before["kinds"].items()}
    assert after["customers"] == FACTOR * before["customers"]
    assert [after[name] for name in ("products", "promotions", "coupons")] == [
        before[name] for name in ("products", "promotions", "coupons")
    ]
    tables = [project.table("collected", "customers") for project in shops]
    assert len(pc.unique(tables[1]["customer"])) == FACTOR * tables[0].num_rows
    baskets = [
        len(pc.unique(project.table("collected", "events")["basket"].drop_null())) for project in shops
    ]
    assert baskets[1] == FACTOR * baskets[0]


def test_the_first_copy_is_the_shop_as_it_is(shops: Replicated) -> None:
    tables = [project.table("collected", "events") for project in shops]
    names = ["customer", "product", "basket", "time", "week", "value"]
    first, known = tables[1], tables[0].filter(pc.equal(tables[0]["kind"], "purchase")).select(names)
    assert first.select(names).slice(0, known.num_rows).equals(known)


def test_weeks_and_shares_stay_as_they_were(shops: Replicated) -> None:
    before, after = (project.audit for project in shops)
    assert provenance(shops[1])["week_mismatches"] == 0
    shares = [{rule["rule"]: rule["share"] for rule in audit["rules"]} for audit in (before, after)]
    assert shares[1] == pytest.approx(shares[0], abs=0.01)
    assert after["items"] == pytest.approx(FACTOR * before["items"], rel=0.005)
    assert after["basket_hours_max"] <= 1


@pytest.mark.filterwarnings("ignore")  # of Great Expectations
def test_the_copies_meet_what_validation_asks(shops: Replicated) -> None:
    assert [str(outcome) for outcome in shops[1].validate() if not outcome.met] == []


def test_times_move_a_little_and_stay_in_the_period() -> None:
    rng = np.random.default_rng(0)
    first, end = 100, 130
    time = rng.integers(first * SECONDS_A_DAY, end * SECONDS_A_DAY, 5000)
    customer, basket = (rng.integers(0, 300, 5000).astype(np.uint64) for _ in range(2))
    copies = [replication.jittered(time, customer, basket, number, first, end) for number in (1, 2)]
    for moved in copies:
        assert moved.min() >= first * SECONDS_A_DAY and moved.max() < end * SECONDS_A_DAY
        days = moved // SECONDS_A_DAY - time // SECONDS_A_DAY
        assert set(np.unique(days)) == {-3, -2, -1, 0, 1, 2, 3}
        inner = (time // SECONDS_A_DAY >= first + 3) & (time // SECONDS_A_DAY < end - 3)
        assert (days[inner] != 0).all()
        # A customer's purchases move together, so that as many share a day.
        assert all(len(np.unique(days[inner & (customer == who)])) == 1 for who in range(300))
        assert (np.abs(moved - time - days * SECONDS_A_DAY) <= replication.MINUTES * 60).all()
    assert (copies[0] != copies[1]).mean() > 0.9


def test_lines_of_a_basket_stay_together() -> None:
    time = np.full(4, 100 * SECONDS_A_DAY + 43200)
    one, other = np.full(4, 7, dtype=np.uint64), np.array([1, 1, 2, 2], dtype=np.uint64)
    moved = replication.jittered(time, one, other, 1, 0, 200)
    assert moved[0] == moved[1] and moved[2] == moved[3] and (moved != time).all()


def test_ids_of_copies_meet_no_other(tmp_path: Path) -> None:
    pq.write_table(pa.table({"number": [5, None, 9], "text": ["a", None, "b"]}), tmp_path / "ids.parquet")
    numbers, texts = (pa.chunked_array([values]) for values in ([5, None, 9], ["a", None, "b"]))
    size = replication.step(tmp_path / "ids.parquet", "number")
    assert size == 5 and replication.step(tmp_path / "ids.parquet", "text") is None
    assert replication.renamed(numbers, 2, size).to_pylist() == [15, None, 19]
    assert replication.renamed(texts, 2, None).to_pylist() == ["a/copy-2", None, "b/copy-2"]


def test_hashes_of_ids_do_not_depend_on_the_batch() -> None:
    for ids in ([3, None, 8], ["x", None, "y"]):
        column = pa.chunked_array([ids])
        hashes = replication.hashed(column)
        assert replication.hashed(column.slice(2))[0] == hashes[2] and len(set(hashes.tolist())) == 3
