"""The whole lifecycle of a small shop, by `dvc repro` in a repository of its own."""

import json
import re
from pathlib import Path

import pytest
import yaml

from pipeline.core import model_package
from pipeline.reporting.verdict import PHASES
from tests import synthetic_shop
from tests.imports import ROOT
from tests.pipeline import repositories


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_the_whole_lifecycle_of_a_shop(tmp_path_factory: pytest.TempPathFactory) -> None:
    retail = yaml.safe_load((ROOT / "params.yaml").read_text())["projects"]["retail"]
    source = tmp_path_factory.mktemp("source")
    synthetic_shop.write(source / "shop", synthetic_shop.tables(customers=150))
    section = synthetic_shop.learning(synthetic_shop.parameters(retail, source / "shop", source))
    folder, run = repositories.make(tmp_path_factory, {"projects": {"shop": section}})
    synthetic_shop.write(folder / "shop", synthetic_shop.tables(customers=150))

    first = run("dvc", "repro")
    assert first.returncode == 0, first.stdout[-3000:] + first.stderr[-3000:]
    assert sorted(re.findall(r"Running stage '(\w+)@shop'", first.stdout)) == sorted(PHASES)
    verdict = read(folder, "verdict.json")
    assert verdict["outcome"] == "deployed", verdict["sentence"]
    assert "golden_set.npz" in model_package.verify(folder / "models/shop")["files"]
    evaluation = read(folder, "evaluation/result.json")
    assert set(evaluation["weekly"]) > {"network", "TIFU-KNN", "EASE"}
    assert evaluation["cold_start"]["customers"] > 0
    assert read(folder, "deployment.json")["figures"]["served_equals_offline"] == 1

    card = (folder / "reports/shop/model_card.md").read_text()
    assert card.rstrip().endswith("## Missing evidence\n\nNone.")

    again = run("dvc", "repro")
    assert again.returncode == 0 and "@shop" not in "".join(re.findall("Running stage .*", again.stdout))

    out = folder / "lists.parquet"
    lists = run("fullcycle", "recommend", "shop", "--as-of", "2017-11-27", "--k", "5", "--out", str(out))
    assert lists.returncode == 0, lists.stderr
    assert "the champion, version 1" in lists.stdout
    assert out.is_file()


def read(folder: Path, name: str) -> dict:
    found: dict = json.loads((folder / "reports" / "shop" / name).read_text())
    return found
