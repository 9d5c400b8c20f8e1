"""The inbox of a shop: events that the service heard become events of the shop; what cannot is counted."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from pipeline.core.artifacts import read_json, sha256_of_folder
from pipeline.core.errors import SourceError
from pipeline.tasks.recommendation.data.formats.captures import SCHEMA
from tests.recommendation.shop_project import ShopProject
from tests.synthetic_shop import END, ZONE

AFTER = datetime.combine(END, datetime.min.time(), UTC) + timedelta(
    hours=12
)  # noon of the day after the data


def event(number: int = 0, **said: Any) -> dict[str, Any]:
    return {
        "id": f"{number:032x}", "at": AFTER, "customer": "1", "product": "1003", "kind": "view",
        "time": AFTER, "quantity": 1.0, "value": 0.0, "prediction_id": None,
    } | said  # fmt: skip


def capture(shop: ShopProject, day: str, *events: dict[str, Any]) -> None:
    folder = shop.paths.inbox / "events"
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(events), SCHEMA), folder / f"{day}.parquet")


def heard(shop: ShopProject) -> pa.Table:
    table = shop.table("collected", "events")
    return table.filter(pc.equal(table["source"].cast(pa.string()), "inbox"))


def provenance(shop: ShopProject) -> dict[str, Any]:
    found: dict[str, Any] = read_json(shop.paths.collected / "provenance.json")
    return found


@pytest.fixture
def longer(shop: ShopProject) -> ShopProject:
    """The period goes on for a month after the data of the shop itself."""
    shop.section["collect"]["period"]["end"] = (END + timedelta(days=31)).isoformat()
    return shop


def test_an_empty_inbox_adds_nothing(shop: ShopProject) -> None:
    found = shop.collect()
    tables = {path.name: path.read_bytes() for path in shop.paths.collected.glob("*.parquet")}
    assert found.metrics["captured"] == 0 and "captured" not in found.summary
    shop.drop("inbox")
    shop.collect()
    assert {path.name: path.read_bytes() for path in shop.paths.collected.glob("*.parquet")} == tables


def test_events_of_the_service_become_events_of_the_shop(longer: ShopProject) -> None:
    capture(
        longer,
        "2017-12-25",
        event(1, kind="purchase", quantity=3.0, value=7.5, customer="2"),
        event(2, kind="cart", product="9999999", customer="777"),
    )
    found = longer.collect()
    first, second = heard(longer).to_pylist()
    local = AFTER.astimezone(ZoneInfo(ZONE)).replace(tzinfo=None)
    assert (first["customer"], first["product"], first["kind"]) == (2, 1003, "purchase")
    assert (first["quantity"], first["value"], first["time"], first["source_index"]) == (3.0, 7.5, local, 0)
    assert (second["customer"], second["product"], second["kind"], second["basket"]) == (
        777,
        9999999,
        "cart",
        None,
    )
    assert 777 in longer.table("collected", "customers")["customer"].to_pylist()
    assert found.metrics["captured"] == 2 and "2 captured events, left out of them: none" in found.summary
    inbox = provenance(longer)["sources"][-1]
    assert inbox == {
        "name": "inbox", "kind": "inbox", "licence": "own", "table": "events", "rows": 2,
        "sha256": sha256_of_folder(longer.paths.inbox),
    }  # fmt: skip


def test_a_captured_purchase_is_a_label(longer: ShopProject) -> None:
    longer.collect()
    before = longer.label().metrics["items"]
    capture(longer, "2017-12-25", event(1, kind="purchase", value=2.0))
    longer.collect()
    assert longer.label().metrics["items"] == before + 1
    assert longer.rule("without_basket")["rows"] == 1
    last = longer.table("labelled", "purchases").slice(before).to_pylist()[0]
    assert (last["source"], last["customer"], last["product"]) == ("inbox", 1, 1003)


def test_collecting_twice_changes_nothing_and_a_further_day_adds_rows(longer: ShopProject) -> None:
    capture(longer, "2017-12-25", event(1), event(2, product="1004"))
    longer.collect()
    first, table = sha256_of_folder(longer.paths.collected), heard(longer)
    longer.collect()
    assert sha256_of_folder(longer.paths.collected) == first
    capture(longer, "2017-12-26", event(3, time=AFTER + timedelta(days=1)))
    longer.collect()
    assert heard(longer).slice(0, 2).equals(table) and heard(longer).num_rows == 3


def test_what_cannot_be_used_stops_nothing_and_is_counted_by_its_reason(longer: ShopProject) -> None:
    end = date.fromisoformat(longer.section["collect"]["period"]["end"])
    later = datetime.combine(end, datetime.min.time(), UTC) + timedelta(days=2)
    capture(
        longer,
        "2017-12-25",
        event(1, customer=None),
        event(2, customer=" "),
        event(3, customer="anna"),
        event(4, product="00012"),
        event(5, time=later),
        event(6, time=datetime(2017, 11, 1, 12, tzinfo=UTC), kind="purchase"),
        event(7, time=datetime(2017, 11, 1, 12, tzinfo=UTC), kind="view"),
    )
    found = longer.collect()
    reasons = {"without_customer": 2, "other_ids": 2, "outside_period": 1, "known_already": 1}
    assert provenance(longer)["left_out"] == reasons
    assert {name: found.metrics[f"captured.{name}"] for name in reasons} == reasons
    assert heard(longer)["source_index"].to_pylist() == [6]
    assert longer.table("collected", "events")["customer"].type == pa.int64()


def test_text_ids_are_kept_where_the_shop_has_text(longer: ShopProject) -> None:
    table = pq.read_table(longer.paths.root / longer.source("transactions")["path"])
    place = table.schema.get_field_index("household_id")
    names = pc.binary_join_element_wise(pa.scalar("H"), pc.cast(table["household_id"], pa.string()), "")
    longer.replace("transactions", table.set_column(place, "household_id", names))
    capture(longer, "2017-12-25", event(1, customer="anna"))
    longer.collect()
    assert heard(longer)["customer"].to_pylist() == ["anna"]


def test_a_file_that_is_none_is_told_by_its_name(longer: ShopProject) -> None:
    capture(longer, "2017-12-25", event(1))
    path = longer.paths.inbox / "events/2017-12-26.parquet"
    pq.write_table(pa.table({"customer": ["1"]}), path)
    with pytest.raises(SourceError, match=r"events/2017-12-26\.parquet: it has no column product, time"):
        longer.collect()
    path.write_bytes(b"PAR1")
    with pytest.raises(SourceError, match=r"events/2017-12-26\.parquet"):
        longer.collect()


def test_the_inbox_alone_is_no_shop_and_there_is_one(shop: ShopProject) -> None:
    sources = shop.section["collect"]["sources"]
    shop.section["collect"]["sources"] = [*sources, sources[-1] | {"name": "second"}]
    with pytest.raises(ValidationError, match="one inbox"):
        _ = shop.params
    shop.section["collect"]["sources"] = sources[-1:]
    with pytest.raises(ValidationError, match="hold purchases"):
        _ = shop.params
