"""Tables of an evaluation in the shape that `dvc plots` draws."""

import json
from pathlib import Path

import yaml

from pipeline.testing import plots
from pipeline.testing.figures import Confusion, Figure, Intervals, Lines
from tests.imports import ROOT


def test_each_table_goes_into_the_folder_of_its_kind(tmp_path: Path) -> None:
    evaluation, target = tmp_path / "evaluation", tmp_path / "plots"
    evaluation.mkdir()
    (evaluation / "robustness.csv").write_text("severity,noise,blur\n0,1,1\n1,0.5,0.75\n")
    (evaluation / "confusion.csv").write_text('"a, b",c\n3,1\n0,4\n')
    (evaluation / "classes.csv").write_text("class,recall,from,to\nc,0.5,0.25,0.75\nnone,,,\n")
    figures = (
        Figure("robustness", "", "", Lines(x="severity")),
        Figure("confusion", "", "", Confusion()),
        Figure("classes", "", "", Intervals("class", "recall", "from", "to")),
        Figure("classes_without_plot", "", ""),
        Figure("not_written", "", "", Confusion()),
    )
    plots.write(evaluation, figures, target)
    written = {str(path.relative_to(target)): path.read_text() for path in target.rglob("*.csv")}
    assert {name: text.splitlines() for name, text in written.items()} == {
        "lines/robustness.csv": ["line,x,y", "noise,0,1", "noise,1,0.5", "blur,0,1", "blur,1,0.75"],
        "confusion/confusion.csv": ["actual,predicted,items", '"a, b","a, b",3', '"a, b",c,1', "c,c,4"],
        "intervals/classes.csv": ["name,value,low,high", "c,0.5,0.25,0.75"],
    }


def test_only_the_columns_asked_for_are_drawn(tmp_path: Path) -> None:
    (tmp_path / "coverage.csv").write_text("coverage,items,risk\n0.5,10,0.1\n1,20,0.2\n")
    plots.write(tmp_path, [Figure("coverage", "", "", Lines("coverage", ("risk",)))], tmp_path / "plots")
    assert (tmp_path / "plots/lines/coverage.csv").read_text().split() == [
        "line,x,y",
        "risk,0.5,0.1",
        "risk,1,0.2",
    ]


def test_points_of_several_lines_below_each_other_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "robustness.csv").write_text("corruption,severity,accuracy\nblur,1,0.5\nnoise,1,0.75\n")
    figure = Figure("robustness", "", "", Lines("severity", ("accuracy",), by="corruption"))
    plots.write(tmp_path, [figure], tmp_path / "plots")
    written = (tmp_path / "plots/lines/robustness.csv").read_text()
    assert written.split() == ["line,x,y", "blur,1,0.5", "noise,1,0.75"]


def test_dvc_yaml_declares_each_kind_with_its_template_and_columns() -> None:
    stage = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["evaluate"]["do"]
    declared = {Path(path).name: props for entry in stage["plots"] for path, props in entry.items()}
    columns = dict(plots.COLUMNS.values())
    assert set(declared) == set(columns)
    for kind, props in declared.items():
        assert {props["x"], props["y"]} <= set(columns[kind])
        template = (ROOT / ".dvc/plots" / f"{props['template']}.json").read_text()
        assert "<DVC_METRIC_DATA>" in template and json.loads(template)["$schema"].endswith("v5.json")
