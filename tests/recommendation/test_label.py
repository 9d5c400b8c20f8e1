"""The label policy: what counts, what does not, and that every rule says how much it concerned."""

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipeline.core.errors import SourceError
from pipeline.tasks.recommendation import label
from pipeline.tasks.recommendation.data import baskets, quantity_audit, returns
from pipeline.tasks.recommendation.parameters import Timezone
from tests.recommendation.shop_project import ShopProject
from tests.recommendation.test_collect import column
from tests.synthetic_shop import FUEL, SERVICE, Tables


def changed(shop: ShopProject, tables: Tables, **columns: Any) -> None:
    """The transactions with other values in the rows that `columns` say: {name: {row: value}}."""
    table = tables["transactions"]
    for name, values in columns.items():
        spoilt = table[name].to_pylist()
        for row, value in values.items():
            spoilt[row] = value
        table = column(table, name, pa.array(spoilt, table.schema.field(name).type))
    shop.replace("transactions", table)
    shop.collect()
    shop.label()


def test_every_fault_is_counted_by_its_rule(prepared_shop: ShopProject, shop_tables: Tables) -> None:
    source = shop_tables["transactions"]
    product, quantity, value = (np.asarray(source[n]) for n in ("product_id", "quantity", "sales_value"))
    expected = {
        "absent_product": (product == 999999).sum(),
        "excluded_product": np.isin(product, [FUEL, SERVICE]).sum(),
        "nothing_bought": ((quantity == 0) & (value == 0)).sum(),
        "paid_zero_quantity": ((quantity == 0) & (value > 0)).sum(),
        "free_goods": ((quantity > 0) & (value == 0)).sum(),
        "returns": 0,
        "without_customer": 0,
    }
    assert {name: prepared_shop.rule(name)["rows"] for name in expected} == expected
    assert min(expected[name] for name in list(expected)[:5]) > 0
    for rule in prepared_shop.audit["rules"]:
        assert rule["why"] and rule["share"] == rule["rows"] / rule["of"]


def test_nothing_is_dropped_in_silence(prepared_shop: ShopProject) -> None:
    audit = prepared_shop.audit
    assert audit["lines"] - sum(rule["dropped"] for rule in audit["rules"]) == audit["items"]
    assert prepared_shop.table("labelled", "purchases").num_rows == audit["items"]


def test_purchases_stand_in_order_with_known_goods_alone(prepared_shop: ShopProject) -> None:
    rows = prepared_shop.table("labelled", "purchases")
    keys = list(zip(*(rows[name].to_pylist() for name in ("time", "basket", "product")), strict=True))
    assert keys == sorted(keys) and len(set(keys)) == len(keys)
    goods = set(prepared_shop.table("labelled", "products")["product"].to_pylist())
    assert set(rows["product"].to_pylist()) <= goods and not goods & {FUEL, SERVICE, 999999}
    assert pc.min(rows["quantity"]).as_py() == 1


def test_lines_that_name_nobody_or_nothing(shop: ShopProject, shop_tables: Tables) -> None:
    changed(
        shop,
        shop_tables,
        household_id={0: None, 5: None},
        product_id={1: None},
        transaction_timestamp={2: None, 3: datetime(2016, 5, 1)},
        quantity={4: -1},
        sales_value={6: -2.5},
    )
    counts = {r["rule"]: r["rows"] for r in shop.audit["rules"]}
    assert (counts["without_customer"], counts["without_product"], counts["without_time"]) == (2, 1, 1)
    assert (counts["outside_period"], counts["returns"]) == (1, 2)


def test_missing_figures_count_as_one_piece_for_nothing(shop: ShopProject, shop_tables: Tables) -> None:
    changed(shop, shop_tables, quantity={0: None}, sales_value={0: None})
    assert shop.rule("without_quantity")["rows"] == 1
    rows = shop.table("labelled", "purchases")
    first = rows.filter(pc.equal(rows["source_index"], 0)).to_pylist()[0]
    assert (first["quantity"], first["value"]) == (1.0, 0.0)


def test_a_name_that_the_catalogue_does_not_have_is_told(shop: ShopProject) -> None:
    shop.collect()
    shop.section["label"]["exclude"]["types"] = ["Fuel"]
    with pytest.raises(SourceError, match="names the type 'Fuel', but no product"):
        shop.label()


