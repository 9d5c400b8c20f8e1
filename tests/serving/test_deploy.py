"""The stage `deploy`, with a registry made up and everything else real."""

import importlib.util
import json
import os
import shutil
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

from pipeline import deploy
from pipeline.core import registry
from pipeline.core.artifacts import read_json, sha256_of_folder, write_json
from pipeline.core.errors import ModelError, ParameterError, ServiceError
from pipeline.core.parameters import Container, Deploy
from pipeline.core.paths import Paths
from pipeline.core.registry import Version
from pipeline.core.stage import Context
from pipeline.service import bento, load_test
from pipeline.service.load_test import post_request
from pipeline.tasks.image_classification import deploy as hook
from tests.serving.conftest import ROOT, SERVICE
from tests.serving.pictures import digit, encoded
from tests.serving.synthetic import SETTINGS, write_package

CONTAINER = Container(
    registry=None, replicas=1, database_secret=None, log_gib=1,
    cpu_cores=0.5, cpu_cores_max=1, memory_mib=2048,
)  # fmt: skip
LIMITS = Deploy(
    samples=34, tolerance=1e-5, load_seconds=0.3, connections=2, ready_seconds_max=60, memory_mib_max=2048,
    container=CONTAINER,
)  # fmt: skip


@pytest.fixture
def tree(tmp_path: Path) -> Paths:
    """A working tree with the repository's code and a few unseen images."""
    for name in ("pipeline", "serving", "bentofile.yaml", "params.yaml"):
        (tmp_path / name).symlink_to(ROOT / name)
    paths = Paths(tmp_path, "digits")
    (paths.prepared / "test").mkdir(parents=True)
    images = np.stack([digit(seed)[np.newaxis] for seed in range(40)])
    np.save(paths.prepared / "test" / "images.npy", images)
    return paths


@pytest.fixture
def context(tree: Paths) -> Context:
    params = SimpleNamespace(
        goals=SimpleNamespace(latency_p99_ms_max=5000.0),
        serve=SETTINGS,
        deploy=LIMITS,
    )
    return Context("deploy", tree, "image_classification", params, run=None)  # type: ignore[arg-type]


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch, package: Path, version: Version) -> None:
    def download(_: Paths, asked: Version, folder: Path) -> Path:
        assert asked == version
        return Path(shutil.copytree(package, folder))

    monkeypatch.setattr(registry, "champion", lambda _: version)
    monkeypatch.setattr(registry, "download", download)


def test_the_champion_is_deployed_and_proven(
    context: Context, registered: None, bento_home: Path, version: Version
) -> None:
    evidence = deploy.run(context)
    assert {gate.name: gate.passed for gate in evidence.gates} == {
        "served_equals_offline": True,
        "latency_p99": True,
        "ready_seconds": True,
        "memory_mib": True,
        "processes_with_torch": True,
        "processes_left": True,
    }
    assert evidence.metrics["answers"] == 34
    assert 0 < evidence.metrics["ready_seconds"] < 60 and evidence.metrics["memory_mib"] > 50
    written = read_json(context.paths.reports / "deployment.json")
    assert written["model_tag"].startswith("digits:v3-")
    assert written["bento_tag"].startswith(written["model_tag"] + "-")
    assert written["model"]["sha256"] == version.sha256
    folder = bento_home / "bentos" / written["bento_tag"].replace(":", "/")
    assert (folder / "bento.yaml").is_file() and written["bento_sha256"] == sha256_of_folder(folder)
    assert written["serve"] == SETTINGS.model_dump(mode="json", by_alias=True)
    assert written["figures"] == evidence.metrics
    deployment = next(yaml.safe_load_all(context.paths.kubernetes.read_text()))
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == written["bento_tag"]


