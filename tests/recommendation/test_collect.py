"""Any shop's tables become the tables of the schema; what is wrong with them is told, not guessed."""

from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pydantic import ValidationError

from pipeline.core.artifacts import read_json
from pipeline.core.errors import SourceError
from pipeline.tasks.recommendation.data import columns
from tests.recommendation.shop_project import ShopProject
from tests.synthetic_shop import Tables


def column(table: pa.Table, name: str, values: Any) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, values)


def test_every_row_arrives_with_its_place_in_the_source(
    prepared_shop: ShopProject, shop_tables: Tables
) -> None:
    events, source = prepared_shop.table("collected", "events"), shop_tables["transactions"]
    purchases = events.filter(pc.equal(events["kind"], "purchase"))
    assert purchases["source_index"].to_pylist() == list(range(source.num_rows))
    assert purchases["product"].equals(source["product_id"])
    assert purchases["value"].equals(source["sales_value"])
    kinds = read_json(prepared_shop.paths.collected / "provenance.json")["kinds"]
    assert kinds == {"purchase": source.num_rows, "redeem": 2, "exposure": 3}


def test_times_become_those_of_the_shops_clock_and_weeks_agree(prepared_shop: ShopProject) -> None:
    found = read_json(prepared_shop.paths.collected / "provenance.json")
    assert found["weeks_compared"] > 10_000 and found["week_mismatches"] == 0


def test_weeks_do_not_agree_in_the_wrong_zone(shop: ShopProject) -> None:
    shop.section["collect"]["timezone"]["local"] = "Asia/Tokyo"
    assert shop.collect().metrics["week_mismatches"] > 0


def test_campaigns_become_exposures_on_the_day_on_which_they_begin(prepared_shop: ShopProject) -> None:
    events = prepared_shop.table("collected", "events")
    seen = events.filter(pc.equal(events["kind"], "exposure")).select(["customer", "campaign", "time"])
    assert seen.to_pylist()[-1] == {"customer": 1, "campaign": 2, "time": datetime(2017, 11, 13)}


def test_dates_without_a_time_of_day_stay_the_same_day(prepared_shop: ShopProject) -> None:
    events = prepared_shop.table("collected", "events")
    redeemed = events.filter(pc.equal(events["kind"], "redeem"))
    assert redeemed["time"].to_pylist() == [datetime(2017, 8, 14), datetime(2017, 8, 20)]


def test_products_are_named_by_what_is_known_of_them(shop: ShopProject, shop_tables: Tables) -> None:
    table = shop_tables["products"]
    nothing = column(table, "product_type", pa.nulls(table.num_rows, pa.string()))
    for name in ("package_size", "product_category", "department"):
        nothing = column(nothing, name, pa.nulls(table.num_rows, pa.string()))
    shop.replace("products", nothing)
    shop.collect()
    assert shop.table("collected", "products")["name"][0].as_py() == "product 1000"
    shop.replace("products", table)
    shop.collect()
    assert shop.table("collected", "products")["name"].to_pylist()[:2] == ["TYPE 0", "TYPE 0 2 OZ"]


def test_customers_are_all_who_are_named_anywhere(shop: ShopProject) -> None:
    shop.collect()
    table = shop.table("collected", "customers")
    assert sorted(table["customer"].to_pylist()) == list(range(1, 121))
    assert table["age"].null_count == 60
    shop.drop("demographics")
    shop.collect()
    assert shop.table("collected", "customers").column_names == ["customer"]


def test_a_shop_of_events_alone(shop: ShopProject) -> None:
    rest = [s["name"] for s in shop.section["collect"]["sources"] if s["name"] != "transactions"]
    shop.drop(*rest)
    found = shop.collect()
    assert found.metrics["promotions"] == 0
    assert shop.table("collected", "products")["name"][0].as_py().startswith("product ")


def test_csv_gives_the_same_tables_as_parquet(shop: ShopProject, shop_tables: Tables) -> None:
    shop.collect()
    before = {
        name: shop.table("collected", name) for name in ("events", "products", "customers", "promotions")
    }
    for source in shop.section["collect"]["sources"][:-1]:  # without the inbox
        name = {"redemptions": "coupon_redemptions"}.get(source["name"], source["name"])
        shop.replace(source["name"], shop_tables[name], "csv")
    shop.collect()
    for name, table in before.items():
        assert shop.table("collected", name).equals(table), name


def test_ids_of_text_stay_text_and_make_all_ids_of_their_kind_text(
    shop: ShopProject, shop_tables: Tables
) -> None:
    table = shop_tables["transactions"]
    names = pc.binary_join_element_wise(pa.scalar("H"), pc.cast(table["household_id"], pa.string()), "")
    shop.replace("transactions", column(table, "household_id", names))
    shop.collect()
    assert shop.table("collected", "customers")["customer"].type == pa.string()
    assert {"H1", "1"} <= set(shop.table("collected", "customers")["customer"].to_pylist())
    assert shop.table("collected", "events")["product"].type == pa.int64()


