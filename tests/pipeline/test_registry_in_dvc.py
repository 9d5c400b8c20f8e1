"""The registry lies outside DVC: `dvc repro` notices that it was wiped or changed, and does nothing else."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.core.artifacts import write_json
from pipeline.core.paths import Paths
from tests.pipeline import candidates, repositories
from tests.pipeline.repositories import Dvc

LOOK = ["registry/dvc.yaml:look"]
BOTH = [*LOOK, "register@digits"]


@pytest.fixture
def project(
    tmp_path_factory: pytest.TempPathFactory, small_parameters: tuple[dict, Path]
) -> tuple[Paths, Dvc]:
    """The stage `look` and, of dvc.yaml's, `register` alone, with made-up results of the earlier ones."""
    content = {"projects": {"digits": small_parameters[0]["projects"]["digits"]}}
    folder, run = repositories.make(tmp_path_factory, content)
    stages = yaml.safe_load((folder / "dvc.yaml").read_text())["stages"]
    chosen = {"stages": {"register": stages["register"]}}
    (folder / "dvc.yaml").write_text(yaml.safe_dump(chosen, sort_keys=False))
    paths = candidates.make(folder)
    for dependency in stages["register"]["do"]["deps"]:
        place = folder / dependency.replace("${key}", "digits")
        if dependency.startswith(("data/", "reports/")) and not place.exists():
            write_json(place, {})
    return paths, run


def repro(run: Dvc) -> list[str]:
    """The stages that ran."""
    done = run("dvc", "repro")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return re.findall(r"Running stage '([^']+)'", done.stdout)


def registration(paths: Paths) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((paths.reports / "registration.json").read_text())
    return found


def test_a_wiped_registry_is_filled_and_a_rollback_is_followed(project: tuple[Paths, Dvc]) -> None:
    paths, run = project
    assert repro(run) == BOTH
    lock = (paths.root / "dvc.lock").read_text()
    assert repro(run) == LOOK
    assert (paths.root / "dvc.lock").read_text() == lock

    candidates.model(paths, seed=0, scale=2)
    assert repro(run) == BOTH
    (paths.root / "mlflow.db").unlink()
    assert repro(run) == BOTH
    assert repro(run) == LOOK
    told = json.loads(run("fullcycle", "history", "digits", "--json").stdout)
    champions = [one["to"]["sha256"] for one in told if one["alias"] == "champion"]
    assert [one["action"] for one in told if one["alias"] == "champion"] == [
        "promoted",
        "promoted",
        "restored",
    ]
    assert champions[2] == champions[1] == registration(paths)["champion"]["sha256"]

    back = run("fullcycle", "rollback", "digits", "--why", "it reads 7 as 1")
    assert back.returncode == 0, back.stderr
    assert repro(run) == BOTH
    assert registration(paths)["outcome"] == "refused"
    assert registration(paths)["champion"]["sha256"] == champions[0]
    assert repro(run) == LOOK


def test_a_registry_that_does_not_answer_does_not_hold_up_what_needs_none(project: tuple[Paths, Dvc]) -> None:
    paths, run = project
    assert repro(run) == BOTH
    before = paths.registry_looked_at.read_text()
    (paths.root / "mlflow.db").write_bytes(b"not a database, and no MLflow store either")
    done = run("python", "-m", "pipeline.champion.registry_state")
    assert done.returncode == 0 and "digits: the registry could not be looked at" in done.stderr
    assert paths.registry_looked_at.read_text() == before
