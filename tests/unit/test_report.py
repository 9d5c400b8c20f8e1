"""The report shows what the evaluation left, as the task presents it, and all else by name."""

import re
from pathlib import Path

import pytest

from pipeline.core.artifacts import write_json
from pipeline.core.parameters import load
from pipeline.core.paths import Paths
from pipeline.core.pictures import figure
from pipeline.reporting.report import render
from pipeline.reporting.verdict import decide
from pipeline.testing.figures import Figure
from tests.imports import ROOT

HOSTILE = "<script>alert(1)</script>"
FIGURES = (
    Figure("second", "The second", "Look at its left end."),
    Figure("both", "Both", ""),
    Figure("never_drawn", "Never drawn", ""),
)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths(tmp_path, "digits")
    folder = paths.reports / "evaluation"
    result = {"metrics": {"accuracy": 0.75, "log_loss": 0.5}, "intervals": {"accuracy": [0.5, 0.875]}}
    write_json(folder / "result.json", result)
    write_json(paths.reports / "validation/result.json", {"expectations": []})
    for name in ("second", "both", "un_named"):
        figure(1, 1).savefig(folder / f"{name}.png")
    (folder / "both.csv").write_text(f"class,recall,recall_low,recall_high\n{HOSTILE},0.5,0.25,0.75\n")
    (folder / "table_alone.csv").write_text("a\n1\n")
    return paths


def page(paths: Paths) -> str:
    plan = load(ROOT / "params.yaml", "digits").plan
    return render(paths, plan, {}, decide({}), (), {"minutes": 1.0, "peak_memory_gib": 1.0}, FIGURES)


def test_pictures_and_tables_come_as_the_task_presents_them_and_then_by_name(paths: Paths) -> None:
    testing = page(paths).split("<h2>Testing")[1].split("<h2>")[0]
    assert re.findall(r"<strong>(.*?)</strong>", testing) == ["The second", "Both", "table alone", "un named"]
    assert "Look at its left end." in testing
    assert testing.count("data:image/png;base64,") == 3 and testing.count("<details") == 2
    assert "<td>0.5 [0.25, 0.75]</td>" in testing


def test_headline_figures_have_their_intervals(paths: Paths) -> None:
    found = page(paths)
    assert '<td>accuracy</td><td class="n">0.75 [0.5, 0.875]</td>' in found
    assert '<td>log loss</td><td class="n">0.5</td>' in found


def test_what_came_from_data_is_escaped(paths: Paths) -> None:
    assert "<script" not in page(paths) and "&lt;script&gt;" in page(paths)


def test_the_model_card_is_linked_where_there_is_one(paths: Paths) -> None:
    assert "model_card.html" not in page(paths)
    paths.model_card.with_suffix(".html").write_text("")
    assert page(paths).count('href="model_card.html"') == 2


@pytest.mark.parametrize("task", ["image_classification", "recommendation"])
def test_each_figure_of_a_task_is_presented_once(task: str) -> None:
    from pipeline import tasks

    found = tasks.module(task, "figures").FIGURES
    assert len({shown.name for shown in found}) == len(found)
    assert all(shown.title and shown.caption for shown in found)
