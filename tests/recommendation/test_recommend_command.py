"""`fullcycle recommend`: as of any date, with nothing that came later, and with every mistake explained."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from pipeline.tasks.recommendation.data.asking import MODES, Ask
from pipeline.tasks.recommendation.data.recommender import Recommender
from tests.command_line import exit_code
from tests.imports import ROOT
from tests.recommendation import shop_package
from tests.recommendation.shop_project import ShopProject
from tests.synthetic_shop import END, FIRST, TEST_FROM

DAY = TEST_FROM + timedelta(days=7)


@pytest.fixture(scope="module")
def root(prepared_shop: ShopProject, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with the shop's prepared data, a trained model, and params.yaml."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "data" / "shop").mkdir(parents=True)
    (folder / "data" / "shop" / "prepared").symlink_to(prepared_shop.paths.prepared)
    shop_package.write(folder / "models" / "shop", prepared_shop.paths.prepared)
    known = yaml.safe_load((ROOT / "params.yaml").read_text())["projects"]
    projects = {"digits": known["digits"], "shop": known["retail"], "bare": known["retail"]}
    (folder / "params.yaml").write_text(yaml.safe_dump({"projects": projects}))
    return folder


@pytest.fixture(autouse=True)
def no_store_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def recommend(root: Path, monkeypatch: pytest.MonkeyPatch, *words: str, project: str = "shop") -> int:
    """The exit code of the command line."""
    monkeypatch.chdir(root)
    return exit_code(monkeypatch, "recommend", project, *words)


def lists(path: Path) -> dict[Any, list[Any]]:
    """Products of each customer, best first; checks the form of the file."""
    table = pq.read_table(path)
    assert table.column_names == ["customer_id", "rank", "product_id", "score"]
    found: dict[Any, list[Any]] = {}
    scores: dict[Any, list[float]] = {}
    for row in table.to_pylist():
        own = found.setdefault(row["customer_id"], [])
        own.append(row["product_id"])
        scores.setdefault(row["customer_id"], []).append(row["score"])
        assert row["rank"] == len(own)
    assert all(own == sorted(own, reverse=True) for own in scores.values())
    return found


def test_everybody_who_bought_before_gets_a_list(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new folder" / "lists.parquet"
    assert recommend(root, monkeypatch, "--as-of", str(DAY), "--k", "7", "--out", str(out)) == 0
    found = lists(out)
    assert len(found) == 120
    assert all(len(set(own)) == 7 for own in found.values())
    assert pq.read_schema(out).field("customer_id").type == pa.int64()
    said = capsys.readouterr().out
    assert "840 rows for 120 customers" in said
    assert "no champion is registered" in said
    assert list(out.parent.iterdir()) == [out]


def test_a_list_is_that_of_the_service_on_that_day(
    root: Path, prepared_shop: ShopProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package's state is that of the end of the data."""
    out = tmp_path / "lists.parquet"
    for mode in MODES:
        words = ("--as-of", str(END), "--k", "12", "--out", str(out), "--mode", mode)
        assert recommend(root, monkeypatch, *words) == 0
        package = shop_package.with_state(tmp_path / mode, prepared_shop.paths.prepared)
        recommender = Recommender(package)
        for customer, products in lists(out).items():
            (answer,) = recommender.recommend([Ask(customer, k=12, mode=mode)])
            assert [item.product_id for item in answer.items] == products


