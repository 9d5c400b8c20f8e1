"""Expectations hold for a sound shop, and each fault breaks the one that it concerns."""

import shutil
from collections.abc import Callable
from copy import deepcopy
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pipeline.core.paths import Paths
from pipeline.tasks.recommendation.data import checks, promotion_weeks
from tests.recommendation.shop_project import ShopProject
from tests.recommendation.test_collect import column
from tests.synthetic_shop import FAULTS, Tables

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def copy(prepared_shop: ShopProject, tmp_path: Path) -> ShopProject:
    shutil.copytree(prepared_shop.paths.data, tmp_path / "data" / "shop")
    return ShopProject(Paths(tmp_path, "shop"), prepared_shop.section)


def edit(project: ShopProject, file: str, change: Callable[[pa.Table], pa.Table]) -> None:
    path = project.paths.data / f"{file}.parquet"
    pq.write_table(change(pq.read_table(path)), path)


def test_a_sound_shop_meets_all_expectations(prepared_shop: ShopProject) -> None:
    outcomes = prepared_shop.validate()
    assert [str(o) for o in outcomes if not o.met] == []
    assert {o.table for o in outcomes} == {
        *("events", "purchases", "days", "rules", "products", "customers"),
        *("promotions", "campaigns", "coupons"),
    }
    assert (prepared_shop.paths.reports / "docs" / "index.html").is_file()


def spoilt(table: pa.Table, name: str, row: int, value: object) -> pa.Table:
    values = table[name].to_pylist()
    values[row] = value
    return column(table, name, pa.array(values, table.schema.field(name).type))


def doubled(rows: int) -> Callable[[pa.Table], pa.Table]:
    return lambda table: pa.concat_tables([table, table.slice(0, rows)])


def test_each_fault_breaks_its_expectation_and_no_other(copy: ShopProject) -> None:
    def purchases(table: pa.Table) -> pa.Table:
        for name, row, value in (("quantity", 0, 1e5), ("value", 1, -1.0), ("product", 2, 31)):
            table = spoilt(table, name, row, value)
        return spoilt(table, "discount", 3, -2.0)

    def later(table: pa.Table) -> pa.Table:
        days = np.asarray(pc.cast(table["start"], pa.int32())) + (np.arange(table.num_rows) > 900)
        return column(table, "start", pa.array(days.astype(np.int32)).cast(pa.date32()))

    edit(copy, "labelled/purchases", purchases)
    edit(copy, "collected/products", lambda t: doubled(1)(spoilt(t, "name", 5, None)))
    edit(copy, "collected/customers", doubled(1))
    edit(copy, "collected/campaigns", lambda t: doubled(1)(spoilt(t, "start", 0, None)))
    edit(copy, "collected/coupons", doubled(100))
    edit(copy, "collected/promotions", later)
    copy.section = deepcopy(copy.section)
    copy.section["validate"]["rule_share_max"]["free_goods"] = 0
    told = {f"{o.table}.{o.column}": str(o) for o in copy.validate() if not o.met}
    assert set(told) == {
        *("purchases.quantity", "purchases.value", "purchases.unlisted", "purchases.discount"),
        *("products.product", "products.name", "customers.customer", "rules.free_goods"),
        *("campaigns.repeated", "campaigns.without_start", "coupons.repeated", "promotions.weekday"),
    }
    for where, words in {
        "purchases.quantity": "100000.0 in row 0",
        "purchases.value": "-1.0 in row 1",
        "purchases.unlisted": "True in row 2",
        "purchases.discount": "-2.0 in row 3",
        "products.name": f"None in row {copy.table('collected', 'products')['product'][5]}",
        "campaigns.without_start": "True in row 0",
        "coupons.repeated": "True in row",
        "promotions.weekday": "1 in row",
        "rules.free_goods": "max_value 0",
    }.items():
        assert words in told[where], told[where]


