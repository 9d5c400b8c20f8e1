"""The split by time, and what is fitted on the training part alone."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest

from pipeline.core.artifacts import read_json
from pipeline.core.errors import SourceError
from pipeline.tasks.recommendation.data.dataset import CODES, Catalogue, Purchases, read_catalogue, read_split
from tests.imports import ROOT
from tests.recommendation.shop_project import ShopProject
from tests.recommendation.test_collect import column
from tests.synthetic_shop import END, TEST_FROM, VAL_FROM, Tables


def splits(shop: ShopProject) -> dict[str, Purchases]:
    return {name: read_split(shop.paths.prepared / name) for name in ("train", "val", "test")}


def catalogue(shop: ShopProject) -> Catalogue:
    return read_catalogue(shop.paths.prepared / "train" / "catalogue")


def day_of(date: object) -> int:
    return int(np.datetime64(str(date), "D").astype(int))


def test_parts_follow_each_other_in_time(prepared_shop: ShopProject) -> None:
    found = splits(prepared_shop)
    cuts = [day_of(cut) for cut in (VAL_FROM, TEST_FROM, END)]
    assert [part.end_day for part in found.values()] == cuts
    assert found["val"].first_day == cuts[0] and found["test"].first_day == cuts[1]
    for part in found.values():
        assert part.first_day <= part.day.min() and part.day.max() < part.end_day
        assert ((part.promotions.start >= part.first_day) & (part.promotions.start < part.end_day)).all()
    assert {name: len(part) for name, part in found.items()} == read_json(
        prepared_shop.paths.prepared / "sizes.json"
    )
    assert sum(len(part) for part in found.values()) == prepared_shop.audit["items"]


def test_the_arrays_say_what_the_table_says(prepared_shop: ShopProject) -> None:
    rows, found, known = (
        prepared_shop.table("labelled", "purchases"),
        splits(prepared_shop),
        catalogue(prepared_shop),
    )

    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in found.values()])

    assert (known.product_ids[joined("product")] == np.asarray(rows["product"])).all()
    assert (known.customer_ids[joined("customer")] == np.asarray(rows["customer"])).all()
    assert (known.store_ids[joined("store")] == np.asarray(rows["store"])).all()
    assert (joined("quantity") == np.asarray(rows["quantity"])).all()
    seconds = joined("day").astype(np.int64) * 86400 + joined("second")
    assert (
        seconds == np.asarray(rows["time"].cast("timestamp[s]")).astype("datetime64[s]").astype(int)
    ).all()
    basket = joined("basket")
    assert (np.diff(basket) >= 0).all() and basket[0] == 0
    assert basket[-1] + 1 == len(pc.unique(rows["basket"]))
    assert (np.diff(joined("product"))[np.diff(basket) == 0] > 0).all()


def test_arrays_are_memory_mapped_and_small(prepared_shop: ShopProject) -> None:
    train = splits(prepared_shop)["train"]
    assert isinstance(train.product, np.memmap)
    assert {train.product.dtype, train.basket.dtype, train.day.dtype} == {np.dtype(np.int32)}
    assert train.value.dtype == np.float32


def test_codes_stand_for_what_was_bought_in_training_alone(prepared_shop: ShopProject) -> None:
    train, known = splits(prepared_shop)["train"], catalogue(prepared_shop)
    bought = np.unique(train.product)
    products = prepared_shop.table("labelled", "products").sort_by("product")
    for place, name in enumerate(CODES):
        vocabulary = known.vocabularies[name]
        assert vocabulary[0] == "" and list(vocabulary[1:]) == sorted(set(vocabulary[1:]))
        assert set(known.codes[bought, place]) - {0} == set(range(1, len(vocabulary)))
    category = products["category"].to_pylist()
    for row in (0, 30, 100):
        assert known.vocabularies["category"][known.codes[row, 1]] == category[row]
    assert (known.codes[np.asarray(pc.is_null(products["category"])), 1] == 0).all()


def test_a_type_is_its_name_and_its_category(prepared_shop: ShopProject) -> None:
    names = catalogue(prepared_shop).vocabularies["type"]
    assert {"CATEGORY 0 > TYPE 0", "CATEGORY 1 > TYPE 0"} <= set(names)


def test_what_only_the_future_knows_has_no_code(shop: ShopProject, shop_tables: Tables) -> None:
    table = shop_tables["products"]
    brands = table["brand"].to_pylist()
    brands[0] = "Later"
    shop.replace("products", column(table, "brand", [brands]))
    rows = shop_tables["transactions"]
    early = pc.less(
        rows["transaction_timestamp"], pc.cast(VAL_FROM.isoformat(), rows["transaction_timestamp"].type)
    )
    gone = pc.and_(early, pc.equal(rows["product_id"], 1000))
    shop.replace("transactions", rows.filter(pc.invert(gone)))
    shop.collect()
    shop.label()
    shop.prepare()
    known = catalogue(shop)
    assert "Later" not in known.vocabularies["brand"] and known.codes[0, CODES.index("brand")] == 0


def test_customers_without_demographics_have_code_0(prepared_shop: ShopProject) -> None:
    known = catalogue(prepared_shop)
    described = known.demographics.any(axis=1)
    assert (described == (known.customer_ids % 2 == 1)).all()
    assert next(iter(known.attributes)) == "age" and known.attributes["age"][0] == ""


def test_ids_of_text_are_kept_without_objects(shop: ShopProject, shop_tables: Tables) -> None:
    table = shop_tables["transactions"]
    texts = pc.cast(table["household_id"], "string")
    shop.replace("transactions", column(table, "household_id", pc.binary_join_element_wise(texts, "x", "")))
    shop.collect()
    shop.label()
    shop.prepare()
    known = catalogue(shop)
    assert known.customer_ids.dtype.kind == "U" and known.product_ids.dtype == np.int64
    assert known.customer_ids[splits(shop)["train"].customer[0]].endswith("x")


def test_a_shop_without_baskets_stores_or_catalogue(shop: ShopProject) -> None:
    rest = [s["name"] for s in shop.section["collect"]["sources"] if s["name"] != "transactions"]
    shop.drop(*rest)
    names = dict.fromkeys(("basket", "store", "week", "value", "quantity"))
    shop.source("transactions")["columns"] |= names
    shop.section["label"]["exclude"] = {"departments": [], "categories": [], "types": []}
    shop.collect()
    shop.label()
    shop.prepare()
    train = splits(shop)["train"]
    assert (train.store == -1).all() and len(train.promotions) == 0 and (train.quantity >= 1).all()
    keys = np.stack([train.customer, train.day])
    assert len(np.unique(train.basket)) == np.unique(keys, axis=1).shape[1]


def test_a_cut_that_leaves_nothing_is_told(shop: ShopProject) -> None:
    shop.collect()
    shop.label()
    shop.section["prepare"]["split"] = {
        "val_from": "2030-01-07",
        "test_from": "2030-02-04",
        "end": "2030-03-04",
    }
    with pytest.raises(
        SourceError, match=r"leaves no purchases for val: they go from 2017-07-0\d to 2017-12-2\d"
    ):
        shop.prepare()
    assert not shop.paths.prepared.exists()


def test_the_readers_need_neither_pandas_nor_arrow(prepared_shop: ShopProject) -> None:
    folder: Path = prepared_shop.paths.prepared
    code = (
        "import sys; from pathlib import Path\n"
        "from pipeline.tasks.recommendation.data.dataset import read_catalogue, read_split\n"
        f"folder = Path({str(folder)!r})\n"
        "read_split(folder / 'val'); read_catalogue(folder / 'train' / 'catalogue')\n"
        "print([m for m in ('pandas', 'pyarrow', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
