"""A model package is loaded only when it is whole and makes sense."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from pipeline.core import model_package
from pipeline.core.errors import ModelError
from serving import image_model
from serving.image_model import ImageModel
from tests.serving.synthetic import DIGITS, linear_network, write_package


@pytest.fixture
def copy(package: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(package, tmp_path / "copy"))


def redescribe(folder: Path, **changes: object) -> None:
    """model.json with other contents and the right checksums."""
    description = json.loads((folder / "model.json").read_text())
    kept = {k: v for k, v in description.items() if k not in ("format", "files")} | changes
    model_package.describe(folder, {k: v for k, v in kept.items() if v is not None})


def test_a_whole_package_answers(model: ImageModel) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 1, 28, 28), dtype=np.uint8)
    found = model.probabilities(images)
    assert found.shape == (5, 10)
    assert found.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert (model.name, model.version, model.classes, model.image) == ("digits", "3", DIGITS, (1, 28, 28))


def test_long_batches_answer_as_short_ones(model: ImageModel) -> None:
    images = np.random.default_rng(1).integers(0, 256, (150, 1, 28, 28), dtype=np.uint8)
    alone = np.concatenate([model.probabilities(images[i : i + 1]) for i in range(150)])
    assert model.probabilities(images) == pytest.approx(alone, abs=1e-6)


@pytest.mark.parametrize("name", ["network.onnx", "weights.safetensors"])
def test_a_changed_file_is_not_loaded(copy: Path, name: str) -> None:
    (copy / name).write_bytes((copy / name).read_bytes() + b"\0")
    with pytest.raises(ModelError, match=rf"{name}: SHA-256 is .* says"):
        image_model.load(copy, "3")


@pytest.mark.parametrize("name", ["network.onnx", "weights.safetensors", "model.json"])
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(ModelError, match=name):
        image_model.load(copy, "3")


def test_a_package_other_than_the_registered_is_refused(copy: Path) -> None:
    with pytest.raises(ModelError, match="the registry says"):
        image_model.load(copy, "3", expected_sha256="0" * 64)


def test_a_network_that_cannot_be_run_is_refused(copy: Path) -> None:
    network = linear_network(10, (1, 28, 28), seed=0)
    network.graph.node[0].op_type = "Unheard"
    onnx.save(network, str(copy / "network.onnx"))
    redescribe(copy)
    with pytest.raises(ModelError, match="ONNX Runtime cannot load it"):
        image_model.load(copy, "3")


def test_classes_must_match_the_network(copy: Path) -> None:
    redescribe(copy, classes=["a", "b"])
    with pytest.raises(ModelError, match=r"shape \(2, 10\), expected \(2, 2\)"):
        image_model.load(copy, "3")


def test_the_image_size_must_match_the_network(copy: Path) -> None:
    redescribe(copy, image={"height": 32, "width": 32, "channels": 1})
    with pytest.raises(ModelError, match="does not run on an image of"):
        image_model.load(copy, "3")


def test_a_description_without_classes_is_refused(copy: Path) -> None:
    redescribe(copy, classes=None)
    with pytest.raises(ModelError, match="'classes' is missing or malformed"):
        image_model.load(copy, "3")


def test_a_network_that_answers_nan_is_refused(tmp_path: Path) -> None:
    folder = write_package(tmp_path / "nan")
    network = linear_network(10, (1, 28, 28), seed=0)
    weights = network.graph.initializer[0]
    weights.CopyFrom(onnx.numpy_helper.from_array(np.full((784, 10), np.nan, dtype=np.float32), weights.name))
    onnx.save(network, str(folder / "network.onnx"))
    redescribe(folder)
    with pytest.raises(ModelError, match="finite"):
        image_model.load(folder, "3")


def test_quota_of_a_container_limits_threads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    limit = tmp_path / "cpu.max"
    monkeypatch.setattr(image_model, "CGROUP_CPU_LIMIT", limit)
    free = image_model.cores()
    limit.write_text("max 100000\n")
    assert image_model.cores() == free
    limit.write_text("50000 100000\n")
    assert image_model.cores() == 1
