"""The benchmarks start, and say what they measured."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import rankers, recommend, scale, shop
from benchmarks.rankers import METRICS, Judged
from benchmarks.scale import Cost
from pipeline.core.paths import Paths
from pipeline.tasks.recommendation.learning.baselines import TIFU_KNN
from tests.imports import ROOT

SCRIPTS = ("stages", "rankers", "scale", "recommend", "label_audit", "train", "promotion", "swap")


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_says_how_to_run_it(script: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{script}", "--help"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"python -m benchmarks.{script} " in done.stdout and "--json" in done.stdout


def test_a_project_of_another_task_is_refused() -> None:
    with pytest.raises(SystemExit, match="is of the task image_classification"):
        shop.parameters(ROOT, "digits")
    with pytest.raises(SystemExit, match="no project 'retial'"):
        shop.parameters(ROOT, "retial")


def test_what_was_never_deployed_cannot_be_measured(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="nothing deployed"):
        recommend.deployment(Paths(tmp_path, "retail"))


def test_exponent_of_linear_and_quadratic_cost() -> None:
    assert scale.exponent((1, 3.0), (4, 12.0)) == pytest.approx(1)
    assert scale.exponent((4, 3.0), (16, 48.0)) == pytest.approx(2)
    assert scale.exponent((1, 5.0), (16, 5.0)) == pytest.approx(0)


def costs(*seconds: float, failure: str = "") -> list[Cost]:
    factors = (1, 4, 16)[: len(seconds)]
    made = [
        Cost(factor, "label", 2 * each, each, 300.0, "")
        for factor, each in zip(factors, seconds, strict=True)
    ]
    return [*made, Cost(64, "label", 1.0, 1.0, 1.0, failure)] if failure else made


def test_the_last_step_says_whether_a_stage_is_linear() -> None:
    start_up_hides_it = scale.growth("label", costs(10.0, 11.0, 100.0))
    assert start_up_hides_it["cpu_seconds_overall"] < 1 and start_up_hides_it["linear"] is False
    assert scale.growth("label", costs(3.0, 12.0, 48.0))["linear"] is True
    assert scale.growth("label", costs(3.0))["linear"] is None
    assert scale.growth("label", costs(3.0, 12.0, failure="gate"))["cpu_seconds_last_step"] == 1


def test_a_stage_that_fails_is_shown_with_its_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "params.yaml").write_text("projects: {}\n")
    cost = scale.run("label", "nothing", tmp_path, 1)
    assert "params.yaml" in cost.failure and cost.peak_memory_mib > 0
    scale.show([cost], [scale.growth("label", [cost])])
    shown = capsys.readouterr().out
    assert "FAILED" in shown and cost.failure in shown


def test_the_best_candidates_come_first() -> None:
    products = np.array([[7, 3, 5], [4, -1, -1]], dtype=np.int32)
    scores = np.array([[0.1, 0.9, 0.5], [0.2, -1e9, -1e9]], dtype=np.float32)
    assert rankers.top(products, scores).tolist() == [[3, 5, 7], [4, -1, -1]]


def test_differences_are_paired() -> None:
    """The same difference for everybody has no width, however customers differ."""
    rng = np.random.default_rng(0)
    base = rng.random(60)
    limits = shop.parameters(ROOT, "retail").evaluate.model_copy(update={"draws": 100})
    named: dict[str, Any] = {rankers.NETWORK: base + 0.1, rankers.TREES: base, TIFU_KNN: base - 0.1}
    parts = [Judged(np.arange(60) % 20, {n: dict.fromkeys(METRICS, v) for n, v in named.items()})] * 2
    found = rankers.summary(rankers.joined(parts), limits)
    assert found["questions"] == 120 and found["customers"] == 20
    assert found["differences"]["network - LightGBM"]["recall_at_20"] == pytest.approx([0.1] * 3)
    assert found["differences"]["network - TIFU-KNN"]["ndcg_at_10"] == pytest.approx([0.2] * 3)
    mean, low, high = found["rankers"]["network"]["recall_at_20"]
    assert low < mean < high


def test_processes_of_a_block_run_on_its_cores() -> None:
    before = os.sched_getaffinity(0)
    core = min(before)
    with recommend.pinned({core}):
        assert os.sched_getaffinity(0) == {core}
    assert os.sched_getaffinity(0) == before


def test_quantiles_are_milliseconds() -> None:
    found = recommend.quantiles([0.001] * 98 + [0.5, 0.5])
    assert found["latency_p50_ms"] == pytest.approx(1) and found["latency_p99_ms"] == pytest.approx(500)