def test_leading_zeros_of_a_csv_survive(shop: ShopProject, shop_tables: Tables) -> None:
    table = shop_tables["products"]
    padded = pc.utf8_lpad(pc.cast(table["product_id"], pa.string()), 8, "0")
    shop.replace("products", column(table, "product_id", padded), "csv")
    shop.collect()
    assert shop.table("collected", "products")["product"][0].as_py() == "00001000"


def test_a_missing_column_is_told_with_the_nearest(shop: ShopProject) -> None:
    shop.source("transactions")["columns"]["customer"] = "houshold_id"
    with pytest.raises(
        SourceError, match=r"transactions: .* no column 'houshold_id' \(did you mean 'household_id'"
    ):
        shop.collect()
    assert not shop.paths.collected.exists()


@pytest.mark.parametrize(
    ("name", "values", "told"),
    [
        (
            "quantity",
            "many",
            "transactions: column 'quantity' is of type string, for instance 'many'.*figures",
        ),
        ("transaction_timestamp", "soon", "'transaction_timestamp' .* 'soon', but times"),
        ("transaction_timestamp", True, "'transaction_timestamp' is of type bool.* but times"),
        ("household_id", 1.5, "'household_id' is of type double, for instance 1.5, but ids"),
    ],
)
def test_a_column_of_the_wrong_type_is_told(
    shop: ShopProject, shop_tables: Tables, name: str, values: Any, told: str
) -> None:
    table = shop_tables["transactions"]
    shop.replace("transactions", column(table, name, pa.array([values] * table.num_rows)))
    with pytest.raises(SourceError, match=told):
        shop.collect()


def test_an_empty_table_and_a_file_that_is_none(shop: ShopProject, shop_tables: Tables) -> None:
    shop.replace("coupons", shop_tables["coupons"].slice(0, 0))
    with pytest.raises(SourceError, match="coupons: the file holds no rows"):
        shop.collect()
    path = shop.paths.root / shop.source("products")["path"]
    path.write_text("")
    import hashlib

    shop.source("products")["sha256"] = hashlib.sha256(b"").hexdigest()
    with pytest.raises(SourceError, match="cannot be read as parquet"):
        shop.collect()
    shop.source("products")["format"] = "csv"
    with pytest.raises(SourceError, match="cannot be read as csv"):
        shop.collect()


def test_a_wrong_checksum_is_told(shop: ShopProject) -> None:
    shop.source("products")["sha256"] = "0" * 64
    with pytest.raises(SourceError, match=r"collect\.sources \(products\)"):
        shop.collect()


def test_too_little_fails_the_charters_gates(shop: ShopProject) -> None:
    shop.section["plan"] |= {"min_items": 10**7, "min_customers": 10**6, "min_products": 10**6}
    assert [gate.passed for gate in shop.collect().gates] == [False, False, False]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"timezone": {"recorded": "UTC", "local": "US/Estern"}}, "did you mean 'US/Eastern'"),
        ({"first_week": None}, "number their weeks"),
        ({"period": {"first": "2018-01-01", "end": "2017-01-01"}}, "first must be before end"),
    ],
)
def test_parameters_that_contradict_themselves(shop: ShopProject, change: dict, told: str) -> None:
    shop.section["collect"] |= change
    with pytest.raises(ValidationError, match=told):
        _ = shop.params


def test_a_promotion_needs_one_time(shop: ShopProject) -> None:
    shop.source("promotions")["columns"]["start"] = "week"
    with pytest.raises(ValidationError, match="either `week` or `start`"):
        _ = shop.params


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([1483246406, 1483246407]), "2016-12-31 23:53:26"),
        (pa.array([1483246406000]), "2016-12-31 23:53:26"),
        (pa.array(["2017-01-01 04:53:26"]), "2016-12-31 23:53:26"),
        (pa.array(["2017-01-01T04:53:26Z"]), "2016-12-31 23:53:26"),
        (pa.array([datetime(2017, 7, 1, 12)], pa.timestamp("us", "Europe/Berlin")), "2017-07-01 08:00:00"),
    ],
)
def test_times_in_many_spellings(values: pa.Array, expected: str) -> None:
    found = columns.moments(values, "UTC", "America/New_York", "events: column 'time'")
    assert str(found[0].as_py()) == expected and found.type == pa.timestamp("s")


def test_days_are_counted_since_1970() -> None:
    times = pa.array([datetime(1970, 1, 2, 23, 59), datetime(2017, 1, 1)], pa.timestamp("ms"))
    assert columns.day_numbers(times).tolist() == [1, 17167]
    assert columns.day_numbers(times.cast(pa.date32())).dtype == np.int64