def test_nothing_later_is_used(
    root: Path, prepared_shop: ShopProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With everything from the day on overwritten the lists are the same."""
    import shutil

    first, second = tmp_path / "first.parquet", tmp_path / "second.parquet"
    assert recommend(root, monkeypatch, "--as-of", str(DAY), "--out", str(first)) == 0
    other = tmp_path / "other"
    shutil.copytree(root, other)
    test = other / "data" / "shop" / "prepared" / "test"
    later = np.load(test / "day.npy") >= (DAY - date(1970, 1, 1)).days
    assert later.any()
    for name in ("product", "customer", "quantity"):
        values = np.load(test / f"{name}.npy")
        values[later] = 0
        np.save(test / f"{name}.npy", values)
    assert recommend(other, monkeypatch, "--as-of", str(DAY), "--out", str(second)) == 0
    assert lists(second) == lists(first)
    assert recommend(root, monkeypatch, "--as-of", str(FIRST + timedelta(30)), "--out", str(second)) == 0
    assert lists(second) != lists(first)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("lines.txt", "7\n\n12\n99999\n7\n"),
        ("table.csv", 'age,customer_id\n1,"7"\n2,12\n3,99999\n'),
        ("excel.csv", "\ufeffcustomer\r\n7\r\n12\r\n99999\r\n"),
    ],
)
def test_customers_of_a_text_file(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: str
) -> None:
    asked, out = tmp_path / name, tmp_path / "lists.parquet"
    asked.write_bytes(content.encode())
    words = ("--as-of", str(DAY), "--k", "4", "--out", str(out), "--customers", str(asked))
    assert recommend(root, monkeypatch, *words) == 0
    assert list(lists(out)) == [7, 12, 99999]


@pytest.mark.parametrize(
    "column",
    [pa.array([12, 99999]), pa.array(["12", "99999"]), pa.array([12.0, 99999.0]), pa.array(["12", "who"])],
)
def test_customers_of_a_parquet_file(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, column: pa.Array
) -> None:
    asked, out = tmp_path / "asked.parquet", tmp_path / "lists.parquet"
    pq.write_table(pa.table({"x": [1, 2], "customer_id": column}), asked)
    words = ("--as-of", str(DAY), "--k", "4", "--out", str(out), "--customers", str(asked))
    assert recommend(root, monkeypatch, *words) == 0
    found = lists(out)
    unknown = found[99999] if 99999 in found else found["who"]
    assert len(unknown) == 4
    assert unknown != next(iter(found.values()))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--as-of", "2019-01-01"], "outside the data: it allows 2017-07-04 to 2017-12-25"),
        (["--as-of", str(FIRST)], "outside the data"),
        (["--as-of", "yesterday"], "'yesterday' is no date like 2017-11-27"),
        (["--k", "0"], "--k must be from 1 to 1000"),
        (["--mode", "new"], "invalid choice"),
        (["--customers", "nowhere.csv"], "there is no such file"),
        (["--customers", "empty.csv"], "no customer is in it"),
        (["--customers", "columns.csv"], "which column holds the customers? There are who, age"),
        (["--customers", "holes.csv"], "row 2 has no id"),
        (["--customers", "null.parquet"], "1 ids of the column customer_id are missing"),
        (["--customers", "broken.parquet"], "cannot be read"),
        (["--out", "data"], "is a folder"),
        (
            ["--out", "lists.csv"],
            "--out lists.csv: lists are written as Parquet; its name must end in .parquet",
        ),
        (["--out", "params.yaml/lists.parquet"], "cannot be written"),
    ],
)
def test_mistakes_are_explained_and_leave_nothing_behind(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
) -> None:
    files = {
        "empty.csv": b"customer_id\n",
        "columns.csv": b"who,age\n1,2\n",
        "holes.csv": b"customer_id,age\n1,2\n,3\n",
        "broken.parquet": b"PAR1 and no more",
    }
    for name, content in files.items():
        (root / name).write_bytes(content)
    pq.write_table(pa.table({"customer_id": pa.array([1, None])}), root / "null.parquet")
    before = set(root.rglob("*"))
    given = {"--as-of": str(DAY), "--out": "lists.parquet"} | dict([words])
    assert recommend(root, monkeypatch, *(word for pair in given.items() for word in pair)) == 2
    assert said in capsys.readouterr().err
    assert set(root.rglob("*")) == before


def test_projects_that_cannot_are_told_from_those_that_can(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ("--as-of", str(DAY), "--out", str(tmp_path / "x.parquet"))
    assert recommend(root, monkeypatch, *words, project="digits") == 2
    assert (
        "of the task image_classification. `fullcycle recommend` is for: bare, shop"
        in capsys.readouterr().err
    )
    assert recommend(root, monkeypatch, *words, project="shoop") == 2
    assert "'shoop' is not in params.yaml" in capsys.readouterr().err
    assert recommend(root, monkeypatch, *words, project="bare") == 2
    assert "no prepared data. Run `dvc repro prepare@bare`" in capsys.readouterr().err
    (root / "data" / "bare").symlink_to(root / "data" / "shop")
    assert recommend(root, monkeypatch, *words, project="bare") == 6
    assert "neither a champion nor a trained model" in capsys.readouterr().err
    assert not (tmp_path / "x.parquet").exists()
