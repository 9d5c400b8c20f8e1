"""The model card says what the evidence says, all of it from there, and what is missing."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.core.artifacts import write_json
from pipeline.core.paths import Paths
from pipeline.core.source_state import SourceState
from pipeline.reporting import carbon, model_card
from tests.imports import ROOT

SOURCE = SourceState(commit="c0ffee" * 6 + "beef", clean=False, params="5a" * 32, key="k")
HOSTILE = "<script>alert('x')</script> | **b** [l](http://e.org) `c`"
GATE = {"name": "accuracy", "value": 0.9, "rule": "at least", "bound": 0.8, "revisit": "training",
        "remedy": "train longer.", "interval": [0.85, 0.95], "passed": True}  # fmt: skip
# What the evaluations of both tasks leave beside metrics, intervals and gates.
DETAILS: dict[str, dict[str, Any]] = {
    "image_classification": {
        "items": 300,
        "classes": [{"class": HOSTILE, "recall": 0.75, "items": 40}],
        "shallow": [{"name": "svm", "accuracy": 0.7, "accuracy_interval": [0.65, 0.75]}],
        "robustness": {"noise": [0.9, 0.625]},
        "slices": {
            "bounds": {"stroke_width": [0.25, 0.5]},
            "rows": [
                {"slice": "thick", "items": 50, "accuracy": 0.96, "low": 0.9, "high": 1.0, "judged": True},
                {"slice": "thin", "items": 50, "accuracy": 0.5, "low": 0.375, "high": 0.625, "judged": True},
                {"slice": "tiny", "items": 2, "accuracy": 0.0, "low": 0.0, "high": 0.75, "judged": False},
            ],
        },
    },
    "recommendation": {
        "questions": 5337,
        "weekly": {"network": {"recall_at_20": [0.25, 0.2, 0.3]}},
        "slices": [
            {"slice": "1 to 4 baskets", "questions": 52, "accuracy": 0.5, "interval": [0.4, 0.6], "TIFU": 0.2}
        ],
        "cold_start": {"customers": 780, "difference": -0.0625, "interval": [-0.125, 0.0]},
    },
}


@pytest.fixture(params=list(DETAILS))
def paths(tmp_path: Path, request: pytest.FixtureRequest) -> Paths:
    """A project all of whose stages before `register` have left their evidence."""
    task = request.param
    projects = yaml.safe_load((ROOT / "params.yaml").read_text())["projects"]
    section = next(found for found in projects.values() if found["task"] == task)
    paths = Paths(tmp_path, "p")
    write_json(paths.reports / "plan.json", {"charter": section["plan"]})
    write_json(paths.model / "model.json", {"format": 1, "task": task, "parameter_count": 1234567,
               "data_sha256": "d" * 64, "files": {"network.onnx": "e" * 64}})  # fmt: skip
    write_json(
        paths.reports / "evaluation" / "result.json",
        {
            "metrics": {"accuracy": 0.9, "log_loss": 0.375},
            "intervals": {"accuracy": [0.85, 0.95]},
            "gates": [GATE],
            **DETAILS[task],
        },
    )
    source = {
        "name": "drawn",
        "kind": "file",
        "path": "digits.zip",
        "licence": "CC0-1.0",
        "sha256": "f" * 64,
        "rows": 9,
    }
    write_json(paths.collected / "provenance.json", {"sources": [source]})
    write_json(paths.labelled / "audit.json", {"items": 900, "doubtful": 7, "rules": [{"rule": "x"}]})
    write_json(paths.prepared / "sizes.json", {"train": 600, "test": 300})
    for stage in model_card.BEFORE_REGISTER:
        write_json(
            paths.evidence(stage),
            {
                "summary": f"what {stage} found",
                "metrics": {"alarms": 1.0},
                "gates": [GATE] if stage == "evaluate" else [],
                "params": {stage: {"epochs": 12, "optimiser": {"name": "sgd"}, "seed": 3}},
                "cost": {"began": "2026-01-01", "seconds": 100.0, "cpu_seconds": 200.0, "cores": 2,
                         "peak_memory_mib": 1024},
                "environment": {"python": "3.11.7", "system": "Linux", "processor": "Xeon", "gpus": [],
                                "packages": {"torch": "2.13.0"}},
            },
        )  # fmt: skip
    return paths


def change(path: Path, **values: Any) -> None:
    write_json(path, json.loads(path.read_text()) | values)


def sections(card: str) -> dict[str, str]:
    parts = re.split(r"^## (.*)$", card, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def rows(section: str) -> dict[str, list[str]]:
    """Cells by the first one of their row."""
    cells = [line.strip("|").split(" | ") for line in section.splitlines() if line.startswith("|")]
    return {row[0].strip(): [cell.strip() for cell in row[1:]] for row in cells}


def test_every_figure_is_that_of_the_evidence(paths: Paths) -> None:
    card = model_card.write(paths, "3", SOURCE)
    result = json.loads((paths.reports / "evaluation/result.json").read_text())
    assert paths.model_card.read_text() == card
    assert card.startswith("# Model card: p, version 3\n")
    found = sections(card)

    reached = rows(found["What it reaches"])
    for name, value in result["metrics"].items():
        told = [float(number) for number in re.findall(r"[\d.]+", reached[name.replace("_", " ")][0])]
        assert told == [value, *result["intervals"].get(name, [])]
    assert reached["evaluate"] == ["accuracy", r"0.9 \[0.85, 0.95\]", "at least 0.8", "holds"]

    charter = json.loads((paths.reports / "plan.json").read_text())["charter"]
    for words in (charter["purpose"], charter["owner"], charter["users"], *charter["out_of_scope"]):
        assert words in found["What it is for"]
    assert rows(found["The model"])["parameter count"] == ["1,234,567"]
    assert rows(found["Data"])["drawn"] == ["CC0-1.0", "file digits.zip", "9", "f" * 64]
    assert rows(found["Data"])["doubtful"] == ["7"] and rows(found["Data"])["rows of train"] == ["600"]
    assert rows(found["Training"])["epochs"] == ["12"] and rows(found["Training"])["optimiser"] == [
        "name sgd"
    ]
    assert rows(found["Making it again"])["git commit"] == [SOURCE.commit]
    assert rows(found["Making it again"])["torch"] == ["2.13.0"]
    assert found["Missing evidence"].strip() == "None."
    worst = list(rows(found["Slices"]))[2:]
    assert worst in (["thin", "thick"], ["1 to 4 baskets"])


def test_energy_and_carbon_follow_the_formula(paths: Paths) -> None:
    environment = {"python": "", "system": "", "processor": "", "gpus": ["A", "B"], "packages": {}}
    change(paths.evidence("train"), environment=environment)
    energy = {"cpu_watts_per_core": 10.0, "gpu_watts": 100.0, "memory_watts_per_gib": 0.5, "pue": 2.0,
              "carbon_g_per_kwh": 500.0}  # fmt: skip
    stages = [json.loads(paths.evidence(stage).read_text()) for stage in model_card.BEFORE_REGISTER]
    found = carbon.footprint(stages, energy)
    # Eight stages of 100 s, 200 core seconds and 1 GiB each; one of them had two GPUs open.
    joules = 2 * (8 * 200 * 10 + 2 * 100 * 100 + 8 * 100 * 1 * 0.5)
    assert found.kwh == pytest.approx(joules / 3.6e6)
    assert found.carbon_g == pytest.approx(500 * joules / 3.6e6)
    charter = json.loads((paths.reports / "plan.json").read_text())["charter"]
    change(paths.reports / "plan.json", charter=charter | {"energy": energy})
    told = sections(model_card.render(paths, "1", SOURCE))["Energy and carbon"]
    assert f"**{found.kwh:.3g} kWh**" in told and f"**{found.carbon_g:.3g} g**" in told
    assert told.strip().startswith("An estimate")


def test_limits_are_derived_from_gates_slices_and_remarks(paths: Paths) -> None:
    narrow = GATE | {"name": "narrow_one", "bound": 0.87}
    failing = GATE | {"name": "failing_one", "bound": 0.99, "passed": False}
    change(paths.evidence("evaluate"), gates=[GATE, narrow, failing])
    told = sections(model_card.render(paths, "1", SOURCE))["Limits and caveats"]
    assert (
        r"failing one is 0.9 \[0.85, 0.95\], required is at least 0.99: this gate FAILS. To do: train longer."
        in told
    )
    assert r"narrow one is 0.9 \[0.85, 0.95\]: it holds, but its interval reaches beyond" in told
    assert "evaluate: accuracy is" not in told
    assert "what train found" in told
    assert told.count("- slice ") == 1
    assert "slice thin: accuracy is 0.5" in told or "slice 1 to 4 baskets: accuracy is 0.5" in told
    assert "- 1 of " in told and "by chance alone" in told
    assert "Without an interval, so not known how surely: log loss." in told


def test_a_gate_below_which_it_should_be_turns_what_is_worse_around(paths: Paths) -> None:
    result = paths.reports / "evaluation/result.json"
    slices = [
        {"slice": "a", "accuracy": 0.96, "interval": [0.92, 1.0]},
        {"slice": "b", "accuracy": 0.5, "interval": [0.4, 0.6]},
    ]
    change(result, gates=[GATE | {"rule": "at most"}], slices=slices)
    found = sections(model_card.render(paths, "1", SOURCE))
    assert "slice a:" in found["Limits and caveats"] and "slice b:" not in found["Limits and caveats"]
    assert list(rows(found["Slices"]))[2:] == ["a", "b"]


@pytest.mark.parametrize("stage", ["train", "evaluate", "label"])
def test_evidence_that_is_missing_is_said_to_be(paths: Paths, stage: str) -> None:
    paths.evidence(stage).unlink()
    found = sections(model_card.render(paths, "1", SOURCE))
    assert f"reports/p/evidence/{stage}.json" in found["Missing evidence"].replace("\\", "")
    assert "What the pass cost cannot be said" in found["Energy and carbon"]
    assert ("How it was trained cannot be said" in found["Training"]) == (stage == "train")


def test_a_card_of_nothing_says_so_and_invents_nothing(tmp_path: Path) -> None:
    card = model_card.write(Paths(tmp_path, "p"), "1", SOURCE)
    for section, words in sections(card).items():
        known = {SOURCE.commit, SOURCE.params}
        told = re.sub("|".join([*known, r"\(?https?://\S+|arXiv:[\d.]+|SHA-256|`.*?`"]), "", words)
        if section not in ("Making it again", "Missing evidence"):
            assert not re.search(r"\d", told), (section, told)
            assert "cannot be said" in told or "No" in told
    assert card.count("\n- reports/p/evidence/") == len(model_card.BEFORE_REGISTER)


def test_hostile_text_is_shown_and_does_nothing(paths: Paths) -> None:
    charter = json.loads((paths.reports / "plan.json").read_text())["charter"]
    change(
        paths.reports / "plan.json",
        charter=charter | {"purpose": HOSTILE, "risks": ["- 1. <img src=x>\n# head"]},
    )
    change(paths.reports / "evaluation/result.json", classes=[{"class": HOSTILE, "recall": 0.75}])
    card = model_card.write(paths, "1", SOURCE)
    page = paths.model_card.with_suffix(".html").read_text()
    assert "<script" not in card and "<img" not in card and "<script" not in page and "<img" not in page
    assert "<strong>b</strong>" not in page and 'e.org">' not in page and "<h1>head" not in page
    assert page.count("&lt;script&gt;alert('x')&lt;/script&gt; | **b** [l](http://e.org) `c`") == 2
    table = re.search(r"<td>&lt;script.*?</tr>", page, re.DOTALL)
    assert table is not None and table.group().count("<td>") == 2


def test_the_page_holds_the_tables_of_the_card(paths: Paths) -> None:
    model_card.write(paths, "1", SOURCE)
    page = paths.model_card.with_suffix(".html").read_text()
    assert "<td>accuracy</td>\n<td>0.9 [0.85, 0.95]</td>" in page
    assert page.count("<h2>") == len(sections(paths.model_card.read_text()))
    assert page.startswith("<!doctype html>") and "|" not in re.sub(
        r"<td>.*?</td>|<style>.*?</style>", "", page, flags=re.DOTALL
    )


def test_a_checksum_may_be_broken_on_the_page_and_is_whole_in_the_card(paths: Paths) -> None:
    card = model_card.write(paths, "1", SOURCE)
    page = paths.model_card.with_suffix(".html").read_text()
    checksums = set(re.findall(r"\b[0-9a-f]{64}\b", card))
    assert checksums and not any(checksum in page for checksum in checksums)
    assert all(checksum in page.replace("<wbr>", "") for checksum in checksums)


def test_a_description_is_cut_before_a_heading_and_says_so(paths: Paths) -> None:
    card = model_card.render(paths, "1", SOURCE)
    assert model_card.shortened(card, len(card)) == card
    short = model_card.shortened(card, 3000)
    assert len(short) <= 3000 and short.endswith(model_card.SHORTENED)
    kept = short.removesuffix(model_card.SHORTENED)
    assert card.startswith(kept) and card[len(kept) :].lstrip().startswith("## ")


def test_nothing_is_left_when_the_card_cannot_be_written(paths: Paths) -> None:
    shutil.rmtree(paths.model)
    (paths.reports / "evaluation/result.json").write_text("{")
    with pytest.raises(json.JSONDecodeError):
        model_card.write(paths, "1", SOURCE)
    assert not list(paths.reports.glob("*model_card*"))
