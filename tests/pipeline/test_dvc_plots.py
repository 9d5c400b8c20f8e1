"""`dvc plots` and `dvc metrics` show the evaluations of all projects, without a word of them in dvc.yaml."""

import json

import pytest
import yaml

from pipeline.core.artifacts import write_json
from pipeline.core.paths import Paths
from pipeline.testing import plots
from pipeline.testing.figures import Confusion, Figure, Intervals, Lines
from tests.imports import ROOT
from tests.pipeline import repositories

FIGURES = (
    Figure("robustness", "", "", Lines("severity")),
    Figure("confusion", "", "", Confusion()),
    Figure("lists", "", "", Intervals("list", "recall", "recall_low", "recall_high")),
)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict]:
    """The page of `dvc plots show`, and what `dvc metrics show` tells; the projects have different tables."""
    projects = yaml.safe_load((ROOT / "params.yaml").read_text())["projects"]
    folder, run = repositories.make(tmp_path_factory, {"projects": projects})
    tables = {
        "digits": {"robustness": "severity,noise\n0,0.875\n1,0.5\n", "confusion": "a,b\n3,1\n0,17\n"},
        "retail": {"lists": "list,recall,recall_low,recall_high\nTIFU-KNN,0.25,0.125,0.375\n"},
    }
    for project, files in tables.items():
        paths = Paths(folder, project)
        evaluation = paths.reports / "evaluation"
        evaluation.mkdir(parents=True)
        for name, text in files.items():
            (evaluation / f"{name}.csv").write_text(text)
        plots.write(evaluation, FIGURES, paths.reports / "plots")
        write_json(paths.reports / "metrics.json", {"figure": len(files)})
    drawn = run("dvc", "plots", "show", "--out", "page")
    assert drawn.returncode == 0, drawn.stderr
    assert "failed" not in drawn.stderr.lower(), drawn.stderr
    told = run("dvc", "metrics", "show", "--json")
    assert told.returncode == 0, told.stderr
    return (folder / "page/index.html").read_text(), json.loads(told.stdout)[""]["data"]


@pytest.mark.parametrize(
    ("file", "datum"),
    [
        ("reports/digits/plots/lines/robustness.csv", '"line": "noise", "x": "1", "y": "0.5"'),
        ("reports/digits/plots/confusion/confusion.csv", '"actual": "b", "predicted": "b", "items": "17"'),
        ("reports/retail/plots/intervals/lists.csv", '"name": "TIFU-KNN", "value": "0.25", "low": "0.125"'),
    ],
)
def test_every_table_is_drawn_by_the_template_of_its_kind(
    shown: tuple[str, dict], file: str, datum: str
) -> None:
    page, _ = shown
    assert file in page and datum in page
    assert "DVC_METRIC" not in page


def test_the_metrics_of_both_projects_are_shown(shown: tuple[str, dict]) -> None:
    found = {file: told["data"] for file, told in shown[1].items() if file.endswith("metrics.json")}
    assert found == {
        "reports/digits/metrics.json": {"figure": 2},
        "reports/retail/metrics.json": {"figure": 1},
    }