def lines(rows: list[tuple[Any, Any, str, int]]) -> pa.Table:
    """customer, basket, hour of the first days, product"""
    start = datetime(2017, 1, 1)
    n = len(rows)
    return pa.table(
        {
            "customer": [r[0] for r in rows],
            "basket": pa.array([r[1] for r in rows], pa.int64()),
            "time": pa.array([start + timedelta(hours=int(r[2])) for r in rows], pa.timestamp("ms")),
            "product": [r[3] for r in rows],
            "quantity": np.ones(n),
            "value": np.full(n, 2.0),
            "discount": np.full(n, 0.5),
        }
    )


def counts(rules: list[baskets.Rule]) -> dict[str, int]:
    return {rule.rule: rule.rows for rule in rules}


def test_baskets_of_one_day_stay_baskets_of_their_own() -> None:
    number, rules = baskets.number(lines([(1, 7, "9", 1), (1, 7, "9", 2), (1, 8, "15", 1), (1, 9, "30", 1)]))
    assert len(set(number)) == 3 and number[0] == number[1]
    assert counts(rules) == {"without_basket": 0, "shared_baskets": 0, "same_day_baskets": 1}


def test_lines_without_a_basket_are_put_together_by_customer_and_day() -> None:
    rows = [(1, None, "9", 1), (1, None, "15", 2), (1, None, "30", 1), (2, None, "9", 1), (2, 5, "9", 2)]
    number, rules = baskets.number(lines(rows))
    assert number[0] == number[1] and len(set(number)) == 4
    assert counts(rules)["without_basket"] == 4 and counts(rules)["shared_baskets"] == 0


def test_an_id_that_two_customers_share_is_two_baskets() -> None:
    number, rules = baskets.number(lines([(1, 7, "9", 1), (2, 7, "9", 1), (3, 8, "9", 1)]))
    assert len(set(number)) == 3 and counts(rules)["shared_baskets"] == 1


def test_repeated_lines_are_added_up_and_a_basket_has_one_time() -> None:
    table = lines([(1, 7, "9", 4), (1, 7, "12", 4), (1, 7, "10", 3)])
    rows, hours, rule = baskets.summed(table, baskets.number(table)[0])
    assert rows.select(["product", "quantity", "value", "discount"]).to_pylist() == [
        {"product": 3, "quantity": 1.0, "value": 2.0, "discount": 0.5},
        {"product": 4, "quantity": 2.0, "value": 4.0, "discount": 1.0},
    ]
    assert pc.unique(rows["time"]).to_pylist() == [datetime(2017, 1, 1, 9)]
    assert (hours, rule.rows) == (3.0, 1)


def test_outcomes_know_what_nobody_can_know_yet() -> None:
    day = 24
    table = lines(
        [
            *[(1, 1, "0", 1), (1, 2, str(5 * day), 1)],  # answered; the last is immature
            *[(2, 3, "0", 1), (2, 4, str(50 * day), 1)],  # the horizon passes; the last is immature
            *[(3, 5, str(day), 1)],  # never came back, and the horizon is over
            *[(4, 6, "0", 1), (4, 7, "0", 1), (4, 8, str(day), 1)],  # two at once
        ]
    )
    table = table.sort_by([("time", "ascending"), ("basket", "ascending")])
    found = baskets.outcomes(table, horizon_days=28, maturity_days=0, end_day=17167 + 60)
    assert (found.questions, found.answered, found.unanswered, found.immature) == (7, 2, 4, 1)
    assert (found.simultaneous, found.customers, found.customers_without_outcome) == (1, 4, 2)
    assert found.customers_too_new == 0
    # As long as it may still be booked or come back, nobody can say that it did not happen.
    later = baskets.outcomes(table, horizon_days=28, maturity_days=32, end_day=17167 + 60)
    assert (later.answered, later.unanswered, later.immature) == (2, 1, 4)
    assert (later.customers_without_outcome, later.customers_too_new) == (1, 1)


