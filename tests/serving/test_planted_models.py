"""A model package may come from anywhere: what is planted in it is refused before anything of it runs.

The planted pickles write a marker when they are loaded; no test may leave one.
"""

import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pipeline.core import model_package, onnx_file, registry
from pipeline.core.artifacts import sha256
from pipeline.core.errors import ModelError
from serving import image_model
from tests.serving.synthetic import linear_network


class Marking:
    """Writes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, tuple[str, int]]:
        return os.open, (str(self.marker), os.O_CREAT)


@pytest.fixture
def marker(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "marker"
    yield path
    assert not path.exists(), "what was planted has run"


@pytest.fixture
def copy(package: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(package, tmp_path / "copy"))


def redescribe(folder: Path, *more: str) -> None:
    """model.json with the right checksums of what lies there: as who planted it would write it."""
    description = json.loads((folder / "model.json").read_text())
    kept = {key: value for key, value in description.items() if key not in ("format", "files")}
    model_package.describe(folder, kept, more)


def refused(folder: Path, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        image_model.load(folder, "3")


def test_the_marker_works(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Marking(tmp_path / "marker")))
    assert (tmp_path / "marker").exists()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_in_place_of_the_network(copy: Path, marker: Path, protocol: int) -> None:
    (copy / "network.onnx").write_bytes(pickle.dumps(Marking(marker), protocol))
    redescribe(copy)
    refused(copy, r"network\.onnx: a pickle, which can run any code")


@pytest.mark.parametrize("protocol", [0, 1])
def test_a_pickle_of_text_is_no_network(copy: Path, marker: Path, protocol: int) -> None:
    (copy / "network.onnx").write_bytes(pickle.dumps(Marking(marker), protocol))
    redescribe(copy)
    refused(copy, r"network\.onnx: not an ONNX file")


@pytest.mark.parametrize("named", [True, False], ids=["named in model.json", "only lying there"])
@pytest.mark.parametrize(
    "name", ["extra.pkl", "more/checkpoint.pt", "state.joblib", "no_suffix", "picture.png"]
)
def test_a_pickle_beside_the_network(copy: Path, marker: Path, name: str, named: bool) -> None:
    (copy / name).parent.mkdir(exist_ok=True)
    (copy / name).write_bytes(pickle.dumps(Marking(marker)))
    redescribe(copy, *([name] if named else []))
    refused(copy, f"{name}: a pickle")


def test_a_pickle_in_an_array_of_objects(copy: Path, marker: Path) -> None:
    np.save(copy / "items.npy", np.array([Marking(marker)], dtype=object), allow_pickle=True)
    redescribe(copy, "items.npy")
    refused(copy, r"items\.npy: a pickle")


def test_a_pickle_in_an_archive_of_arrays(copy: Path, marker: Path) -> None:
    np.savez(copy / "seen_items.npz", good=np.zeros(3), bad=np.array([Marking(marker)], dtype=object))
    redescribe(copy, "seen_items.npz")
    refused(copy, r"seen_items\.npz: a pickle")


def test_a_pickle_as_pytorch_zips_it(copy: Path, marker: Path) -> None:
    with zipfile.ZipFile(copy / "weights.safetensors", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Marking(marker)))
    redescribe(copy)
    refused(copy, r"weights\.safetensors: a pickle")


def test_arrays_without_objects_are_let_in(copy: Path) -> None:
    np.save(copy / "ids.npy", np.array(["a", "b"]))
    np.savez_compressed(copy / "seen.npz", trained=np.zeros(3, dtype=np.uint64), empty=np.empty(0))
    (copy / "curves.png").write_bytes(b"\x89PNG a picture for the reader")
    redescribe(copy, "ids.npy", "seen.npz")
    assert image_model.load(copy, "3").version == "3"


@pytest.mark.parametrize(
    "name",
    [
        "../outside",
        "state/../../outside",
        "/etc/passwd",
        "./network.onnx",
        "a//b",
        "..",
        "",
        "a\\b",
        "a\0b",
        "a/",
    ],
)
def test_a_name_that_leads_out_of_the_package(copy: Path, name: str) -> None:
    (copy.parent / "outside").write_text("outside")
    description = json.loads((copy / "model.json").read_text())
    description["files"][name] = sha256(copy.parent / "outside")
    (copy / "model.json").write_text(json.dumps(description))
    refused(copy, "is not a path inside the package")
    with pytest.raises(ModelError, match="is not a path inside the package"):
        registry._beside_network(copy)
    with pytest.raises(ModelError, match="is not a path inside the package"):
        model_package.copy(copy, copy.parent / "target")
    assert not (copy.parent / "target").exists()


@pytest.mark.parametrize("name", ["network.onnx", "model.json", "extra.txt", "state"])
def test_a_link_in_the_package(copy: Path, name: str) -> None:
    elsewhere = copy.parent / "elsewhere"
    if (copy / name).exists():
        (copy / name).rename(elsewhere)
    else:
        elsewhere.mkdir()
    (copy / name).symlink_to(elsewhere)
    refused(copy, f"{name}: a link")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[]", "package format"),
        ('{"format": 2}', "package format 2"),
        ('{"format": 1}', "files must name network.onnx and weights.safetensors"),
        ('{"format": 1, "files": ["network.onnx", "weights.safetensors"]}', "files must name"),
        ('{"format": 1, "files": {"network.onnx": ""}}', "files must name"),
        ('{"format": 1, "files": {"network.onnx": "", "weights.safetensors": ""}}', "not 64 hex digits"),
        ('{"format": 1, "files": {"network.onnx": null, "weights.safetensors": 1}}', "not 64 hex digits"),
    ],
)
def test_a_description_that_makes_no_sense(copy: Path, text: str, message: str) -> None:
    (copy / "model.json").write_text(text)
    refused(copy, message)


def external(location: str) -> onnx.ModelProto:
    """A network whose weights lie in another file."""
    network = linear_network(10, (1, 28, 28), seed=0)
    weights = network.graph.initializer[0]
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    entry = weights.external_data.add()
    entry.key, entry.value = "location", location
    return network


@pytest.mark.parametrize("where", ["../outside.bin", "{folder}/outside.bin", "inside.data"])
def test_weights_in_another_file(copy: Path, where: str) -> None:
    raw = np.zeros((784, 10), dtype=np.float32).tobytes()
    (copy.parent / "outside.bin").write_bytes(raw)
    (copy / "inside.data").write_bytes(raw)
    onnx.save(external(where.format(folder=copy.parent)), str(copy / "network.onnx"))
    redescribe(copy)
    refused(copy, "a tensor lies in another file")


def with_weights(weights: np.ndarray, type_: int = TensorProto.FLOAT, *, raw: bool = True) -> onnx.ModelProto:
    network = linear_network(10, (1, 28, 28), seed=0)
    initializer = network.graph.initializer[0]
    made = helper.make_tensor(
        initializer.name,
        type_,
        weights.shape,
        weights.astype(helper.tensor_dtype_to_np_dtype(type_)).tobytes() if raw else weights.ravel(),
        raw=raw,
    )
    initializer.CopyFrom(made)
    return network


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize(
    "type_", [TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16]
)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_weight_that_is_no_number(tmp_path: Path, value: float, type_: int, raw: bool) -> None:
    weights = np.zeros((784, 10), dtype=np.float32)
    onnx.save(with_weights(weights, type_, raw=raw), str(tmp_path / "network.onnx"))
    onnx_file.refuse_unsound(tmp_path / "network.onnx")
    weights[783, 9] = value
    onnx.save(with_weights(weights, type_, raw=raw), str(tmp_path / "network.onnx"))
    with pytest.raises(ModelError, match="'weights' is not finite"):
        onnx_file.refuse_unsound(tmp_path / "network.onnx")


def test_a_weight_that_is_no_number_is_not_served(copy: Path) -> None:
    weights = np.zeros((784, 10), dtype=np.float32)
    weights[0, 0] = -np.inf  # let pass as a mask, found by the trial run
    onnx.save(with_weights(weights), str(copy / "network.onnx"))
    redescribe(copy)
    refused(copy, "expected .* finite values")
    weights[0, 0] = np.nan
    onnx.save(with_weights(weights), str(copy / "network.onnx"))
    redescribe(copy)
    refused(copy, "'weights' is not finite")


def test_a_number_that_is_none_is_found_wherever_a_tensor_may_lie(tmp_path: Path) -> None:
    bad = numpy_helper.from_array(np.array([1, np.nan], dtype=np.float32), "bad")
    constant = helper.make_node("Constant", [], ["c"], value=bad)
    branch = helper.make_graph([constant], "branch", [], [])
    conditional = helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)
    sparse = helper.make_sparse_tensor(bad, numpy_helper.from_array(np.array([0, 1]), "indices"), [5])
    function = helper.make_function("own", "f", [], ["c"], [constant], [helper.make_opsetid("", 17)])
    opset = [helper.make_opsetid("", 17)]
    empty = helper.make_graph([], "g", [], [])
    for model in (
        helper.make_model(helper.make_graph([constant], "g", [], []), opset_imports=opset),
        helper.make_model(helper.make_graph([conditional], "g", [], []), opset_imports=opset),
        helper.make_model(
            helper.make_graph([], "g", [], [], sparse_initializer=[sparse]), opset_imports=opset
        ),
        helper.make_model(empty, functions=[function], opset_imports=opset),
    ):
        (tmp_path / "network.onnx").write_bytes(model.SerializeToString())
        with pytest.raises(ModelError, match="'bad' is not finite"):
            onnx_file.refuse_unsound(tmp_path / "network.onnx")


def test_the_fields_are_those_of_onnx() -> None:
    for message, inside in onnx_file.INSIDE.items():
        fields = getattr(onnx, message).DESCRIPTOR.fields_by_number
        assert {number: fields[number].message_type.name for number in inside} == inside
        held = {field.message_type.name for field in fields.values() if field.message_type is not None}
        followed = {*onnx_file.INSIDE, onnx_file.TENSOR}
        assert held & followed == set(inside.values()), f"{message} holds another message with tensors"
    tensor = TensorProto.DESCRIPTOR.fields_by_name
    for name in (
        "DATA_TYPE",
        "FLOAT_DATA",
        "INT32_DATA",
        "NAME",
        "RAW_DATA",
        "DOUBLE_DATA",
        "EXTERNAL_DATA",
        "DATA_LOCATION",
    ):
        assert tensor[name.lower()].number == getattr(onnx_file, name)


def test_files_that_are_no_networks(tmp_path: Path) -> None:
    good = linear_network(10, (1, 28, 28), seed=0).SerializeToString()
    rng = np.random.default_rng(0)
    for content in (b"", b"\0", b"no network", good[:-1], good[:100], b"\xff" * 100, rng.bytes(10_000)):
        (tmp_path / "network.onnx").write_bytes(content)
        with pytest.raises(ModelError, match="not an ONNX file"):
            onnx_file.refuse_unsound(tmp_path / "network.onnx")


@pytest.mark.parametrize("classes", ["0123456789", None, [], list(range(10)), ["", *"123456789"]])
def test_classes_that_are_no_names(copy: Path, classes: Any) -> None:
    description = json.loads((copy / "model.json").read_text()) | {"classes": classes}
    (copy / "model.json").write_text(json.dumps(description))
    refused(copy, "missing or malformed|expected")