def test_a_limit_that_does_not_hold_fails_its_gate(
    context: Context, registered: None, bento_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NumPy is what a service loads for sure: it stands for torch here."""
    strict = {"ready_seconds_max": 0.01, "memory_mib_max": 1.0}
    context.params.deploy = LIMITS.model_copy(update=strict)
    monkeypatch.setattr(deploy, "FORBIDDEN", "numpy")
    gates = {gate.name: gate for gate in deploy.run(context).gates}
    failed = {"ready_seconds", "memory_mib", "processes_with_torch"}
    assert {name for name, gate in gates.items() if not gate.passed} == failed
    assert {gates[name].revisit for name in failed} == {"deploying"}


def test_every_image_is_asked_about_once_in_one_of_the_forms(tree: Paths, package: Path) -> None:
    proof = hook.proof(package, tree.prepared, 34)
    assert sorted(place for places in proof.places for place in places) == list(range(34))
    heads = [request.split(b"\r\n\r\n")[0] for request in proof.requests]
    forms = [(head.split()[1], head.split(b"Content-Type: ")[1].split(b"\r")[0]) for head in heads]
    assert forms.count((b"/predict", b"image/png")) == 12
    assert forms.count((b"/predict", b"application/json")) == 11
    assert forms.count((b"/predict_batch", b"application/json")) == 1
    items = json.loads(proof.requests[-1].partition(b"\r\n\r\n")[2])["items"]
    assert {next(iter(item)) for item in items} == {"pixels", "image_base64"} and len(items) == 11


def test_a_service_that_answers_otherwise_fails_the_gate(
    context: Context, registered: None, bento_home: Path, package: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    other = write_package(tmp_path / "other", seed=9)
    proof = hook.proof
    monkeypatch.setattr(hook, "proof", lambda _, *rest: proof(other, *rest))
    gates = {gate.name: gate for gate in deploy.run(context).gates}
    assert not gates["served_equals_offline"].passed
    assert gates["served_equals_offline"].revisit == "deploying"


def test_without_a_champion_there_is_nothing_to_deploy(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "champion", lambda _: None)
    refused = {
        "candidate": {"version": "1"},
        "champion": None,
        "outcome": "refused",
        "reason": "accuracy FAILS",
    }
    write_json(context.paths.reports / "registration.json", refused)
    evidence = deploy.run(context)
    assert evidence.summary == "nothing to deploy; version 1 was refused: accuracy FAILS"
    assert [gate.passed for gate in evidence.gates] == [False] and not evidence.stops
    assert read_json(context.paths.reports / "deployment.json")["bento_tag"] is None
    assert list(yaml.safe_load_all(context.paths.kubernetes.read_text())) in ([], [None])
    waiting = refused | {"outcome": "waiting", "reason": "every gate holds"}
    write_json(context.paths.reports / "registration.json", waiting)
    evidence = deploy.run(context)
    assert evidence.summary == "nothing to deploy; version 1 waits for approval: every gate holds"
    (gate,) = evidence.gates
    assert gate.revisit == "deploying" and "fullcycle promote digits 1 --why" in gate.remedy
    write_json(context.paths.reports / "registration.json", refused | {"champion": {"version": "1"}})
    with pytest.raises(ModelError, match="the registry was wiped"):
        deploy.run(context)


def test_storing_a_model_twice_is_doing_nothing(bento_home: Path, package: Path, version: Version) -> None:
    tag = bento.store_model(package, version)
    file = bento_home / "models" / tag.replace(":", "/") / "network.onnx"
    before = file.stat().st_mtime_ns
    assert bento.store_model(package, version) == tag
    assert file.stat().st_mtime_ns == before


@pytest.mark.parametrize("damage", ["wiped", "changed"])
def test_a_store_that_was_wiped_or_damaged_is_mended(
    bento_home: Path, package: Path, version: Version, damage: str
) -> None:
    tag = bento.store_model(package, version)
    folder = bento_home / "models" / tag.replace(":", "/")
    if damage == "wiped":
        shutil.rmtree(folder)
    else:
        (folder / "network.onnx").write_bytes(b"damaged")
    assert bento.store_model(package, version) == tag
    assert (folder / "network.onnx").read_bytes() == (package / "network.onnx").read_bytes()


def test_building_twice_is_doing_nothing_and_a_wiped_store_is_noticed(
    bento_home: Path, tree: Paths, package: Path, version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = bento.store_model(package, version)
    tag = bento.build(tree.root, SERVICE, model, SETTINGS)
    folder = bento_home / "bentos" / tag.replace(":", "/")
    with monkeypatch.context() as patch:
        patch.setattr(bento, "_run_build", lambda *_: pytest.fail("built again"))
        assert bento.build(tree.root, SERVICE, model, SETTINGS) == tag
    shutil.rmtree(folder)
    assert bento.build(tree.root, SERVICE, model, SETTINGS) == tag
    assert (folder / "bento.yaml").is_file()


def test_no_start_of_a_bento_has_to_compile_its_code(
    bento_home: Path, tree: Paths, package: Path, version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    tag = bento.build(tree.root, SERVICE, bento.store_model(package, version), SETTINGS)
    sources = bento_home / "bentos" / tag.replace(":", "/") / "src"
    monkeypatch.setattr(SourceFileLoader, "source_to_code", lambda *_: pytest.fail("compiled again"))
    code = sorted(sources.rglob("*.py"))
    assert len(code) > 50
    for file in code:
        os.utime(file, (0, 0))  # as in a copy that did not keep the times
        assert SourceFileLoader(file.stem, str(file)).get_code(file.stem) is not None
        bytecode = Path(importlib.util.cache_from_source(str(file))).read_bytes()
        assert str(sources).encode() not in bytecode, "it is the same wherever it is built"


def test_what_a_bento_holds(bento_home: Path, tree: Paths, package: Path, version: Version) -> None:
    tag = bento.build(tree.root, SERVICE, bento.store_model(package, version), SETTINGS)
    folder = bento_home / "bentos" / tag.replace(":", "/")
    written = yaml.safe_load((folder / "bento.yaml").read_text())
    assert written["args"] == {"project": "digits", "model": tag.rpartition("-")[0]}
    assert [model["tag"] for service in written["services"] for model in service["models"]] == [
        tag.rpartition("-")[0]
    ]
    requirements = (folder / "env" / "python" / "requirements.txt").read_text()
    for heavy in ("torch", "lightning", "mlflow", "dvc", "pandas", "scikit"):
        assert heavy not in requirements
    files = {str(file.relative_to(folder / "src")) for file in (folder / "src").rglob("*.py")}
    assert "serving/image_classification.py" in files
    assert not any(file.startswith(("pipeline/train", "pipeline/core/tracking")) for file in files)


def test_changed_code_makes_another_bento(
    bento_home: Path, tree: Paths, package: Path, version: Version
) -> None:
    model = bento.store_model(package, version)
    first = bento.build(tree.root, SERVICE, model, SETTINGS)
    (tree.root / "serving").unlink()
    shutil.copytree(ROOT / "serving", tree.root / "serving")
    with (tree.root / "serving" / "__init__.py").open("a") as file:
        file.write("# changed\n")
    assert bento.build(tree.root, SERVICE, model, SETTINGS) != first


def test_a_pattern_without_files_is_an_error(tree: Paths) -> None:
    (tree.root / "bentofile.yaml").unlink()
    (tree.root / "bentofile.yaml").write_text("include: [serving/nothing.py]\n")
    with pytest.raises(ParameterError, match="matches no file"):
        bento.build(tree.root, SERVICE, "digits:v1-00000000", SETTINGS)


def test_a_build_that_fails_shows_why(bento_home: Path, tree: Paths, package: Path, version: Version) -> None:
    with pytest.raises(ServiceError, match="nowhere"):
        bento.build(tree.root, "serving.nowhere:Service", bento.store_model(package, version), SETTINGS)


def test_load_is_measured(running: dict[str, Any]) -> None:
    requests = [post_request("/predict", "image/png", encoded(digit()))]
    found = load_test.load_test(running["url"], requests, seconds=0.3, connections=2)
    assert found["requests_per_second"] > 10
    assert 0 < found["latency_p50_ms"] <= found["latency_p99_ms"]


def test_answers_come_in_the_order_of_the_requests(running: dict[str, Any]) -> None:
    pictures = [encoded(digit(seed)) for seed in range(12)]
    requests = [post_request("/predict", "image/png", picture) for picture in pictures]
    together = load_test.ask(running["url"], requests, connections=5)
    alone = [load_test.ask(running["url"], [request], connections=1)[0] for request in requests]
    shown = [[json.loads(body)["probabilities"] for body in bodies] for bodies in (together, alone)]
    assert shown[0] == shown[1] and len({str(each) for each in shown[0]}) == 12


def test_a_refusal_under_load_is_an_error(running: dict[str, Any]) -> None:
    requests = [post_request("/predict", "image/png", b"")]
    with pytest.raises(ServiceError, match=r"400[\s\S]*image_undecodable"):
        load_test.load_test(running["url"], requests, seconds=0.3, connections=2)


def test_nobody_there_under_load_is_an_error() -> None:
    with pytest.raises(ServiceError, match="failed when it was asked"):
        load_test.load_test("http://127.0.0.1:1", [b""], seconds=0.3, connections=1)