def test_a_return_belongs_to_the_latest_purchase_before_it() -> None:
    day = 24
    table = lines(
        [
            *[(1, 1, "0", 5), (1, 2, str(10 * day), 5), (1, 3, str(12 * day), 5)],  # after 2 days
            *[(2, 4, "0", 5), (2, 5, str(40 * day), 5)],  # 40 days
            *[(3, 6, str(day), 6), (3, 7, "0", 6), (3, 8, str(2 * day), 7)],  # not bought before
            *[(4, 9, "5", 5), (4, 9, "5", 5)],  # in the same moment
        ]
    )
    quantity = np.array([1, 1, -1, 1, -1, 1, -1, -1, -1, 1.0])
    found = returns.match(column(table, "quantity", pa.array(quantity)), maturity_days=14)
    assert (found.rule.rows, found.rule.dropped, found.rule.of) == (3, 0, 10)
    assert (found.matched, found.late, found.unmatched, found.days_max) == (3, 1, 2, 40.0)
    assert found.as_json()["late_returns_share"] == pytest.approx(1 / 3)


def test_purchases_that_came_back_are_counted_and_stay(shop: ShopProject, shop_tables: Tables) -> None:
    shop.collect()
    shop.label()
    before = shop.audit
    source = shop_tables["transactions"]
    bought = source.filter(pc.greater(source["sales_value"], 0)).slice(0, 1)
    back = column(bought, "sales_value", pc.negate(bought["sales_value"]))
    late = pc.add(bought["transaction_timestamp"], pa.scalar(timedelta(days=5)))
    shop.replace("transactions", pa.concat_tables([source, column(back, "transaction_timestamp", late)]))
    shop.collect()
    shop.label()
    assert (shop.rule("returned")["rows"], shop.rule("returned")["dropped"]) == (1, 0)
    assert shop.rule("returns")["dropped"] == 1 and shop.audit["items"] == before["items"]
    assert (shop.audit["late_returns"], shop.audit["return_days_max"]) == (1, pytest.approx(5))
    shop.section["label"]["maturity_days"] = 7
    shop.label()
    assert (shop.audit["late_returns"], shop.audit["maturity_days"]) == (0, 7)


def test_a_quantity_that_the_price_contradicts_is_doubtful() -> None:
    product = np.zeros(8, dtype=np.int64)
    quantity = np.array([1, 1, 1, 2, 2, 1, 1, 5.0])
    price = np.array([2, 2, 2, 4, 4, 2, 60, 0.0])
    suggested = quantity_audit.suggested_quantity(product, quantity, price)
    score = quantity_audit.agreement(quantity, suggested)
    assert suggested[6] == 30 and score[6] == pytest.approx(1 / 30)
    assert (score[[0, 3, 7]] == 1).all()
    assert np.isnan(quantity_audit.suggested_quantity(product[:3], quantity[:3], price[:3])).all()


def test_doubtful_lines_are_queued_worst_first(shop: ShopProject, shop_tables: Tables) -> None:
    changed(shop, shop_tables, sales_value={0: 9000.0, 1: 5000.0})
    table = (shop.paths.labelled / "queue.csv").read_text().splitlines()
    assert table[0].replace('"', "") == "item_id,source,source_index,split,given,suggested,score,rank"
    assert [line.split(",")[2] for line in table[1:]] == ["0", "1"]
    assert shop.audit["doubtful"] == shop.audit["queued"] == 2


def test_both_ways_of_counting_days_are_told(prepared_shop: ShopProject) -> None:
    local, recorded = prepared_shop.rule("same_day_baskets")["rows"], "same_day_baskets_by_recorded_time"
    assert local > 0 and prepared_shop.audit[recorded] > 0


def test_a_local_time_that_the_clocks_skipped_is_a_time_of_that_day() -> None:
    """As in data that was recorded by a clock nobody set; Parquet hands seconds back as milliseconds."""
    skipped, later = datetime(2017, 3, 12, 2, 30), datetime(2017, 3, 12, 9, 0)
    lines = pa.table(
        {
            "time": pa.array([skipped, later], pa.timestamp("ms")),
            "customer": pa.array(["a", "a"]).dictionary_encode(),
        }
    )
    zone = Timezone(recorded="America/New_York", local="America/New_York")
    assert label._same_recorded_day(lines, np.array([0, 1]), zone) == 1