def wrong(copy: ShopProject) -> set[str]:
    """Names of the boolean columns of the purchases that are true anywhere."""
    params, paths = copy.params, copy.paths
    found = checks.purchases(paths.collected, paths.labelled, params.collect.period, params.prepare.split)
    return {name for name in found if found[name].dtype == bool and found[name].any()}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda t: t, set()),
        (lambda t: t.take(pa.array(range(t.num_rows - 1, -1, -1))), {"out_of_order", "earlier_part"}),
        (lambda t: pa.concat_tables([t.slice(0, 1), t]), {"repeated"}),
        (lambda t: spoilt(t, "customer", 1, 77777), {"unknown_customer"}),
        (lambda t: spoilt(t, "store", 1, 5), {"other_store"}),
        (lambda t: spoilt(t, "time", -1, datetime(2018, 1, 5)), {"outside"}),
    ],
)
def test_rows_of_purchases_that_contradict_each_other(
    copy: ShopProject, change: Callable[[pa.Table], pa.Table], found: set[str]
) -> None:
    edit(copy, "labelled/purchases", change)
    assert wrong(copy) == found


def test_events_that_contradict_themselves(shop: ShopProject, shop_tables: Tables) -> None:
    redeemed = shop_tables["coupon_redemptions"]
    shop.replace("redemptions", spoilt(redeemed, "coupon_upc", 0, 5))
    shop.section["collect"]["first_week"] = "2017-06-26"
    shop.collect()
    found = checks.events(shop.paths.collected, shop.params.collect)
    assert found["other_week"].sum() == shop_tables["transactions"].num_rows
    assert found["unknown_coupon"].sum() == 1 and not found["without_customer"].any()


def test_days_on_which_nothing_was_sold(prepared_shop: ShopProject) -> None:
    period = prepared_shop.params.collect.period
    start = 17350
    assert str(period.first) == "2017-07-03"
    found = checks.days(np.array([start, start, start + 4]), period)
    assert found["purchases"][:5].tolist() == [2, 0, 0, 0, 1]
    assert found["without_purchases"][:5].tolist() == [0, 1, 2, 3, 0]


def test_promotions_week_by_week(prepared_shop: ShopProject) -> None:
    path = prepared_shop.paths.collected / "promotions.parquet"
    table = pq.read_table(path)
    products = prepared_shop.table("collected", "products")["product"].combine_chunks()
    weeks = list(promotion_weeks.weeks(path, products))
    assert sum(week.rows for week in weeks) == table.num_rows
    assert sum(week.repeated for week in weeks) == FAULTS["promotions_repeated"]
    frame = table.to_pandas().drop_duplicates(["product", "store", "start"])
    for week in weeks[:3]:
        rows = frame[frame["start"] == date(1970, 1, 1) + timedelta(days=week.start)]
        assert week.stores == rows["store"].nunique()
        share = rows.groupby("product")["display"].sum() / week.stores
        assert products.take(pa.array(week.product)).to_pylist() == share.index.tolist()
        assert week.display == pytest.approx(share.to_numpy())
    part = products.filter(pc.less(products, 1100))
    some = list(promotion_weeks.weeks(path, part))
    assert sum(w.unlisted for w in some) == int(pc.sum(pc.greater_equal(table["product"], 1100)).as_py())
    assert [w.stores for w in some] == [w.stores for w in weeks]


def test_promotions_in_any_order_are_the_same(copy: ShopProject, monkeypatch: pytest.MonkeyPatch) -> None:
    path = copy.paths.collected / "promotions.parquet"
    products = copy.table("collected", "products")["product"].combine_chunks()
    sorted_weeks = list(promotion_weeks.weeks(path, products))
    edit(
        copy, "collected/promotions", lambda t: t.sort_by([("product", "descending"), ("start", "ascending")])
    )
    monkeypatch.setattr(promotion_weeks, "BREAKS_MAX", 10)
    for one, other in zip(sorted_weeks, promotion_weeks.weeks(path, products), strict=True):
        assert (one.start, one.rows, one.repeated) == (other.start, other.rows, other.repeated)
        assert (one.display == other.display).all() and (one.mailer == other.mailer).all()
