"""Promotion is earned: by the gates, and by a paired test against the champion."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from pipeline.core import model_package, registry
from pipeline.core.artifacts import read_json, sha256
from pipeline.core.deployed_network import DeployedNetwork
from pipeline.core.errors import ModelError
from pipeline.core.paths import Paths
from serving import image_model
from serving.image_application import ImageApplication, ImageState
from serving.image_log import ImageLog
from serving.metrics import metrics
from tests.pipeline import candidates
from tests.pipeline.candidates import ITEMS, aliases, evaluated, model, run
from tests.serving.asgi_client import AsgiClient
from tests.serving.synthetic import SETTINGS

Weights = Callable[[np.ndarray], np.ndarray]


def test_the_first_model_is_promoted_by_its_gates_and_registering_it_again_changes_nothing(
    paths: Paths,
) -> None:
    for outcome in ("promoted", "champion"):
        evidence, told = run(paths)
        assert told["promoted"] and told["candidate"]["version"] == told["champion"]["version"] == "1"
        assert (told["outcome"], told["reason"], told["comparison"]) == (outcome, "every gate holds", None)
        assert evidence.failed == []
    assert aliases(paths) == {"champion": "1"}


def test_a_version_says_what_it_is_made_of_and_what_was_measured(paths: Paths) -> None:
    run(paths)
    version = candidates.client(paths).get_model_version("digits", "1")
    tags = version.tags
    for name in ("git.commit", "git.clean", "run.pass", "test.sha256"):
        assert tags[name]
    for name in (*model_package.REQUIRED, model_package.DESCRIPTION):
        assert tags[f"sha256.{name}"] == sha256(paths.model / name)
    assert tags["data.sha256"] == "0" * 64 and len(tags["params.sha256"]) == 64
    assert (tags["gates"], tags["gate.accuracy"], tags["metric.accuracy"]) == ("hold", "holds", "0.99")
    assert f"onnxruntime=={onnxruntime.__version__}" in tags["requirements"]
    assert version.run_id
    from mlflow.models import get_model_info

    signature = get_model_info("models:/digits/1").signature
    assert [one.name for one in signature.inputs] == ["image"]
    assert [one.name for one in signature.outputs] == ["logits", "probabilities"]


def test_a_version_that_was_evaluated_again_says_what_came_of_it(paths: Paths) -> None:
    run(paths)
    evaluated(paths, passed=False)
    evidence, told = run(paths)
    assert not told["promoted"] and told["outcome"] == "champion"
    assert candidates.client(paths).get_model_version("digits", "1").tags["gate.accuracy"] == "fails"
    assert aliases(paths) == {"champion": "1"} and evidence.failed


def test_a_first_model_that_fails_a_gate_is_no_champion(paths: Paths) -> None:
    evaluated(paths, passed=False)
    evidence, told = run(paths)
    assert not told["promoted"] and told["champion"] is None
    assert "gates_of_evaluation_failed FAILS" in told["reason"]
    assert not evidence.stops and [gate.revisit for gate in evidence.failed] == ["training"]
    assert aliases(paths) == {"challenger": "1"}


def test_an_equal_model_is_promoted_and_the_old_one_is_kept_as_previous(paths: Paths) -> None:
    run(paths)
    model(paths, seed=0, scale=2)
    _, told = run(paths)
    assert told["promoted"] and told["champion"]["version"] == "2"
    assert told["reason"].startswith("not worse than the margin of 0.01: +0.00000 [-0.00383, +0.00383]")
    assert told["comparison"]["outcome"] == "not worse"
    slices = {one["name"] for one in told["comparison"]["slices"]}
    assert {"class 1", "brightness low"} <= slices
    assert aliases(paths) == {"champion": "2", "previous": "1"}


def test_a_better_model_is_called_better(paths: Paths) -> None:
    model(paths, seed=0, change=_blind_to(_classes(paths)[0]))
    run(paths)
    model(paths, seed=0)
    _, told = run(paths)
    assert told["promoted"] and told["comparison"]["outcome"] == "better"


def test_a_better_model_that_fails_a_gate_is_refused(paths: Paths) -> None:
    run(paths)
    model(paths, seed=0, scale=2)
    evaluated(paths, passed=False)
    _, told = run(paths)
    assert not told["promoted"] and aliases(paths) == {"champion": "1", "challenger": "2"}


def _of_shuffled_labels(weights: np.ndarray) -> np.ndarray:
    """Nothing but noise was learnt from labels without meaning."""
    return np.random.default_rng(7).permutation(weights.ravel()).reshape(weights.shape)


def _of_nan(weights: np.ndarray) -> np.ndarray:
    return np.full_like(weights, np.nan)


def _classes(paths: Paths) -> list[int]:
    """Those of 40 images and more, the largest first: random networks know some hardly at all."""
    counts = np.bincount(np.load(paths.prepared / "test" / "labels.npy"), minlength=10)
    return [int(k) for k in np.argsort(-counts, kind="stable") if counts[k] >= 40]


def _blind_to(*classes: int) -> Weights:
    def change(weights: np.ndarray) -> np.ndarray:
        weights = weights.copy()
        weights[:, list(classes)] = weights.min() * 10
        return weights

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_of_shuffled_labels, "it is worse; train a better one"),
        (_of_nan, "weights_not_a_number FAILS: 7840, required at most 0"),
    ],
)
def test_a_spoilt_model_is_refused_with_the_reason_and_the_old_one_goes_on_answering(
    paths: Paths, tmp_path: Path, change: Weights, reason: str
) -> None:
    run(paths)
    model(paths, seed=0, scale=2, change=change)
    evidence, told = run(paths)
    assert told["outcome"] == "refused" and reason in told["reason"]
    assert reason in evidence.summary and "champion stays version 1" in evidence.summary
    assert aliases(paths) == {"champion": "1", "challenger": "2"}
    labels = np.load(paths.prepared / "test" / "labels.npy")[:ASKED]
    assert [one["label"] for one in _of_the_service(paths, tmp_path)] == labels.astype(str).tolist()


def test_a_model_that_is_better_on_average_and_fails_one_slice_is_refused(
    paths: Paths, tmp_path: Path
) -> None:
    """The champion misses the larger of two classes, the candidate the smaller one alone."""
    large, *_, small = _classes(paths)
    model(paths, seed=0, change=_blind_to(large))
    run(paths)
    model(paths, seed=0, change=_blind_to(small))
    evidence, told = run(paths)
    compared = told["comparison"]
    assert compared["new"] > compared["old"] and compared["p_better"] < 0.025
    assert told["outcome"] == "refused" and f"but evidently worse in class {small} (-1.0000" in told["reason"]
    assert [gate.name for gate in evidence.failed] == ["slices_worse_than_champion_1"]
    assert aliases(paths) == {"champion": "1", "challenger": "2"}
    assert str(large) not in {one["label"] for one in _of_the_service(paths, tmp_path)}


ASKED = 100  # images


def _of_the_service(paths: Paths, folder: Path) -> list[dict[str, Any]]:
    """What the service answers with the model that `deploy` would ship: the champion of the registry."""
    version = registry.champion(paths)
    assert version is not None
    package = registry.download(paths, version, folder / "served")
    state = ImageState()
    state.model = image_model.load(package, version.version, version.sha256)
    state.log = ImageLog(f"sqlite:///{folder}/predictions.db", "digits", metrics())
    pixels = np.load(paths.prepared / "test" / "images.npy")[:ASKED, 0]
    items = [{"pixels": image.tolist()} for image in pixels]
    answered = AsgiClient(ImageApplication(state, SETTINGS)).post("/predict_batch", json={"items": items})
    state.log.close()
    found: list[dict[str, Any]] = answered.json()["predictions"]
    assert {one["model"]["version"] for one in found} == {"1"}
    return found


def test_a_champion_is_evaluated_anew_when_the_unseen_data_has_changed(paths: Paths) -> None:
    """It was perfect on the data of then; only a champion that answers the data of now can lose."""
    model(paths, seed=1)
    labels = DeployedNetwork(paths.model).run(np.load(paths.prepared / "test" / "images.npy"), "logits")
    np.save(paths.prepared / "test" / "labels.npy", labels.argmax(1))
    run(paths)
    candidates.unseen(paths, seed=5)
    model(paths, seed=0)
    _, told = run(paths)
    assert told["promoted"] and told["comparison"]["old"] < 0.5 and told["comparison"]["new"] == 1
    assert told["comparison"]["items"] == ITEMS
    assert "the unseen data has changed since version 1 was registered" in told["reason"]


def test_a_champion_that_knows_other_classes_is_replaced_and_it_is_said(paths: Paths) -> None:
    """As after a change of the project's classes: there is nothing to compare."""
    described = read_json(paths.model / model_package.DESCRIPTION)
    del described["files"], described["format"]
    model_package.describe(paths.model, described | {"classes": [*described["classes"][:-1], "nine"]})
    run(paths)
    model(paths, seed=0, scale=2)
    evidence, told = run(paths)
    assert told["promoted"] and told["champion"]["version"] == "2"
    assert "version 1 could not be compared: It was trained for" in told["reason"]
    assert "could not be compared" in evidence.summary


def test_a_model_that_was_changed_in_the_store_is_not_handed_out(paths: Paths, tmp_path: Path) -> None:
    run(paths)
    version = registry.champion(paths)
    assert version is not None
    whole = registry.download(paths, version, tmp_path / "whole")
    assert model_package.verify(whole)["project"] == "digits"
    (stored,) = (paths.root / "mlruns").rglob("model.onnx")
    stored.write_bytes(stored.read_bytes() + b"\0")
    with pytest.raises(ModelError, match="does not have the SHA-256 of the registry"):
        registry.download(paths, version, tmp_path / "damaged")
    assert not (tmp_path / "damaged").exists()


def test_a_damaged_package_is_not_registered(paths: Paths) -> None:
    (paths.model / model_package.WEIGHTS).write_bytes(b"other")
    with pytest.raises(ModelError, match=r"weights.safetensors: SHA-256 is"):
        run(paths)
    assert not (paths.reports / "registration.json").exists()
