"""The whole lifecycle on a few hundred drawn digits, by `dvc repro` in a repository of its own."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from pipeline.core import model_package
from pipeline.reporting.verdict import PHASES
from tests.pipeline import repositories
from tests.pipeline.repositories import Dvc


@pytest.fixture(scope="module")
def repository(
    tmp_path_factory: pytest.TempPathFactory, small_parameters: tuple[dict, Path]
) -> tuple[Path, Dvc]:
    content, archive = small_parameters
    made = repositories.make(tmp_path_factory, {"projects": {"digits": content["projects"]["digits"]}})
    shutil.copy(archive, made[0] / "digits.zip")
    return made


def stages_run(output: str) -> list[str]:
    return re.findall(r"Running stage '(\w+)@digits'", output)


def read(folder: Path, name: str) -> dict:
    return json.loads((folder / "reports" / "digits" / name).read_text())


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_the_whole_lifecycle(repository: tuple[Path, Dvc]) -> None:
    folder, run = repository
    first = run("dvc", "repro")
    assert first.returncode == 0, first.stdout[-3000:] + first.stderr[-3000:]
    # Independent stages may come in any order, but each comes once and none is left out.
    assert sorted(stages_run(first.stdout)) == sorted(PHASES)

    verdict = read(folder, "verdict.json")
    assert verdict["outcome"] == "deployed", verdict["sentence"]
    assert read(folder, "registration.json")["promoted"]
    assert "golden_set.npz" in model_package.verify(folder / "models/digits")["files"]
    assert read(folder, "deployment.json")["bento_tag"].startswith("digits:")
    page = (folder / "reports/digits/index.html").read_text()
    assert "Deployed" in page and "<script" not in page
    card = (folder / "reports/digits/model_card.md").read_text()
    assert card.rstrip().endswith("## Missing evidence\n\nNone.")
    drawn = run("dvc", "plots", "show", "--out", "page")
    assert "reports/digits/plots/confusion/confusion.csv" in (folder / "page/index.html").read_text(), (
        drawn.stderr
    )

    again = run("dvc", "repro")
    assert again.returncode == 0 and stages_run(again.stdout) == []

    _mlflow_holds_the_pass(folder)
    _one_parameter_reruns_what_follows_from_it(folder, run)
    _a_failed_gate_stops_the_pass(folder, run)


def _mlflow_holds_the_pass(folder: Path) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("digits")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    parents = [r for r in runs if "mlflow.parentRunId" not in r.data.tags]
    assert len(parents) == 1
    children = {r.data.tags["fullcycle.stage"]: r for r in runs if r not in parents}
    assert set(children) == set(PHASES)
    assert {r.info.status for r in runs} == {"FINISHED"}
    assert {r.data.tags["mlflow.parentRunId"] for r in children.values()} == {parents[0].info.run_id}
    tags = parents[0].data.tags
    assert len(tags["mlflow.source.git.commit"]) == 40 and len(tags["data.sha256"]) == 64
    assert tags["git.clean"] == "true"
    assert parents[0].data.params["train.epochs"] == "12"
    assert len(client.get_metric_history(children["train"].info.run_id, "val_loss")) == 12
    version = client.get_model_version_by_alias("digits", "champion")
    assert str(version.version) == "1" and version.tags["gates"] == "hold"


def _one_parameter_reruns_what_follows_from_it(folder: Path, run: Dvc) -> None:
    _change(folder, "evaluate", "worst", 5)
    done = run("dvc", "repro")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    ran = stages_run(done.stdout)
    assert ran[0] == "evaluate"
    assert set(ran) <= {"evaluate", "register", "deploy", "monitor", "review"}
    assert read(folder, "registration.json")["candidate"]["version"] == "1"


def _a_failed_gate_stops_the_pass(folder: Path, run: Dvc) -> None:
    _change(folder, "validate", "ink_mean_min", 0.9)
    _change(folder, "validate", "ink_mean_max", 1.0)
    done = run("dvc", "repro")
    assert done.returncode != 0
    assert stages_run(done.stdout) == ["validate"]
    told = run("fullcycle", "verdict", "digits", "--json")
    verdict = json.loads(told.stdout)["digits"]
    assert verdict["outcome"] == "revisit" and verdict["phase"] == "data"
    assert "ink" in verdict["sentence"]


def _change(folder: Path, stage: str, key: str, value: object) -> None:
    path = folder / "params.yaml"
    content = yaml.safe_load(path.read_text())
    content["projects"]["digits"][stage][key] = value
    path.write_text(yaml.safe_dump(content, sort_keys=False))
