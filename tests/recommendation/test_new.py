"""`fullcycle new`: a user's own shop becomes a project, or the user is told what to say."""

import shutil
import subprocess
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import yaml

from pipeline.core.errors import ParameterError
from pipeline.core.parameters import load
from pipeline.core.paths import Paths
from pipeline.tasks.recommendation.column_names import guess, kind_of
from pipeline.tasks.recommendation.new import cuts
from pipeline.tasks.recommendation.new_sources import said
from tests import synthetic_shop
from tests.command_line import fullcycle
from tests.imports import ROOT
from tests.recommendation.shop_project import ShopProject
from tests.synthetic_shop import Tables


@pytest.fixture
def folder(tmp_path: Path, shop_tables: Tables) -> Path:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    synthetic_shop.write(tmp_path / "shop", shop_tables)
    return tmp_path


def new(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return fullcycle(folder, "new", *words)


@pytest.mark.filterwarnings("ignore")
def test_a_shop_becomes_a_project_whose_data_stages_run(folder: Path) -> None:
    before = (folder / "params.yaml").read_text()
    names = {"events": "transactions", "customers": "demographics"}
    tables = ("events", "products", "customers", "coupons", "promotions")
    files = [word for t in tables for word in (f"--{t}", f"shop/{names.get(t, t)}.parquet")]
    weeks = ["--column", "promotions.week=week", "--first-week", "2017-07-03"]
    done = new(folder, "corner", *files, *weeks, "--timezone", "America/New_York", "--recorded", "UTC")
    assert done.returncode == 0, done.stderr
    assert "120 customers" in done.stdout and "test from 2017-11-27" in done.stdout
    text = (folder / "params.yaml").read_text()
    assert text.startswith(before.rstrip("\n")) and "# GiB, peak of any stage" in text[len(before) :]
    section = yaml.safe_load(text)["projects"]["corner"]
    shipped = yaml.safe_load(before)["projects"]["retail"]
    assert list(section) == list(shipped) and section["goals"] == shipped["goals"]
    assert section["prepare"]["split"] == {
        "val_from": "2017-10-30", "test_from": "2017-11-27", "end": "2017-12-25"
    }  # fmt: skip
    events = section["collect"]["sources"][0]
    assert events["columns"]["customer"] == "household_id" and events["path"] == "shop/transactions.parquet"
    assert section["collect"]["sources"][2]["attributes"][0] == "age"
    assert load(folder / "params.yaml", "corner")

    project = ShopProject(Paths(folder, "corner"), section)
    assert all(gate.passed for gate in project.collect().gates)
    project.label()
    project.prepare()
    assert [str(o) for o in project.validate() if not o.met] == []


def test_a_name_that_is_there_changes_nothing(folder: Path) -> None:
    before = (folder / "params.yaml").read_text()
    done = new(folder, "retail", "--events", "shop/transactions.parquet")
    assert done.returncode == 2 and "there is a project 'retail' already" in done.stderr
    done = new(folder, "My Shop", "--events", "shop/transactions.parquet")
    assert done.returncode == 2 and "cannot name a project" in done.stderr
    assert (folder / "params.yaml").read_text() == before


def test_columns_that_cannot_be_told_are_asked_for(folder: Path, shop_tables: Tables) -> None:
    table = shop_tables["transactions"].rename_columns(
        {"household_id": "who", "product_id": "what", "transaction_timestamp": "when"}
    )
    pq.write_table(table, folder / "shop" / "mine.parquet")
    before = (folder / "params.yaml").read_text()
    done = new(folder, "mine", "--events", "shop/mine.parquet")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "the customer, the product, the time of `events`" in done.stderr
    assert "--column events.customer=COLUMN" in done.stderr and "There are: who, " in done.stderr
    assert (folder / "params.yaml").read_text() == before
    done = new(folder, "mine", "--events", "shop/mine.parquet", "--column", "customer=who",
               "--column", "product=what", "--column", "events.time=when")  # fmt: skip
    assert done.returncode == 0, done.stderr
    done = new(folder, "again", "--events", "shop/mine.parquet", "--column", "buyer=who")
    assert done.returncode == 2 and "--column buyer=who: not understood" in done.stderr


def test_browsing_in_a_column_of_kinds_and_csv(folder: Path, shop_tables: Tables) -> None:
    table = shop_tables["transactions"].select(["household_id", "product_id", "transaction_timestamp"])
    day = pc.strftime(table["transaction_timestamp"], format="%Y-%m-%d")
    rows = pa.table({"user_id": table["household_id"], "item": table["product_id"], "date": day})
    kinds = ["transaction" if i % 3 else "pv" for i in range(rows.num_rows)]
    rows = rows.append_column("event", pa.array(kinds))
    pyarrow.csv.write_csv(rows, folder / "log.csv")
    done = new(folder, "web", "--events", "log.csv", "--licence", "MIT")
    assert done.returncode == 0, done.stderr
    events = yaml.safe_load((folder / "params.yaml").read_text())["projects"]["web"]["collect"]["sources"][0]
    assert events["kinds"] == {"column": "event", "values": {"pv": "view", "transaction": "purchase"}}
    assert (events["resolution"], events["event"], events["licence"]) == ("day", None, "MIT")
    assert "view" in done.stdout
    rows = rows.set_column(
        3, "event", pa.array(["transaction", "glance"] * (rows.num_rows // 2) + ["glance"])[: rows.num_rows]
    )
    pyarrow.csv.write_csv(rows, folder / "log.csv")
    done = new(folder, "web2", "--events", "log.csv")
    assert done.returncode == 2 and "--kind glance=KIND" in done.stderr
    assert new(folder, "web2", "--events", "log.csv", "--kind", "glance=view").returncode == 0


@pytest.mark.parametrize(
    ("name", "code", "told"),
    [
        ("none.parquet", 3, "no such file"),
        ("shop.xlsx", 2, "neither .parquet"),
        ("empty.csv", 3, "cannot be read"),
    ],
)
def test_files_that_are_none(folder: Path, name: str, code: int, told: str) -> None:
    if name != "none.parquet":
        (folder / name).write_text("")
    done = new(folder, "mine", "--events", name)
    assert done.returncode == code and told in done.stderr and "Traceback" not in done.stderr


def test_only_tasks_that_can_look_at_data_make_projects(folder: Path) -> None:
    done = new(folder, "mine", "--events", "shop/transactions.parquet", "--like", "digits")
    assert done.returncode == 2 and "copy its section" in done.stderr
    assert "--events makes a project of the task recommendation" in done.stderr
    done = new(folder, "mine", "--events", "shop/transactions.parquet", "--like", "cats")
    assert done.returncode == 2 and "no project 'cats'" in done.stderr


@pytest.mark.parametrize(
    ("first", "last", "val", "test"),
    [
        (date(2017, 1, 1), date(2017, 12, 31), date(2017, 11, 6), date(2017, 12, 4)),
        (date(2017, 7, 3), date(2017, 12, 24), date(2017, 10, 30), date(2017, 11, 27)),
        (date(2017, 7, 3), date(2017, 8, 13), date(2017, 7, 31), date(2017, 8, 7)),
    ],
)
def test_cuts_are_mondays_with_most_of_the_data_before(
    first: date, last: date, val: date, test: date
) -> None:
    found = cuts(first, last)
    assert (found["val_from"], found["test_from"]) == (val, test)
    assert (val - first) > (found["end"] - val) or (last - first).days < 50


def test_too_short_a_time_is_told() -> None:
    with pytest.raises(ParameterError, match="2 weeks, but at least 6"):
        cuts(date(2017, 1, 1), date(2017, 1, 20))


def test_columns_are_guessed_whatever_their_spelling() -> None:
    there = ["Customer ID", "StockCode", "InvoiceDate", "Invoice", "Price", "retail_disc", "coupon_disc"]
    assert guess("customer", there) == ["Customer ID"] and guess("product", there) == ["StockCode"]
    assert guess("time", there) == ["InvoiceDate"] and guess("basket", there) == ["Invoice"]
    assert guess("discount", there) == ["retail_disc", "coupon_disc"] and guess("store", there) == []
    assert kind_of("AddToCart") == "cart" and kind_of("yawn") is None


def test_what_the_user_says_of_columns() -> None:
    found = said(["customer=who", "products.name=a,b", "quantity="])
    assert found["events", "customer"] == ["who"] == found["customers", "customer"]
    assert found["products", "name"] == ["a", "b"] and found["events", "quantity"] == []
